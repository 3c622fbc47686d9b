// The page: panels side by side on one scale, trajectories in all of them, points by radius.

const GRID = 120;      // cells across a panel, for contours
const ARROWS = 22;     // across a panel
const MOST = 20000;    // steps of a trajectory
const TOLERANCE = 1e-12;

const state = { at: DATA.at, starts: [], backwards: false, cross: null, dragged: -1 };
const panels = [];

// ---- fields

function numbersOf(panel) {
  const numbers = panel.shown.numbers.slice();
  if (panel.shown.radius !== null) numbers[panel.shown.radius] = DATA.radii[state.at];
  return numbers;
}

function velocityOf(panel) {
  const numbers = numbersOf(panel), out = [0, 0], field = panel.programs.field;
  return (x, y) => { field([x, y], numbers, out); return out; };
}

function jacobianAt(panel, w) {
  const out = new Array(6);
  panel.programs.both(w, numbersOf(panel), out);
  return out.slice(2);
}

// Eigenvalues of ((a, b), (c, d)) as pairs [re, im], the larger real part first.
function eigenvalues([a, b, c, d]) {
  const half = (a + d) / 2, square = ((a - d) / 2) ** 2 + b * c, root = Math.sqrt(Math.abs(square));
  return square >= 0 ? [[half + root, 0], [half - root, 0]] : [[half, root], [half, -root]];
}

// ---- trajectories: Dormand and Prince's pair of orders 5 and 4

const NODES = [
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];
const ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

function stepOf(velocity, sign, w, h) {
  const slopes = [];
  let next = w;
  for (let stage = 0; stage < 7; stage++) {
    const v = velocity(next[0], next[1]);
    slopes.push([sign * v[0], sign * v[1]]);
    if (stage < 6) {
      next = [0, 1].map(i => w[i] + h * NODES[stage].reduce((sum, a, k) => sum + a * slopes[k][i], 0));
    }
  }
  const error = [0, 1].map(i => h * ERROR.reduce((sum, e, k) => sum + e * slopes[k][i], 0));
  return { next, error, slope: slopes[0] };
}

function sizeOfBox() {
  return Math.max(DATA.box[0][1] - DATA.box[0][0], DATA.box[1][1] - DATA.box[1][0]);
}

// The points of a trajectory, and why it ends: "rests", "leaves", "no number", "long".
function follow(panel, start, backwards) {
  const velocity = velocityOf(panel), sign = backwards ? -1 : 1, size = sizeOfBox();
  const points = [start.slice()], times = [0];
  const first = velocity(start[0], start[1]), speed = Math.hypot(first[0], first[1]);
  let w = start.slice(), h = speed > 0 ? 1e-3 * size / speed : 0, time = 0;
  if (!(speed > 0)) return { points, times, ends: speed === 0 ? "rests" : "no number" };
  for (let made = 0; made < MOST; made++) {
    const { next, error, slope } = stepOf(velocity, sign, w, h);
    const off = Math.hypot(error[0], error[1]) / (TOLERANCE * (size + Math.hypot(w[0], w[1])));
    const good = off <= 1, grown = Math.min(5, Math.max(0.2, 0.9 * Math.pow(Math.max(off, 1e-10), -0.2)));
    if (!Number.isFinite(off)) {
      if (h * speed < 1e-12 * size) return { points, times, ends: "no number" };
      h /= 5;
      continue;
    }
    if (good) {
      const moved = Math.hypot(next[0] - w[0], next[1] - w[1]);
      w = next, time += h;
      points.push(w), times.push(sign * time);
      if (outside(w, size)) return { points, times, ends: "leaves" };
      if (moved < 1e-13 * size || Math.hypot(slope[0], slope[1]) < 1e-12 * speed) return { points, times, ends: "rests" };
    }
    h *= grown;
    const length = h * Math.hypot(slope[0], slope[1]);
    if (length > size / 40) h *= size / 40 / length;  // so that it looks round
  }
  return { points, times, ends: "long" };
}

