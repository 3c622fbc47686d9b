"""Any optax optimizer as a map on its own full state."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...lazily import optax
from ..methods.gd import GD
from ..methods.method import AbstractMethod, require_method
from ..parameters import parameters, path_of, with_parameters
from .flow import flow_of
from .map import AbstractMap, State


class OptaxStepMap(AbstractMap):
    """Any optax optimizer as a step map, so that its fixed points can be judged.

    The optimizer is given the method's descent direction as its gradient. Hyperparameters of
    `optax.inject_hyperparams` are parameters of the system.
    """

    loss: Callable
    optimizer: "optax.GradientTransformation"
    method: AbstractMethod = eqx.field(default_factory=GD, converter=require_method)
    injected: dict[str, Any] = eqx.field(default_factory=dict)

    def init(self, w):
        memory = self.optimizer.init(w)
        if self.injected:
            memory = _with_hyperparameters(memory, self.injected)
        return State(w, memory, self.method.init(w))

    def __call__(self, state):
        d, kept = self.method.update(state.ascent, jax.grad(self.loss), state.w)
        updates, memory = self.optimizer.update(d, state.memory, state.w)
        return State(optax.apply_updates(state.w, updates), memory, kept)

    @property
    def flow(self):
        return flow_of(self)

    def parameters(self):
        return parameters(self._numbers())

    def with_values(self, values):
        changed = with_parameters(self._numbers(), values)
        given = {path_of(self._numbers(), name) for name in values}
        injected = {
            name: value
            for name, value in changed.hyperparameters.items()
            if name in self.injected or ("hyperparameters", name) in given
        }
        return OptaxStepMap(changed.loss, self.optimizer, changed.method, injected)

    def _numbers(self) -> "_Numbers":
        found: dict[str, Any] = {}
        for node in _injecting(self.optimizer.init(jnp.zeros(1))):
            found |= {name: x for name, x in node.hyperparams.items() if _is_number(x)}
        return _Numbers(self.loss, self.method, found | self.injected)


class _Numbers(eqx.Module):
    """Where the parameters of an optimizer's step are."""

    loss: Callable
    method: AbstractMethod
    hyperparameters: dict[str, Any]


def _is_number(value: Any) -> bool:
    return jnp.ndim(value) == 0 and jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _has_hyperparameters(node: Any) -> bool:
    return isinstance(node, tuple) and isinstance(getattr(node, "hyperparams", None), Mapping)


def _injecting(memory: Any) -> list[Any]:
    """The states of `optax.inject_hyperparams` within an optimizer's state."""
    nodes = jax.tree.leaves(memory, is_leaf=_has_hyperparameters)
    return [node for node in nodes if _has_hyperparameters(node)]


def _with_hyperparameters(memory: Any, values: Mapping[str, Any]) -> Any:
    def changed(node: Any) -> Any:
        if not _has_hyperparameters(node):
            return node
        mine = {
            name: jnp.asarray(values[name]).astype(jnp.result_type(old))
            for name, old in node.hyperparams.items()
            if name in values
        }
        return node._replace(hyperparams={**node.hyperparams, **mine})

    return jax.tree.map(changed, memory, is_leaf=_has_hyperparameters)
