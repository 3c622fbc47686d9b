"""m-SAM: each part of the data is perturbed by its own gradient."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ...errors import InvalidInput
from .method import AbstractMethod, AbstractMethodOnBase


class InParts(AbstractMethodOnBase):
    """(1/K) Σ of `base`'s directions on `losses` l₁ … l_K, each of the parameters alone.

    With SAM and the loss of m examples each it is m-SAM, the mean of ∇lᵢ(w + ρ∇lᵢ/‖∇lᵢ‖); their
    mean should be the loss of the system, whose gradient is not asked. Where that vanishes the
    parts' gradients usually do not, so that nothing jumps: m-SAM is smooth where SAM is not. Where
    all vanish together it jumps like its base: `interpolates` says that they do.

    Source: Andriushchenko & Flammarion, arXiv 2206.06232; their theory takes USAM's ascent, their
    code SAM's.
    """

    base: AbstractMethod
    losses: tuple[Callable, ...]
    interpolates: bool = eqx.field(static=True)

    def __init__(self, base: AbstractMethod, losses, interpolates: bool = False):
        self.base, self.losses, self.interpolates = base, tuple(losses), bool(interpolates)
        if not self.losses or not all(callable(loss) for loss in self.losses):
            raise InvalidInput(
                "the losses of the parts are functions of the parameters, one or more."
            )
        if base.remembers:
            raise InvalidInput(f"{type(base).__name__} remembers something: it is of one loss.")

    def perturb(self, gradient, w):
        del gradient
        return w

    def descend(self, gradient, w, ahead):
        del gradient, ahead
        each = [self.base.direction(jax.grad(loss), w) for loss in self.losses]
        total = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]), *each)
        return jax.tree.map(lambda x: x / jnp.asarray(len(each), x.dtype), total)

    @property
    def linear(self):
        return False

    @property
    def asks_gradient(self):
        return False

    @property
    def discontinuous(self):
        return self.interpolates and self.base.discontinuous

    @property
    def label(self):
        return f"{self.base.label}, in {len(self.losses)} parts"
