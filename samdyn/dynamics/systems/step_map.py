"""The discrete optimizer as a map on its own state: w, the momentum buffer, the method's memory."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from ...errors import InvalidInput
from .. import tree
from ..methods.method import AbstractMethod, as_number, require_method
from ..momentum import AbstractMomentum, as_momentum
from .flow import flow_of
from .map import AbstractMap, State


def as_learning_rate(value: Any) -> Any:
    """η as an array that traces; `InvalidInput` unless it is finite and > 0."""
    return as_number(value, "the learning rate must be a finite number > 0", lambda x: x > 0)


class StepMap(AbstractMap):
    """One step of GD, SAM, …: d = descent direction at w, then w⁺ = w − η·(momentum of d).

    The ascent leaves w itself untouched, so there is nothing to restore: w⁺ comes from the
    very w that the step began with. `momentum` is a momentum object, or a number γ for heavy
    ball. `learning_rate` and every radius are arrays: no new value recompiles.
    """

    loss: Callable
    method: AbstractMethod = eqx.field(converter=require_method)
    learning_rate: jax.Array = eqx.field(converter=as_learning_rate)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)

    def init(self, w):
        return State(w, self.momentum.init(w), self.method.init(w))

    def __call__(self, state):
        d, kept = self.method.update(state.ascent, jax.grad(self.loss), state.w)
        memory, step = self.momentum.update(state.memory, d)
        return State(tree.add_scaled(state.w, -self.learning_rate, step), memory, kept)

    @property
    def flow(self):
        return flow_of(self)

    def parameters(self):
        return with_momentum(super().parameters(), self.momentum)

    def with_values(self, values):
        return set_momentum(self, values, super().with_values)


def with_momentum(found: dict[str, Any], momentum: AbstractMomentum) -> dict[str, Any]:
    """The parameters of a step with its momentum among them, 0 where it has none."""
    return found if momentum.remembers else {**found, "momentum": 0.0}


def set_momentum(system: Any, values: Any, otherwise: Callable) -> Any:
    """`system` with these values: a plain step that is given a momentum becomes heavy ball."""
    if "momentum" in values and not system.momentum.remembers:
        rest = {name: value for name, value in values.items() if name != "momentum"}
        momentum = as_momentum(values["momentum"])
        return eqx.tree_at(lambda s: s.momentum, otherwise(rest), momentum)
    return otherwise(values)


def optional_step_map(
    loss: Callable, method: AbstractMethod, learning_rate: Any, momentum: Any
) -> StepMap | None:
    """The step map, or None without a learning rate; a momentum alone is `InvalidInput`."""
    if learning_rate is not None:
        return StepMap(loss, method, learning_rate, momentum)
    if as_momentum(momentum).remembers:
        raise InvalidInput("momentum belongs to the step: give a learning rate with it.")
    return None
