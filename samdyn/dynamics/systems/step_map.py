"""The discrete optimizer as a map on its own state: w, and the momentum buffer where it has one."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ...errors import InvalidInput
from .. import tree
from ..methods.method import GD, AbstractMethod, require_method
from ..momentum import AbstractMomentum, NoMomentum, as_momentum


class State(NamedTuple):
    """Parameters w and whatever the optimizer remembers (None for a plain step)."""

    w: PyTree
    memory: PyTree


class AbstractStepMap(eqx.Module):
    """A map `state -> state`; `init(w)` makes the first state from parameters."""

    loss: eqx.AbstractVar[Callable]
    method: eqx.AbstractVar[AbstractMethod]

    @abc.abstractmethod
    def init(self, w: PyTree) -> State:
        """The state before the first step from w."""

    @abc.abstractmethod
    def __call__(self, state: State) -> State:
        """One step."""

    def at_radius(self, rho: Any) -> "AbstractStepMap":
        """The same map with another perturbation radius."""
        return eqx.tree_at(lambda m: m.method, self, self.method.at_radius(rho))


def _positive(learning_rate: Any) -> Any:
    learning_rate = tree.as_array(learning_rate)
    if not isinstance(learning_rate, jax.core.Tracer):
        values = np.asarray(learning_rate)
        if not np.all(np.isfinite(values) & (values > 0)):
            bad = values[~(np.isfinite(values) & (values > 0))].flat[0]
            raise InvalidInput(f"the learning rate must be a finite number > 0, not {bad:g}.")
    return learning_rate


class StepMap(AbstractStepMap):
    """One step of GD, SAM, …: d = descent direction at w, then w⁺ = w − η·(momentum of d).

    The ascent leaves w itself untouched, so there is nothing to restore: w⁺ comes from the
    very w that the step began with. `momentum` is a momentum object, or a number γ for heavy
    ball. `learning_rate` and every radius are arrays: no new value recompiles.
    """

    loss: Callable
    method: AbstractMethod = eqx.field(converter=require_method)
    learning_rate: jax.Array = eqx.field(converter=_positive)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)

    def init(self, w):
        return State(w, self.momentum.init(w))

    def __call__(self, state):
        d = self.method.direction(self.loss, state.w)
        memory, step = self.momentum.update(state.memory, d)
        return State(tree.add_scaled(state.w, -self.learning_rate, step), memory)


def optional_step_map(
    loss: Callable, method: AbstractMethod, learning_rate: Any, momentum: Any
) -> StepMap | None:
    """The step map, or None without a learning rate; a momentum alone is `InvalidInput`."""
    if learning_rate is not None:
        return StepMap(loss, method, learning_rate, momentum)
    if not isinstance(as_momentum(momentum), NoMomentum):
        raise InvalidInput("momentum belongs to the step: give a learning rate with it.")
    return None


class OptaxStepMap(AbstractStepMap):
    """Any optax optimizer as a step map, so that its fixed points can be judged.

    The optimizer is given the perturbation's descent direction as its gradient.
    """

    loss: Callable
    optimizer: optax.GradientTransformation
    method: AbstractMethod = eqx.field(default_factory=GD)

    def init(self, w):
        return State(w, self.optimizer.init(w))

    def __call__(self, state):
        d = self.method.direction(self.loss, state.w)
        updates, memory = self.optimizer.update(d, state.memory, state.w)
        return State(optax.apply_updates(state.w, updates), memory)


def flat_step(step_map: AbstractStepMap, state: State) -> tuple[Callable, Float[Array, " n"]]:
    """(the step on a flat vector, the state as that vector).

    Only floating-point leaves are part of the vector; counters keep the value they have.
    """
    floats, rest = eqx.partition(state, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(floats)

    def step(v):
        after = step_map(eqx.combine(unravel(v), rest))
        return ravel_pytree(eqx.filter(after, eqx.is_inexact_array))[0]

    return step, flat


def state_jacobian(step_map: AbstractStepMap, w: PyTree) -> Float[Array, "n n"]:
    """The Jacobian of the step in its full state, at the state that `init(w)` gives."""
    step, flat = flat_step(step_map, step_map.init(w))
    return jax.jacfwd(step)(jnp.asarray(flat))
