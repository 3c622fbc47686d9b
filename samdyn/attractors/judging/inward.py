"""Whether SAM slides onto a critical point from every direction: by bounds, not by samples.

Close to a critical point c with a regular Hessian H, SAM's velocity at c + εδ tends to −g(c + ρu)
with u = Hδ/‖Hδ‖. If δ·g(c + ρu) > 0 for every δ, the distance to c falls wherever w is near enough.
Directions are the faces of a cube, cut until the bounds have one sign; c is known within its
enclosure.
"""

from collections.abc import Callable

import numpy as np

from ...programs.batch import OnPoints
from ...programs.enclosing.interval_rules import NotEnclosed
from ..proving.branch import cut
from ..proving.fields import Outward
from ..proving.proof import faces

MOST = 30_000  # boxes of directions that are looked at
SMALLEST = 1e-9  # of a face: narrower boxes are not cut any more


def inward_everywhere(loss: Callable, enclosure: np.ndarray, rho: float) -> int:
    """1 where the distance falls in every direction for sure, −1 where it grows in every one, 0
    where neither is known. `enclosure` (d, 2) is that of the critical point."""
    signs, left, dim = set(), MOST, len(enclosure) - 1
    for axis in range(len(enclosure)):
        low, high = faces(*enclosure.T[:, None])
        on_points = OnPoints(Outward(loss, np.asarray(rho, float), axis), low.shape[1])
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
            if len(low):
                low, high = cut(low, high, np.ones(dim))
    return signs.pop() if len(signs) == 1 else 0


def _too_narrow(low: np.ndarray, high: np.ndarray, dim: int) -> bool:
    """Whether a box is too narrow to be cut; in one dimension there is nothing to cut."""
    if not len(low):
        return False
    return not dim or bool(np.min(np.max((high - low)[:, :dim], axis=1)) < SMALLEST)
