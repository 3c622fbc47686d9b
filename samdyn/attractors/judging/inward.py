"""Whether SAM slides onto a critical point from every direction: by bounds, not by samples.

Close to a critical point c with a regular Hessian H, SAM's velocity at c + εδ tends to −g(c + ρu)
with u = Hδ/‖Hδ‖. If δ·g(c + ρu) > 0 for every δ, the distance to c falls wherever w is near enough.
Directions are the faces of a cube, cut until the bounds have one sign; c is known within its
enclosure.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...programs.batch import OnPoints
from ...programs.boxes import NotEnclosed
from ..proving.system import joined

MOST = 30_000  # boxes of directions that are looked at
SMALLEST = 1e-9  # of a face: narrower boxes are not cut any more


class _Outward(eqx.Module):
    """x = (a (d − 1,), c (d,), side) ↦ (δ·g(c + ρHδ/‖Hδ‖), the losses there and at c), where δ has
    the side as coordinate `axis` and a as the others."""

    loss: Callable
    rho: np.ndarray
    axis: int = eqx.field(static=True)

    def __call__(self, x):
        others = x.size // 2 - 1
        a, c, side = x[:others], x[others:-1], x[-1:]
        delta = jnp.concatenate([a[: self.axis], side, a[self.axis :]])
        gradient = jax.grad(self.loss)
        bent = jax.jvp(gradient, (c,), (delta,))[1]
        ahead = c + self.rho * bent / jnp.sqrt(jnp.vdot(bent, bent))
        return joined(jnp.vdot(delta, gradient(ahead)), self.loss(ahead) + self.loss(c))


def inward_everywhere(loss: Callable, enclosure: np.ndarray, rho: float) -> int:
    """1 where the distance falls in every direction for sure, −1 where it grows in every one, 0
    where neither is known. `enclosure` (d, 2) is that of the critical point."""
    signs, left, dim = set(), MOST, len(enclosure) - 1
    for axis in range(len(enclosure)):
        low, high = _faces(enclosure)
        on_points = OnPoints(_Outward(loss, np.asarray(rho, float), axis), low.shape[1])
        while len(low):
            left -= len(low)
            try:
                found = on_points.on_boxes(low, high)
            except NotEnclosed:
                return 0
            clean = ~np.any(found.undefined | found.kinked, axis=1)
            above, below = clean & (found.low[:, 0] > 0), clean & (found.high[:, 0] < 0)
            signs |= {1} if np.any(above) else set()
            signs |= {-1} if np.any(below) else set()
            low, high = low[~(above | below)], high[~(above | below)]
            if len(signs) > 1 or 2 * len(low) > left or _too_narrow(low, high, dim):
                return 0
            low, high = _cut(low, high, dim)
    return signs.pop() if len(signs) == 1 else 0


def _faces(enclosure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    whole, side = np.ones((2, len(enclosure) - 1)), np.array([[-1.0], [1.0]])
    begin, end = (np.tile(enclosure[:, k], (2, 1)) for k in (0, 1))
    return np.hstack([-whole, begin, side]), np.hstack([whole, end, side])


def _cut(low: np.ndarray, high: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Each box in two, across the longest side of its first `dim`."""
    if not len(low):
        return low, high
    rows = np.arange(len(low))
    axis = np.argmax((high - low)[:, :dim], axis=1)
    middle = (low[rows, axis] + high[rows, axis]) / 2
    upper, lower = high.copy(), low.copy()
    upper[rows, axis] = lower[rows, axis] = middle
    return np.concatenate([low, lower]), np.concatenate([upper, high])


def _too_narrow(low: np.ndarray, high: np.ndarray, dim: int) -> bool:
    """Whether a box is too narrow to be cut; in one dimension there is nothing to cut."""
    if not len(low):
        return False
    return not dim or bool(np.min(np.max((high - low)[:, :dim], axis=1)) < SMALLEST)
