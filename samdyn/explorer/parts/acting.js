// What people do: with the pointer, the keys, the sliders and the buttons; and what the page says.

const element = id => document.getElementById(id);

function number(x) {
  if (!Number.isFinite(x)) return "—";
  const size = Math.abs(x);
  return String(size && (size >= 1e7 || size < 1e-4) ? Number(x.toPrecision(6)).toExponential() : Number(x.toPrecision(6)));
}
function say(text) { element("said").textContent = text; }
function rho() { return DATA.radii[state.at]; }
function titleOf(panel) { return panel.shown.radius ? `${panel.shown.name}, ρ = ${number(rho())}` : panel.shown.name; }

// ---- what has to be done anew

function refollow(panel, k) {
  const one = state.starts[k];
  later(panel, "path" + k, () => pathOf(panel, one, state.rough ? COARSE : TOLERANCE), path => {
    panel.paths[k] = path;
    panel.fresh.front = false;
    if (k !== state.dragged) panel.fresh.paths = false;
    if (!state.rough && k === state.starts.length - 1) tell();
  });
}

function refollowAll(panel) {
  panel.paths.length = state.starts.length;
  state.starts.forEach((_, k) => refollow(panel, k));
}

function refresh(panel) {
  if (DATA.served && panel.followed !== state.at) panel.found = followed(panel);
  panel.followed = state.at;
  if (!panel.programs && !state.rough) askGrid(panel);
  later(panel, "lines", () => linesOf(panel), lines => { panel.lines = lines, panel.fresh.back = false; });
  panel.fresh.back = false;
  arrived(panel);
  refollowAll(panel);
}

// Points are there that were not there before, and what begins or ends at them is to be made anew.
function arrived(panel) {
  later(panel, "manifolds", () => manifoldsOf(panel), found => { panel.manifolds = found, panel.fresh.back = false; });
  forgetBasins(panel);
  panel.fresh.front = false;
  tabulate(panel);
}

function forgetBasins(panel) {
  work = work.filter(one => one.panel !== panel || one.key !== "basins");
  panel.basins = null, panel.fresh.back = false, panel.key.hidden = true;
  if (state.shown.basins && !state.rough) rebasin(panel);
}

function rebasin(panel) {
  later(panel, "basins", () => basinsOf(panel), () => {
    panel.fresh.back = false;
    if (panel.basins && state.shown.basins) tellBasins(panel);
  });
}

function redrawAll() {
  for (const panel of panels) panel.fresh = { back: false, paths: false, front: false };
  schedule();
}

// ---- the table

function rateText([re, im]) { return im ? `${number(re)} ± ${number(Math.abs(im))}i` : number(re); }

function ratesText(panel, point) {
  const rates = ratesOf(panel, point), largest = radiusOf(panel, point);
  const shown = rates ? (rates[0][1] ? [rates[0]] : rates).map(rateText).join(", ") : "none: the field jumps here";
  return largest === null ? shown : `${shown}; step ${number(largest)}`;
}

function verdictText(point) {
  const step = point.step ? `, step ${point.step}` : "";
  return `${point.verdict}${step}${point.proven ? ", proven" : ""}`;
}

