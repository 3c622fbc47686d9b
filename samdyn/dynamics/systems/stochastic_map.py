"""The discrete optimizer with modelled minibatch noise, as a random map on its own state."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .. import tree
from ..coupling import AbstractCoupling, SameBatch
from ..methods.method import AbstractMethod
from ..momentum import AbstractMomentum, as_momentum
from ..noise.noise import AbstractNoise
from .step_map import State, _positive


class StochasticStepMap(eqx.Module):
    """One noisy step of GD, SAM, …: d = random descent direction, w⁺ = w − η·(momentum of d).

    `noise` says how much, `coupling` where it enters. `Additive(S)` noise is that of the SDE
    dX = b dt + S dW: the step without momentum is w⁺ = w − ηd + S√η z, whatever the coupling.
    `momentum` is a momentum object, or a number γ for heavy ball.
    """

    loss: Callable
    method: AbstractMethod
    learning_rate: jax.Array = eqx.field(converter=_positive)
    noise: AbstractNoise
    coupling: AbstractCoupling = eqx.field(default_factory=SameBatch)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)

    def init(self, w: PyTree) -> State:
        """The state before the first step from w."""
        return State(w, self.momentum.init(w))

    def draws(self, w: PyTree) -> int:
        """How many standard normals one step needs."""
        return self.noise.draws(w) if self.noise.additive else self.coupling.draws(self.noise, w)

    def step(self, state: State, z: Float[Array, " draws"]) -> State:
        """One step with the standard normals z."""
        memory, step = self.momentum.update(state.memory, self._direction(state.w, z))
        return State(tree.add_scaled(state.w, -self.learning_rate, step), memory)

    def __call__(self, state: State, key: PRNGKeyArray) -> State:
        dtype = jnp.result_type(jax.tree.leaves(state.w)[0])
        return self.step(state, jax.random.normal(key, (self.draws(state.w),), dtype))

    def at_radius(self, rho: Any) -> "StochasticStepMap":
        """The same map with another perturbation radius."""
        return eqx.tree_at(lambda m: m.method, self, self.method.at_radius(rho))

    def _direction(self, w, z):
        if not self.noise.additive:
            return self.coupling.step_direction(self.loss, self.method, self.noise, w, z)
        d = self.method.direction(self.loss, w)
        return tree.add_scaled(
            d, -1 / jnp.sqrt(tree.number(self.learning_rate)), self.noise.draw(self.loss, w, z)
        )
