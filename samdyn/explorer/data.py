"""What a page of the explorer is given: fields as JavaScript, and points found beforehand."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..attractors.following.sweep import sweep
from ..dynamics.systems.flow import Flow
from ..errors import InvalidInput
from ..programs.batch import OnPoints
from ..programs.javascript import NotScripted, function
from ..programs.program import Program


class Panel(NamedTuple):
    """One method on a loss: its functions in JavaScript, by name, and what the page shows of it.

    `field` gives the velocity, `both` the velocity and its Jacobian row by row.
    """

    scripts: tuple[str, ...]
    shown: dict[str, Any]


def panel(flow: Flow, number: int, box: Any, radii: np.ndarray) -> Panel:
    """The panel of a flow in the plane, with its fixed points over `radii`.

    `InvalidInput` where the flow has no program that JavaScript has.
    """
    field = OnPoints(flow.velocity, 2)
    scripts = [_script(field.program, f"field{number}", field.why)]
    scripts.append(_script(field.both, f"both{number}", field.why))
    parameters = flow.parameters()
    shown = {
        "name": type(flow.method).__name__,
        "numbers": [float(value) for value in field.parameters],
        "radius": _place_of(flow, field) if "rho" in parameters else None,
        "branches": _branches(flow, box, radii),
    }
    return Panel(tuple(scripts), shown)


def loss_script(loss: Any) -> tuple[str, list[float]]:
    """The loss in JavaScript, and the numbers in it."""
    value = OnPoints(loss, 2)
    return _script(value.program, "loss", value.why), [float(v) for v in value.parameters]


def _script(program: Program | None, name: str, why: str) -> str:
    try:
        if program is None:
            raise NotScripted(why)
        return function(program, name, 2)
    except NotScripted as reason:
        raise InvalidInput(f"a page cannot compute this on its own: {reason}.") from None


def _place_of(flow: Flow, field: OnPoints) -> int:
    """Which of a field's numbers is the radius: the one that changes with it. `InvalidInput` where
    several do."""
    other = OnPoints(flow.at(rho=flow.parameters()["rho"] + 1.0).velocity, 2)
    moved = np.asarray(field.parameters, float) != np.asarray(other.parameters, float)
    if np.sum(moved) != 1:
        name = type(flow.method).__name__
        raise InvalidInput(f"rho is {np.sum(moved)} numbers of {name}: a slider moves one.")
    return int(np.argmax(moved))


def _branches(flow: Flow, box: Any, radii: np.ndarray) -> list[dict[str, Any]]:
    """Fixed points by radius, None where a branch is not there."""
    if "rho" not in flow.parameters():
        from ..attractors.report import stability

        points = stability(flow, box=box).to_dict()["fixed_points"]
        return [_constant(point, len(radii)) for point in points]
    found = sweep(flow, "rho", radii, box=box).to_dict()["branches"]
    return [
        {
            "kind": branch["kind"],
            "type": branch["critical_type"],
            "w": [_plain(w) for w in branch["w"]],
            "verdict": branch["verdict"],
        }
        for branch in found
    ]


def _constant(point: dict[str, Any], count: int) -> dict[str, Any]:
    return {
        "kind": point["kind"],
        "type": point["critical_type"],
        "w": [_plain(point["w"])] * count,
        "verdict": [point["flow"]["verdict"]] * count,
    }


def _plain(w: Sequence[float] | None) -> list[float] | None:
    return None if w is None or any(x is None for x in w) else [float(x) for x in w]
