"""The main verb: find the fixed points, judge each for the flow and for the step, say why."""

import dataclasses
from functools import cached_property
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np

from ..arguments import of_system
from ..checks import require_flat, require_one_value, require_point, told
from ..dynamics.check import unread_by
from ..dynamics.methods.gd import GD
from ..dynamics.methods.method import AbstractMethod
from ..dynamics.systems.flat import flattened, is_vector
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.map import AbstractMap, Displacement
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..dynamics.systems.system import AbstractSystem, loss_of
from ..errors import InvalidInput
from ..precision import in_double
from ..results.encoding import storable
from ..results.provenance import recorded
from ..results.result import Result
from .finding.fixed_points import fixed_point_near, fixed_points
from .finding.kinks import KINK
from .finding.neighbours import Neighbours
from .finding.point import Completeness, FixedPoint, FixedPoints, as_box, describe
from .judging.directions import saddle_direction
from .judging.enclosed import eigenvalue_bounds, jacobian_bounds
from .judging.jump import Limit, limit_at, undeclared
from .judging.kink import kink_step_verdict, kink_verdict
from .judging.linear import (
    descent_signs,
    flow_discs,
    flow_eigenvalues,
    multipliers,
    step_discs,
)
from .judging.orbit import orbit_verdict
from .judging.radius import flow_radius, step_radius
from .judging.resting import RestingPoints
from .judging.sliding import sliding_verdict
from .judging.thresholds import (
    critical_rho,
    critical_rho_bounds,
    rho_window,
    rho_window_bounds,
)
from .judging.verdict import Verdict, flow_verdict, map_verdict
from .report_text import stability_table


@storable
class PointStability(eqx.Module):
    """One fixed point with its verdicts: `flow`, and `step` for a map (None where there is none).

    `critical_rho` is the smallest ρ from which every negative direction is restoring under
    USAM, and lies between `critical_rho_bounds` for sure; `rho_window` the (low, high) radii for
    which the step map contracts everywhere, whose ends lie between those of `rho_window_bounds`,
    and `window_of` what they are radii of: "rho" under USAM, and "rho/gradient_norm" under
    normalised SAM, where ‖g‖ changes along a run.
    """

    point: FixedPoint
    flow: Verdict | None
    step: Verdict | None
    critical_rho: float | None
    rho_window: tuple[float | None, float | None] | None
    window_of: str = "rho"
    critical_rho_bounds: tuple[float, float] | None = None
    rho_window_bounds: tuple[tuple[float, float] | None, tuple[float, float] | None] | None = None

    @property
    def main(self) -> Verdict:
        """The flow's verdict; the step's, where there is no flow."""
        verdict = self.step if self.flow is None else self.flow
        assert verdict is not None
        return verdict

    def _replace_step(self, step: Verdict) -> "PointStability":
        return dataclasses.replace(self, step=step)

    def to_dict(self) -> dict[str, Any]:
        """One FP of `samdyn stability --json`."""
        point = self.point
        result = {
            "w": point.w.tolist(),
            "loss": _nullable(point.loss),
            "gradient_norm": _nullable(point.gradient_norm),
            "residual": _nullable(point.residual),
            "kind": point.kind,
            "critical_type": point.critical_type,
            "hessian_eigenvalues": None
            if np.any(np.isnan(point.hessian_eigenvalues))
            else point.hessian_eigenvalues.tolist(),
            "flow": None if self.flow is None else _flow_dict(self.flow),
            "critical_rho": self.critical_rho,
            "critical_rho_bounds": _plain(self.critical_rho_bounds),
            "proven": point.proven,
            "enclosure": None if point.enclosure is None else point.enclosure.tolist(),
        }
        if self.step is not None:
            result["map"] = _map_dict(self.step)
            result["rho_window"] = None if self.rho_window is None else list(self.rho_window)
            result["rho_window_of"] = self.window_of
            result["rho_window_bounds"] = _plain(self.rho_window_bounds)
        if point.continuum is not None:
            result["continuum"] = point.continuum.tolist()
        return result


