"""What a method's ascent does in the limit at a critical point: does it vanish, jump, or bend?

Declarations aside, the limit tells. Beside a critical point c with Hessian H the gradient is Hδ;
w^p is asked for gradients H(te) with t so small that only the limit is left. Normalised SAM jumps
by ρ there, a SAM with eps > 0 not at all, and one that mixes both (unified SAM) by a part of ρ.
A method that does not jump may still have no Jacobian, as w + ρ|w|·sign(g) at 0: then its slope
beside c depends on the direction, and is not that of any matrix.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics.flow import Flow
from ..dynamics.perturbation import SAM

LIMIT = 1e-60  # length of the displacement from c: squares of gradients still are numbers
BESIDE = 1e-6  # where slopes are compared, far above rounding
BENT = 1e-3  # of the steepest slope: a difference from the Jacobian that curvature can't explain
SMALL = 1e-6  # of ρ, or of 1: a shorter jump is none
DIRECTIONS = 16


class Limit(NamedTuple):
    """`jump` is the largest ‖w^p − w‖ as w → c; `differentiable` whether the field has a Jacobian
    at c, as far as directions that were tried tell."""

    jump: float
    differentiable: bool


def limit_at(flow: Flow, c: np.ndarray) -> Limit:
    """The limit of the ascent at a critical point c (d,)."""
    d = c.size
    extra = np.random.default_rng(3).standard_normal((DIRECTIONS, d))
    directions = np.concatenate([np.eye(d), -np.eye(d), extra])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    jumps, measured, linear = map(
        np.asarray, _limits(flow, jnp.asarray(c), jnp.asarray(directions))
    )
    jump = float(np.max(np.where(np.isfinite(jumps), jumps, 0)))
    scale = max(np.max(np.abs(measured)), np.max(np.abs(linear)))
    bent = not np.max(np.abs(measured - linear)) <= BENT * scale  # nan is bent, too
    jump = jump if jump > SMALL * _size(flow) else 0.0
    # with eps > 0 it is smooth, within a distance that may be too short to be measured
    return Limit(jump, not bent or isinstance(flow.perturbation, SAM))


def undeclared(flow: Flow, limit: Limit) -> tuple[str, ...]:
    """A warning where a method jumps and does not say so."""
    if not limit.jump or flow.perturbation.discontinuous:
        return ()
    name = type(flow.perturbation).__name__
    return (
        f"{name} jumps by up to {limit.jump:.3g} at critical points, and its `discontinuous` says "
        "that it does not: it is judged as one that jumps.",
    )


def _size(flow: Flow) -> float:
    """ρ where the method has one; jumps are measured against it."""
    try:
        rho = float(np.max(np.asarray(flow.perturbation.radius)))
    except AttributeError:
        return 1.0
    return rho if rho > 0 else 1.0


@eqx.filter_jit
def _limits(flow: Flow, c, directions):
    """(‖w^p − w‖ in the limit (n,), slopes beside c (n, d), slopes by the Jacobian (n, d))."""
    hessian = jax.hessian(flow.loss)(c)
    jacobian = jax.jacfwd(flow.field)(c)
    step = BESIDE * (1 + 1e-3 * jnp.linalg.norm(c))

    def one(e):
        moved = flow.perturbation.perturb(lambda w: hessian @ (LIMIT * e), c) - c
        # the even part is curvature, or a kink; a kink is as large as the slope itself
        slope = (flow.field(c + step * e) - flow.field(c)) / step
        return jnp.linalg.norm(moved), slope, jacobian @ e

    return jax.vmap(one)(directions)
