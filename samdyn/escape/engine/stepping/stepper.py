"""One step of a stochastic system on a flat state, and what the engine must know about it.

A stepper says how a state advances, how far it is from the border of the region, and how
strongly the noise moves it towards that border within a step. Everything else (random numbers,
exits, bookkeeping) is the engine's.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ....dynamics.regions.regions import AbstractRegion

Flat = Float[Array, " n"]


class AbstractStepper(eqx.Module):
    """`step(y, z)` advances a flat state y (n,) by time `dt` with draws z (draws,).

    `law` is theirs: "normal" or "binomial" (both of mean 0 and variance 1), or "words" (uint32).
    """

    region: eqx.AbstractVar[AbstractRegion]
    start: eqx.AbstractVar[Flat]
    dt: eqx.AbstractVar[jax.Array]
    draws: eqx.AbstractVar[int]

    @abc.abstractmethod
    def step(self, y: Flat, z: Array) -> Flat:
        """The state one step later."""

    @abc.abstractmethod
    def position(self, y: Flat) -> Float[Array, " d"]:
        """The parameters w within the state."""

    def gap(self, y: Flat) -> Float[Array, ""]:
        """Positive inside the region, negative outside."""
        return jnp.asarray(self.region.distance(self.position(y)), self.start.dtype)

    def border_variance(self, y: Flat) -> Float[Array, ""] | None:
        """Variance of `gap` by the noise of one step; None where paths do not fluctuate within it.

        With it the engine accounts for paths that leave and return within a step: a Brownian
        bridge between gaps a, b > 0 touches 0 with probability exp(−2ab/variance).
        """
        del y
        return None

    @property
    def interpolates(self) -> bool:
        """Whether an exit happens within a step, or at its end."""
        return True

    @property
    def law(self) -> str:
        return "normal"
