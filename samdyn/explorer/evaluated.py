"""Fields that a page has no program of, evaluated for it: a grid, and single trajectories."""

from typing import Any

import numpy as np
from scipy.integrate import LSODA

from ..dynamics.systems.flow import Flow
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..errors import InvalidInput
from ..precision import in_double
from ..programs.batch import OnPoints

CELLS = 100  # of a grid, along a side
MOST = 5_000  # points of a trajectory
STEPS = 2_000  # of an orbit
TOLERANCE, REST = 1e-9, 1e-7  # of the box's sides


@in_double
def grid(flow: AbstractODE, box: np.ndarray) -> list[list[list[float | None]]]:
    """Velocities on a grid of the box, rows by y ascending; None where they are no numbers."""
    x, y = (np.linspace(low, high, CELLS + 1) for low, high in box)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    found = OnPoints(flow.velocity, 2).values(points).reshape(len(y), len(x), 2)
    return [[[_plain(v) for v in cell] for cell in row] for row in found]


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@in_double
def path(flow: AbstractODE, box: np.ndarray, start: list[float], backwards: bool) -> dict[str, Any]:
    """A trajectory until it rests, leaves, or has taken long: points, times, and how it ends."""
    field, sign, sides = OnPoints(flow.velocity, 2), -1.0 if backwards else 1.0, np.ptp(box, axis=1)
    velocity = lambda _, w: sign * field.values(w[None])[0]  # noqa: E731
    points, times = [np.asarray(start, float)], [0.0]
    speed = float(np.linalg.norm(velocity(0, points[0]) / sides))
    ends = "" if speed > 0 else "rests" if speed == 0 else "no number"
    if not ends:
        solver = LSODA(velocity, 0, points[0], np.inf, rtol=TOLERANCE, atol=TOLERANCE * sides)
    while not ends and len(points) < MOST:
        solver.step()
        if solver.status == "failed" or not np.all(np.isfinite(solver.y)):
            ends = "no number"
            break
        points.append(solver.y.copy())
        times.append(sign * solver.t)
        if np.any(np.abs(solver.y - box.mean(axis=1)) > 1.5 * sides):  # a whole box further out
            ends = "leaves"
        elif _rests(field, sign, solver.y, sides):
            ends = "rests"
    return {"points": np.stack(points).tolist(), "times": times, "ends": ends or "long"}


def _rests(field: OnPoints, sign: float, w: np.ndarray, sides: np.ndarray) -> bool:
    """Whether Newton's step to a zero that does not repel is short: a slow speed alone may be that
    of a stiff field, and a saddle is left again."""
    value, jacobian = (found[0] for found in field.with_jacobians(w[None]))
    if not np.all(np.isfinite(jacobian)) or np.max(np.linalg.eigvals(sign * jacobian).real) > 0:
        return False
    step = np.linalg.lstsq(jacobian * sides, value, rcond=None)[0]
    return bool(np.linalg.norm(step) < REST)


@in_double
def orbit(
    flow: Any, start: list[float], rate: float, momentum: float, count: int
) -> dict[str, Any]:
    """The steps of an optimizer: points, their numbers, and how it ends."""
    from ..attractors.trajectory import trajectory

    if not isinstance(flow, Flow):
        raise InvalidInput("steps are of the flow of a loss.")
    count = min(count, STEPS)
    if count == 0:
        return {"points": [start], "times": [0], "ends": "rests"}
    step = StepMap(flow.loss, flow.method, rate, momentum)
    found = trajectory(step, start, steps=count, at_steps=range(1, count + 1))
    points = [start, *np.asarray(found.w, float).tolist()]
    good = next((k for k, w in enumerate(points) if not np.all(np.isfinite(w))), len(points))
    ends = "long" if good == len(points) else "no number"
    return {"points": points[:good], "times": list(range(good)), "ends": ends}
