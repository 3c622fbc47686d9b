"""Proven fixed points, with their measurements; and what stayed undecided beside them."""

import numpy as np

from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from ...interrupts import heed
from ...programs.batch import OnPoints
from ...programs.enclosing.interval_rules import NotEnclosed
from ...programs.newton import newton
from ..judging.enclosed import jacobian_bounds, signs
from ..proving.proof import Proof
from ..proving.system import smooth_in
from ..proving.undecided import isolated
from .kinks import KINK, kink, kink_at, sides_differ
from .point import Completeness, FixedPoint, FixedPoints, Undecided, describe, facts_at
from .search import Search

NEAR = 1e-6  # of an undecided box's own size, beside it
ROUNDING = 1e-12  # of the box's sides: how far a zero is known by Newton at best
MOST_TOLD = 64  # undecided boxes, which may each hold one point
BORDER = "the border of where the loss is defined runs through it, or is near"


def proven_points(flow: AbstractODE, proof: Proof) -> tuple[FixedPoint, ...]:
    """The points of a proof, ordered by coordinates."""
    found = [
        proven_point(flow, low, high, some.kind)
        for some in proof.points
        if some.kind != KINK
        for low, high in zip(some.low, some.high, strict=True)
    ]
    loss = loss_of(flow)
    found += [
        kink(loss, _shortest(low, high), name)._replace(enclosure=np.stack([low, high], axis=1))
        for some in proof.points
        if some.kind == KINK and loss is not None
        for low, high, name in zip(some.low, some.high, some.types, strict=True)
    ]
    return tuple(sorted(found, key=lambda point: tuple(np.round(point.w, 9))))


def proven_point(flow: AbstractODE, low: np.ndarray, high: np.ndarray, kind: str) -> FixedPoint:
    """The point of an enclosure (d,), (d,), with its type by the signs of every Hessian in it."""
    heed()
    w = _shortest(low, high)
    point = describe(flow, w, kind)._replace(enclosure=np.stack([low, high], axis=1))
    if kind != "critical":
        return point
    known = _signs(flow, low, high)
    return point if known is None else point._replace(critical_type=_named(known))


