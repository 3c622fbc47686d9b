"""Fields that a page has no program of, evaluated for it: a grid, and single trajectories."""

from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from ..dynamics.systems.flow import Flow
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..errors import ComputationFailed, InvalidInput
from ..precision import in_double
from ..programs.batch import OnPoints

CELLS = 100  # of a grid, along a side
MOST = 20_000  # evaluations of a trajectory
STEPS = 2_000  # of an orbit
LONG = 1e3  # times that it takes to cross the box at the speed of the start
TOLERANCE, REST = 1e-9, 1e-9  # of the box


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
    field, sign, size = OnPoints(flow.velocity, 2), -1.0 if backwards else 1.0, float(np.ptp(box))
    made = 0

    def velocity(_: float, w: np.ndarray) -> np.ndarray:
        nonlocal made
        made += 1
        if made > MOST:
            raise ComputationFailed(f"the trajectory takes more than {MOST:,d} evaluations.")
        return sign * field.values(np.asarray(w)[None])[0]

    speed = float(np.linalg.norm(velocity(0, np.asarray(start))))
    if not speed > 0:
        return {"points": [start], "times": [0.0], "ends": "rests" if speed == 0 else "no number"}
    events = [_leaving(box, size), _resting(velocity, REST * speed)]
    longest, near = LONG * size / speed, TOLERANCE * size
    found = solve_ivp(
        *(velocity, (0, longest), start, "LSODA"), events=events, rtol=TOLERANCE, atol=near
    )
    ends = "long" if found.status == 0 else "no number" if found.status < 0 else "leaves"
    ends = "rests" if found.status == 1 and len(found.t_events[1]) else ends
    return {"points": found.y.T.tolist(), "times": (sign * found.t).tolist(), "ends": ends}


def _leaving(box: np.ndarray, room: float) -> Any:
    def inside(_: float, w: np.ndarray) -> float:
        return float(np.min([w - box[:, 0], box[:, 1] - w])) + room

    inside.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    return inside


def _resting(velocity: Any, slow: float) -> Any:
    def moving(time: float, w: np.ndarray) -> float:
        return float(np.linalg.norm(velocity(time, w))) - slow

    moving.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    return moving


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
