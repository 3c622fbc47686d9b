// What is known of each panel: its functions at the numbers of now, its points, and work to be done.

const GRID = 100, ROUGH = 50;  // cells across a panel for lines; the second while dragging
const BASINS = 80, LOOSE = 1e-4;  // cells across, and the tolerance of their trajectories
const CAUGHT = 1e-3;           // of the box: so near an attractor, a trajectory has come to it

const state = {
  at: DATA.at, eta: DATA.rate, momentum: DATA.momentum, steps: DATA.rate > 0, count: 300, backwards: false,
  starts: [], cross: null, dragged: -1, rough: false, noise: null,
  shown: { arrows: true, nullclines: true, levels: true, manifolds: true, ascents: false, basins: false },
};
const panels = [];

// A function's numbers, with the radius of now where it stands.
function numbersOf(given) {
  const numbers = given.numbers.slice();
  for (const place of given.radius || []) numbers[place] = DATA.radii[state.at];
  return numbers;
}

// Where a field has no program that a page could run, its server is asked for a grid of it.
function velocityOf(panel) {
  if (!panel.programs) return (x, y) => interpolated(panel.grid, x, y);
  const numbers = numbersOf(panel.shown), out = [0, 0], w = [0, 0], field = panel.programs.field;
  return (x, y) => { w[0] = x, w[1] = y, field(w, numbers, out); return out; };
}

// What a trajectory needs of a panel.
function interpolated(grid, x, y) {
  if (!grid) return [NaN, NaN];
  const [[x0, x1], [y0, y1]] = DATA.box, count = grid.length - 1;
  const i = (x - x0) / (x1 - x0) * count, j = (y - y0) / (y1 - y0) * count;
  const a = Math.min(Math.max(Math.floor(i), 0), count - 1), b = Math.min(Math.max(Math.floor(j), 0), count - 1);
  const mix = k => {
    const low = grid[b][a][k] * (a + 1 - i) + grid[b][a + 1][k] * (i - a);
    return low * (b + 1 - j) + (grid[b + 1][a][k] * (a + 1 - i) + grid[b + 1][a + 1][k] * (i - a)) * (j - b);
  };
  return [mix(0), mix(1)];
}

function fieldOf(panel) {
  const numbers = numbersOf(panel.shown), out = new Array(6), w = [0, 0], both = panel.programs.both;
  const jacobian = (x, y) => { w[0] = x, w[1] = y, both(w, numbers, out); return out.slice(2); };
  const sinks = panel.shown.jumps ? pointsOf(panel).filter(point => point.verdict === "attractor").map(point => point.w) : [];
  return { velocity: velocityOf(panel), jacobian, sinks };
}

function jacobianAt(panel, w) {
  const out = new Array(6);
  panel.programs.both(w, numbersOf(panel.shown), out);
  return out.slice(2);
}

// Where the gradient is taken for w; null where that is w itself.
function ascentAt(panel, w) {
  if (!panel.shown.ascent || !panel.programs) return null;
  const out = [0, 0];
  panel.programs.ascent(w, numbersOf(panel.shown.ascent), out);
  return out.every(Number.isFinite) ? out : null;
}

// Fixed points at the radius of now: those that were found at each radius of the slider, or, where
// somebody can be asked, those that the answer had, followed since.
function pointsOf(panel) {
  if (DATA.served) return panel.found;
  const found = [];
  for (const branch of panel.shown.branches) {
    const w = branch.w[state.at], verdict = branch.verdict[state.at];
    if (w && verdict) found.push({ w, kind: branch.kind, type: branch.type, verdict, proven: false });
  }
  return found;
}

// Points followed to the numbers of now by Newton's method. Their verdicts are read off eigenvalues,
// and nothing of them is proven; one that does not come along is gone until somebody is asked.
function followed(panel) {
  if (!panel.programs) return panel.found.map(point => ({ ...point, step: null, proven: false }));
  if (!panel.shown.radius) return panel.found;  // nothing moves
  const velocity = velocityOf(panel), found = [];
  for (const point of panel.found) {
    const fixed = panel.shown.jumps && point.kind !== "hallucinated";  // wherever the radius is
    const w = fixed ? point.w : newton(panel, velocity, point.w);
    if (!w && point.verdict === "degenerate") found.push({ ...point, step: null, proven: false });
    if (!w || lengthOf(w[0] - point.w[0], w[1] - point.w[1]) > 0.05) continue;
    if (found.some(other => lengthOf(other.w[0] - w[0], other.w[1] - w[1]) < 1e-9)) continue;
    found.push({ ...point, w, verdict: verdictOf(panel, { ...point, w }), step: null, proven: false });
  }
  return found;
}

function newton(panel, velocity, start) {
  let [x, y] = start;
  for (let made = 0; made < 12; made++) {
    const [u, v] = velocity(x, y), [a, b, c, d] = jacobianAt(panel, [x, y]), det = a * d - b * c;
    const dx = (b * v - d * u) / det, dy = (c * u - a * v) / det;
    if (!Number.isFinite(dx + dy)) return null;
    x += dx, y += dy;
    if (lengthOf(dx, dy) < 1e-13 * (1 + lengthOf(x, y))) return [x, y];
  }
  return null;
}

