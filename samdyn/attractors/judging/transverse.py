"""Fixed points that are not isolated: a verdict across the line, or surface, that they make.

Along it nothing moves and no verdict is due. Across it a perturbation grows or decays by the
Jacobian on what is orthogonal to the tangent, which is confirmed by following the fixed points
(`growth/invariant.py`). Normalised SAM jumps there: it is judged on a slice across the set, in
which the point is an isolated critical one, and its step's slow drift along the set is left out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import AbstractMap, Map
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.step_map import StepMap
from ...errors import InvalidInput
from ...growth.invariant import resting_near, transverse
from ...growth.steps import AllSteps, outcomes_of
from ...programs.batch import OnPoints
from ..finding.neighbours import Neighbours
from ..finding.point import FixedPoint
from .orbit import orbit_verdict
from .sliding import sliding_verdict
from .spectrum import ordered_eigenvalues
from .verdict import Verdict, flow_verdict, flow_verdict_names, map_verdict, map_verdict_names

SAMPLES = 256  # of a continuum, at which verdicts are counted
SHAPES = {1: "a line", 2: "a surface"}
KINDS = {-1: "maxima", 0: "saddle points", 1: "minima"}


class _Unit(eqx.Module):
    """w ↦ w + field(w), whose fixed points are the field's zeros."""

    field: Callable

    def __call__(self, w: Any, args: Any) -> Any:
        del args
        return w + self.field(w)


class Slice(eqx.Module):
    """A function on the plane c + normal z."""

    function: Callable
    c: Any
    normal: Any

    def __call__(self, z: Any) -> Any:
        return self.function(self.c + self.normal @ z)


class FixedSet(NamedTuple):
    """Fixed points about one: tangent `along` and `normal` (size, k), what they are in words, and
    the Jacobian (size - k, size - k) of the displacement across."""

    along: np.ndarray
    normal: np.ndarray
    told: str
    slope: np.ndarray


def flow_across(flow: AbstractODE, point: FixedPoint, found: Verdict, radius: float) -> Verdict:
    """A verdict `found` on a degenerate point with that across the fixed points about it, if there
    are such; `radius` is that of a method that jumps there, else 0."""
    if found.verdict != "degenerate" or _doubted(point):
        return found
    zeros = flow.velocity if point.kind == "hallucinated" else flow.critical()
    about = _set_about(Map(_Unit(zeros)), point)
    if about is None:
        return found
    if radius:
        if not isinstance(flow, Flow):
            return found
        sliced = Flow(Slice(flow.loss, point.w, about.normal), flow.method)
        judged = sliding_verdict(sliced, np.zeros(about.normal.shape[1]), radius)
        return _told(found, about, judged)
    jacobians = OnPoints(flow.velocity, point.w.size).with_jacobians
    here = about.normal.T @ jacobians(point.w[None])[1][0] @ about.normal
    judged = flow_verdict(ordered_eigenvalues(here), point.scale)
    elsewhere = _elsewhere(point, jacobians, about.along.shape[1], 0, flow_verdict_names)
    return _told(found, about, judged, elsewhere)


def step_across(
    step_map: AbstractMap, point: FixedPoint, found: Verdict, radius: float = 0.0
) -> Verdict:
    """The same for a step in its full state."""
    if found.verdict != "degenerate" or _doubted(point):
        return found
    d = point.w.size
    if radius and isinstance(step_map, StepMap):
        about = _set_about(Map(_Unit(Flow(step_map.loss, step_map.method).critical())), point)
        if about is None:
            return found
        loss = Slice(step_map.loss, point.w, about.normal)
        sliced = StepMap(loss, step_map.method, step_map.learning_rate, step_map.momentum)
        zero, flow = np.zeros(about.normal.shape[1]), Flow(loss, step_map.method)
        return _told(found, about, orbit_verdict(sliced, zero, radius, Neighbours(flow)))
    about = _set_about(step_map, point)
    if about is None:
        return found
    judged = map_verdict(ordered_eigenvalues(about.slope + np.eye(len(about.slope))), d)
    steps = AllSteps(step_map, outcomes_of(step_map, point.w, None, None, 1, 0), d)

    def jacobians(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        linearised = [steps.at(steps.rest(w)) for w in points]
        return points, np.stack([one.jacobians[0] for one in linearised])

    names = lambda values: map_verdict_names(values, d)  # noqa: E731
    elsewhere = _elsewhere(point, jacobians, about.along.shape[1], 1, names)
    return _told(found, about, judged, elsewhere)


def _doubted(point: FixedPoint) -> bool:
    """Whether nothing linear can be trusted at a point; of a hallucinated one the map is asked."""
    return bool(point.doubt) and point.kind != "hallucinated"


def _set_about(step_map: AbstractMap, point: FixedPoint) -> FixedSet | None:
    """The fixed points of a map about one of them; None where it stands alone, or that can't be
    told."""
    w = point.w
    steps = AllSteps(step_map, outcomes_of(step_map, w, None, None, 1, 0), w.size)
    try:
        resting = resting_near(steps, w)
    except InvalidInput:
        return None
    tangent = resting.along
    if not 0 < tangent.shape[1] < len(tangent) or resting.unsure:
        return None
    normal = np.linalg.svd(tangent, full_matrices=True)[0][:, tangent.shape[1] :]
    slope = transverse(resting)[0] - np.eye(normal.shape[1])
    return FixedSet(tangent, normal, _words(point, tangent.shape[1]), slope)


def _words(point: FixedPoint, k: int) -> str:
    shape = SHAPES.get(k, f"a set of dimension {k}")
    if point.kind != "critical":
        return f"{shape} of {point.kind.removesuffix(' point')} points"
    curvatures = point.hessian_eigenvalues
    signs = {int(s) for s in np.sign(curvatures[np.argsort(np.abs(curvatures))[k:]])}
    return f"{shape} of {KINDS[signs.pop() if len(signs) == 1 else 0]}"


def _elsewhere(
    point: FixedPoint, jacobians: Callable, k: int, still: float, names: Callable
) -> dict[str, int]:
    """How many samples of the continuum have which verdict across, without the k eigenvalues
    nearest to `still`, those of the tangent."""
    if point.continuum is None:
        return {}
    rows = np.linspace(0, len(point.continuum) - 1, min(SAMPLES, len(point.continuum)))
    found = np.linalg.eigvals(jacobians(point.continuum[np.unique(rows.astype(int))])[1])
    order = np.argsort(np.abs(found - still), axis=1)
    across = np.take_along_axis(found, order[:, k:], axis=1)
    each, counts = np.unique(names(across).astype(str), return_counts=True)
    return dict(zip(each.tolist(), counts.tolist(), strict=True))


def _told(
    found: Verdict, about: FixedSet, judged: Verdict, elsewhere: dict[str, int] | None = None
) -> Verdict:
    """The verdict with what is known across, in words."""
    name = judged.verdict
    why = f"{name}, transverse to {about.told}: {judged.why}"
    if elsewhere and set(elsewhere) != {name}:
        total = sum(elsewhere.values())
        parts = [f"{kind} at {count} of {total} samples" for kind, count in elsewhere.items()]
        why += f"; along it: {', '.join(parts)}"
    return found._replace(why=why, transverse=name, tangent_dim=about.along.shape[1])
