"""What a method's ascent does in the limit at a critical point: does it vanish, jump, or bend?

Declarations aside, the limit tells. Beside a critical point c with Hessian H the gradient is Hδ;
w^p is asked for gradients H(te) with t so small that only the limit is left. Normalised SAM jumps
by ρ there, a SAM with eps > 0 not at all, and one that mixes both (unified SAM) by a part of ρ.
A method that does not jump may still have no Jacobian, as w + ρ|w|·sign(g) at 0: then its slope
beside c depends on the direction, however near, and is not that of any matrix. One that is linear
only very near c, as ρ·tanh(g/s) for a tiny s, has a Jacobian; its steps may never see it.
"""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from ...dynamics.methods.method import AbstractMethod
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from .spectrum import hessian_at

LIMIT = 1e-60  # length of the displacement from c: squares of gradients still are numbers
BESIDE = 1e-6  # from where on slopes are compared, nearer and nearer
NEARER = 16  # such distances
ROUNDING = 100  # spacings of the numbers at c: no nearer
BENT = 1e-3  # of the steepest slope: a difference from the Jacobian that curvature can't explain
SMALL = 1e-6  # of ρ, or of 1: a shorter jump is none
DIRECTIONS = 16


BENDS = (
    "the method bends at this point: its slope depends on the direction, so that no Jacobian "
    "decides"
)
UNDEFINED = (
    "the derivative of the method is not finite at this point, as JAX's of a norm at 0 is not: no "
    "Jacobian decides"
)


class Limit(NamedTuple):
    """`jump` is the largest ‖w^p − w‖ as w → c, `beside` the same at the distance from where on
    slopes are compared. `bent` says why there is no Jacobian at c, as far as directions that were
    tried tell, "" if there is one; `narrow` that it holds only nearer to c than that distance."""

    jump: float
    beside: float
    bent: str
    narrow: bool


def limit_at(flow: AbstractODE, c: np.ndarray) -> Limit:
    """The limit of the ascent at a critical point c (d,)."""
    d = c.size
    extra = np.random.default_rng(3).standard_normal((DIRECTIONS, d))
    directions = np.concatenate([np.eye(d), -np.eye(d), extra])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    top, floor = BESIDE * (1 + 1e-3 * np.linalg.norm(c)), ROUNDING * np.spacing(np.max(np.abs(c)))
    distances = np.geomspace(top, max(floor, LIMIT), NEARER) if floor < top else np.array([top])
    jumps, beside = _ascents(flow, c, directions, distances[0])
    defined, deviations = _deviations(flow, c, directions, distances)
    jump = float(np.max(np.where(np.isfinite(jumps), jumps, 0)))
    jump = jump if jump > SMALL * _size(flow) else 0.0
    # with eps > 0 SAM is smooth, within a distance that may be too short to be measured
    smooth = _is_smooth(flow) or bool(np.any(deviations <= BENT))
    bent = "" if smooth else (BENDS if defined else UNDEFINED)
    return Limit(jump, float(np.max(beside)), bent, bool(deviations[0] > BENT))


def undeclared(flow: AbstractODE, limit: Limit) -> tuple[str, ...]:
    """A warning where a method jumps and does not say so."""
    if not limit.jump or flow.jumps:
        return ()
    name = type(flow.method).__name__  # pyright: ignore[reportAttributeAccessIssue]
    return (
        f"{name} jumps by up to {limit.jump:.3g} at critical points, and its `discontinuous` says "
        "that it does not: it is judged as one that jumps.",
    )


def _size(flow: AbstractODE) -> float:
    """ρ where the method has one; jumps are measured against it."""
    rho = getattr(getattr(flow, "method", None), "radius", None)
    size = 0.0 if rho is None else float(np.max(np.asarray(rho)))
    return size if size > 0 else 1.0


def _is_smooth(flow: AbstractODE) -> bool:
    return isinstance(flow, Flow) and flow.method.smooth


class LimitOfAscent(eqx.Module):
    """e ↦ w^p − c where the gradient is H(te), as t → 0."""

    method: AbstractMethod
    c: Any
    hessian: Any

    def __call__(self, e):
        return self.method.perturb(lambda w: self.hessian @ (LIMIT * e), self.c) - self.c


def _ascents(
    flow: AbstractODE, c: np.ndarray, directions: np.ndarray, distance: float
) -> tuple[np.ndarray, np.ndarray]:
    """‖w^p − w‖ (n,) in the limit at c and at a distance from it; 0 where there is no w^p."""
    if not isinstance(flow, Flow):
        return np.zeros(len(directions)), np.zeros(len(directions))
    limit = LimitOfAscent(flow.method, c, hessian_at(flow.loss, c))
    moved = c + distance * directions
    beside = OnPoints(flow.perturbed, c.size).values(moved) - moved
    there = OnPoints(limit, c.size).values(directions)
    return np.linalg.norm(there, axis=1), np.linalg.norm(beside, axis=1)


def _deviations(
    flow: AbstractODE, c: np.ndarray, directions: np.ndarray, distances: np.ndarray
) -> tuple[bool, np.ndarray]:
    """Whether the Jacobian at c is finite, and how far slopes at each distance are from it, of the
    steepest; what is not a number counts as 1."""
    field = OnPoints(flow.velocity, c.size)
    values, jacobians = field.with_jacobians(c[None])
    moved = c + distances[:, None, None] * directions
    there = field.values(moved.reshape(-1, c.size)).reshape(moved.shape)
    with np.errstate(all="ignore"):
        # an even part is curvature, or a kink; a kink is as large as the slope itself
        slopes = (there - values[0]) / distances[:, None, None]
        linear = ((moved - c) / distances[:, None, None]) @ jacobians[0].T
        scale = np.max(np.maximum(np.abs(slopes), np.abs(linear)), axis=(1, 2))
        found = np.max(np.abs(slopes - linear), axis=(1, 2)) / np.where(scale > 0, scale, 1)
    return bool(np.all(np.isfinite(jacobians))), np.where(np.isfinite(found), found, 1)
