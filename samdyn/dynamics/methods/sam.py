"""Normalised SAM."""

import jax
import jax.core
import numpy as np

from .. import tree
from .method import AbstractMethod, radius


class SAM(AbstractMethod):
    """Normalised SAM, what every training code runs: w^p = w + ρ g/(‖g‖ + eps), w^p = w at g = 0.

    Source: Foret, Kleiner, Mobahi & Neyshabur, arXiv 2010.01412.
    """

    rho: jax.Array = radius()
    eps: jax.Array = radius(default=0.0)

    def perturb(self, gradient, w):
        return tree.ascend(w, self.rho, tree.unit(gradient(w), self.eps))

    def smoothed(self, mean_unit, gradient, w):
        """Its `eps` apart."""
        return tree.add_scaled(w, self.rho, mean_unit(gradient(w)))

    @property
    def ascent(self):
        return None if self._has_eps else "unit"

    @property
    def discontinuous(self):
        return True

    @property
    def smooth(self):
        return self._has_eps

    @property
    def _has_eps(self) -> bool:
        traced = isinstance(self.eps, jax.core.Tracer)
        return not traced and bool(np.any(np.asarray(self.eps) > 0))
