"""Gradient descent, the method that all others are compared with."""

import jax.numpy as jnp

from .method import AbstractMethod


class GD(AbstractMethod):
    """Gradient descent: w^p = w."""

    def perturb(self, gradient, w):
        del gradient
        return w

    @property
    def ascent(self):
        return "none"

    @property
    def radius(self):
        return jnp.asarray(0.0)
