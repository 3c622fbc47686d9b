// What only the library can say: proven verdicts, laws of exit times, other losses.

const waiting = new Map();  // in a notebook: questions that the kernel has not answered yet

function ask(what, given) {
  if (DATA.served === "kernel") {
    const samdyn = waiting.size + 1 + Math.random();
    return new Promise(answered => { waiting.set(samdyn, answered), parent.postMessage({ samdyn, what, given }, "*"); });
  }
  return fetch("ask/" + what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(given) })
    .then(answer => answer.json()).catch(() => ({ error: "the server does not answer: start it again" }));
}

function hearKernel(event) {
  const { samdyn, answer } = event.data || {};
  if (event.source === parent && waiting.has(samdyn)) waiting.get(samdyn)(answer), waiting.delete(samdyn);
}

const PAGE = Math.random().toString(36).slice(2);  // the same page may be open twice
let formulas = 0, asked = 0;  // an answer to an older question is thrown away

async function askVerdicts() {
  const mine = ++asked;
  const answer = await ask("verdicts", { page: PAGE, rho: rho(), learning_rate: state.eta, momentum: state.momentum });
  if (mine !== asked) return;
  if (answer.error) return say(answer.error);
  panels.forEach((panel, k) => {
    panel.found = answer.panels[k].points;
    panel.near.textContent = answer.panels[k].complete;
    arrived(panel);
  });
  schedule();
}

// A trajectory of a field that the page has no program of, and a grid of such a field.
function* askPath(panel, one) {
  let answer = null;
  const given = { panel: panels.indexOf(panel), rho: rho(), start: one.w, backwards: one.backwards };
  ask("path", { ...given, learning_rate: state.steps ? state.eta : 0, momentum: state.momentum, count: state.count })
    .then(found => { answer = found; schedule(); });
  while (!answer) yield WAITS;
  if (answer.error) say(answer.error);
  return answer.error ? { points: [one.w], times: [0], ends: "no number" } : answer;
}

async function askGrid(panel) {
  const at = state.at, answer = await ask("grid", { panel: panels.indexOf(panel), rho: rho() });
  if (at !== state.at || answer.error) return answer.error && say(answer.error);
  panel.grid = answer.grid;
  later(panel, "lines", () => linesOf(panel), lines => { panel.lines = lines, panel.fresh.back = false; });
}

async function askTheory(panel, k) {
  const swarm = panel.swarm, { strength, reach } = state.noise;
  const answer = await ask("theory", { panel: k, rho: rho(), start: swarm.from, strength, reach });
  if (panel.swarm === swarm) swarm.theory = answer.error ? { mean: null, text: answer.error } : answer;
}

let finding = 0;  // the formula that is worked on, by its number

async function askFormula(event) {
  event.preventDefault();
  const mine = finding ? 0 : ++formulas;
  finding = mine, element("show").textContent = mine ? "give up" : "show";
  say(mine ? "finding the fixed points…" : "given up");
  // whatever is asked ends the work on what was asked before
  const answer = await ask("formula", { page: PAGE, text: mine ? element("text").value : "", box: element("where").value });
  if (!mine || mine !== finding) return;
  finding = 0, element("show").textContent = "show";
  if (answer.error) return say(answer.error);
  if (answer.page) location.href = answer.page + "#eta=" + state.eta + "&gamma=" + state.momentum;
}

function listenToAsking() {
  if (DATA.served === "kernel") window.addEventListener("message", hearKernel);
  element("formula").addEventListener("submit", askFormula);
  element("text").value = DATA.typed || "";
  element("where").value = DATA.box.map(side => side.join(",")).join(";");
}