function tabulate(panel) {
  panel.title.textContent = titleOf(panel);
  panel.table.tBodies[0].replaceChildren(...pointsOf(panel).map(point => {
    const row = document.createElement("tr");
    const cells = [`(${point.w.map(number).join(", ")})`, point.type || point.kind, verdictText(point), ratesText(panel, point)];
    for (const text of cells) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
}

// ---- trajectories

function launch(w) {
  state.starts.push({ w, backwards: state.backwards });
  panels.forEach(panel => refollow(panel, state.starts.length - 1));
  remember();
}

function move(which, w) {
  if (!state.starts[which]) return;
  state.starts[which].w = w;
  state.rough = true;
  panels.forEach(panel => refollow(panel, which));
}

function release() {
  const which = state.dragged;
  state.dragged = -1;
  if (which < 0) return;
  state.rough = false;
  for (const panel of panels) panel.fresh.paths = false, refollow(panel, which);
  remember();
}

function undo() {
  state.starts.pop();
  state.dragged = -1, state.rough = false;
  work = work.filter(one => !one.key.startsWith("path") || Number(one.key.slice(4)) < state.starts.length);
  for (const panel of panels) panel.paths.length = state.starts.length, panel.fresh.paths = panel.fresh.front = false;
  say("");
  remember();
  schedule();
}

function clearAll() {
  state.starts = [];
  undo();
}

function reset() {
  Object.assign(state, { at: DATA.at, eta: DATA.rate, momentum: DATA.momentum, steps: DATA.rate > 0, count: 300, backwards: false });
  clearAll();
  showNumbers();
  changed();
}

const ENDS = { rests: "comes to rest at", leaves: "leaves at", "no number": "has no further number after", long: "still moves at" };

function tell() {
  const k = state.starts.length - 1;
  if (k < 0 || panels.some(panel => !panel.paths[k])) return;
  say(panels.map(panel => {
    const path = panel.paths[k], last = path.points[path.points.length - 1];
    return `${panel.shown.name}: ${ENDS[path.ends]} (${last.map(number).join(", ")})`;
  }).join("; "));
}

// Under a panel: whose basin has which colour, and which share of the box it is.
function tellBasins(panel) {
  const { cells, ends } = panel.basins, shares = new Array(ends.length + 1).fill(0);
  for (const which of cells) shares[which < 0 ? ends.length : which]++;
  const names = [...ends.map(w => `to (${w.map(number).join(", ")})`), "to none of these"];
  panel.key.replaceChildren(...names.flatMap((name, k) => {
    if (k === ends.length && !shares[k]) return [];
    const item = document.createElement("li"), swatch = document.createElement("span");
    swatch.style.background = `var(--${k < ends.length ? "basin" + k % 6 : "nowhere"})`;
    item.append(swatch, `${name}: ${(100 * shares[k] / cells.length).toFixed(1)} %`);
    return [item];
  }));
  panel.key.hidden = false;
  say("basins are painted");
}

// ---- numbers

const RATES = [0, ...Array.from({ length: 61 }, (_, k) => Number((10 ** (k / 10 - 5)).toPrecision(3)))];

function showNumbers() {
  element("rho").value = state.at;
  element("rho").setAttribute("aria-valuetext", `rho ${number(rho())}`);
  element("rho-now").textContent = number(rho());
  element("eta").value = RATES.reduce((best, rate, k) => Math.abs(rate - state.eta) < Math.abs(RATES[best] - state.eta) ? k : best, 0);
  element("eta").setAttribute("aria-valuetext", `learning rate ${number(state.eta)}`);
  element("eta-now").textContent = state.eta ? number(state.eta) : "flow";
  element("gamma").value = state.momentum;
  element("gamma-now").textContent = number(state.momentum);
  element("count").value = state.count;
  element("steps").setAttribute("aria-pressed", String(state.steps));
  element("direction").setAttribute("aria-pressed", String(state.backwards));
}

function changed() {
  panels.forEach(refresh);
  remember();
  schedule();
}

function setRadius(at, rough = false) {
  state.at = Math.min(Math.max(Math.round(at) || 0, 0), DATA.radii.length - 1);
  state.rough = rough;
  showNumbers();
  changed();
  if (state.noise) stirAll();
  if (!rough) askVerdicts();
}

function setStep(eta, momentum) {
  const stepped = state.steps;
  state.eta = Math.min(Math.max(eta || 0, 0), 1e3), state.momentum = Math.min(Math.max(momentum || 0, 0), 0.999);
  if (!state.eta) state.steps = false;
  showNumbers();
  for (const panel of panels) {
    if (DATA.served) panel.found = panel.found.map(point => ({ ...point, step: null, proven: false }));
    tabulate(panel), refollowAll(panel);
    if (stepped || state.steps) forgetBasins(panel);
  }
  remember();
  schedule();
}

function setSteps(on) {
  if (on && !state.eta) return say("a step needs a learning rate: move η first");
  state.steps = on;
  if (on) state.backwards = false;
  showNumbers();
  changed();
}

function oneMore() {
  if (!state.steps) setSteps(true);
  if (!state.steps) return;
  state.count = Math.min(state.count + 1, MOST);
  showNumbers();
  panels.forEach(refollowAll);
  remember();
}

function setDirection(backwards) {
  if (backwards && state.steps) return say("a step has no way back: turn steps off first");
  state.backwards = backwards;
  showNumbers();
  remember();
}

function setNoise(on) {
  const strength = Number(element("strength").value), reach = Number(element("reach").value);
  if (on && !(strength > 0 && reach > 0)) {
    element("noise").checked = false;
    return say("noise needs a strength and a radius, both above 0");
  }
  if (on && panels.some(panel => !panel.programs)) {
    element("noise").checked = false;
    return say("walks need a field that the page itself can compute, and this is too long for it");
  }
  state.noise = on ? { strength, reach } : null;
  stirAll();
  remember();
}

// ---- pointer and keys

function nearest(list, panel, px, py) {
  let best = -1, least = 12 * unitOf(panel);
  list.forEach((w, k) => {
    const [x, y] = toPixel(panel, w), apart = Math.hypot(x - px, y - py);
    if (apart <= least) best = k, least = apart;
  });
  return best;
}

function pixelOf(panel, event) {
  const area = panel.canvas.getBoundingClientRect(), scale = panel.canvas.width / area.width;
  return [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale];
}

function lookAt(panel, px, py) {
  const points = pointsOf(panel), k = nearest(points.map(point => point.w), panel, px, py);
  panel.near.textContent = k < 0 ? "" : `(${points[k].w.map(number).join(", ")}): ${verdictText(points[k])}; eigenvalues ${ratesText(panel, points[k])}`;
  panel.pointer = toWorld(panel, px, py);
  if (state.shown.ascents) panel.fresh.front = false, schedule();
}

function listen(panel) {
  const canvas = panel.canvas;
  canvas.addEventListener("pointerdown", event => {
    if (event.button || !event.isPrimary) return;
    const [px, py] = pixelOf(panel, event);
    state.dragged = nearest(state.starts.map(one => one.w), panel, px, py);
    if (state.dragged < 0) {
      state.dragged = state.starts.length, panel.launched = true;
      launch(toWorld(panel, px, py));
    } else for (const one of panels) one.fresh.paths = false;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    const [px, py] = pixelOf(panel, event);
    if (state.dragged >= 0) move(state.dragged, toWorld(panel, px, py));
    else lookAt(panel, px, py);
  });
  canvas.addEventListener("pointerleave", () => { panel.pointer = null, panel.near.textContent = "", panel.fresh.front = false; schedule(); });
  canvas.addEventListener("pointerup", () => { panel.launched = false; release(); });
  canvas.addEventListener("pointercancel", () => {  // a finger that scrolls the page
    if (panel.launched) undo();
    panel.launched = false;
    release();
  });
  canvas.addEventListener("focus", () => { state.cross = state.cross || DATA.box.map(([a, b]) => (a + b) / 2); panel.fresh.front = false; schedule(); });
  canvas.addEventListener("blur", () => { panel.fresh.front = false; schedule(); });
  canvas.addEventListener("keydown", event => steer(panel, event));
}

const ARROW_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function steer(panel, event) {
  const way = ARROW_KEYS[event.key];
  state.cross = state.cross || DATA.box.map(([a, b]) => (a + b) / 2);
  if (way) {
    const fine = event.shiftKey ? 500 : 50;
    state.cross = state.cross.map((x, i) => x + way[i] * (DATA.box[i][1] - DATA.box[i][0]) / fine);
    say(`cross at (${state.cross.map(number).join(", ")})`);
    lookAt(panel, ...toPixel(panel, state.cross));
    panel.fresh.front = false;
    schedule();
  } else if (event.key === "Enter") launch(state.cross.slice());
  else return;
  event.preventDefault();
}

// ---- the beginning

const TABLE = "<thead><tr><th scope=col>w</th><th scope=col>kind</th><th scope=col>verdict</th><th scope=col>eigenvalues</th></tr></thead><tbody></tbody>";

function panelOf(shown, k) {
  const section = document.createElement("section"), title = document.createElement("h2");
  const canvas = document.createElement("canvas"), near = document.createElement("p");
  const chart = document.createElement("canvas"), count = document.createElement("p"), key = document.createElement("ul"), table = document.createElement("table");
  near.className = count.className = "near", key.className = "key", key.hidden = true, canvas.className = "plane", chart.className = "chart";
  chart.width = 600, chart.height = 120, chart.hidden = count.hidden = true;
  chart.setAttribute("role", "img"), chart.setAttribute("aria-label", `histogram of exit times under ${shown.name}; its mean is told below`);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `phase plane of ${shown.name}; its fixed points are in the table below`);
  table.innerHTML = TABLE;
  section.append(title, canvas, near, key, chart, count, table);
  element("panels").append(section);
  return { ...blank(shown, PROGRAMS[k]), title, canvas, near, key, chart, count, table, pen: canvas.getContext("2d") };
}

function blank(shown, programs) {
  return { shown, programs, paths: [], manifolds: [], lines: null, levels: null, basins: null, swarm: null,
    found: shown.found ? shown.found.points : [], followed: DATA.at, pointer: null, fresh: { back: false, paths: false, front: false } };
}

function build() {
  element("reach").value = Number((0.1 * Math.min(WIDE, HIGH)).toPrecision(2));
  element("strength").value = Number((0.05 * Math.min(WIDE, HIGH)).toPrecision(2));
  recall();
  readPalette();
  panels.push(...DATA.panels.map(panelOf));
  panels.forEach(listen);
  connect();
  listenToAsking();
  window.addEventListener("resize", resize);
  window.addEventListener("hashchange", () => location.reload());  // somebody typed an address
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readPalette(); redrawAll(); });
  showNumbers();
  resize();
  panels.forEach(refresh);
  if (element("noise").checked) setNoise(true);
  if (state.at !== DATA.at || state.eta !== DATA.rate || state.momentum !== DATA.momentum) askVerdicts();
}

