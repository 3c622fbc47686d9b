"""What a page of the explorer is given: functions as JavaScript, and points found beforehand."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..attractors.following.sweep import sweep
from ..attractors.report import stability
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..errors import InvalidInput
from ..losses.formula import Formula
from ..precision import in_double
from ..programs.batch import OnPoints
from ..programs.javascript import NotScripted, function
from ..programs.program import Program
from .scene import Scene, command_of_method, label, python_of_method


class Panel(NamedTuple):
    """One system: its functions in JavaScript, and what the page shows of it.

    `field` gives the velocity, `both` the velocity and its Jacobian row by row, `ascent` the point
    where the gradient is taken. `scripts` is empty where they have no JavaScript, for the reason
    `why`: somebody else has to evaluate them.
    """

    scripts: tuple[str, ...]
    shown: dict[str, Any]
    why: str = ""


def data_of(scene: Scene) -> dict[str, Any]:
    """What does not depend on the panels."""
    scripted = _loss_script(scene.loss)
    return {
        "name": scene.name,
        "box": scene.box.tolist(),
        "radii": scene.radii.tolist(),
        "at": scene.at,
        "rate": scene.learning_rate,
        "momentum": scene.momentum,
        "loss": scripted[1] if scripted else None,
        "command": scene.command,
        "python": scene.python,
        "typed": scene.loss.text if isinstance(scene.loss, Formula) else scene.command,
    }


def panel(flow: AbstractODE, number: int, scene: Scene, followed: bool) -> Panel:
    """The panel of a flow, with its fixed points over the radii; with those at the radius and the
    step of the scene alone where they are `followed` from there."""
    field = OnPoints(flow.velocity, 2)
    has_radius = "rho" in flow.parameters()
    shown = {
        "name": label(flow),
        "numbers": [float(value) for value in field.parameters],
        "radius": _radius_in(flow, lambda f: f.velocity, field) if has_radius else None,
        "branches": [] if followed else _branches(flow, scene.box, scene.radii),
        "found": _found_at_once(flow, scene) if followed else None,
        "jumps": bool(flow.jumps),
        "method": python_of_method(flow),
        "command": command_of_method(flow),
        "ascent": None,
    }
    try:
        scripts = [
            _script(field.program, f"field{number}", field.why),
            _script(field.both, f"both{number}", field.why),
        ]
        if flow.ascends:
            ascent = OnPoints(flow.perturbed, 2)
            scripts.append(_script(ascent.program, f"ascent{number}", ascent.why))
            place = _radius_in(flow, lambda f: f.perturbed, ascent) if has_radius else None
            numbers = [float(value) for value in ascent.parameters]
            shown["ascent"] = {"numbers": numbers, "radius": place}
    except NotScripted as reason:
        return Panel((), shown, str(reason))
    return Panel(tuple(scripts), shown)


def loss_script(scene: Scene) -> str:
    """The loss in JavaScript, nothing where it has none."""
    scripted = _loss_script(scene.loss)
    return scripted[0] if scripted else ""


def _loss_script(loss: Any) -> tuple[str, list[float]] | None:
    if loss is None:
        return None
    value = OnPoints(loss, 2)
    try:
        return _script(value.program, "loss", value.why), [float(v) for v in value.parameters]
    except NotScripted:
        return None


def _script(program: Program | None, name: str, why: str) -> str:
    if program is None:
        raise NotScripted(why)
    return function(program, name, 2)


def _radius_in(flow: Any, part: Callable, known: OnPoints) -> list[int]:
    """Which numbers of a function of the flow are its radius: those that change with it."""
    other = OnPoints(part(flow.at(rho=flow.parameters()["rho"] + 1.0)), 2)
    moved = np.asarray(known.parameters, float) != np.asarray(other.parameters, float)
    rho = float(flow.parameters()["rho"])
    if any(float(known.parameters[k]) != rho for k in np.flatnonzero(moved)):
        raise InvalidInput(f"the radius of {label(flow)} stands in more numbers than itself.")
    return np.flatnonzero(moved).tolist()


def _found_at_once(flow: AbstractODE, scene: Scene) -> dict[str, Any]:
    rho = float(scene.radii[scene.at])
    return judged(flow, scene.box, rho, scene.learning_rate, scene.momentum)


@in_double
def judged(flow: AbstractODE, box: Any, rho: float, rate: float, momentum: float) -> dict[str, Any]:
    """Fixed points at a radius and, with a rate above 0, of a step, with what is proven of them."""
    system = at_radius(flow, rho)
    if rate > 0 and isinstance(system, Flow):
        system = StepMap(system.loss, system.method, rate, momentum)
    found = stability(system, box=box).to_dict()
    points = [_shown(point) for point in found["fixed_points"]]
    return {"points": points, "complete": found["complete"]["method"]}


def at_radius(flow: AbstractODE, rho: float) -> AbstractODE:
    """The flow with another radius, itself where it has none."""
    return flow.at(rho=rho) if "rho" in flow.parameters() else flow


def _shown(point: dict[str, Any]) -> dict[str, Any]:
    step = point.get("map")
    proven = bool(point.get("proven")) and bool(point["flow"].get("proven"))
    return {
        "w": [float(x) for x in point["w"]],
        "kind": point.get("kind", "critical"),
        "type": point.get("critical_type"),
        "verdict": point["flow"]["verdict"],
        "rates": point["flow"].get("eigenvalues"),
        "step": step["verdict"] if step else None,
        "proven": proven and (step is None or bool(step.get("proven"))),
    }


def _branches(flow: AbstractODE, box: Any, radii: np.ndarray) -> list[dict[str, Any]]:
    """Fixed points by radius, None where a branch is not there."""
    if "rho" not in flow.parameters():
        points = stability(flow, box=box).to_dict()["fixed_points"]
        return [_constant(point, len(radii)) for point in points]
    found = sweep(flow, "rho", radii, box=box).to_dict()["branches"]
    return [
        {
            "kind": branch.get("kind", "critical"),
            "type": branch.get("critical_type"),
            "w": [_plain(w) for w in branch["w"]],
            "verdict": branch["verdict"],
        }
        for branch in found
    ]


def _constant(point: dict[str, Any], count: int) -> dict[str, Any]:
    return {
        "kind": point.get("kind", "critical"),
        "type": point.get("critical_type"),
        "w": [_plain(point["w"])] * count,
        "verdict": [point["flow"]["verdict"]] * count,
    }


def _plain(w: Sequence[float] | None) -> list[float] | None:
    return None if w is None or any(x is None for x in w) else [float(x) for x in w]
