"""Maps w ↦ w⁺: anyone's own, and what all of them share."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ...checks import require_function
from ...programs.batch import OnPoints
from ..parameters import as_args
from .ode import AbstractODE
from .system import AbstractSystem


class State(NamedTuple):
    """Parameters w, what the optimizer remembers, and what the method does (None for nothing)."""

    w: PyTree
    memory: PyTree
    ascent: PyTree = None


class AbstractMap(AbstractSystem):
    """A map `state -> state`; `init(w)` makes the first state from w.

    Every state has one form, of structure, shapes and dtypes; `samdyn.testing.check_map` looks.
    """

    @property
    def flow(self) -> AbstractODE | None:
        """The flow of which it is a discretisation, None where there is none or none is known."""
        return None

    @abc.abstractmethod
    def init(self, w: PyTree) -> State:
        """The state before the first step from w."""

    @abc.abstractmethod
    def __call__(self, state: State) -> State:
        """One step."""

    @property
    def jumps(self) -> bool:
        """Whether its step may be discontinuous at a point about which it stays."""
        method = getattr(self, "method", None)
        return method is not None and method.discontinuous


class Map(AbstractMap):
    """Anyone's own map w ↦ step(w, args).

    `args` is any pytree; the numbers in it are the parameters of the system.
    """

    _step: Callable
    args: Any

    def __init__(self, step: Callable, args: Any = None):
        self._step, self.args = require_function(step, "step(w, args)"), as_args(args)

    def init(self, w):
        return State(w, None)

    def __call__(self, state):
        return State(self._step(state.w, self.args), None)


class Displacement(AbstractODE):
    """w ↦ (w after one step) − w, whose zeros are the fixed points of the map from rest."""

    map: AbstractMap

    def velocity(self, w):
        after = self.map(self.map.init(w)).w
        return jax.tree.map(jnp.subtract, after, w)


def flat_step(map_: AbstractMap, state: State) -> tuple[Callable, Float[Array, " n"]]:
    """(the step on a flat vector, the state as that vector).

    Only floating-point leaves are part of the vector; counters keep the value they have.
    """
    floats, rest = eqx.partition(state, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(floats)

    def step(v):
        after = map_(eqx.combine(unravel(v), rest))
        return ravel_pytree(eqx.filter(after, eqx.is_inexact_array))[0]

    return step, flat


class StepOnState(eqx.Module):
    """One step on the flat vector of the state's floating-point numbers, of which w is (dim,).

    Counters are those of the state at rest.
    """

    map: AbstractMap
    dim: int = eqx.field(static=True)

    def __call__(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        return flat_step(self.map, self.map.init(jnp.zeros(self.dim)))[0](v)

    def rest(self, w: Float[np.ndarray, "k dim"]) -> Float[np.ndarray, "k n"]:
        """The flat states that `init` gives at points."""
        return OnPoints(_Rest(self.map), self.dim).values(np.asarray(w))

    def on_states(self) -> OnPoints:
        """This step on many states at once."""
        numbers = self.rest(np.zeros((1, self.dim))).shape[1]
        return OnPoints(self, numbers)


class _Rest(eqx.Module):
    """w ↦ the flat state at rest there."""

    map: AbstractMap

    def __call__(self, w):
        return flat_step(self.map, self.map.init(w))[1]


def state_jacobian(map_: AbstractMap, w: PyTree) -> Float[Array, "n n"]:
    """The Jacobian of the step in its full state, at the state that `init(w)` gives."""
    step, flat = flat_step(map_, map_.init(w))
    return jax.jacfwd(step)(jnp.asarray(flat))
