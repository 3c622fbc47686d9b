"""The true gradient of the perturbed loss."""

from typing import Any

import jax

from ...errors import InvalidInput
from .method import AbstractMethod, AbstractMethodOnBase
from .usam import USAM


class PerturbedLossGradient(AbstractMethodOnBase):
    """The true gradient of the perturbed loss w ↦ l(w^p(w)), Jacobian of w^p included.

    SAM drops that Jacobian. With base USAM this is the field whose rates λ(1+ρλ)² stand in
    Theorem 2 of arXiv 2301.06308; under it no saddle ever attracts.
    """

    base: AbstractMethod

    def __check_init__(self):
        if self.base.remembers:
            kind = type(self.base).__name__
            raise InvalidInput(f"{kind} remembers something, so that no loss is perturbed by it.")

    def perturb(self, gradient, w):
        return self.base.perturb(gradient, w)

    def descend(self, gradient, w, ahead):
        _, pull = jax.vjp(lambda v: self.base.perturb(gradient, v), w)
        return pull(gradient(ahead))[0]

    @property
    def differentiates_ascent(self):
        return True

    @property
    def kin(self):
        return self

    @property
    def published_as(self):
        return self.base.published_as

    @property
    def label(self):
        return f"gradient of the perturbed loss, {self.base.label}"


def samgrad(rho: Any) -> PerturbedLossGradient:
    """The one of Theorem 2, with base USAM."""
    return PerturbedLossGradient(USAM(rho))