function outside(w, size) {
  return DATA.box.some(([low, high], i) => w[i] < low - size || w[i] > high + size);
}

// ---- drawing

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function toPixel(panel, w) {
  const { width, height } = panel.canvas, [[x0, x1], [y0, y1]] = DATA.box;
  return [(w[0] - x0) / (x1 - x0) * width, (y1 - w[1]) / (y1 - y0) * height];
}

function toWorld(panel, px, py) {
  const { width, height } = panel.canvas, [[x0, x1], [y0, y1]] = DATA.box;
  return [x0 + px / width * (x1 - x0), y1 - py / height * (y1 - y0)];
}

function gridOf(panel, value) {
  const rows = [];
  for (let j = 0; j <= GRID; j++) {
    const row = [];
    for (let i = 0; i <= GRID; i++) {
      const [x, y] = toWorld(panel, i / GRID * panel.canvas.width, j / GRID * panel.canvas.height);
      row.push(value(x, y));
    }
    rows.push(row);
  }
  return rows;
}

// Lines where a grid of values passes `level`, by the sides of each cell.
function contour(panel, rows, level) {
  const pen = panel.pen, dx = panel.canvas.width / GRID, dy = panel.canvas.height / GRID;
  pen.beginPath();
  for (let j = 0; j < GRID; j++) {
    for (let i = 0; i < GRID; i++) {
      const corners = [rows[j][i], rows[j][i + 1], rows[j + 1][i + 1], rows[j + 1][i]].map(v => v - level);
      if (!corners.every(Number.isFinite)) continue;
      const at = [];
      for (let side = 0; side < 4; side++) {
        const one = corners[side], other = corners[(side + 1) % 4];
        if ((one < 0) === (other < 0)) continue;
        const t = one / (one - other);
        at.push([[i + t, j], [i + 1, j + t], [i + 1 - t, j + 1], [i, j + 1 - t]][side]);
      }
      for (let k = 0; k + 1 < at.length; k += 2) {
        pen.moveTo(at[k][0] * dx, at[k][1] * dy);
        pen.lineTo(at[k + 1][0] * dx, at[k + 1][1] * dy);
      }
    }
  }
  pen.stroke();
}

function drawBack(panel) {
  const { pen, canvas } = panel, unit = canvas.width / canvas.clientWidth || 1;
  pen.fillStyle = colour("paper");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.lineWidth = 0.7 * unit;
  pen.strokeStyle = colour("faint");
  const out = [0], losses = gridOf(panel, (x, y) => { loss([x, y], DATA.loss, out); return out[0]; });
  const sorted = losses.flat().filter(Number.isFinite).sort((a, b) => a - b);
  for (let k = 1; k < 14; k++) contour(panel, losses, sorted[Math.floor(sorted.length * k / 14)]);
  const velocity = velocityOf(panel);
  pen.lineWidth = 1.2 * unit;
  for (const [i, name] of [[0, "first"], [1, "second"]]) {
    pen.strokeStyle = colour(name);
    contour(panel, gridOf(panel, (x, y) => velocity(x, y)[i]), 0);
  }
  drawArrows(panel, velocity, unit);
}

function drawArrows(panel, velocity, unit) {
  const { pen, canvas } = panel, length = 0.36 * canvas.width / ARROWS;
  pen.strokeStyle = colour("field");
  pen.lineWidth = unit;
  pen.beginPath();
  for (let j = 0; j < ARROWS; j++) {
    for (let i = 0; i < ARROWS; i++) {
      const px = (i + 0.5) / ARROWS * canvas.width, py = (j + 0.5) / ARROWS * canvas.height;
      const v = velocity(...toWorld(panel, px, py));
      const sx = v[0] * canvas.width / (DATA.box[0][1] - DATA.box[0][0]);
      const sy = -v[1] * canvas.height / (DATA.box[1][1] - DATA.box[1][0]);
      const speed = Math.hypot(sx, sy);
      if (!(speed > 0) || !Number.isFinite(speed)) continue;
      const ux = sx / speed * length, uy = sy / speed * length;
      pen.moveTo(px - ux, py - uy);
      pen.lineTo(px + ux, py + uy);
      pen.moveTo(px + ux * 0.3 - uy * 0.4, py + uy * 0.3 + ux * 0.4);
      pen.lineTo(px + ux, py + uy);
      pen.lineTo(px + ux * 0.3 + uy * 0.4, py + uy * 0.3 - ux * 0.4);
    }
  }
  pen.stroke();
}

