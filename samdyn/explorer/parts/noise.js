// Noise: paths of dw = velocity dt + S dW from a point until they leave a ball, and when they did.

const PATHS = 150, BINS = 24, SHARE = 3;  // milliseconds of a frame that paths have, over all panels
// how far, in steps of the noise, the border lies further in for a walk that is looked at in steps
// only: −zeta(1/2)/sqrt(2 pi) (Broadie, Glasserman & Kou 1997)
const OVERSHOOT = 0.5826;

function startOfPaths(panel) {
  if (state.starts.length) return state.starts[state.starts.length - 1].w;
  const points = pointsOf(panel), first = points.find(point => point.verdict === "attractor") || points[0];
  return first ? first.w : DATA.box.map(([a, b]) => (a + b) / 2);
}

// A step short against the field's fastest rate in the ball and against the time across it.
function stepOfPaths(panel, from, strength, reach) {
  const velocity = velocityOf(panel), near = 1e-3 * reach;
  let rate = 0, speed = 0;
  for (let k = 0; k < 25; k++) {
    const x = from[0] + reach * ((k % 5) / 2 - 1) * 0.7, y = from[1] + reach * (Math.floor(k / 5) / 2 - 1) * 0.7;
    const [ax, ay] = velocity(x, y), [bx, by] = velocity(x + near, y), [cx, cy] = velocity(x, y + near);
    const found = Math.hypot(bx - ax, by - ay, cx - ax, cy - ay) / near;
    if (Number.isFinite(found)) rate = Math.max(rate, found), speed = Math.max(speed, Math.hypot(ax, ay));
  }
  return Math.min(0.02 / Math.max(rate, 1e-9), 0.02 * reach / Math.max(speed, 1e-9), (0.04 * reach / strength) ** 2);
}

function newSwarm(panel, number) {
  const from = startOfPaths(panel), { strength, reach } = state.noise;
  return {
    from: from.slice(), dt: stepOfPaths(panel, from, strength, reach), normal: normals(1 + number), times: [], theory: null,
    x: new Float64Array(PATHS).fill(from[0]), y: new Float64Array(PATHS).fill(from[1]), t: new Float64Array(PATHS),
  };
}

function stirAll() {
  panels.forEach((panel, k) => {
    panel.swarm = state.noise ? newSwarm(panel, k) : null;
    panel.chart.hidden = panel.count.hidden = !state.noise;
    panel.fresh.front = false;
    if (state.noise && !state.rough) askTheory(panel, k);
  });
  schedule();
}

function advance(panel) {
  const swarm = panel.swarm, velocity = velocityOf(panel), { strength, reach } = state.noise;
  const { x, y, t, dt, from, normal } = swarm, spread = strength * Math.sqrt(dt);
  const border = Math.max(0, reach - OVERSHOOT * spread) ** 2, until = performance.now() + SHARE / panels.length;
  do {
    for (let k = 0; k < PATHS; k++) {
      const v = velocity(x[k], y[k]);
      x[k] += v[0] * dt + spread * normal(), y[k] += v[1] * dt + spread * normal(), t[k] += dt;
      const away = (x[k] - from[0]) ** 2 + (y[k] - from[1]) ** 2;
      if (away < border) continue;
      if (Number.isFinite(away) && swarm.times.length < 100000) swarm.times.push(t[k]);
      x[k] = from[0], y[k] = from[1], t[k] = 0;
    }
  } while (performance.now() < until);
  panel.fresh.front = false;
  drawChart(panel);
}

function drawSwarm(panel, pen) {
  const { x, y, from } = panel.swarm, unit = unitOf(panel), [px, py] = toPixel(panel, from);
  const wide = state.noise.reach / (DATA.box[0][1] - DATA.box[0][0]) * panel.canvas.width;
  const high = state.noise.reach / (DATA.box[1][1] - DATA.box[1][0]) * panel.canvas.height;
  pen.strokeStyle = pen.fillStyle = palette.ink, pen.lineWidth = unit;
  pen.beginPath(), pen.ellipse(px, py, wide, high, 0, 0, 2 * Math.PI), pen.stroke();
  for (let k = 0; k < PATHS; k++) {
    const [qx, qy] = toPixel(panel, [x[k], y[k]]);
    pen.fillRect(qx - unit, qy - unit, 2 * unit, 2 * unit);
  }
}

// Time at risk an exit, walks that are still inside included: a mean of those that left would be a
// mean of the quick ones. The error is that of a constant rate, and not below half a step.
function meanOf({ times, t, dt }) {
  const risk = times.reduce((sum, time) => sum + time, 0) + t.reduce((sum, time) => sum + time, 0);
  return { mean: risk / times.length, error: Math.max(risk / times.length ** 1.5, dt / 2) };
}

// How many left when, beside the mean that the library gives.
function drawChart(panel) {
  const { times, theory, t: inside } = panel.swarm, pen = panel.chart.getContext("2d"), { width, height } = panel.chart;
  pen.fillStyle = palette.paper, pen.fillRect(0, 0, width, height);
  const { mean, error } = meanOf(panel.swarm);
  const beside = theory ? `; ${theory.text}` : "";
  panel.count.textContent = times.length
    ? `${times.length} left the ball, ${inside.length} are inside; ${number(mean)} ± ${number(error)} an exit${beside}` : `none has left the ball yet${beside}`;
  if (times.length < 10) return;
  const most = 4 * mean, bars = new Array(BINS).fill(0), step = width / BINS;
  for (const t of times) if (t < most) bars[Math.floor(t / most * BINS)]++;
  const tallest = Math.max(...bars, times.length * 4 / BINS * 1.1), scale = (height - 4) / tallest;
  pen.fillStyle = palette.field;
  bars.forEach((count, k) => pen.fillRect(k * step, height - count * scale, step - 1, count * scale));
  if (!theory || !(theory.mean > 0)) return;
  pen.strokeStyle = palette.unstable, pen.lineWidth = 2;
  pen.beginPath();
  if (theory.law) theory.law.forEach(([t, density], k) => pen[k ? "lineTo" : "moveTo"](t / most * width, height - density * times.length * most / BINS * scale));
  else pen.moveTo(theory.mean / most * width, 0), pen.lineTo(theory.mean / most * width, height);
  pen.stroke();
}