function verdictOf(panel, point) {
  const rates = ratesOf(panel, point);
  if (!rates) return point.verdict;
  const [most, least] = [rates[0][0], rates[1][0]], zero = 1e-9 * Math.hypot(...rates[0], ...rates[1]);
  if (Math.abs(most) <= zero || Math.abs(least) <= zero) return "degenerate";
  return most < 0 ? "attractor" : least > 0 ? "repeller" : "saddle";
}

// Eigenvalues of the flow at a point; null where the field jumps or bends there.
function ratesOf(panel, point) {
  if (!panel.programs) return point.rates;
  if (panel.shown.jumps && point.kind !== "hallucinated") return null;
  const rates = eigenvalues(jacobianAt(panel, point.w));
  return rates.every(rate => rate.every(Number.isFinite)) ? rates : null;
}

// The largest modulus of a step's multipliers at a point.
function radiusOf(panel, point) {
  const rates = ratesOf(panel, point);
  if (!rates || !(state.eta > 0)) return null;
  const found = rates.flatMap(rate => multipliers(rate, state.eta, state.momentum));
  return Math.max(...found.map(m => Math.hypot(...m)));
}

function follow(panel, start, backwards, tolerance = TOLERANCE) {
  return ended(pathOf(panel, { w: start, backwards }, tolerance));
}

function pathOf(panel, one, tolerance) {
  if (!panel.programs) return askPath(panel, one);
  if (state.steps && state.eta > 0) return stepping(velocityOf(panel), one.w, state.eta, state.momentum, state.count);
  return following(fieldOf(panel), one.w, one.backwards ? -1 : 1, tolerance);
}

// Invariant manifolds of the saddles of the flow: from beside them, along the eigenvectors.
function* manifoldsOf(panel) {
  if (!panel.programs) return [];
  const field = fieldOf(panel), found = [];
  for (const point of pointsOf(panel)) {
    const matrix = jacobianAt(panel, point.w), rates = ratesOf(panel, point);
    if (!rates || rates[0][1] || !(rates[0][0] > 0 && rates[1][0] < 0)) continue;
    for (const [k, sign] of [[0, 1], [1, -1]]) {
      const along = eigenvector(matrix, rates[k][0]), near = 1e-4 / lengthOf(...along);
      for (const side of [near, -near]) {
        const from = point.w.map((x, i) => x + side * along[i]);
        const { points } = yield* following(field, from, sign, COARSE);
        found.push({ unstable: sign > 0, points: [point.w, ...points] });
      }
    }
  }
  return found;
}

// To which attractor each cell's centre goes: its number, −1 where none is reached.
function* basinsOf(panel) {
  if (!panel.programs) return null;
  const attractors = pointsOf(panel).filter(point => point.verdict === "attractor");
  const [[x0, x1], [y0, y1]] = DATA.box, field = fieldOf(panel);
  const caught = (x, y) => attractors.findIndex(({ w }) => lengthOf(x - w[0], y - w[1]) < CAUGHT);
  const stop = (x, y) => (caught(x, y) >= 0 ? "caught" : "");
  const cells = new Int8Array(BASINS * BASINS).fill(-2);
  panel.basins = { cells, ends: attractors.map(point => point.w) };
  for (let j = 0; j < BASINS; j++) {
    for (let i = 0; i < BASINS; i++) {
      const w = [x0 + (i + 0.5) / BASINS * (x1 - x0), y1 - (j + 0.5) / BASINS * (y1 - y0)];
      const made = state.steps && state.eta > 0
        ? stepping(field.velocity, w, state.eta, state.momentum, 4000) : following(field, w, 1, LOOSE, stop);
      const { points } = ended(made), last = points[points.length - 1];
      cells[j * BASINS + i] = caught(last[0], last[1]);
      if (i % 4 === 3) yield;
    }
    panel.fresh.back = false;
  }
  return panel.basins;
}

// ---- work, done between frames

const BUDGET = 5;  // milliseconds of a frame for it
const WAITS = "waits";  // what a generator yields that waits for an answer: others go first
let work = [];

// `make()` is a generator whose end `take` is given; what was to be done under the same key is not.
function later(panel, key, make, take) {
  work = work.filter(one => one.panel !== panel || one.key !== key);
  work.push({ panel, key, make, take, generator: null });
  schedule();
}

function drop(key) { work = work.filter(one => one.key !== key); }

function doWork(until) {
  while (work.length && performance.now() < until) {
    const one = work[0];
    one.generator = one.generator || one.make();
    const { value, done } = one.generator.next();
    if (work[0] !== one) continue;
    if (value === WAITS) work.push(work.shift());
    if (value === WAITS && work.every(other => other.waits || other === one)) return;
    one.waits = value === WAITS;
    if (!done) continue;
    work.shift();
    one.take(value);
  }
}
