"""The flow dw/dt = −(descent direction at w): a vector field that goes straight into diffrax."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from ..methods.method import AbstractMethod, require_method


class Flow(eqx.Module):
    """The vector field f(t, w, args) = −g(w^p) of a loss under a perturbation.

    `w` is any pytree that `loss` takes; the result has its structure. Time is learning rate
    times steps. Normalised SAM's field is discontinuous at critical points and is 0 exactly
    there.
    """

    loss: Callable
    method: AbstractMethod = eqx.field(converter=require_method)

    def __call__(self, t: Any, w: PyTree, args: Any = None) -> PyTree:
        del t, args
        return jax.tree.map(lambda d: -d, self.method.direction(self.loss, w))

    def field(self, w: PyTree) -> PyTree:
        """The velocity at w."""
        return self(None, w)

    def perturbed(self, w: PyTree) -> PyTree:
        """w^p, the point where the gradient is taken."""
        return self.method.perturb(jax.grad(self.loss), w)

    def at_radius(self, rho: Any) -> "Flow":
        """The same flow with another perturbation radius."""
        return Flow(self.loss, self.method.at_radius(rho))


class Gradient(eqx.Module):
    """w ↦ g(w), as an object: two of the same loss are equal, so neither compiles twice."""

    loss: Callable

    def __call__(self, w: PyTree) -> PyTree:
        return jax.grad(self.loss)(w)
