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

let asked = 0;  // an answer to an older question is thrown away

async function askVerdicts() {
  const mine = ++asked;
  const answer = await ask("verdicts", { rho: rho(), learning_rate: state.eta, momentum: state.momentum });
  if (mine !== asked) return;
  if (answer.error) return say(answer.error);
  panels.forEach((panel, k) => {
    panel.found = answer.panels[k].points;
    panel.near.textContent = answer.panels[k].complete;
    panel.fresh.front = false;
    tabulate(panel);
  });
  schedule();
}

async function askTheory(panel, k) {
  const swarm = panel.swarm, { strength, reach } = state.noise;
  const answer = await ask("theory", { panel: k, rho: rho(), start: swarm.from, strength, reach });
  if (panel.swarm === swarm && !answer.error) swarm.theory = answer;
}

async function askFormula(event) {
  event.preventDefault();
  say("finding the fixed points…");
  const answer = await ask("formula", { text: element("text").value, box: element("where").value });
  if (answer.error) return say(answer.error);
  if (answer.page) location.href = answer.page + "#eta=" + state.eta + "&gamma=" + state.momentum;
}

function listenToAsking() {
  if (DATA.served === "kernel") window.addEventListener("message", hearKernel);
  element("formula").addEventListener("submit", askFormula);
  element("text").value = DATA.typed || "";
  element("where").value = DATA.box.map(side => side.join(",")).join(";");
}
