"""From how far away every start ends at an attractor, for sure.

In eigenvectors of the Jacobian at a point c the norm of w − c falls, under the flow or with each
step, as long as the rows of every Jacobian between c and w say so (`enclosed.Basis`). The largest
ball of that norm in which bounds of the Jacobian do is mapped into itself, and everything in it
ends at c. In the coordinates themselves a ball inside it is told.
"""

from collections.abc import Callable

import numpy as np

from ...dynamics.systems.map import AbstractMap, StepOnState
from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from ...programs.boxes import NotEnclosed
from ..finding.point import FixedPoint
from .enclosed import basis_of

SIZES = 2.0 ** np.arange(40, -50, -1.0)  # of the ball, which are tried all at once
INSIDE = 1 - 1e-12  # what rounding may take of the radius


def flow_radius(flow: AbstractODE, point: FixedPoint) -> float | None:
    """The radius of a ball about an attractor from which the flow leads there; None if unknown."""
    if point.enclosure is None:
        return None
    return _radius(flow.velocity, point.enclosure, point.w.size, lambda c, r: np.real(c) + r < 0)


def step_radius(step_map: AbstractMap, point: FixedPoint) -> float | None:
    """The same of a step map: every start at rest within it ends at the point."""
    if point.enclosure is None:
        return None
    step = StepOnState(step_map, point.w.size)
    state = np.repeat(step.rest(point.w[None])[0][:, None], 2, axis=1)
    state[: point.w.size] = point.enclosure
    return _radius(step, state, point.w.size, lambda c, r: np.abs(c) + r < 1)


def _radius(function: Callable, enclosure: np.ndarray, dim: int, shrinks: Callable) -> float | None:
    """Of the first `dim` coordinates of a fixed point in `enclosure` (n, 2)."""
    on_points, n = OnPoints(function, len(enclosure)), len(enclosure)
    middle = enclosure.mean(axis=1)
    matrix = on_points.with_jacobians(middle[None])[1][0]
    basis = basis_of(matrix) if np.all(np.isfinite(matrix)) else None
    if basis is None:
        return None
    half = SIZES[:, None] * np.sum(np.abs(basis.into), axis=1)
    low, high = middle - half, middle + half
    try:
        found = on_points.both_on_boxes(low, high)
    except NotEnclosed:
        return None
    lower, upper = (x[:, n:].reshape(-1, n, n) for x in (found.low, found.high))
    good = np.all(np.isfinite(lower) & np.isfinite(upper), axis=(1, 2))
    good &= ~np.any(found.undefined | found.kinked, axis=1)
    good[good] = np.all(shrinks(*basis.rows(lower[good], upper[good])), axis=1)
    if not np.any(good):
        return None
    largest = int(np.argmax(good))
    off = np.max(np.abs(enclosure - middle[:, None]) / half[largest][:, None])
    across = np.max(np.linalg.norm(basis.out[:, :dim], axis=1))
    return float(SIZES[largest] * (1 - off) / across * INSIDE) if off < 1 else None
