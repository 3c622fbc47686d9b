"""The discrete optimizer with modelled minibatch noise, as a random map on its own state."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .. import tree
from ..coupling import AbstractCoupling, as_coupling
from ..methods.method import AbstractMethod, require_given_gradient, require_method
from ..momentum import AbstractMomentum, as_momentum
from ..noise.noise import AbstractNoise, require_noise
from .map import State
from .step_map import StepMap, as_learning_rate, set_momentum, with_momentum
from .system import AbstractSystem


class AbstractStochasticMap(AbstractSystem):
    """A random map `(state, random numbers) -> state`, whose time is learning rate times steps.

    `law` says what `step` is given: "normal" for standard normals, "words" for uint32.
    """

    loss: eqx.AbstractVar[Callable]
    method: eqx.AbstractVar[AbstractMethod]
    learning_rate: eqx.AbstractVar[jax.Array]
    momentum: eqx.AbstractVar[AbstractMomentum]

    @property
    @abc.abstractmethod
    def law(self) -> str:
        """The law of the random numbers of a step."""

    @abc.abstractmethod
    def draws(self, w: PyTree) -> int:
        """How many random numbers one step needs."""

    @abc.abstractmethod
    def direction(self, state: State, z: Array) -> tuple[PyTree, PyTree]:
        """(the random descent direction, what the method remembers then)."""

    @abc.abstractmethod
    def __call__(self, state: State, key: PRNGKeyArray) -> State:
        """One step with the random numbers of a key."""

    @property
    def noiseless(self) -> StepMap:
        """The step of the mean loss."""
        return StepMap(self.loss, self.method, self.learning_rate, self.momentum)

    def init(self, w: PyTree) -> State:
        """The state before the first step from w."""
        return State(w, self.momentum.init(w), self.method.init(w))

    def step(self, state: State, z: Array) -> State:
        """One step with the random numbers z (draws,)."""
        d, kept = self.direction(state, z)
        memory, step = self.momentum.update(state.memory, d)
        return State(tree.add_scaled(state.w, -self.learning_rate, step), memory, kept)

    def parameters(self):
        return with_momentum(super().parameters(), self.momentum)

    def with_values(self, values):
        return set_momentum(self, values, super().with_values)


class StochasticStepMap(AbstractStochasticMap):
    """One noisy step of GD, SAM, …: d = random descent direction, w⁺ = w − η·(momentum of d).

    `noise` says how much, `coupling` where it enters. `Additive(S)` noise is that of the SDE
    dX = b dt + S dW: the step without momentum is w⁺ = w − ηd + S√η z, whatever the coupling.
    `momentum` is a momentum object, or a number γ for heavy ball.
    """

    loss: Callable
    method: AbstractMethod = eqx.field(converter=require_method)
    learning_rate: jax.Array = eqx.field(converter=as_learning_rate)
    noise: AbstractNoise = eqx.field(converter=require_noise)
    coupling: AbstractCoupling = eqx.field(converter=as_coupling, default=None)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)

    def __check_init__(self):
        require_given_gradient(self.method)

    @property
    def law(self):
        return "normal"

    def draws(self, w):
        """How many standard normals one step needs."""
        return self.noise.draws(w) if self.noise.additive else self.coupling.draws(self.noise, w)

    def __call__(self, state, key):
        dtype = jnp.result_type(jax.tree.leaves(state.w)[0])
        return self.step(state, jax.random.normal(key, (self.draws(state.w),), dtype))

    def direction(self, state, z: Float[Array, " draws"]):
        loss, method, w = self.loss, self.method, state.w
        if not self.noise.additive:
            return self.coupling.modelled_step(loss, method, self.noise, state.ascent, w, z)
        d, kept = method.update(state.ascent, jax.grad(loss), w)
        scale = -1 / jnp.sqrt(tree.number(self.learning_rate))
        return tree.add_scaled(d, scale, self.noise.draw(loss, w, z)), kept
