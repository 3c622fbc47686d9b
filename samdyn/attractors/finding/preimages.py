"""Equations, with ρ as a variable, whose solutions are hallucinated fixed points.

Solving w^p = c for a known critical point c is far better conditioned than solving g(w^p) = 0,
whose Jacobian multiplies two Hessians. For normalised SAM, w + ρ g/‖g‖ = c says that w lies on
the sphere of radius ρ about c with its gradient pointing at c: a critical point of the loss
*restricted to that sphere*, with a positive multiplier.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...dynamics.systems.flow import Flow
from ...programs.newton import newton

STARTS = 512  # for each critical point, in each round


class AbstractEquation(eqx.Module):
    """(z, ρ) ↦ residual, zero at the fixed points for that ρ; z holds w and maybe a multiplier.

    `needs_a_radius`: at ρ = 0 its solutions are none. In place of ρ may stand another parameter.
    """

    needs_a_radius: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(self, z: Float[Array, " n"], rho: Float[Array, ""]) -> Float[Array, " n"]:
        """The residual."""

    def lift(self, w: Float[Array, " d"], rho: Float[Array, ""]) -> Float[Array, " n"]:
        """z for the fixed point w."""
        del rho
        return w

    def valid(self, z: Float[Array, " n"]) -> Float[Array, ""]:
        """Positive where a zero of the residual is a fixed point of the flow."""
        return jnp.ones((), z.dtype)


class FieldIsZero(AbstractEquation):
    """w ↦ the velocity at w: every fixed point of the flow."""

    needs_a_radius: ClassVar[bool] = True

    flow: Flow

    def __call__(self, z, rho):
        return self.flow.at_radius(rho).velocity(z)


class MapsTo(AbstractEquation):
    """w ↦ w^p − c."""

    needs_a_radius: ClassVar[bool] = True

    flow: Flow
    c: Float[Array, " d"]

    def __call__(self, z, rho):
        return self.flow.at_radius(rho).perturbed(z) - self.c


class PointsTo(AbstractEquation):
    """(w, ν) ↦ (g(w) + ν(w − c), (‖w − c‖² − ρ²)/2): SAM's w^p is c where ν > 0."""

    needs_a_radius: ClassVar[bool] = True

    flow: Flow
    c: Float[Array, " d"]

    def __call__(self, z, rho):
        w, multiplier = z[:-1], z[-1]
        radial = w - self.c
        tangential = jax.grad(self.flow.loss)(w) + multiplier * radial
        return jnp.append(tangential, (jnp.vdot(radial, radial) - rho**2) / 2)

    def lift(self, w, rho):
        return jnp.append(w, jnp.linalg.norm(jax.grad(self.flow.loss)(w)) / rho)

    def valid(self, z):
        return z[-1]


class AtRadius(eqx.Module):
    """An equation at one ρ, as a function of z alone."""

    equation: AbstractEquation
    rho: Float[Array, ""]

    def __call__(self, z):
        return self.equation(z, self.rho)


def preimages(flow: Flow, c: np.ndarray, starts: np.ndarray, size: float) -> np.ndarray:
    """Candidates (n, d) for w^p = c, by Newton from some of `starts` (n, d) in a box of `size`."""
    starts = starts[:STARTS]
    target, dim = jnp.asarray(c), len(c)
    if flow.method.ascent != "unit":
        rho = flow.method.radius
        gap = AtRadius(MapsTo(flow, target), jnp.asarray(0.0 if rho is None else rho))
        return newton(gap, starts, 0.1 * size)
    rho = float(flow.method.radius)
    if rho == 0:
        return np.empty((0, dim))
    radial = starts - starts.mean(axis=0)
    radial = radial * (rho / np.linalg.norm(radial, axis=1, keepdims=True))
    begin = np.concatenate([c + radial, np.zeros((len(radial), 1))], axis=1)
    sphere = AtRadius(PointsTo(flow, target), flow.method.radius)
    return newton(sphere, begin, rho)[:, :dim]
