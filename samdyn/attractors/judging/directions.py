"""Along which direction of the plane a saddle attracts most."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...dynamics.systems.ode import AbstractODE
from .verdict import Verdict

NEAR = 1e-6  # how near to a jump of the field the limit is taken, in units of w


def saddle_direction(flow: AbstractODE, verdict: Verdict, w: np.ndarray) -> np.ndarray | None:
    """Where a saddle of the flow, or of the step alone, attracts; None where that isn't known.

    `verdict` is the flow's at w (2,).
    """
    if verdict.verdict == "saddle":  # what grows along the flow grows with every step
        return attracting_direction(flow, w)
    if verdict.verdict == "attractor" and verdict.eigenvalues is not None:
        pairs = eigenpairs(flow, w)  # the step oversteps the fastest direction
        return pairs[-1][1] if pairs else None
    return None


def attracting_direction(flow: AbstractODE, w: np.ndarray) -> np.ndarray:
    """The unit vector (2,) along which a saddle attracts most.

    Where the field jumps there is no Jacobian; then it is the direction along which the
    distance falls fastest close by.
    """
    point = jnp.asarray(w)
    if flow.jumps and bool(_is_critical(flow, point)):
        return np.asarray(_direction_of_fastest_approach(flow, point))
    return eigenpairs(flow, w)[0][1]


@eqx.filter_jit
def _is_critical(flow: AbstractODE, point):
    critical = flow.critical()
    slope = jnp.linalg.norm(jax.jacfwd(critical)(point))
    return jnp.linalg.norm(critical(point)) <= 1e-6 * slope


@eqx.filter_jit
def _direction_of_fastest_approach(flow: AbstractODE, point):
    angles = jnp.linspace(0, 2 * jnp.pi, 720, endpoint=False, dtype=point.dtype)
    fan = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    outward = jax.vmap(lambda u: jnp.vdot(u, flow.velocity(point + NEAR * u)))(fan)
    return fan[jnp.argmin(outward)]


def eigenpairs(flow: AbstractODE, w: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """(eigenvalue, unit eigenvector) of the flow's Jacobian at w (2,), ascending, if real."""
    values, vectors = np.linalg.eig(np.asarray(_jacobian(flow, jnp.asarray(w))))
    if np.any(np.imag(values) != 0):
        return []
    order = np.argsort(np.real(values))
    return [(float(np.real(values[i])), np.real(vectors[:, i])) for i in order]


@eqx.filter_jit
def _jacobian(flow: AbstractODE, w):
    return jax.jacfwd(flow.velocity)(w)
