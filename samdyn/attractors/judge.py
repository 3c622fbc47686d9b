"""The verdicts at one fixed point, for the flow and for the step, with the reasons."""

from typing import Any

import numpy as np

from ..checks import told
from ..dynamics.methods.gd import GD
from ..dynamics.methods.method import AbstractMethod
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.map import AbstractMap, Displacement
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..dynamics.systems.system import loss_of
from ..errors import InvalidInput
from ..interrupts import heed
from .finding.kinks import KINK
from .finding.neighbours import Neighbours
from .finding.point import FixedPoint, describe
from .judging.enclosed import eigenvalue_bounds, jacobian_bounds
from .judging.jump import Limit, limit_at
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
from .judging.sliding import sliding_verdict
from .judging.thresholds import (
    critical_rho,
    critical_rho_bounds,
    rho_window,
    rho_window_bounds,
)
from .judging.transverse import flow_across, step_across
from .judging.verdict import Verdict, flow_verdict, map_verdict
from .orbiting.about import with_orbit
from .stability_result import PointStability


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


def by_formula(step_map: AbstractMap) -> bool:
    """Whether the verdict of a step follows from the method's limit and its multipliers."""
    return isinstance(step_map, StepMap) and step_map.flow is not None


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
    heed()
    window, sure, limit = None, None, limit or limit_of(flow, point)
    curvatures = _curvature_bounds(flow, point)
    if isinstance(step_map, StepMap) and _is_nondegenerate(point):
        window = _window(step_map.method, point, step_map)
        sure = None if window is None else _window_bounds(step_map, curvatures)
    step = None if step_map is None else step_verdict_at(step_map, point, limit, neighbours)
    if step_map is not None and step is not None:
        step = with_orbit(step_map, point.w, step)
    jump = _radius(flow, limit) if limit.jump else 0.0
    return PointStability(
        point,
        None if own else flow_across(flow, point, flow_verdict_at(flow, point, limit), jump),
        None if step_map is None or step is None else step_across(step_map, point, step, jump),
        critical_rho(point.hessian_eigenvalues) if _is_nondegenerate(point) else None,
        window,
        "rho/gradient_norm" if _ascent(flow) == "unit" else "rho",
        None if curvatures is None else critical_rho_bounds(curvatures),
        sure,
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
        return kink_verdict(flow, w, point.critical_type, point.proven)
    if point.doubt:
        return _doubted(point, flow_verdict(flow_eigenvalues(flow, w), point.scale))
    limit = limit or limit_of(flow, point)
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


def verdict_at(flow: AbstractODE, w: np.ndarray) -> str:
    """The verdict by name at a fixed point w (d,)."""
    return flow_verdict_at(flow, describe(flow, w)).verdict


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
    limit = limit or limit_of(flow, point)
    if point.critical_type == "degenerate":
        return _degenerate(None if limit.jump else multipliers(step_map, w))
    if limit.jump and isinstance(step_map, StepMap):
        return orbit_verdict(step_map, w, _jump(flow, limit), neighbours)
    if limit.bent:
        return Verdict("unknown", limit.bent)
    found = map_verdict(multipliers(step_map, w), w.size, step_discs(step_map, point))
    if found.verdict == "attractor" and found.proven:
        found = found._replace(proven_radius=step_radius(step_map, point))
    narrow = limit.narrow or step_map.jumps
    near = narrow and point.kind == "critical" and found.verdict != "attractor"
    if near and isinstance(step_map, StepMap):
        # smooth only close to the point: a run may settle on an orbit about it
        orbit = orbit_verdict(step_map, w, _jump(flow, limit), neighbours)
        why = f"{found.why}, which holds close to the point; beyond, {orbit.why}"
        return orbit._replace(why=why, eigenvalues=found.eigenvalues)
    return found


def _doubted(point: FixedPoint, linear: Verdict) -> Verdict:
    """Unknown, where the linear part of a hallucinated point is not found singular already."""
    if point.kind == "hallucinated" and linear.verdict == "degenerate":
        return linear
    return Verdict("degenerate", point.doubt or "")


def limit_of(flow: AbstractODE, point: FixedPoint) -> Limit:
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


def _jump(flow: AbstractODE, limit: Limit) -> float:
    """How far w^p is from w close to the point: SAM's ρ; of others what the limit says, which may
    be a small part of it (adaptive SAM near 0)."""
    return _radius(flow, limit) if _ascent(flow) == "unit" else limit.jump or _radius(flow, limit)


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
