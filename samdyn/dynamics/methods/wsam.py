"""Weighted SAM: sharpness as a penalty of its own weight."""

import equinox as eqx
import jax

from .. import tree
from .method import AbstractMethod, as_number, radius


def _weight(gamma):
    return as_number(gamma, "gamma must lie in [0, 1)", lambda x: (x >= 0) & (x < 1))


class WSAM(AbstractMethod):
    """(1 − a) g(w) + a g(w^p) with a = γ/(1 − γ) and SAM's w^p: SAM at γ = ½, GD at γ = 0.

    Source: Yue, Jiang, Ye, Gao, Liu & Zhang, arXiv 2305.15817.
    """

    rho: jax.Array = radius()
    gamma: jax.Array = eqx.field(converter=_weight, default=0.9)

    def perturb(self, gradient, w):
        return tree.ascend(w, self.rho, tree.unit(gradient(w)))

    def descend(self, gradient, w, ahead):
        a = tree.number(self.gamma) / (1 - tree.number(self.gamma))
        here, there = gradient(w), gradient(ahead)
        return tree.add_scaled(tree.scaled(1 - a, here), a, there)

    def smoothed(self, mean_unit, gradient, w):
        return tree.add_scaled(w, self.rho, mean_unit(gradient(w)))

    @property
    def discontinuous(self):
        return True
