"""The main verb: find the fixed points, judge each for the flow and for the step, say why."""

from typing import Any

import numpy as np

from ..arguments import of_system
from ..checks import require_flat, require_one_value, require_point
from ..dynamics.check import unread_by
from ..dynamics.systems.flat import flattened, is_vector
from ..dynamics.systems.map import AbstractMap
from ..dynamics.systems.minibatch_map import MinibatchStepMap
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..dynamics.systems.system import AbstractSystem, loss_of
from ..errors import InvalidInput
from ..precision import in_double
from ..results.provenance import recorded
from .finding.fixed_points import fixed_point_near, fixed_points
from .finding.neighbours import Neighbours
from .finding.point import Completeness, FixedPoint, FixedPoints, as_box, describe
from .judge import by_formula, judge, limit_of, parts_of, step_verdict_at
from .judging.jump import undeclared
from .judging.orbit import orbit_verdict
from .judging.resting import RestingPoints
from .judging.transverse import step_across
from .judging.verdict import Verdict
from .orbiting.about import with_orbit
from .stability_result import PointStability, Stability


@of_system("Flow(loss, method) or StepMap(loss, method, learning_rate)")
@recorded
@in_double
def stability(
    system: AbstractSystem,
    *,
    box: Any = None,
    at: Any = None,
    batches: Any = None,
    seed: int = 0,
) -> Stability:
    """The stability of the fixed points of a system.

    Give `box` (d pairs low, high) to find every fixed point in it, or `at` (d,) to judge the one
    that Newton reaches from there; `at` may be a pytree like the parameters, whose numbers then
    make one vector in the result (the box of a pytree has no meaning). An `ODE` or `Flow` is
    judged as a flow, a `Map` or an `OptaxStepMap` as a step in its full state, a `StepMap` as both.
    With `batches` the loss is one of (w, batch), the points are those of the mean loss, and it is
    also said what steps that draw one of them do, in mean square and almost surely; so it is of a
    `MinibatchStepMap`.
    It computes in float64 whatever JAX's default is.

    `InvalidInput` for a system that has no fixed points of its own (a noisy one), and for a point
    or a box of another dimension than the system reads.
    """
    if (box is None) == (at is None):
        raise InvalidInput("give either a box to search or a point to judge, not both or neither.")
    require_one_value(system)
    if batches is not None or isinstance(system, MinibatchStepMap):
        return _under_batches(system, box, at, batches, seed)
    if at is not None and not is_vector(require_point(at, "a point")):
        system, at, _ = flattened(system, at)
    flow, step_map = parts_of(system)
    if at is not None:
        found = (fixed_point_near(flow, require_flat(at, "a point")),)
        complete = Completeness(False, "not checked: a single point was asked for", None)
    else:
        found, complete = fixed_points(flow, box, seed=seed)
    neighbours = Neighbours(flow)
    if box is not None:
        neighbours = Neighbours(flow, FixedPoints(found, complete), as_box(box))
    if step_map is not None and not by_formula(step_map):
        return _judged_by_step(flow, found, complete, step_map, box, at)
    judged, warnings = _judged_by_limit(flow, found, step_map, neighbours)
    warnings = (*warnings, *unread_by(flow, box, at))
    return Stability(judged, complete, flow, tuple(dict.fromkeys(warnings)))


def _under_batches(system: Any, box: Any, at: Any, batches: Any, seed: int) -> Stability:
    from .minibatches import of_batches, with_growth

    random = of_batches(system, batches)
    assert random is not None
    found = stability(random.mean, box=box, at=at, seed=seed)
    judged, warnings = [], list(found.warnings)
    pytree = at is not None and not is_vector(at)
    as_given: Any = flattened(None, at).unravel if pytree else np.asarray
    places = np.array([item.point.w for item in found.points])
    for item in found.points:
        apart = np.linalg.norm(places - item.point.w, axis=1)
        nearest = float(np.min(apart[apart > 0], initial=np.inf))
        item, warning = with_growth(item, random, as_given(item.point.w), nearest, seed)
        judged.append(item)
        warnings += [warning] * bool(warning)
    return Stability(tuple(judged), found.complete, found.flow, tuple(dict.fromkeys(warnings)))