def _shortest(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The point of a box (d,) that has the fewest digits, if that are eight or fewer; else its
    middle."""
    middle = low + (high - low) / 2
    for digits in range(8, -1, -1):
        shorter = np.round(low + (high - low) / 2, digits)
        middle = np.where((shorter >= low) & (shorter <= high), shorter, middle)
    return middle + 0.0


def _named(known: np.ndarray) -> str:
    if np.all(known > 0):
        return "minimum"
    return "maximum" if np.all(known < 0) else "saddle"


def proven_complete(proof: Proof) -> Completeness:
    """That nothing is missing."""
    if proof.doubt:
        return Completeness(False, f"proven but for one thing: {proof.doubt}", None)
    text = (
        f"proven: each point is the only one in its enclosure, and the rest of the box is empty "
        f"(interval Newton on {proof.boxes:,d} boxes)"
    )
    return Completeness(True, text, True, proven=True)


def with_undecided(
    flow: AbstractODE, box: np.ndarray, proof: Proof, search: Search, check: bool
) -> FixedPoints:
    """The proven points, and what a search finds in the boxes that stayed undecided.

    It never contradicts the proof: what it finds elsewhere is proven already, or not there.
    """
    proven, hulls = proven_points(flow, proof), isolated(proof.undecided, box)
    search.run_within(proven, proof.undecided)
    told = [(hull, _single(flow, hull)) for hull in hulls]
    single = [point for _, point in told if point is not None]
    differ = [sides_differ(flow, hull, search.size, _shortest(*hull.T)) for hull in hulls]
    taken = [
        hull[None] for (hull, point), apart in zip(told, differ, strict=True) if point or apart
    ]
    found = [p for p in search.points() if not p.proven and _lies_in(p, proof.undecided)]
    found = [p for p in found if p.continuum is not None or not any(_lies_in(p, h) for h in taken)]
    found = [_told(flow, p, box) for p in found if stays(flow, p, box)]
    free = [hull for hull, point in told if point is None]
    free = [hull for hull in free if not any(_lies_in(p, hull[None]) for p in found)]
    kinks = [kink_at(flow, hull, search.size, _shortest(*hull.T)) for hull in free]
    others = [*single, *found, *(some for some in kinks if some is not None)]
    search.critical += [point for point in others if point.kind == KINK]
    reasons = zip(proof.undecided, proof.why, _on_border(flow, proof.undecided), strict=True)
    undecided = tuple(Undecided(part, BORDER if border else why) for part, why, border in reasons)
    if _each_has_its_point(others, hulls, proof.undecided):
        complete = Completeness(True, "in each of these the point that is listed", True)
    elif check:
        complete = search.check_and_refine()
    else:
        complete = Completeness(False, "not checked: not asked for", None)
    if proof.doubt:
        complete = complete._replace(consistent=None, method=f"{complete.method}; {proof.doubt}")
    text = f"{_but_for(undecided)}; there: {complete.method}"
    points = sorted((*proven, *others), key=lambda point: tuple(np.round(point.w, 9)))
    return FixedPoints(
        tuple(points), complete._replace(method=text, proven=False, undecided=undecided)
    )


def _on_border(flow: AbstractODE, boxes: np.ndarray) -> np.ndarray:
    """Whether the loss may be undefined in a part of each box (m, d, 2), (m,)."""
    loss = loss_of(flow)
    try:
        if loss is None:
            raise NotEnclosed
        found = OnPoints(loss, boxes.shape[1]).on_boxes(boxes[..., 0], boxes[..., 1])
    except NotEnclosed:
        return np.zeros(len(boxes), bool)
    return found.undefined[:, 0]


def _each_has_its_point(
    points: list[FixedPoint], hulls: list[np.ndarray], boxes: np.ndarray
) -> bool:
    """Whether undecided boxes are all tiny, and hold a point each."""
    told = all(any(_lies_in(point, hull[None]) for point in points) for hull in hulls)
    inside = lambda b, h: np.all((h[:, 0] <= b[:, 0]) & (b[:, 1] <= h[:, 1]))  # noqa: E731
    few = len(boxes) <= MOST_TOLD
    return told and few and all(any(inside(box, hull) for hull in hulls) for box in boxes)


def _but_for(undecided: tuple[Undecided, ...]) -> str:
    sides = " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in undecided[0].box)
    boxes = "1 box" if len(undecided) == 1 else f"{len(undecided)} boxes, the first"
    return f"proven but for {boxes} {sides} ({undecided[0].why})"


def _single(flow: AbstractODE, hull: np.ndarray) -> FixedPoint | None:
    """The degenerate point of a tiny undecided box (d, 2), at the digits that are known.

    None where a field does not vanish there, where the gradient jumps, and where each Hessian in
    the box is regular for sure.
    """
    if smooth_in(flow.critical(), hull) is False:
        return None
    w = _shortest(hull[:, 0], hull[:, 1])
    facts = facts_at(flow, w[None])
    critical = bool(facts.critical[0])
    if not (critical or facts.hallucinated[0]) or (critical and _signs(flow, *hull.T) is not None):
        return None
    sides = " × ".join(f"[{low:.3g}, {high:.3g}]" for low, high in hull - w[:, None])
    doubt = (
        "what lies here can't be told from a zero of higher order, nor from several or none, at "
        f"double precision: within {sides} of the point"
    )
    point = describe(flow, w, "critical" if critical else "hallucinated")
    name = "degenerate" if critical else None
    return point._replace(critical_type=name, doubt=doubt)


def _told(flow: AbstractODE, point: FixedPoint, box: np.ndarray) -> FixedPoint:
    """A point that a search found, with its type by the signs of its Hessian where these are
    certain."""
    if point.continuum is not None or point.kind != "critical":
        return point
    reach = ROUNDING * (box[:, 1] - box[:, 0] + np.abs(point.w))
    known = _signs(flow, point.w - reach, point.w + reach)
    return point if known is None else point._replace(critical_type=_named(known))


def stays(flow: AbstractODE, point: FixedPoint, box: np.ndarray) -> bool:
    """Whether Newton's exact step stays where the Hessian is regular for sure: in a thin valley the
    gradient is small, beside the steepest curvature, far from where it vanishes."""
    size = box[:, 1] - box[:, 0]
    reach = ROUNDING * (size + np.abs(point.w))
    if point.kind != "critical" or _signs(flow, point.w - reach, point.w + reach) is None:
        return True
    end = newton(flow.critical(), point.w[None], 0.1 * float(np.max(size)), exact=True)[0]
    return bool(np.all(np.abs(end - point.w) <= 1e-6 * size))


def _signs(flow: AbstractODE, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """The signs of the Hessian's eigenvalues all over a box; None where they aren't certain."""
    bounds = jacobian_bounds(flow.critical(), low, high)
    return None if bounds is None else signs(*bounds)


def _lies_in(point: FixedPoint, boxes: np.ndarray) -> bool:
    """Whether a point, or one of a continuum, lies in one of the boxes (m, d, 2)."""
    some = point.w[None] if point.continuum is None else point.continuum
    margin = NEAR * (boxes[..., 1] - boxes[..., 0]) + 1e-9 * (1 + np.max(np.abs(boxes)))
    low, high = boxes[..., 0] - margin, boxes[..., 1] + margin
    return bool(np.any(np.all((some[:, None] >= low) & (some[:, None] <= high), axis=-1)))
