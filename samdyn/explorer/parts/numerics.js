// The mathematics of a page: eigenvalues, trajectories, steps, lines of a grid, random numbers.

const TOLERANCE = 1e-12, COARSE = 1e-7;  // of a step, relative to the box; the second while dragging
const MOST = 20000;                      // steps of a trajectory

// Eigenvalues of ((a, b), (c, d)) as pairs [re, im], the larger real part first.
function eigenvalues([a, b, c, d]) {
  const half = (a + d) / 2, square = ((a - d) / 2) ** 2 + b * c, root = Math.sqrt(Math.abs(square));
  return square >= 0 ? [[half + root, 0], [half - root, 0]] : [[half, root], [half, -root]];
}

// A direction that the matrix stretches by the real number `rate`.
function eigenvector([a, b, c, d], rate) {
  const one = [b, rate - a], other = [rate - d, c];
  const [x, y] = Math.hypot(...one) > Math.hypot(...other) ? one : other, length = Math.hypot(x, y);
  return length > 0 ? [x / length, y / length] : [1, 0];
}

// Multipliers of a step of size eta with momentum: of the eigenvalue `rate` of the flow, roots of
// m² − (1 + momentum + eta·rate) m + momentum. Pairs [re, im].
function multipliers([re, im], eta, momentum) {
  if (!momentum) return [[1 + eta * re, eta * im]];
  const p = [(1 + momentum + eta * re) / 2, eta * im / 2];
  const square = [p[0] * p[0] - p[1] * p[1] - momentum, 2 * p[0] * p[1]];
  const size = Math.hypot(...square), u = Math.sqrt((size + square[0]) / 2);
  const v = Math.sign(square[1] || 1) * Math.sqrt(Math.max(0, (size - square[0]) / 2));
  return [[p[0] + u, p[1] + v], [p[0] - u, p[1] - v]];
}

const WIDE = DATA.box[0][1] - DATA.box[0][0], HIGH = DATA.box[1][1] - DATA.box[1][0];

// How long (x, y) is where each side of the box has length 1: all lengths here are measured so, for
// coordinates may differ by any factor.
function lengthOf(x, y) { return Math.hypot(x / WIDE, y / HIGH); }

// Whether a point is further out than a whole box.
function outside(x, y) {
  const [[x0, x1], [y0, y1]] = DATA.box;
  return x < x0 - WIDE || x > x1 + WIDE || y < y0 - HIGH || y > y1 + HIGH;
}

