"""Friendly SAM: the ascent leaves out what the recent gradients have in common."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ...errors import InvalidInput
from .. import tree
from .method import AbstractMethodWithMemory, as_number, radius

SUBTRACTED, FED = ("before", "after"), ("gradient", "rest")


def as_share(value: Any) -> Any:
    """The weight of what is old in a running mean."""
    return as_number(value, "decay must lie in [0, 1)", lambda x: (x >= 0) & (x < 1))


def _finite(value: Any) -> Any:
    return as_number(value, "sigma must be a finite number", lambda x: x == x)


class RunningMean(NamedTuple):
    """Of gradients: `mean` is like the parameters, `begun` is 1 once there has been one."""

    mean: PyTree
    begun: jax.Array

    @classmethod
    def of_nothing(cls, w: PyTree) -> "RunningMean":
        """Before the first gradient."""
        return cls(jax.tree.map(jnp.zeros_like, w), jnp.zeros((), jnp.result_type(float)))

    def with_next(self, g: PyTree, decay: Any) -> "RunningMean":
        """decay·mean + (1 − decay)·g; g itself where it is the first."""
        kept = tree.number(decay) * self.begun
        change = jax.tree.map(jnp.subtract, self.mean, g)
        return RunningMean(tree.add_scaled(g, kept, change), jnp.ones_like(self.begun))


class FriendlySAM(AbstractMethodWithMemory):
    """w^p = w + ρ q/‖q‖ with q = g − σm, then m ← λm + (1 − λ)g, λ = `decay`; w^p = w at q = 0.

    m is a running mean of gradients, nothing in the first step and that step's gradient after it:
    F-SAM ascends along what is left of a gradient without its recent mean. So its authors' code
    has it (nblt/F-SAM). The paper first puts g into the mean, which begins at 0, and subtracts
    that: `subtracted="after"`; with σ = 1 the direction is the same once the beginning has faded.
    Another public library (pytorch_optimizer 3.9.0) feeds the mean with q instead of g,
    `fed="rest"`: then a constant gradient is not forgotten, and saddles hold it.

    Source: Li, Zhou, He, Cheng & Huang, arXiv 2403.12350.
    """

    rho: jax.Array = radius()
    sigma: jax.Array = eqx.field(converter=_finite, default=1.0)
    decay: jax.Array = eqx.field(converter=as_share, default=0.9)
    subtracted: str = eqx.field(static=True, default="before")
    fed: str = eqx.field(static=True, default="gradient")

    def __check_init__(self):
        for given, known, name in (
            (self.subtracted, SUBTRACTED, "subtracted"),
            (self.fed, FED, "fed"),
        ):
            if given not in known:
                raise InvalidInput(f"{name} is one of {', '.join(known)}, not {given!r}.")

    def init(self, w):
        nothing = RunningMean.of_nothing(w)
        begun = jnp.ones_like(nothing.begun) if self.subtracted == "after" else nothing.begun
        return nothing._replace(begun=begun)

    def ascend(self, memory, gradient, w):
        g = gradient(w)
        if self.subtracted == "after":
            memory = memory.with_next(g, self.decay)
        q = tree.add_scaled(g, -self.sigma, memory.mean)
        if self.subtracted == "before":
            memory = memory.with_next(q if self.fed == "rest" else g, self.decay)
        return tree.ascend(w, self.rho, tree.unit(q)), memory

    @property
    def discontinuous(self):
        return True


def friendly_sam_as_published(rho: Any) -> FriendlySAM:
    """With the mean that the paper subtracts: the one with the gradient in it."""
    return FriendlySAM(rho, subtracted="after")


def friendly_sam_fed_with_the_rest(rho: Any) -> FriendlySAM:
    """With a mean of what was left of gradients, as one public library has it."""
    return FriendlySAM(rho, fed="rest")
