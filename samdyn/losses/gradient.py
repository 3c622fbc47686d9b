"""The gradient of a loss, as an object."""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import PyTree


class Gradient(eqx.Module):
    """w ↦ g(w): two of the same loss are equal, so neither is traced nor compiled twice."""

    loss: Callable

    def __call__(self, w: PyTree) -> PyTree:
        return jax.grad(self.loss)(w)
