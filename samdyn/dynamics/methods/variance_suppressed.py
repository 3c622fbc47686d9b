"""Variance-suppressed SAM: the ascent follows a running mean of gradients."""

from typing import Any

import equinox as eqx
import jax

from .. import tree
from .friendly import RunningMean
from .method import AbstractMethodWithMemory, as_number, radius


def _weight(value: Any) -> Any:
    return as_number(value, "theta must lie in (0, 1]", lambda x: (x > 0) & (x <= 1))


class VaSSO(AbstractMethodWithMemory):
    """d ← (1 − θ)d + θg, then w^p = w + ρ d/‖d‖; w^p = w at d = 0. SAM at θ = 1.

    θ is the weight of the new gradient; the first d is the first gradient, as the authors' code has
    it (BingcongLi/VaSSO). Where the gradient vanishes and d does not, w^p is ρ away: such a point
    is fixed only together with d = 0.

    Source: Li & Giannakis, arXiv 2309.15639.
    """

    rho: jax.Array = radius()
    theta: jax.Array = eqx.field(converter=_weight, default=0.9)

    def init(self, w):
        return RunningMean.of_nothing(w)

    def ascend(self, memory, gradient, w):
        memory = memory.with_next(gradient(w), 1 - tree.number(self.theta))
        return tree.ascend(w, self.rho, tree.unit(memory.mean)), memory

    @property
    def discontinuous(self):
        return True