function connect() {
  element("rho").max = DATA.radii.length - 1, element("eta").max = RATES.length - 1;
  element("rho").addEventListener("input", () => setRadius(Number(element("rho").value), true));
  element("rho").addEventListener("change", () => setRadius(Number(element("rho").value)));
  element("eta").addEventListener("input", () => setStep(RATES[Number(element("eta").value)], state.momentum));
  element("gamma").addEventListener("input", () => setStep(state.eta, Number(element("gamma").value)));
  for (const id of ["eta", "gamma"]) element(id).addEventListener("change", askVerdicts);
  element("count").addEventListener("change", () => { state.count = Math.min(Math.max(Math.round(Number(element("count").value)) || 0, 0), MOST); panels.forEach(refollowAll); remember(); });
  const actions = {
    direction: () => setDirection(!state.backwards), undo, clear: clearAll, reset, steps: () => setSteps(!state.steps), more: oneMore,
    command: () => copy(asCommand(), "command"), python: () => copy(asPython(), "Python"),
    png: () => download("portrait.png", asPng()),
    svg: () => download("portrait.svg", "data:image/svg+xml," + encodeURIComponent(asSvg())),
  };
  for (const [id, action] of Object.entries(actions)) element(id).addEventListener("click", action);
  for (const box of document.querySelectorAll("input[data-layer]")) {
    box.checked = state.shown[box.dataset.layer];
    box.addEventListener("change", () => turn(box.dataset.layer, box.checked));
  }
  element("noise").addEventListener("change", () => setNoise(element("noise").checked));
  for (const id of ["strength", "reach"]) element(id).addEventListener("change", () => { if (state.noise) setNoise(true); });
  const keys = { b: actions.direction, z: undo, x: clearAll, n: oneMore, r: reset };
  document.addEventListener("keydown", event => {
    const typing = event.target.tagName === "INPUT" && event.target.type !== "checkbox" && event.target.type !== "range";
    if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key]) keys[event.key]();
  });
}

function turn(name, on) {
  state.shown[name] = on;
  if (name === "basins") for (const panel of panels) {
    if (on && panel.basins) panel.key.hidden = false;
    else if (on) rebasin(panel);
    else panel.key.hidden = true;
  }
  redrawAll();
  remember();
}

function resize() {
  for (const panel of panels) {
    const side = Math.max(1, Math.round(panel.canvas.clientWidth * (window.devicePixelRatio || 1)));
    if (panel.canvas.width !== side) panel.canvas.width = panel.canvas.height = side;
  }
  redrawAll();
}
