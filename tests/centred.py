"""The quadratic that tests move about, as one function to the compiler."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array


class Quadratic(eqx.Module):
    """½(w − c)ᵀH(w − c): one compilation for all problems of a dimension."""

    hessian: Array
    centre: Array

    def __call__(self, w):
        shift = w - self.centre
        return jnp.vdot(shift, self.hessian @ shift) / 2