def judge_all(
    system: Any, found: tuple[FixedPoint, ...], starts: np.ndarray
) -> tuple[PointStability, ...]:
    """The verdicts at fixed points that were found on the way, by paths from `starts` (n, d)."""
    flow, step_map = parts_of(system)
    if not found:
        return ()
    if step_map is None or by_formula(step_map):
        return _judged_by_limit(flow, found, step_map, Neighbours(flow))[0]
    box = np.stack([np.min(starts, axis=0) - 1e-3, np.max(starts, axis=0) + 1e-3], axis=1)
    return judge_step(flow, found, step_map, box, None)[0]


def _judged_by_limit(
    flow: AbstractODE,
    found: tuple[FixedPoint, ...],
    step_map: AbstractMap | None,
    neighbours: Neighbours,
) -> tuple[tuple[PointStability, ...], list[str]]:
    limits = [limit_of(flow, point) for point in found]
    judged = tuple(
        judge(flow, point, step_map, limit, neighbours=neighbours)
        for point, limit in zip(found, limits, strict=True)
    )
    return judged, [w for limit in limits for w in undeclared(flow, limit)]


def _judged_by_step(flow, found, complete, step_map: AbstractMap, box, at) -> Stability:
    """By what is asked of the step itself (`resting.py`)."""
    judged, warnings = judge_step(flow, found, step_map, box, at)
    if loss_of(step_map) is None:
        return Stability(judged, complete, flow, warnings)
    how = f"{complete.method}, for the flow; the step's own points: those that Newton reached"
    return Stability(judged, Completeness(False, how, None), flow, warnings)


def _orbits_about(step_map: AbstractMap, point: FixedPoint) -> bool:
    """Whether a step of a method with memory never rests at the point, since it jumps there."""
    method = step_map.method if isinstance(step_map, StepMap) else None
    jumps = method is not None and method.discontinuous and method.radius is not None
    return jumps and point.kind == "critical" and float(method.radius) > 0  # pyright: ignore


def judge_step(
    flow: AbstractODE, found: tuple[FixedPoint, ...], step_map: AbstractMap, box: Any, at: Any
) -> tuple[tuple[PointStability, ...], tuple[str, ...]]:
    """The flow's fixed points and those of the map's own step, with warnings.

    The step may rest where the flow does not (weight decay), and nowhere that the flow does.
    """
    resting = RestingPoints(step_map, [point.w for point in found], box, at)
    own = step_map.flow is None  # the flow is another system's, and says nothing
    judged, neighbours = [], Neighbours(flow)
    for point in found:
        degenerate = point.critical_type == "degenerate"
        if degenerate:
            step = step_verdict_at(step_map, point)
        elif _orbits_about(step_map, point):
            step = orbit_verdict(step_map, point.w, step_map.method.radius, neighbours)  # pyright: ignore
        else:
            step = resting.verdict(point.w)
        if point.doubt and loss_of(flow) is None:
            step = Verdict("unknown", point.doubt)
        step = step_across(step_map, point, with_orbit(step_map, point.w, step))
        judged.append(judge(flow, point, own=own)._replace_step(step))
    nowhere = Verdict("unknown", "the flow does not rest here: this is a fixed point of the step")
    # of anyone's own map the points found are its own
    for w in resting.others if loss_of(step_map) is not None else ():
        point = describe(flow, w)
        if point.critical_type == "degenerate" and any(
            known.critical_type == "degenerate" for known in found
        ):
            continue  # another point of a continuum
        if point.kind != "hallucinated":  # beyond `at`, or missed by the search
            judged.append(judge(flow, point, own=own)._replace_step(resting.verdict(w)))
            continue
        point, verdict = point._replace(kind="step"), resting.verdict(w)
        judged.append(PointStability(point, None if own else nowhere, verdict, None, None))
    judged.sort(key=lambda item: tuple(item.point.w))
    return tuple(judged), resting.warnings