function drawFront(panel) {
  const { pen, canvas, back } = panel, unit = canvas.width / canvas.clientWidth || 1;
  pen.putImageData(back, 0, 0);
  pen.strokeStyle = colour("path");
  pen.fillStyle = colour("path");
  for (const path of panel.paths) {
    pen.lineWidth = 2 * unit;
    pen.beginPath();
    path.points.forEach((w, k) => pen[k ? "lineTo" : "moveTo"](...toPixel(panel, w)));
    pen.stroke();
    pen.beginPath();
    pen.arc(...toPixel(panel, path.points[0]), 4 * unit, 0, 2 * Math.PI);
    pen.fill();
  }
  for (const point of pointsOf(panel)) drawPoint(panel, point, unit);
  if (state.cross && document.activeElement === canvas) drawCross(panel, unit);
}

function drawCross(panel, unit) {
  const [px, py] = toPixel(panel, state.cross), pen = panel.pen;
  pen.strokeStyle = colour("mark");
  pen.lineWidth = 1.5 * unit;
  pen.beginPath();
  pen.moveTo(px - 9 * unit, py), pen.lineTo(px + 9 * unit, py);
  pen.moveTo(px, py - 9 * unit), pen.lineTo(px, py + 9 * unit);
  pen.stroke();
}

function drawPoint(panel, point, unit) {
  const pen = panel.pen, [px, py] = toPixel(panel, point.w), size = 6 * unit;
  pen.strokeStyle = pen.fillStyle = colour("mark");
  pen.lineWidth = 1.6 * unit;
  pen.beginPath();
  if (point.verdict === "degenerate" || point.verdict === "unknown") {
    pen.moveTo(px, py - size), pen.lineTo(px + size, py), pen.lineTo(px, py + size), pen.lineTo(px - size, py);
    pen.closePath();
  } else pen.arc(px, py, size, 0, 2 * Math.PI);
  pen.save();
  pen.fillStyle = colour("paper");
  pen.fill();
  pen.restore();
  pen.stroke();
  if (point.verdict === "attractor") pen.fill();
  if (point.verdict === "saddle") {
    pen.beginPath();
    pen.arc(px, py, size, Math.PI / 2, 3 * Math.PI / 2);
    pen.fill();
  }
  if (point.kind === "hallucinated") {
    const reach = 1.5 * size;
    pen.beginPath();
    pen.moveTo(px - reach, py - reach), pen.lineTo(px + reach, py + reach);
    pen.moveTo(px - reach, py + reach), pen.lineTo(px + reach, py - reach);
    pen.stroke();
  }
}

// ---- points

function pointsOf(panel) {
  const found = [];
  for (const branch of panel.shown.branches) {
    const w = branch.w[state.at];
    if (w && branch.verdict[state.at]) found.push({ w, kind: branch.kind, type: branch.type, verdict: branch.verdict[state.at] });
  }
  return found;
}

function number(x) {
  return Number.isFinite(x) ? String(Number(x.toPrecision(6))) : "—";
}

function rateText([re, im]) {
  return im ? `${number(re)} ± ${number(Math.abs(im))}i` : number(re);
}

