"""Stable SAM: SAM's direction at the length of the gradient."""

import equinox as eqx
import jax

from ...errors import InvalidInput
from .. import tree
from .method import AbstractMethod, radius


class SSAM(AbstractMethod):
    """(‖g‖/‖g_p‖) g_p with g_p = g(w^p), w^p = w + ρ g/‖g‖; 0 where g_p = 0.

    `step` "unit" is that ascent, "gradient" USAM's, w + ρ g, which the authors' own experiments
    take as well (cltan023/stablesam2024). Near a critical point steps are as short as gradient
    descent's: it is held where SAM is, and comes to rest there.

    Source: Tan, Zhang, Lei, Liu & Gong, arXiv 2401.07250.
    """

    rho: jax.Array = radius()
    step: str = eqx.field(static=True, default="unit")

    def __check_init__(self):
        if self.step not in ("unit", "gradient"):
            raise InvalidInput(f"step is unit or gradient, not {self.step!r}.")

    def perturb(self, gradient, w):
        g = gradient(w)
        return tree.ascend(w, self.rho, tree.unit(g) if self.step == "unit" else g)

    def descend(self, gradient, w, ahead):
        g = gradient(w)
        return tree.scaled(tree.inner(g, tree.unit(g)), tree.unit(gradient(ahead)))

    @property
    def linear(self):
        return False

    @property
    def discontinuous(self):
        return True
