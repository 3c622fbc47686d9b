"""Unified SAM: between the normalised and the unnormalised ascent."""

from typing import Any

import equinox as eqx
import jax

from .. import tree
from .method import AbstractMethod, as_number, radius


def _share(value: Any) -> Any:
    return as_number(value, "share must lie in [0, 1]", lambda x: (x >= 0) & (x <= 1))


class UnifiedSAM(AbstractMethod):
    """w^p = w + ρ(1 − λ + λ/‖g‖) g, λ = `share`: USAM at 0, SAM at 1.

    Source: Oikonomou & Loizou, arXiv 2503.02225.
    """

    rho: jax.Array = radius()
    share: jax.Array = eqx.field(converter=_share, default=0.5)

    def perturb(self, gradient, w):
        g = gradient(w)
        return tree.ascend(w, self.rho, self._mixed(g, tree.unit(g)))

    def _mixed(self, g, unit):
        share = tree.number(self.share)
        return tree.add_scaled(tree.scaled(1 - share, g), share, unit)

    def smoothed(self, mean_unit, gradient, w):
        g = gradient(w)
        return tree.add_scaled(w, self.rho, self._mixed(g, mean_unit(g)))

    @property
    def discontinuous(self):
        return True
