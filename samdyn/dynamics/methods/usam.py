"""Unnormalised SAM."""

import jax

from .. import tree
from .method import AbstractMethod, radius


class USAM(AbstractMethod):
    """Unnormalised SAM, what theory papers analyse: w^p = w + ρ g.

    Source: Andriushchenko & Flammarion, arXiv 2206.06232.
    """

    rho: jax.Array = radius()

    def perturb(self, gradient, w):
        return tree.ascend(w, self.rho, gradient(w))

    @property
    def ascent(self):
        return "gradient"
