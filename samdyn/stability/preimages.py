"""Points whose perturbed point w^p hits a given critical point c: hallucinated fixed points.

Solving w^p = c is far better conditioned than solving g(w^p) = 0, whose Jacobian multiplies two
Hessians. For normalised SAM, w + ρ g/‖g‖ = c says that w lies on the sphere of radius ρ about c
with its gradient pointing at c: a critical point of the loss *restricted to that sphere*.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..dynamics.flow import Flow
from ..dynamics.perturbation import SAM
from .newton import newton

STARTS = 512  # for each critical point, in each round


def preimages(flow: Flow, c: np.ndarray, starts: np.ndarray, size: float) -> np.ndarray:
    """Candidates (n, d) for w^p = c, by Newton from some of `starts` (n, d) in a box of that size."""
    starts = starts[:STARTS]
    if not isinstance(flow.perturbation, SAM):
        ends = newton(_Gap(flow, jnp.asarray(c)), jnp.asarray(starts), jnp.asarray(0.1 * size))
        return np.asarray(ends)
    rho = float(flow.perturbation.rho)
    if rho == 0:
        return np.empty((0, len(c)))
    radial = starts - starts.mean(axis=0)
    radial = radial * (rho / np.linalg.norm(radial, axis=1, keepdims=True))
    begin = jnp.asarray(np.concatenate([c + radial, np.zeros((len(radial), 1))], axis=1))
    ends = newton(
        _OnSphere(flow.loss, jnp.asarray(c), flow.perturbation.rho), begin, jnp.asarray(rho)
    )
    return np.asarray(ends)[:, :-1]


class _Gap(eqx.Module):
    """w ↦ w^p − c."""

    flow: Flow
    c: Float[Array, " d"]

    def __call__(self, w):
        return self.flow.perturbed(w) - self.c


class _OnSphere(eqx.Module):
    """(w, ν) ↦ (g(w) + ν(w − c), (‖w − c‖² − ρ²)/2): zero at critical points on the sphere."""

    loss: object
    c: Float[Array, " d"]
    rho: Float[Array, ""]

    def __call__(self, z):
        w, multiplier = z[:-1], z[-1]
        radial = w - self.c
        tangential = jax.grad(self.loss)(w) + multiplier * radial  # pyright: ignore
        return jnp.append(tangential, (jnp.vdot(radial, radial) - self.rho**2) / 2)