// Dormand and Prince's pair of orders 5 and 4.
const NODES = [
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

// A trajectory, made piece by piece: a generator that returns its points, its times, and why it
// ends ("rests", "leaves", "no number", "long", or what `stop(x, y)` says). `field` has `velocity(x, y)`,
// `jacobian(x, y)` and `sinks`, the attractors at which it jumps, where no step is small enough.
function* following(field, start, sign, tolerance, stop) {
  const path = new Path(field, start, sign, tolerance, stop);
  if (path.ends) return path;
  for (let made = 0; made < MOST && !path.ends; made++) {
    if (made % 64 === 63) yield;
    // a field that is stiff would take an explicit method for ever
    if (made < PATIENCE && tolerance < ROUGHEST) path.explicit();
    else path.implicit();
  }
  path.ends = path.ends || "long";
  return path;
}

const PATIENCE = 4000;           // steps of the explicit method
const ROUGHEST = 1e-5;           // a tolerance from which on the implicit method alone is used
const AT_REST = 1e-12;           // of the box: so near is a zero of the field, by Newton's method

class Path {
  constructor(field, start, sign, tolerance, stop) {
    const v = field.velocity(start[0], start[1]), speed = lengthOf(v[0], v[1]);
    Object.assign(this, { field, sign, tolerance, stop, points: [start.slice()], times: [0], ends: "" });
    [this.x, this.y] = start, this.time = 0, this.speed = speed;
    this.kx = new Float64Array(7), this.ky = new Float64Array(7);
    this.kx[0] = sign * v[0], this.ky[0] = sign * v[1];
    this.h = 1e-3 / speed;
    if (!(speed > 0)) this.ends = speed === 0 ? "rests" : "no number";
  }

  // To (x, y), where the field, times the sign, is (u, v), if the error `off` is at most 1.
  take(x, y, u, v, off, order) {
    if (!Number.isFinite(off)) {
      if (this.h * this.speed < 1e-12) this.ends = "no number";
      this.h /= 5;
      return;
    }
    if (off <= 1) {
      const moved = lengthOf(x - this.x, y - this.y);
      this.x = x, this.y = y, this.time += this.h, this.kx[0] = u, this.ky[0] = v;
      this.points.push([x, y]), this.times.push(this.sign * this.time);
      if (outside(x, y)) this.ends = "leaves";
      else if (this.rests(moved)) this.ends = "rests";
      else if (this.stop) this.ends = this.stop(x, y);
    }
    this.h *= Math.min(5, Math.max(0.2, 0.9 * Math.pow(Math.max(off, 1e-10), -1 / order)));
    const length = this.h * lengthOf(this.kx[0], this.ky[0]);
    if (length > 1 / 40) this.h /= 40 * length;  // so that it looks round
  }

  // At a zero of the field; or to and fro about an attractor at which it jumps, as the library says.
  rests(moved) {
    const near = this.points.length > PATIENCE / 2 || moved < 1e-13 ? 1e-3 : 1e-6;
    const sink = this.field.sinks.find(w => lengthOf(this.x - w[0], this.y - w[1]) < near);
    if (sink) this.points.push(sink.slice()), this.times.push(this.sign * this.time);
    if (sink) return true;
    if (this.points.length % 8) return false;
    const [a, b, c, d] = this.field.jacobian(this.x, this.y), det = a * d - b * c;
    const [u, v] = [this.sign * this.kx[0], this.sign * this.ky[0]];
    return lengthOf(b * v - d * u, c * u - a * v) < AT_REST * Math.abs(det);
  }

  explicit() {
    const { kx, ky, h, sign } = this;
    let nx = this.x, ny = this.y;
    for (let stage = 0; stage < 6; stage++) {
      const row = NODES[stage];
      let sx = 0, sy = 0;
      for (let k = 0; k <= stage; k++) sx += row[k] * kx[k], sy += row[k] * ky[k];
      nx = this.x + h * sx, ny = this.y + h * sy;
      const v = this.field.velocity(nx, ny);
      kx[stage + 1] = sign * v[0], ky[stage + 1] = sign * v[1];
    }
    let ex = 0, ey = 0;
    for (let k = 0; k < 7; k++) ex += ERROR[k] * kx[k], ey += ERROR[k] * ky[k];
    const off = h * lengthOf(ex, ey) / (this.tolerance * (1 + lengthOf(this.x, this.y)));
    this.take(nx, ny, kx[6], ky[6], off, 5);
  }

  // Rosenbrock's method of orders 2 and 3 (Shampine & Reichelt 1997), for stiff fields.
  implicit() {
    const { x, y, h, sign, field } = this, share = 1 / (2 + Math.SQRT2), six = 6 + Math.SQRT2;
    const [a, b, c, d] = field.jacobian(x, y).map(entry => sign * entry * h * share);
    const det = (1 - a) * (1 - d) - b * c, u0 = this.kx[0], v0 = this.ky[0];
    const solved = (u, v) => [((1 - d) * u + b * v) / det, (c * u + (1 - a) * v) / det];
    const at = (px, py) => { const v = field.velocity(px, py); return [sign * v[0], sign * v[1]]; };
    const k1 = solved(u0, v0), f1 = at(x + h / 2 * k1[0], y + h / 2 * k1[1]);
    const k2 = solved(f1[0] - k1[0], f1[1] - k1[1]).map((k, i) => k + k1[i]);
    const nx = x + h * k2[0], ny = y + h * k2[1], f2 = at(nx, ny);
    const k3 = solved(f2[0] - six * (k2[0] - f1[0]) - 2 * (k1[0] - u0), f2[1] - six * (k2[1] - f1[1]) - 2 * (k1[1] - v0));
    const error = h / 6 * lengthOf(k1[0] - 2 * k2[0] + k3[0], k1[1] - 2 * k2[1] + k3[1]);
    // of second order, so for what is drawn and not for what is compared
    this.take(nx, ny, f2[0], f2[1], error / (Math.max(this.tolerance, 1e-6) * (1 + lengthOf(x, y))), 3);
  }
}

// The orbit of the step w ↦ w + eta·u, u ↦ momentum·u + velocity: the optimizer's own steps.
function* stepping(velocity, start, eta, momentum, count) {
  const points = [start.slice()], times = [0];
  let [x, y] = start, ux = 0, uy = 0;
  for (let made = 1; made <= count; made++) {
    if (made % 512 === 0) yield;
    const v = velocity(x, y);
    ux = momentum * ux + v[0], uy = momentum * uy + v[1];
    x += eta * ux, y += eta * uy;
    if (!Number.isFinite(x + y)) return { points, times, ends: "no number" };
    points.push([x, y]), times.push(made);
    if (outside(x, y)) return { points, times, ends: "leaves" };
    const n = points.length;
    if (points[n - 2][0] === x && points[n - 2][1] === y && !ux && !uy) return { points, times, ends: "rests" };
  }
  return { points, times, ends: count ? "long" : "rests" };
}

// What a generator returns in the end.
function ended(generator) {
  for (;;) {
    const { value, done } = generator.next();
    if (done) return value;
  }
}

// Lines where a grid of values, rows × columns, passes `level`: [x, y, x, y] each, in cells.
function contour(rows, level) {
  const lines = [], count = rows.length - 1;
  for (let j = 0; j < count; j++) {
    for (let i = 0; i < count; i++) {
      const a = rows[j][i] - level, b = rows[j][i + 1] - level;
      const c = rows[j + 1][i + 1] - level, d = rows[j + 1][i] - level;
      if (!Number.isFinite(a + b + c + d)) continue;
      const at = [];
      if ((a < 0) !== (b < 0)) at.push(i + a / (a - b), j);
      if ((b < 0) !== (c < 0)) at.push(i + 1, j + b / (b - c));
      if ((c < 0) !== (d < 0)) at.push(i + d / (d - c), j + 1);
      if ((d < 0) !== (a < 0)) at.push(i, j + a / (a - d));
      for (let k = 0; k + 3 < at.length; k += 4) lines.push(at.slice(k, k + 4));
    }
  }
  return lines;
}

// Standard normal numbers, from a seed: a page that is opened again shows the same paths.
function normals(seed) {
  let a = seed >>> 0 || 1, kept = null;
  const uniform = () => {
    a = (a + 0x6D2B79F5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => {
    if (kept !== null) { const last = kept; kept = null; return last; }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
    kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}
