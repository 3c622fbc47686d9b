"""Friendly SAM: the ascent leaves out what the recent gradients have in common."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .. import tree
from .method import AbstractMethodWithMemory, as_number, radius


def _share(value: Any) -> Any:
    return as_number(value, "decay must lie in [0, 1)", lambda x: (x >= 0) & (x < 1))


def _finite(value: Any) -> Any:
    return as_number(value, "sigma must be a finite number", lambda x: x == x)


class RunningMean(NamedTuple):
    """Of gradients: `mean` is like the parameters, `begun` tells that there has been one."""

    mean: PyTree
    begun: jax.Array


class FriendlySAM(AbstractMethodWithMemory):
    """w^p = w + ρ q/‖q‖ with q = g − σm, then m ← λm + (1 − λ)g, λ = `decay`; w^p = w at q = 0.

    m is a running mean of gradients, nothing in the first step and that step's gradient after it:
    F-SAM ascends along what is left of a gradient without its recent mean.

    Source: Li, Zhou, He, Cheng & Huang, arXiv 2403.12350.
    """

    rho: jax.Array = radius()
    sigma: jax.Array = eqx.field(converter=_finite, default=1.0)
    decay: jax.Array = eqx.field(converter=_share, default=0.9)

    def init(self, w):
        return RunningMean(jax.tree.map(jnp.zeros_like, w), jnp.asarray(False))

    def ascend(self, memory, gradient, w):
        g = gradient(w)
        q = tree.add_scaled(g, -self.sigma, memory.mean)
        kept = jnp.where(memory.begun, self.decay, 0)
        change = jax.tree.map(jnp.subtract, memory.mean, g)
        after = RunningMean(tree.add_scaled(g, kept, change), jnp.ones_like(memory.begun))
        return tree.ascend(w, self.rho, tree.unit(q)), after

    @property
    def discontinuous(self):
        return True
