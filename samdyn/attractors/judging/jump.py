"""What a method's ascent does in the limit at a critical point: does it vanish, jump, or bend?

Declarations aside, the limit tells. Beside a critical point c with Hessian H the gradient is Hδ;
w^p is asked for gradients H(te) with t so small that only the limit is left. Normalised SAM jumps
by ρ there, a SAM with eps > 0 not at all, and one that mixes both (unified SAM) by a part of ρ.
A method that does not jump may still have no Jacobian, as w + ρ|w|·sign(g) at 0: then its slope
beside c depends on the direction, however near, and is not that of any matrix. One that is linear
only very near c, as ρ·tanh(g/s) for a tiny s, has a Jacobian; its steps may never see it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...compiling import jit_for_few_runs
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.ode import AbstractODE

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
    arrays = (jnp.asarray(a) for a in (c, directions, distances))
    jumps, beside, defined, deviations = map(np.asarray, _limits(flow, *arrays))
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


def _ascents(flow: AbstractODE, c, directions, distance):
    """‖w^p − w‖ (n,) in the limit at c and at a distance from it; 0 where there is no w^p."""
    if not isinstance(flow, Flow):
        return jnp.zeros(len(directions)), jnp.zeros(len(directions))
    hessian = jax.hessian(flow.loss)(c)
    ascent = lambda gradient, w: jnp.linalg.norm(flow.method.perturb(gradient, w) - w)  # noqa: E731
    limit = jax.vmap(lambda e: ascent(lambda w: hessian @ (LIMIT * e), c))(directions)
    beside = jax.vmap(lambda e: ascent(jax.grad(flow.loss), c + distance * e))(directions)
    return limit, beside


@jit_for_few_runs
def _limits(flow: AbstractODE, c, directions, distances):
    """‖w^p − w‖ in the limit (n,) and at the first distance (n,), whether the Jacobian is finite,
    and how far slopes are from it (distances,), of the steepest; not a number counts as 1.
    """
    jacobian, here = jax.jacfwd(flow.velocity)(c), flow.velocity(c)
    limit, beside = _ascents(flow, c, directions, distances[0])

    def deviation(t):
        moved = c[None] + t * directions
        # an even part is curvature, or a kink; a kink is as large as the slope itself
        slopes = (jax.vmap(flow.velocity)(moved) - here[None]) / t
        linear = ((moved - c[None]) / t) @ jacobian.T
        scale = jnp.maximum(jnp.max(jnp.abs(slopes)), jnp.max(jnp.abs(linear)))
        return jnp.max(jnp.abs(slopes - linear)) / jnp.where(scale > 0, scale, 1)

    found = jax.lax.map(deviation, distances)
    found = jnp.where(jnp.isfinite(found), found, 1)
    return limit, beside, jnp.all(jnp.isfinite(jacobian)), found