function tabulate(panel) {
  const body = panel.table.tBodies[0];
  body.replaceChildren(...pointsOf(panel).map(point => {
    const rates = eigenvalues(jacobianAt(panel, point.w));
    const shown = rates.every(r => r.every(Number.isFinite)) ? (rates[0][1] ? [rates[0]] : rates).map(rateText).join(", ") : "none: the field jumps here";
    const row = document.createElement("tr");
    for (const text of [`(${point.w.map(number).join(", ")})`, point.type || point.kind, point.verdict, shown]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
}

// ---- what people do

function refollow(panel) {
  panel.paths = state.starts.map(one => follow(panel, one.w, one.backwards));
}

function redraw(panel) {
  drawBack(panel);
  panel.back = panel.pen.getImageData(0, 0, panel.canvas.width, panel.canvas.height);
  refollow(panel);
  tabulate(panel);
  drawFront(panel);
}

function showAll() { panels.forEach(drawFront); remember(); }

function launch(w) {
  state.starts.push({ w, backwards: state.backwards });
  panels.forEach(refollow);
  tell();
  showAll();
}

function move(which, w) {
  state.starts[which].w = w;
  panels.forEach(refollow);
  showAll();
}

function undo() {
  state.starts.pop();
  panels.forEach(panel => panel.paths.pop());
  say("");
  showAll();
}

function clearAll() {
  state.starts = [];
  panels.forEach(refollow);
  say("");
  showAll();
}

function setDirection(backwards) {
  state.backwards = backwards;
  document.getElementById("direction").setAttribute("aria-pressed", String(backwards));
}

function say(text) { document.getElementById("said").textContent = text; }

const ENDS = { rests: "comes to rest at", leaves: "leaves at", "no number": "has no further number after", long: "still moves at" };

function tell() {
  say(panels.map(panel => {
    const path = panel.paths[panel.paths.length - 1], last = path.points[path.points.length - 1];
    return `${panel.shown.name}: ${ENDS[path.ends]} (${last.map(number).join(", ")})`;
  }).join("; "));
}

function setRadius(at) {
  state.at = Math.min(Math.max(Math.round(at) || 0, 0), DATA.radii.length - 1);
  document.getElementById("rho").value = state.at;
  document.getElementById("rho").setAttribute("aria-valuetext", `rho ${number(DATA.radii[state.at])}`);
  document.getElementById("rho-now").textContent = number(DATA.radii[state.at]);
  panels.forEach(redraw);
  remember();
}

function remember() {
  const starts = state.starts.map(one => `${one.backwards ? "b" : ""}${one.w.join(",")}`).join(";");
  history.replaceState(null, "", `#rho=${state.at}&from=${starts}`);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("rho")) state.at = Math.min(Math.max(parseInt(given.get("rho"), 10) || 0, 0), DATA.radii.length - 1);
  for (const text of (given.get("from") || "").split(";")) {
    const w = text.replace("b", "").split(",").map(Number);
    if (text && w.length === 2 && w.every(Number.isFinite)) state.starts.push({ w, backwards: text.startsWith("b") });
  }
}

function methodNames() { return panels.map(panel => panel.shown.name.toLowerCase()); }

function boxText() { return DATA.box.map(side => side.join(",")).join(";"); }

function asCommand() {
  const methods = methodNames().map(name => `--method ${name}`).join(" ");
  const starts = state.starts.map(one => `--start="${one.w.join(",")}"`).join(" ");
  return `samdyn portrait ${DATA.name} --box="${boxText()}" ${methods} --rho ${DATA.radii[state.at]} ${starts} -o portrait.svg`;
}

function asPython() {
  const name = panels[panels.length - 1].shown.name, radius = DATA.radii[state.at];
  const method = panels[panels.length - 1].shown.radius === null ? `${name}()` : `${name}(${radius})`;
  return `import samdyn\n\nflow = samdyn.Flow(samdyn.get_loss("${DATA.name}"), samdyn.${method})\nprint(samdyn.stability(flow, box=${JSON.stringify(DATA.box)}))\n`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("copied: " + text);
  } catch {
    say(text);  // to be selected by hand: a page from a file may not write to the clipboard
  }
}

function savePicture() {
  const gap = 16, all = document.createElement("canvas"), pen = all.getContext("2d");
  all.width = panels.reduce((sum, panel) => sum + panel.canvas.width + gap, -gap);
  all.height = panels[0].canvas.height;
  pen.fillStyle = colour("paper");
  pen.fillRect(0, 0, all.width, all.height);
  panels.reduce((x, panel) => { pen.drawImage(panel.canvas, x, 0); return x + panel.canvas.width + gap; }, 0);
  const link = document.createElement("a");
  link.download = `${DATA.name}.png`;
  link.href = all.toDataURL("image/png");
  link.click();
}

function nearestStart(panel, px, py, reach) {
  let best = -1, least = reach;
  state.starts.forEach((one, k) => {
    const [x, y] = toPixel(panel, one.w), apart = Math.hypot(x - px, y - py);
    if (apart <= least) best = k, least = apart;
  });
  return best;
}

function pixelOf(panel, event) {
  const area = panel.canvas.getBoundingClientRect(), scale = panel.canvas.width / area.width;
  return [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale];
}

function listen(panel) {
  const canvas = panel.canvas;
  canvas.addEventListener("pointerdown", event => {
    const [px, py] = pixelOf(panel, event), reach = 12 * canvas.width / canvas.clientWidth;
    state.dragged = nearestStart(panel, px, py, reach);
    if (state.dragged < 0) {
      launch(toWorld(panel, px, py));
      state.dragged = state.starts.length - 1;
    }
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    if (state.dragged >= 0) move(state.dragged, toWorld(panel, ...pixelOf(panel, event)));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => { if (state.dragged >= 0) tell(); state.dragged = -1; });
  }
  canvas.addEventListener("focus", () => { state.cross = state.cross || DATA.box.map(([a, b]) => (a + b) / 2); drawFront(panel); });
  canvas.addEventListener("blur", () => drawFront(panel));
  canvas.addEventListener("keydown", event => steer(panel, event));
}

const ARROW_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function steer(panel, event) {
  const way = ARROW_KEYS[event.key];
  if (way) {
    const fine = event.shiftKey ? 500 : 50;
    state.cross = state.cross.map((x, i) => x + way[i] * (DATA.box[i][1] - DATA.box[i][0]) / fine);
    say(`cross at (${state.cross.map(number).join(", ")})`);
    drawFront(panel);
  } else if (event.key === "Enter") launch(state.cross.slice());
  else return;
  event.preventDefault();
}

function build() {
  recall();
  DATA.panels.forEach((shown, k) => {
    const section = document.createElement("section"), title = document.createElement("h2");
    const canvas = document.createElement("canvas"), table = document.createElement("table");
    title.textContent = shown.name;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", `phase plane of ${shown.name}; its fixed points are in the table below`);
    table.innerHTML = "<thead><tr><th scope=col>w</th><th scope=col>kind</th><th scope=col>verdict</th><th scope=col>eigenvalues</th></tr></thead><tbody></tbody>";
    section.append(title, canvas, table);
    document.getElementById("panels").append(section);
    const panel = { shown, programs: PROGRAMS[k], canvas, table, pen: canvas.getContext("2d", { willReadFrequently: true }), paths: [], back: null };
    panels.push(panel);
    listen(panel);
  });
  const slider = document.getElementById("rho");
  slider.max = DATA.radii.length - 1;
  slider.addEventListener("input", () => setRadius(Number(slider.value)));
  const actions = {
    direction: () => setDirection(!state.backwards), undo, clear: clearAll, picture: savePicture,
    command: () => copy(asCommand()), python: () => copy(asPython()),
  };
  for (const [id, action] of Object.entries(actions)) document.getElementById(id).addEventListener("click", action);
  document.addEventListener("keydown", event => {
    const keys = { b: actions.direction, z: undo, x: clearAll };
    if (!event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key]) keys[event.key]();
  });
  window.addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => panels.forEach(redraw));
  resize();
}

function resize() {
  for (const panel of panels) {
    const side = Math.max(1, Math.round(panel.canvas.clientWidth * (window.devicePixelRatio || 1)));
    panel.canvas.width = panel.canvas.height = side;
  }
  setRadius(state.at);
}

build();
