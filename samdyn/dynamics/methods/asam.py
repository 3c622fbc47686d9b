"""Adaptive SAM."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import tree
from .method import AbstractMethod, radius


class ASAM(AbstractMethod):
    """Adaptive SAM: w^p = w + ρ T²g/‖Tg‖ with T = |w| + offset, coordinate by coordinate.

    Source: Kwon, Kim, Park & Choi, arXiv 2102.11600.
    """

    rho: jax.Array = radius()
    offset: jax.Array = radius(default=0.01)

    def perturb(self, gradient, w):
        widths = jax.tree.map(lambda x: jnp.abs(x) + self.offset.astype(x.dtype), w)
        ascent = tree.unit(jax.tree.map(jnp.multiply, widths, gradient(w)))
        return tree.ascend(w, self.rho, jax.tree.map(_times, widths, ascent))

    @property
    def discontinuous(self):
        return True


def _times(width: Any, v: Any) -> Any:
    return width.astype(v.dtype) * v
