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

    x holds a (d − 1,), c (d,) and the side, ±1 (`seen`). w = c + ρp/‖p‖. SAM rests at w where
    w^p = w + ρg/‖g‖ is c: where g is parallel to p and points against it. The components of g
    across p are the equations, ⟨g, p⟩ < 0 is the condition.
    """

    loss: Callable
    rho: Any
    axis: int = eqx.field(static=True)

    def __call__(self, x):
        w, (p, _) = self.place(x), seen(x, self.axis)
        g = jax.grad(self.loss)(w)
        across = g * p[self.axis] - g[self.axis] * p
        others = jnp.concatenate([across[: self.axis], across[self.axis + 1 :]])
        return joined(others, self.loss(w), jnp.vdot(g, p))

    def place(self, x):
        """w (d,) from x."""
        p, c = seen(x, self.axis)
        return c + self.rho * p / jnp.sqrt(jnp.vdot(p, p))


class Outward(eqx.Module):
    """x ↦ (δ·g(c + ρHδ/‖Hδ‖), the losses there and at c), where δ and c are what is `seen` of x.

    SAM's velocity at c + εδ tends to −g(c + ρHδ/‖Hδ‖) with ε, where H is the Hessian at c.
    """

    loss: Callable
    rho: Any
    axis: int = eqx.field(static=True)

    def __call__(self, x):
        delta, c = seen(x, self.axis)
        gradient = jax.grad(self.loss)
        bent = jax.jvp(gradient, (c,), (delta,))[1]
        ahead = c + self.rho * bent / jnp.sqrt(jnp.vdot(bent, bent))
        return joined(jnp.vdot(delta, gradient(ahead)), self.loss(ahead) + self.loss(c))


def seen(x, axis: int):
    """(p, c), each (d,), from x (2d,), which holds a (d − 1,), c and a side, ±1: p has the side as
    coordinate `axis` and a as the others."""
    others = x.size // 2 - 1
    a, c, side = x[:others], x[others:-1], x[-1:]
    return jnp.concatenate([a[:axis], side, a[axis:]]), c


class Place(eqx.Module):
    """Where a point of a face lies."""

    face: OnFace

    def __call__(self, x):
        return self.face.place(x)
