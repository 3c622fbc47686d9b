"""From how far away every start ends at an attractor, for sure.

In eigenvectors of the Jacobian at a point c the norm of w − c falls, under the flow or with each
step, as long as the rows of every Jacobian between c and w say so (`enclosed.Basis`). The largest
ball of that norm in which bounds of the Jacobian do is mapped into itself, and everything in it
ends at c. In the coordinates themselves a ball inside it is told.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...dynamics.systems.map import AbstractMap, StepOnState
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from ...programs.batch import OnPoints
from ...programs.enclosing.interval_rules import NotEnclosed
from ..finding.point import FixedPoint
from ..proving.fields import FieldAndLoss
from ..proving.system import joined
from .enclosed import Basis, bases_of
from .linear import resting_state

SIZES = 2.0 ** np.arange(40, -50, -1.0)  # of the ball, which are tried all at once
INSIDE = 1 - 1e-12  # what rounding may take of the radius


def flow_radius(flow: AbstractODE, point: FixedPoint) -> float | None:
    """The radius of a ball about an attractor from which the flow leads there; None if unknown."""
    if point.enclosure is None:
        return None
    field = FieldAndLoss(flow, loss_of(flow))
    return _radius(field, point.enclosure, point.w.size, lambda c, r: np.real(c) + r < 0)


def step_radius(step_map: AbstractMap, point: FixedPoint) -> float | None:
    """The same of a step map: every start at rest within it ends at the point."""
    if point.enclosure is None:
        return None
    dim, flow = point.w.size, step_map.flow
    ahead = _itself if flow is None else flow.perturbed
    step = StepAndLoss(StepOnState(step_map, dim), loss_of(step_map), ahead)
    return _radius(step, resting_state(step_map, point), dim, lambda c, r: np.abs(c) + r < 1)


def _itself(w):
    return w


class StepAndLoss(eqx.Module):
    """A state ↦ (the state after a step, the losses where it is asked: all must be defined)."""

    step: StepOnState
    loss: Callable | None
    ahead: Callable

    def __call__(self, v):
        w = v[: self.step.dim]
        value = jnp.zeros(()) if self.loss is None else self.loss(w) + self.loss(self.ahead(w))
        return joined(self.step(v), value)


def _radius(function: Callable, enclosure: np.ndarray, dim: int, shrinks: Callable) -> float | None:
    """Of the first `dim` coordinates of a fixed point in `enclosure` (n, 2); `function` gives the
    field or step (n,), and last the loss, which must be defined."""
    on_points, n = OnPoints(function, len(enclosure)), len(enclosure)
    middle = enclosure.mean(axis=1)
    matrix = on_points.with_jacobians(middle[None])[1][0, :n]
    if not np.all(np.isfinite(matrix)):
        return None
    found = [_in_basis(b, on_points, enclosure, dim, shrinks) for b in bases_of(matrix)]
    return max((radius for radius in found if radius is not None), default=None)


def _in_basis(
    basis: Basis, on_points: OnPoints, enclosure: np.ndarray, dim: int, shrinks: Callable
) -> float | None:
    """The same by one basis."""
    n, middle = len(enclosure), enclosure.mean(axis=1)
    half = SIZES[:, None] * np.sum(np.abs(basis.into), axis=1) * (1 + 2 * basis.inverse_defect)
    low, high = middle - half, middle + half
    try:
        found = on_points.both_on_boxes(low, high)
    except NotEnclosed:
        return None
    lower, upper = (x[:, n + 1 :].reshape(-1, n + 1, n)[:, :n] for x in (found.low, found.high))
    good = np.all(np.isfinite(lower) & np.isfinite(upper), axis=(1, 2))
    good &= ~np.any(found.undefined | found.kinked, axis=1)
    good[good] = np.all(shrinks(*basis.rows(lower[good], upper[good])), axis=1)
    if not np.any(good):
        return None
    largest = int(np.argmax(good))
    off = np.max(np.abs(enclosure - middle[:, None]) / half[largest][:, None])
    across = np.max(np.linalg.norm(basis.out[:, :dim], axis=1))
    return float(SIZES[largest] * (1 - off) / across * INSIDE) if off < 1 else None
