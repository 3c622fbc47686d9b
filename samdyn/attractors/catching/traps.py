"""Around each fixed point, a ball in which a path counts as having arrived.

For an attractor of the step map the ball is tested: paths from its surface, in many directions,
must stay near and end deeper inside (or, for normalised SAM, inside the ball that its orbit
fills). For any other fixed point a path counts only if it comes to rest there.
"""

from typing import NamedTuple

import jax
import numpy as np

from ...dynamics.systems.map import AbstractMap
from ..stability_result import PointStability
from .time_step import moved

ARRIVAL = 1e-3  # of the box's size
CLEARANCE = 0.25  # of the distance to the nearest other fixed point
SHRINKING = (1.0, 0.1, 0.01)  # factors tried on the radius
DIRECTIONS, TEST_STEPS = 64, 4096


class Trap(NamedTuple):
    """`radius` about `w` for an attractor; `samples` (n, d) are the points at which to rest."""

    w: np.ndarray
    samples: np.ndarray
    attracts: bool
    radius: float
    resting: float


def traps(
    step_map: AbstractMap, points: tuple[PointStability, ...], box: np.ndarray
) -> tuple[Trap, ...]:
    """One trap for each fixed point, in the same order."""
    size = float(np.max(box[:, 1] - box[:, 0]))
    return tuple(_trap(step_map, item, points, size) for item in points)


def _trap(step_map, item: PointStability, points, size: float) -> Trap:
    w, curve = item.point.w, item.point.continuum
    samples = w[None] if curve is None else curve
    others = [np.linalg.norm(p.point.w - w) for p in points if p is not item]
    room = CLEARANCE * float(min(others, default=np.inf))
    resting = 0.05 * size if curve is not None else min(ARRIVAL * size, room)
    step = item.step if item.step is not None else item.flow
    if step is None or step.verdict != "attractor":
        return Trap(w, samples, False, 0.0, resting)
    floor = 2 * (step.amplitude or 0.0)  # what SAM's orbit fills
    w = w if step.centre is None else step.centre
    for factor in SHRINKING:
        radius = floor + factor * min(ARRIVAL * size, room)
        if _holds(step_map, w, radius, floor):
            return Trap(w, samples, True, radius, resting)
    return Trap(w, samples, False, 0.0, resting)


def _holds(step_map: AbstractMap, w: np.ndarray, radius: float, floor: float) -> bool:
    """Whether paths from the surface are all inside the ball after a while, and not growing."""
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, w.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    state = jax.tree.map(np.asarray, jax.vmap(step_map.init)(w + radius * directions))
    farthest = radius
    for _ in range(4):
        _, state = moved(step_map, state, TEST_STEPS)
        distance = float(np.max(np.linalg.norm(state.w - w, axis=1)))
        if not distance <= max(farthest, floor):
            return False
        farthest = distance
    return farthest < radius
