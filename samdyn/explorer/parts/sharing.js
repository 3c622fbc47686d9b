// What can be taken away: the address of what is shown, it as a command or as Python, pictures.

function remember() {
  const starts = state.starts.map(one => `${one.backwards ? "b" : ""}${one.w.join(",")}`).join(";");
  const hidden = Object.keys(state.shown).filter(name => state.shown[name] !== SHOWN[name]).join(",");
  const step = `&eta=${state.eta}&gamma=${state.momentum}&steps=${state.steps ? state.count : ""}`;
  const noise = state.noise ? `&noise=${state.noise.strength},${state.noise.reach}` : "";
  const way = state.backwards ? "&way=back" : "";
  try {
    history.replaceState(null, "", `#rho=${state.at}${step}&from=${starts}&turned=${hidden}${way}${noise}`);
  } catch { /* a frame in a notebook has no address of its own */ }
}

const SHOWN = { ...state.shown };

function recall() {
  const given = new URLSearchParams(location.hash.slice(1)), num = name => Number(given.get(name)) || 0;
  if (given.has("rho")) state.at = Math.min(Math.max(Math.round(num("rho")), 0), DATA.radii.length - 1);
  if (given.has("eta")) state.eta = Math.min(Math.max(num("eta"), 0), 1e3), state.momentum = Math.min(Math.max(num("gamma"), 0), 0.999);
  if (given.has("steps")) state.steps = given.get("steps") !== "" && state.eta > 0;
  if (given.get("steps")) state.count = Math.min(Math.max(Math.round(num("steps")), 0), MOST);
  for (const text of (given.get("from") || "").split(";").slice(0, 200)) {
    const w = text.replace("b", "").split(",").map(Number);
    if (/\d.*,.*\d/.test(text) && w.length === 2 && w.every(Number.isFinite)) state.starts.push({ w, backwards: text.startsWith("b") });
  }
  state.backwards = given.get("way") === "back" && !state.steps;
  const [strength, reach] = (given.get("noise") || "").split(",").map(Number);
  if (strength > 0 && reach > 0) element("strength").value = strength, element("reach").value = reach, element("noise").checked = true;
  for (const name of (given.get("turned") || "").split(",")) if (Object.hasOwn(state.shown, name)) state.shown[name] = !state.shown[name];
}

function asCommand() {
  const methods = panels.map(panel => panel.shown.command);
  if (!DATA.command || methods.some(name => !name)) return null;
  const starts = state.starts.map(one => ` --start="${one.w.join(",")}"`).join("");
  const step = state.eta ? ` --lr ${state.eta}${state.momentum ? ` --momentum ${state.momentum}` : ""}` : "";
  const box = DATA.box.map(side => side.join(",")).join(";");
  return `samdyn portrait ${DATA.command} --box="${box}" ${methods.map(name => `--method ${name}`).join(" ")} --rho ${rho()}${step}${starts} -o portrait.svg`;
}

// The systems of the panels and the verdicts of the library.
function asPython() {
  if (!DATA.python || panels.some(panel => !panel.shown.method)) return null;
  const lines = ["import jax.numpy as jnp", "import samdyn", "", `loss = ${DATA.python}`, `box = ${JSON.stringify(DATA.box)}`];
  for (const panel of panels) {
    const method = panel.shown.method.replaceAll("RHO", rho());
    const system = state.eta ? `samdyn.StepMap(loss, ${method}, ${state.eta}, ${state.momentum})` : `samdyn.Flow(loss, ${method})`;
    lines.push(`print(samdyn.stability(${system}, box=box))`);
  }
  return lines.join("\n") + "\n";
}

async function copy(text, what) {
  if (!text) return say(`there is no ${what} for this: a loss or a method is not one that has a name there`);
  try {
    await navigator.clipboard.writeText(text);
    say("copied: " + text);
  } catch {
    say(text);  // to be selected by hand: a page from a file may not write to the clipboard
  }
}

function download(name, address) {
  const link = document.createElement("a");
  link.download = name, link.href = address;
  link.click();
}
