"""Every fixed point of a flow in a box: many starts, Newton, and a check that none is missing.

Two kinds: critical points of the loss (g = 0), and hallucinated ones, where the gradient at w
does not vanish but the one at w^p does, so that the method stops at a point that is not
critical. Points that are not isolated are kept as samples of a continuum.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arguments import of_system
from ...checks import require_one_value
from ...dynamics.check import check_system, check_system_in_box
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from ...errors import InvalidInput
from ...precision import in_double
from ...programs.newton import newton
from ..proving.branch import zeros_in
from ..proving.fields import GradientAndLoss
from ..proving.proof import HIGHEST, proof_in
from ..proving.system import System, Unprovable
from .completeness import doubted
from .point import SAME, Completeness, FixedPoint, FixedPoints, as_box, describe, facts_at
from .proven import proven_complete, proven_point, proven_points, stays, with_undecided
from .search import Search
from .starts import EvenPoints

ENCLOSED = 1e-6  # of 1 + |w|: within which a point that is asked about must be the only one


@of_system("Flow(loss, method)")
@in_double
def fixed_points(flow: AbstractODE, box: Any, *, seed: int = 0, check: bool = True) -> FixedPoints:
    """Find every fixed point of `flow` in `box` (d pairs low, high).

    In up to three dimensions branch and prune on intervals encloses each point and proves the rest
    of the box empty. Where that can't be told (zeros of higher order, curves of them, functions
    without a program, more dimensions) rounds of starts go through Newton until two rounds add
    nothing; in one and two dimensions the degree of the field on sub-boxes then tells whether
    points are missing (`check`). The result depends on `seed` and the arguments alone.
    """
    require_one_value(flow)
    box = as_box(box)
    check_system_in_box(flow, box)
    try:
        proof = proof_in(flow, box)
    except Unprovable:
        return _searched(flow, box, seed, check)
    if not len(proof.undecided):
        return FixedPoints(proven_points(flow, proof), proven_complete(proof))
    return with_undecided(flow, box, proof, Search(flow, box, seed), check)


def _searched(flow: AbstractODE, box: np.ndarray, seed: int, check: bool) -> FixedPoints:
    """By many starts and the degree test."""
    search = Search(flow, box, seed)
    search.run_rounds()
    complete = Completeness(False, "not checked: not asked for", None)
    if check:
        complete = search.check_and_refine()
    return FixedPoints(doubted(flow, box, search.points()), complete)


@in_double
def fixed_point_near(flow: AbstractODE, w: Any) -> FixedPoint:
    """The fixed point that Newton reaches from `w` (d,): w itself if it is one.

    Newton runs on the gradient and on the field, and the nearer end is returned. `InvalidInput`
    if neither is a fixed point.
    """
    w = np.asarray(w, dtype=float)
    check_system(flow, w)
    reached = _zeros_from(flow, w[None], 0.1 * (1 + float(np.linalg.norm(w))))
    if not len(reached):
        where = ", ".join(f"{x:g}" for x in w)
        raise InvalidInput(f"Newton reaches no fixed point from ({where}); start nearer to one.")
    reached = _not_beside_one(flow, reached)
    gaps = np.linalg.norm(reached - w, axis=1)
    same = reached[gaps <= np.min(gaps) + SAME * (1 + float(np.linalg.norm(w)))]
    found = min((describe(flow, end) for end in same), key=lambda point: point.gradient_norm)
    return _known_better(flow, found) if found.critical_type == "degenerate" else found


def _known_better(flow: AbstractODE, point: FixedPoint) -> FixedPoint:
    """A point whose Hessian counts as singular, enclosed if it is the only one nearby after all:
    curvatures may differ by more than the tolerance of one scale for all."""
    loss, reach = loss_of(flow), ENCLOSED * (1 + np.abs(point.w))
    if loss is None or point.w.size > HIGHEST:
        return point
    try:
        system = System(GradientAndLoss(loss), point.w.size)
        zeros = zeros_in(system, (point.w - reach)[None], (point.w + reach)[None], most=1e5)
    except Unprovable:
        return point
    if len(zeros.low) != 1 or len(zeros.open_low):
        return point
    return proven_point(flow, zeros.low[0], zeros.high[0], "critical")


def _not_beside_one(flow: AbstractODE, reached: np.ndarray) -> np.ndarray:
    """Without those from which Newton's exact step leads to another, as along a thin valley; the
    ends of these steps instead."""
    reach = 1 + np.abs(reached).max(axis=0)
    box = np.stack([reached.min(axis=0) - reach, reached.max(axis=0) + reach], axis=1)
    kept = [stays(flow, describe(flow, w), box) for w in reached]
    if all(kept):
        return reached
    ends = newton(flow.critical(), reached, 0.1 * float(np.max(box[:, 1] - box[:, 0])), exact=True)
    ends = ends[np.all(np.isfinite(ends), axis=1)]
    found = np.concatenate([reached[kept], ends[facts_at(flow, ends).critical]])
    return found if len(found) else reached


@in_double
def nearest_fixed_point(flow: AbstractODE, w: Any) -> FixedPoint | None:
    """The fixed point nearest to `w` (d,) among those that Newton reaches from around it.

    Starts lie within 0.03, 0.3 and 3 times 1 + ‖w‖; None if no start leads to a fixed point.
    """
    w = np.asarray(w, dtype=float)
    reach = 1 + float(np.linalg.norm(w))
    found = zeros_around(flow, w, [0.03 * reach, 0.3 * reach, 3 * reach])
    if not len(found):
        return None
    return describe(flow, found[np.argmin(np.linalg.norm(found - w, axis=1))])


def zeros_around(flow: AbstractODE, w: np.ndarray, reaches: list[float]) -> np.ndarray:
    """Fixed points (n, d), some more than once, by Newton from cubes of these half-widths at w."""
    cloud = EvenPoints(w.size, 0).take(256)
    starts = np.concatenate([w[None], *(w + reach * (2 * cloud - 1) for reach in reaches)])
    return _zeros_from(flow, starts, 0.1 * reaches[-1])


def _zeros_from(flow: AbstractODE, starts: np.ndarray, longest: float) -> np.ndarray:
    """The fixed points (m, d) among `starts` (n, d) and where Newton takes them."""
    fields: list[Callable] = [flow.critical()]
    if flow.ascends:
        fields.append(flow.velocity)
    ends = np.concatenate([starts, *(newton(field, starts, longest) for field in fields)])
    ends = ends[np.all(np.isfinite(ends), axis=1)]
    facts = facts_at(flow, ends)
    return ends[facts.critical | facts.hallucinated]
