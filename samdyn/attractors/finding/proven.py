"""Proven fixed points, with their measurements; and what stayed undecided beside them."""

import numpy as np

from ...dynamics.systems.ode import AbstractODE
from ..judging.enclosed import jacobian_bounds, signs
from ..proving.proof import Proof
from .point import Completeness, FixedPoint, FixedPoints, Undecided, describe

NEAR = 1e-6  # of an undecided box's own size, beside it


def proven_points(flow: AbstractODE, proof: Proof) -> tuple[FixedPoint, ...]:
    """The points of a proof, ordered by coordinates."""
    found = [
        _point(flow, low, high, some.kind)
        for some in proof.points
        for low, high in zip(some.low, some.high, strict=True)
    ]
    return tuple(sorted(found, key=lambda point: tuple(np.round(point.w, 9))))


def _point(flow: AbstractODE, low: np.ndarray, high: np.ndarray, kind: str) -> FixedPoint:
    w = _shortest(low, high)
    point = describe(flow, w, kind)._replace(enclosure=np.stack([low, high], axis=1))
    if kind != "critical":
        return point
    bounds = jacobian_bounds(flow.critical(), low, high)
    known = None if bounds is None else signs(*bounds)
    return point if known is None else point._replace(critical_type=_named(known))


def _shortest(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The middle of an enclosure, or a whole number or zero that lies inside."""
    middle = low + (high - low) / 2
    whole = np.round(middle)
    return np.where((whole >= low) & (whole <= high), whole, middle) + 0.0


def _named(known: np.ndarray) -> str:
    if np.all(known > 0):
        return "minimum"
    return "maximum" if np.all(known < 0) else "saddle"


def proven_complete(proof: Proof) -> Completeness:
    """That nothing is missing."""
    text = (
        f"proven: each point is the only one in its enclosure, and the rest of the box is empty "
        f"(interval Newton on {proof.boxes:,d} boxes)"
    )
    return Completeness(True, text, True, proven=True)


def with_undecided(
    proof: Proof, proven: tuple[FixedPoint, ...], searched: FixedPoints
) -> FixedPoints:
    """Proven points, and of those that a search found the ones that lie in undecided boxes.

    A search never contradicts a proof: what it found elsewhere is proven already, or not there.
    """
    others = [p for p in searched.points if _may_be(p, proof.undecided) and not _is_in(p, proven)]
    points = tuple(sorted((*proven, *others), key=lambda point: tuple(np.round(point.w, 9))))
    undecided = tuple(
        Undecided(box, why) for box, why in zip(proof.undecided, proof.why, strict=True)
    )
    sides = " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in undecided[0].box)
    boxes = "1 box" if len(undecided) == 1 else f"{len(undecided)} boxes"
    text = (
        f"proven but for {boxes}, the first {sides} ({undecided[0].why}); "
        f"there: {searched.complete.method}"
    )
    old = searched.complete
    complete = Completeness(old.checked, text, old.consistent, old.mismatches, False, undecided)
    return FixedPoints(points, complete)


def _may_be(point: FixedPoint, boxes: np.ndarray) -> bool:
    """Whether a point, or one of a continuum, lies in one of the boxes (m, d, 2)."""
    some = point.w[None] if point.continuum is None else point.continuum
    margin = NEAR * (boxes[..., 1] - boxes[..., 0]) + 1e-9 * (1 + np.max(np.abs(boxes)))
    low, high = boxes[..., 0] - margin, boxes[..., 1] + margin
    return bool(np.any(np.all((some[:, None] >= low) & (some[:, None] <= high), axis=-1)))


def _is_in(point: FixedPoint, proven: tuple[FixedPoint, ...]) -> bool:
    """Whether a point of a search is one of the proven ones."""
    return point.continuum is None and any(
        np.all(np.abs(point.w - other.w) <= 1e-7 * (1 + np.abs(other.w))) for other in proven
    )
