// In a file nobody is there to ask: no proofs, no laws of exit times, no other losses, and it says so.

function askVerdicts() {}
function askTheory() {}
function askGrid() {}
function askPath() {}

function listenToAsking() {
  element("formula").addEventListener("submit", event => event.preventDefault());
  element("text").value = "samdyn explore reads formulas, a file cannot";
  element("where").value = DATA.box.map(side => side.join(",")).join(";");
  for (const id of ["text", "where", "show"]) element(id).disabled = true;
}
