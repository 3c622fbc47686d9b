"""The explorer in a notebook: the same page in a frame, whose questions go through the kernel."""

from typing import Any

import anywidget
import traitlets

from ..errors import ComputationFailed, InvalidInput, brief
from .answers import Answers, scene_of_text
from .page import page
from .scene import Scene

# The frame has an origin of its own, so that nothing in it reaches the notebook but messages.
ESM = """
function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.style.cssText = "width: 100%; height: 900px; border: 0";
  const show = () => { frame.srcdoc = model.get("html"); };
  const asked = event => {
    const ours = event.source === frame.contentWindow && event.data && event.data.samdyn;
    if (ours) model.send(event.data);
  };
  const answered = message => frame.contentWindow && frame.contentWindow.postMessage(message, "*");
  window.addEventListener("message", asked);
  model.on("msg:custom", answered);
  model.on("change:html", show);
  show();
  el.append(frame);
  return () => {
    window.removeEventListener("message", asked);
    model.off("msg:custom", answered);
    model.off("change:html", show);
  };
}
export default { render };
"""


class Widget(anywidget.AnyWidget):
    """A scene in the output of a cell."""

    _esm = ESM
    html = traitlets.Unicode().tag(sync=True)

    def __init__(self, scene: Scene):
        self._answers, self._made = Answers(scene), 0
        super().__init__(html=page(scene, "kernel"))
        self.on_msg(self._asked)

    def _asked(self, _: Any, message: Any, __: Any) -> None:
        if not isinstance(message, dict) or not isinstance(message.get("what"), str):
            return
        try:
            found = self._answer(message["what"], message.get("given"))
        except (InvalidInput, ComputationFailed) as error:
            found = {"error": str(error)}
        except Exception as error:  # of somebody's loss, say
            found = {"error": f"that failed: {brief(error)}"}
        self.send({"samdyn": message.get("samdyn"), "answer": found})

    def _answer(self, what: str, given: Any) -> dict[str, Any]:
        if what != "formula":
            return self._answers.answer(what, given)
        if not isinstance(given, dict):
            raise InvalidInput("a question has named parts.")
        scene = scene_of_text(given.get("text"), given.get("box"), self._answers.scene)
        self._made += 1  # so that the same formula again is a page again
        self.html = f"{page(scene, 'kernel')}<!-- {self._made} -->"
        self._answers = Answers(scene)
        return {}
