"""One file of HTML with everything in it: programs, points and the code that draws them."""

import importlib.resources
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..attractors.finding.point import as_box
from ..checks import require_numbers
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.system import loss_of
from ..errors import InvalidInput
from ..precision import in_double
from ..programs.javascript import HELPERS
from .data import loss_script, panel

LONGEST = 200_000  # bytes of a page
RADII = 51  # values of the slider


@in_double
def page(flows: Sequence[Flow], box: Any, name: str, rho: float) -> str:
    """The text of a page on which flows of one loss in the plane can be compared.

    The radius goes from 0 to four times `rho`; at each of its values the fixed points and their
    verdicts are those that `sweep` finds in `box`. `InvalidInput` for other than two dimensions.
    """
    box = as_box(box)
    if len(box) != 2:
        raise InvalidInput(f"the explorer shows a plane, and this has {len(box)} dimensions.")
    require_numbers(rho, "rho of the explorer must be a finite number > 0", lambda x: x > 0)
    radii = np.linspace(0, 4 * rho, RADII)
    panels = [panel(flow, number, box, radii) for number, flow in enumerate(flows)]
    loss, numbers = loss_script(loss_of(flows[0]))
    data = {
        "samdyn": __version__,
        "name": name,
        "box": np.asarray(box).tolist(),
        "radii": radii.tolist(),
        "at": int(np.argmin(np.abs(radii - rho))),
        "loss": numbers,
        "panels": [one.shown for one in panels],
    }
    scripts = [HELPERS, loss, *(script for one in panels for script in one.scripts)]
    text = _filled(name, "\n".join(scripts), data, len(panels))
    if len(text.encode()) > LONGEST:
        raise InvalidInput(
            f"the page would have {len(text.encode()):,d} bytes, more than {LONGEST:,d}."
        )
    return text


def _filled(name: str, scripts: str, data: dict[str, Any], count: int) -> str:
    functions = ", ".join(f"{{field: field{k}, both: both{k}}}" for k in range(count))
    parts = {
        "NAME": name.replace("&", "&amp;").replace("<", "&lt;"),
        "STYLE": _part("explorer.css"),
        "PROGRAMS": f"{scripts}\nconst PROGRAMS = [{functions}];",
        "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": _part("explorer.js"),
    }
    # all at once, so that nothing in one part is taken for the place of another
    return re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], _part("explorer.html"))


def _part(name: str) -> str:
    return importlib.resources.files("samdyn.explorer").joinpath(name).read_text("utf-8")
