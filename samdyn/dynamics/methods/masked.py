"""A method that perturbs some of the parameters alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...checks import is_real
from ...errors import InvalidInput
from .method import AbstractMethod, AbstractMethodOnBase, require_own_ascent


class Masked(AbstractMethodOnBase):
    """`base`, whose ascent sees and moves those numbers alone whose `mask` is 1; all descend.

    Norms are of the masked gradient, so that w^p is ρ away: perturbing the normalisation layers
    alone is SAM-ON (Mueller et al., arXiv 2306.04226). With a share β of ones drawn once and radius
    ρ/β it is a step of ESAM's weight perturbation (Du et al., arXiv 2110.03141), which draws anew
    every time. `mask` is an array like the parameters, or a pytree of such, of ones and zeros.
    """

    base: AbstractMethod
    mask: PyTree

    def __init__(self, base: AbstractMethod, mask: PyTree):
        base = require_own_ascent(base, "a mask")
        if isinstance(mask, list | tuple) and is_real(mask):
            mask = np.asarray(mask, float)
        for leaf in jax.tree.leaves(mask):
            if not np.all(np.isin(np.asarray(leaf), (0, 1))):
                raise InvalidInput("a mask is of ones and zeros, like the parameters.")
        self.base = base
        # floats, so that masks that are alike make one program
        self.mask = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), mask)

    def _masked(self, gradient: Any) -> Any:
        cover = lambda m, g: m.astype(g.dtype) * g  # noqa: E731
        return lambda v: jax.tree.map(cover, self.mask, gradient(v))

    def init(self, w):
        return self.base.init(w)

    def perturb(self, gradient, w):
        return self.base.perturb(self._masked(gradient), w)

    def ascend(self, memory, gradient, w):
        return self.base.ascend(memory, self._masked(gradient), w)

    def descend(self, gradient, w, ahead):
        return self.base.descend(gradient, w, ahead)

    def conclude(self, memory, gradient, w, direction):
        return self.base.conclude(memory, gradient, w, direction)

    @property
    def remembers(self):
        return self.base.remembers

    @property
    def smooth(self):
        return self.base.smooth

    @property
    def counts(self):
        return self.base.counts

    @property
    def linear(self):
        return self.base.linear

    @property
    def differentiates_ascent(self):
        return self.base.differentiates_ascent

    @property
    def label(self):
        return f"{self.base.label}, masked"