class Stability(Result, eqx.Module):
    """What `stability` returns: `points` ordered by coordinates, and the completeness check."""

    computed: ClassVar = ("directions",)

    points: tuple[PointStability, ...]
    complete: Completeness
    flow: AbstractODE
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn stability --json`."""
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        return result | {
            "fixed_points": [point.to_dict() for point in self.points],
            "complete": {
                "checked": self.complete.checked,
                "method": self.complete.method,
                "consistent": self.complete.consistent,
                "proven": self.complete.proven,
                "undecided": [
                    {"box": part.box.tolist(), "why": part.why} for part in self.complete.undecided
                ],
            },
        }

    @property
    def unknown(self) -> bool:
        """Whether a verdict is not known."""
        verdicts = [v for p in self.points for v in (p.flow, p.step) if v is not None]
        return any(v.verdict in ("unknown", "not a fixed map") for v in verdicts)

    @property
    def certain(self) -> bool:
        """Whether every verdict is known, and no point is known, or in an empty list feared, to
        be missing."""
        found = bool(self.points) or self.complete.consistent is True
        return not self.unknown and found and self.complete.consistent is not False

    @cached_property
    def directions(self) -> tuple[np.ndarray | None, ...]:
        """For each point the unit vector (2,) along which it attracts most, if it is a saddle of
        the plane; else, and where that isn't known, None."""
        with jax.enable_x64(True):
            return tuple(_direction(self.flow, item) for item in self.points)

    def __str__(self) -> str:
        return stability_table(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row a point: coordinates, eigenvalues and verdicts, each in a column of its own."""
        return [_row(item) for item in self.points]


def _direction(flow: AbstractODE, item: PointStability) -> np.ndarray | None:
    """Where a saddle in the plane attracts; for the step where that is judged."""
    judged, point = item.main if item.step is None else item.step, item.point
    isolated = point.continuum is None and point.kind != "hallucinated"
    if judged.verdict != "saddle" or not isolated or point.w.size != 2:
        return None
    return None if item.flow is None else saddle_direction(flow, item.flow, point.w)


def _row(item: PointStability) -> dict[str, Any]:
    point = item.point
    row = {f"w[{i}]": float(x) for i, x in enumerate(point.w)}
    row |= {"kind": point.kind, "critical_type": point.critical_type, "loss": point.loss}
    row |= {"gradient_norm": point.gradient_norm}
    if item.flow is not None:
        row |= {"flow": item.flow.verdict}
    if item.step is not None:
        row |= {"step": item.step.verdict, "orbit": item.step.orbit}
    return row | {"critical_rho": item.critical_rho, "why": (item.step or item.main).why}


@of_system("Flow(loss, method) or StepMap(loss, method, learning_rate)")
@recorded
@in_double
def stability(
    system: AbstractSystem,
    *,
    box: Any = None,
    at: Any = None,
    seed: int = 0,
) -> Stability:
    """The stability of the fixed points of a system.

    Give `box` (d pairs low, high) to find every fixed point in it, or `at` (d,) to judge the one
    that Newton reaches from there; `at` may be a pytree like the parameters, whose numbers then
    make one vector in the result (the box of a pytree has no meaning). An `ODE` or `Flow` is
    judged as a flow, a `Map` or an `OptaxStepMap` as a step in its full state, a `StepMap` as both.
    It computes in float64 whatever JAX's default is.

    `InvalidInput` for a system that has no fixed points of its own (a noisy one), and for a point
    or a box of another dimension than the system reads.
    """
    if (box is None) == (at is None):
        raise InvalidInput("give either a box to search or a point to judge, not both or neither.")
    require_one_value(system)
    if at is not None and not is_vector(require_point(at, "a point")):
        system, at, _ = flattened(system, at)
    flow, step_map = parts_of(system)
    if at is not None:
        found = (fixed_point_near(flow, require_flat(at, "a point")),)
        complete = Completeness(False, "not checked: a single point was asked for", None)
    else:
        found, complete = fixed_points(flow, box, seed=seed)
    whole = None if box is None else (FixedPoints(found, complete), as_box(box))
    if step_map is not None and not _by_formula(step_map):
        return _judged_by_step(flow, found, complete, step_map, box, at)
    judged, warnings = _judged_by_limit(flow, found, step_map, Neighbours(flow, *(whole or ())))
    warnings = (*warnings, *unread_by(flow, box, at))
    return Stability(judged, complete, flow, tuple(dict.fromkeys(warnings)))


def judge_all(
    system: Any, found: tuple[FixedPoint, ...], starts: np.ndarray
) -> tuple[PointStability, ...]:
    """The verdicts at fixed points that were found on the way, by paths from `starts` (n, d)."""
    flow, step_map = parts_of(system)
    if not found:
        return ()
    if step_map is None or _by_formula(step_map):
        return _judged_by_limit(flow, found, step_map, Neighbours(flow))[0]
    box = np.stack([np.min(starts, axis=0) - 1e-3, np.max(starts, axis=0) + 1e-3], axis=1)
    return judge_step(flow, found, step_map, box, None)[0]


def _judged_by_limit(
    flow: AbstractODE,
    found: tuple[FixedPoint, ...],
    step_map: AbstractMap | None,
    neighbours: Neighbours,
) -> tuple[tuple[PointStability, ...], list[str]]:
    limits = [_limit(flow, point) for point in found]
    judged = tuple(
        judge(flow, point, step_map, limit, neighbours=neighbours)
        for point, limit in zip(found, limits, strict=True)
    )
    return judged, [w for limit in limits for w in undeclared(flow, limit)]


def parts_of(system: Any) -> tuple[AbstractODE, AbstractMap | None]:
    """(the flow whose zeros are looked for, the step that is judged or None).

    For a method that remembers something the flow is gradient descent's, for anyone's own map
    its displacement. `InvalidInput` for anything that is neither a flow nor a map.
    """
    if isinstance(system, AbstractODE):
        return system, None
    if not isinstance(system, AbstractMap):
        raise InvalidInput(
            f"stability takes an ODE, Flow, Map, StepMap or OptaxStepMap, not {told(system)}."
        )
    if system.flow is not None:
        return system.flow, system
    loss = loss_of(system)
    return (Displacement(system) if loss is None else Flow(loss, GD())), system


def _by_formula(step_map: AbstractMap) -> bool:
    """Whether the verdict of a step follows from the method's limit and its multipliers."""
    return isinstance(step_map, StepMap) and step_map.flow is not None


def _judged_by_step(flow, found, complete, step_map: AbstractMap, box, at) -> Stability:
    """By what is asked of the step itself (`resting.py`)."""
    judged, warnings = judge_step(flow, found, step_map, box, at)
    if loss_of(step_map) is None:
        return Stability(judged, complete, flow, warnings)
    how = f"{complete.method}, for the flow; the step's own points: those that Newton reached"
    return Stability(judged, Completeness(False, how, None), flow, warnings)


def judge_step(
    flow: AbstractODE, found: tuple[FixedPoint, ...], step_map: AbstractMap, box: Any, at: Any
) -> tuple[tuple[PointStability, ...], tuple[str, ...]]:
    """The flow's fixed points and those of the map's own step, with warnings.

    The step may rest where the flow does not (weight decay), and nowhere that the flow does.
    """
    resting = RestingPoints(step_map, [point.w for point in found], box, at)
    own = step_map.flow is None  # the flow is another system's, and says nothing
    judged = []
    for point in found:
        degenerate = point.critical_type == "degenerate"
        step = step_verdict_at(step_map, point) if degenerate else resting.verdict(point.w)
        if point.doubt and loss_of(flow) is None:
            step = Verdict("unknown", point.doubt)
        judged.append(judge(flow, point, own=own)._replace_step(step))
    nowhere = Verdict("unknown", "the flow does not rest here: this is a fixed point of the step")
    # of anyone's own map the points found are its own
    for w in resting.others if loss_of(step_map) is not None else ():
        point = describe(flow, w)
        if point.kind != "hallucinated":  # beyond `at`, or missed by the search
            judged.append(judge(flow, point, own=own)._replace_step(resting.verdict(w)))
            continue
        point, verdict = point._replace(kind="step"), resting.verdict(w)
        judged.append(PointStability(point, None if own else nowhere, verdict, None, None))
    judged.sort(key=lambda item: tuple(item.point.w))
    return tuple(judged), resting.warnings


def judge(
    flow: AbstractODE,
    point: FixedPoint,
    step_map: AbstractMap | None = None,
    limit: Limit | None = None,
    own: bool = False,
    neighbours: Neighbours | None = None,
) -> PointStability:
    """The verdicts at one fixed point, with the `limit` of the ascent there if it is known.

    `own` tells that the flow is another system's, so that there is no verdict for it; `neighbours`
    knows the other fixed points.
    """
    window, limit = None, limit or _limit(flow, point)
    curvatures = _curvature_bounds(flow, point)
    steps = isinstance(step_map, StepMap) and _is_nondegenerate(point)
    if steps:
        window = _window(step_map.method, point, step_map)
    return PointStability(
        point,
        None if own else flow_verdict_at(flow, point, limit),
        None if step_map is None else step_verdict_at(step_map, point, limit, neighbours),
        critical_rho(point.hessian_eigenvalues) if _is_nondegenerate(point) else None,
        window,
        "rho/gradient_norm" if _ascent(flow) == "unit" else "rho",
        None if curvatures is None else critical_rho_bounds(curvatures),
        _window_bounds(step_map, curvatures) if steps and window is not None else None,
    )


def _curvature_bounds(flow: AbstractODE, point: FixedPoint) -> np.ndarray | None:
    """Bounds (d, 2) of the Hessian's eigenvalues at a proven nondegenerate critical point."""
    if point.enclosure is None or not _is_nondegenerate(point):
        return None
    bounds = jacobian_bounds(flow.critical(), *point.enclosure.T)
    return None if bounds is None else eigenvalue_bounds(*bounds)


def _window_bounds(step_map: StepMap, curvatures: np.ndarray | None):
    if curvatures is None or step_map.method.ascent not in ("gradient", "unit"):
        return None
    return rho_window_bounds(curvatures, float(step_map.learning_rate), step_map.momentum)


def _is_nondegenerate(point: FixedPoint) -> bool:
    return point.kind == "critical" and point.critical_type != "degenerate"


def flow_verdict_at(flow: AbstractODE, point: FixedPoint, limit: Limit | None = None) -> Verdict:
    """Attractor, repeller, saddle, degenerate or unknown for the flow, with the reason."""
    w = point.w
    if point.kind == KINK:
        return kink_verdict(flow, w)
    if point.doubt:
        return _doubted(point, flow_verdict(flow_eigenvalues(flow, w), point.scale))
    limit = limit or _limit(flow, point)
    if point.critical_type == "degenerate":
        return _degenerate(None if limit.jump else flow_eigenvalues(flow, w))
    if limit.jump:
        return sliding_verdict(flow, w, _radius(flow, limit), point.enclosure)  # pyright: ignore
    if limit.bent:
        return Verdict("unknown", limit.bent)
    scale = point.scale
    if point.kind == "critical":
        scale = float(np.max(np.abs(point.hessian_eigenvalues)))
    where, sure = flow_discs(flow, point), descent_signs(flow, point)
    found = flow_verdict(flow_eigenvalues(flow, w), scale, where, sure)
    attracts = found.verdict == "attractor" and found.proven
    return found._replace(proven_radius=flow_radius(flow, point)) if attracts else found


def step_verdict_at(
    step_map: AbstractMap,
    point: FixedPoint,
    limit: Limit | None = None,
    neighbours: Neighbours | None = None,
) -> Verdict:
    """The same for the step map; for a method that jumps with the orbit it settles on."""
    w, flow = point.w, parts_of(step_map)[0]
    neighbours = neighbours or Neighbours(flow)
    if point.kind == KINK:
        return kink_step_verdict(step_map, w)
    if point.doubt:
        return _doubted(point, map_verdict(multipliers(step_map, w)))
    limit = limit or _limit(flow, point)
    if point.critical_type == "degenerate":
        return _degenerate(None if limit.jump else multipliers(step_map, w))
    if limit.jump and isinstance(step_map, StepMap):
        return orbit_verdict(step_map, w, _radius(flow, limit), neighbours)
    if limit.bent:
        return Verdict("unknown", limit.bent)
    found = map_verdict(multipliers(step_map, w), w.size, step_discs(step_map, point))
    if found.verdict == "attractor" and found.proven:
        found = found._replace(proven_radius=step_radius(step_map, point))
    narrow = limit.narrow or step_map.jumps
    near = narrow and point.kind == "critical" and found.verdict != "attractor"
    if near and isinstance(step_map, StepMap):
        # smooth only close to the point: a run may settle on an orbit about it
        orbit = orbit_verdict(step_map, w, _radius(flow, limit), neighbours)
        why = f"{found.why}, which holds close to the point; beyond, {orbit.why}"
        return orbit._replace(why=why, eigenvalues=found.eigenvalues)
    return found


def _doubted(point: FixedPoint, linear: Verdict) -> Verdict:
    """Unknown, where the linear part of a hallucinated point is not found singular already."""
    if point.kind == "hallucinated" and linear.verdict == "degenerate":
        return linear
    return Verdict("degenerate", point.doubt or "")


def _limit(flow: AbstractODE, point: FixedPoint) -> Limit:
    """What the ascent does at the point; nothing unusual where it is not critical."""
    if point.kind in ("hallucinated", KINK) or _ascent(flow) in ("none", "gradient"):
        return Limit(0.0, 0.0, "", False)
    return limit_at(flow, point.w)


def _ascent(flow: AbstractODE) -> str | None:
    """The closed form of its method's ascent; None where it has no method, or that has none."""
    return flow.method.ascent if isinstance(flow, Flow) else None


def _radius(flow: AbstractODE, limit: Limit) -> float:
    """The method's ρ, or how far it goes close to the point if it has none."""
    rho = flow.method.radius if isinstance(flow, Flow) else None
    return float(0.0 if rho is None else rho) or limit.jump or limit.beside


def _degenerate(values: np.ndarray | None) -> Verdict:
    text = "the Hessian is singular here, so the linear part decides nothing"
    return Verdict("degenerate", text, values)


def _window(method: AbstractMethod, point: FixedPoint, step_map: StepMap):
    """The window in ρ_eff; a method without ascent has no ρ: everything or nothing."""
    eta, momentum = float(step_map.learning_rate), step_map.momentum
    if method.ascent == "none":
        stable = np.all(point.hessian_eigenvalues > 0) and (
            eta * point.hessian_eigenvalues[-1] < momentum.edge()
        )
        return (None, None) if stable else None
    if method.ascent in ("gradient", "unit"):
        return rho_window(point.hessian_eigenvalues, eta, momentum)
    return None


def _list(values: np.ndarray) -> list[float] | None:
    return None if np.any(np.isnan(values)) else values.tolist()


def _plain(bounds: Any) -> Any:
    """Tuples as lists, however deep."""
    return [_plain(entry) for entry in bounds] if isinstance(bounds, tuple) else bounds


def _nullable(value: float) -> float | None:
    return None if np.isnan(value) else value


def _pairs(values: np.ndarray | None) -> list[list[float]] | None:
    return None if values is None else [[float(z.real), float(z.imag)] for z in values]


def _flow_dict(verdict: Verdict) -> dict[str, Any]:
    result = {
        "verdict": verdict.verdict,
        "eigenvalues": _pairs(verdict.eigenvalues),
        "why": verdict.why,
        "proven": verdict.proven,
    }
    if verdict.capture_radius is not None:
        result["capture_radius"] = verdict.capture_radius
    if verdict.proven_radius is not None:
        result["proven_radius"] = verdict.proven_radius
    return result


def _map_dict(verdict: Verdict) -> dict[str, Any]:
    result = {
        "verdict": verdict.verdict,
        "multipliers": _pairs(verdict.eigenvalues),
        "why": verdict.why,
        "proven": verdict.proven,
    }
    if verdict.proven_radius is not None:
        result["proven_radius"] = verdict.proven_radius
    if verdict.orbit is not None:
        result |= {"orbit": verdict.orbit, "amplitude": verdict.amplitude}
        result["period"] = verdict.period
        result["centre"] = None if verdict.centre is None else verdict.centre.tolist()
    return result
