"""GSAM: SAM that also descends the gap between the perturbed loss and the loss."""

from typing import Any

import equinox as eqx
import jax

from .. import tree
from .method import AbstractMethod, as_number, radius


def _weight(value: Any) -> Any:
    return as_number(value, "alpha must be a finite number ≥ 0", lambda x: x >= 0)


class GSAM(AbstractMethod):
    """g_p − α(g − ⟨g, g_p⟩ g_p/‖g_p‖²) with SAM's g_p = g(w + ρ g/‖g‖): SAM at α = 0.

    What is subtracted is the part of the gradient across the perturbed one. Where g_p = 0 nothing
    is along it (authors' code in PyTorch, juntang-zhuang/GSAM; that in JAX divides by 0). The
    radius that the paper ties to the learning rate is `ScheduledRadius`.

    Source: Zhuang et al., arXiv 2203.08065.
    """

    rho: jax.Array = radius()
    alpha: jax.Array = eqx.field(converter=_weight, default=0.4)

    def perturb(self, gradient, w):
        return tree.ascend(w, self.rho, tree.unit(gradient(w)))

    def descend(self, gradient, w, ahead):
        here, there = gradient(w), gradient(ahead)
        along = tree.unit(there)
        across = tree.add_scaled(here, -tree.inner(here, along), along)
        return tree.add_scaled(there, -tree.number(self.alpha), across)

    @property
    def linear(self):
        return False

    @property
    def discontinuous(self):
        return True
