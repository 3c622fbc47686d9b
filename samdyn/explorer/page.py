"""One file of HTML with everything in it: programs, points and the code that draws them."""

import importlib.resources
import json
import re
from collections.abc import Callable
from typing import Any

from ..errors import InvalidInput
from ..precision import in_double
from ..programs.javascript import HELPERS
from .data import Panel, data_of, loss_script, panel
from .scene import Scene, label

LONGEST = 200_000  # bytes of a page
PARTS = ("numerics", "panels", "drawing", "noise", "sharing", "acting")


@in_double
def page(scene: Scene, served: str | None = None, told: Callable[[str], None] | None = None) -> str:
    """The text of a page on which the systems of a scene can be compared.

    At each radius of its slider the fixed points and their verdicts are those that `sweep` finds.
    A page that is served by "server" or "kernel" asks there for proofs, theory and other formulas,
    and for a field that has no program which JavaScript has; any other asks nobody for anything,
    and `InvalidInput` is raised for such a field. `told` is called with a line before each panel
    that takes long.
    """
    followed = served is not None
    panels = []
    for number, flow in enumerate(scene.flows):
        if told and not followed:
            count = f"{number + 1} of {len(scene.flows)}"
            told(f"following the fixed points of {label(flow)} over rho ({count})")
        panels.append(panel(flow, number, scene, followed))
        if panels[-1].why and not served:
            raise InvalidInput(f"a page cannot compute this on its own: {panels[-1].why}.")
    data = data_of(scene) | {"served": served, "panels": [one.shown for one in panels]}
    scripts = [HELPERS, loss_script(scene), *(text for one in panels for text in one.scripts)]
    text = _filled(scene.name, "\n".join(scripts), data, panels, served)
    if len(text.encode()) > LONGEST:
        raise InvalidInput(
            f"the page would have {len(text.encode()):,d} bytes, more than {LONGEST:,d}."
        )
    return text


def _filled(
    name: str, scripts: str, data: dict[str, Any], panels: list[Panel], served: str | None
) -> str:
    known = "proven where it says so" if served else "not proven on this page"
    parts_of_script = [*PARTS, "asking" if served else "alone"]
    functions = [_functions(k, one) for k, one in enumerate(panels)]
    parts = {
        "NAME": name.replace("&", "&amp;").replace("<", "&lt;"),
        "CONNECT": "; connect-src 'self'" if served == "server" else "",
        "PROOF": f"Points and verdicts were found by samdyn at each value of ρ; they are {known}.",
        "STYLE": _part("explorer.css"),
        "PROGRAMS": f"{scripts}\nconst PROGRAMS = [{', '.join(functions)}];",
        "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": "\n".join(_part(f"{part}.js") for part in parts_of_script) + "\nbuild();",
    }
    # all at once, so that nothing in one part is taken for the place of another
    return re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], _part("explorer.html"))


def _functions(number: int, one: Panel) -> str:
    if one.why:
        return "null"
    names = ["field", "both", *(["ascent"] if one.shown["ascent"] else [])]
    return "{" + ", ".join(f"{name}: {name}{number}" for name in names) + "}"


def _part(name: str) -> str:
    return importlib.resources.files("samdyn.explorer").joinpath("parts", name).read_text("utf-8")
