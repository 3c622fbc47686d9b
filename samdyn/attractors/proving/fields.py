"""Whose zeros are fixed points: the gradient, a field, for SAM spheres about critical points."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...dynamics.systems.ode import AbstractODE
from .system import joined


class GradientAndLoss(eqx.Module):
    """w ↦ (g(w), l(w))."""

    loss: Callable

    def __call__(self, w):
        return joined(jax.grad(self.loss)(w), self.loss(w))


class FieldAndLoss(eqx.Module):
    """w ↦ (the velocity at w, l(w), l(w^p)); 0 for a loss where there is none.

    l(w^p) is no condition but for being defined: it is written as one that always holds.
    """

    flow: AbstractODE
    loss: Callable | None

    def __call__(self, w):
        value = (
            jnp.zeros(()) if self.loss is None else self.loss(w) + self.loss(self.flow.perturbed(w))
        )
        return joined(self.flow.velocity(w), value)


class Preimage(eqx.Module):
    """(w, c) ↦ (w^p − c, the losses at w and w^p, of which only matters that they are defined)."""

    flow: AbstractODE
    loss: Callable

    def __call__(self, x):
        w, c = x[: x.size // 2], x[x.size // 2 :]
        ahead = self.flow.perturbed(w)
        return joined(ahead - c, self.loss(w) + self.loss(ahead))


class FieldBeyond(eqx.Module):
    """w ↦ (the velocity at w, the losses, a number below 0 where w^p is outside of `box`)."""

    flow: AbstractODE
    loss: Callable
    box: Any

    def __call__(self, w):
        ahead = self.flow.perturbed(w)
        beyond = jnp.max(jnp.maximum(self.box[:, 0] - ahead, ahead - self.box[:, 1]))
        return joined(self.flow.velocity(w), self.loss(w) + self.loss(ahead), -beyond)


class OnFace(eqx.Module):
    """SAM's fixed points on the sphere of radius ρ about c, seen through two faces of a cube.

    x holds a (d − 1,), c (d,) and the side, ±1. w = c + ρp/‖p‖, where p has the side as coordinate
    `axis` and a as the others. SAM rests at w where w^p = w + ρg/‖g‖ is c: where g is parallel to p
    and points against it. The components of g across p are the equations, ⟨g, p⟩ < 0 is the
    condition.
    """

    loss: Callable
    rho: Any
    axis: int = eqx.field(static=True)

    def __call__(self, x):
        a, _, side = self.split(x)
        w, p = self.place(x), self._ray(a, side)
        g = jax.grad(self.loss)(w)
        across = g * side - g[self.axis] * p
        others = jnp.concatenate([across[: self.axis], across[self.axis + 1 :]])
        return joined(others, self.loss(w), jnp.vdot(g, p))

    def _ray(self, a, side):
        return jnp.concatenate([a[: self.axis], side, a[self.axis :]])

    def split(self, x):
        """(a, c, the side (1,)), which together are x (2d,)."""
        others = x.size // 2 - 1
        return x[:others], x[others:-1], x[-1:]

    def place(self, x):
        """w (d,) from x."""
        a, c, side = self.split(x)
        p = self._ray(a, side)
        return c + self.rho * p / jnp.sqrt(jnp.vdot(p, p))


class Place(eqx.Module):
    """Where a point of a face lies."""

    face: OnFace

    def __call__(self, x):
        return self.face.place(x)
