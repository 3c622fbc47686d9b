"""The same system on a flat vector, for parameters that are any pytree.

What an analysis does with vectors it does with the flattened parameters; the system itself, its
loss, method, optimizer and noise, still see the pytree.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ...lazily import optax
from ..methods.method import AbstractMethod
from ..momentum import AbstractMomentum
from ..regions.regions import AbstractRegion, Predicate
from .flow import Flow
from .map import AbstractMap, State
from .ode import AbstractODE
from .optax_map import OptaxStepMap
from .sde import AbstractSDE
from .step_map import StepMap
from .stochastic_map import AbstractStochasticMap


class Flat(NamedTuple):
    """A system on vectors, its start (d,), and the way back to a pytree."""

    system: Any
    start: Float[Array, " d"]
    unravel: "Unravel"


def is_vector(start: Any) -> bool:
    """Whether a start is one array, or a list of numbers, and nothing has to be flattened."""
    if isinstance(start, list | tuple):
        return all(np.ndim(x) == 0 and not isinstance(x, dict | list | tuple) for x in start)
    return isinstance(start, jax.Array | np.ndarray) and start.ndim == 1


def flattened(system: Any, start: PyTree) -> Flat:
    """`system` as one on vectors of as many numbers as `start`, a pytree, has."""
    arrays = jax.tree.map(lambda x: jnp.asarray(x, float), start)
    leaves, structure = jax.tree.flatten(arrays)
    up, flat = Unravel(structure, tuple(leaf.shape for leaf in leaves)), down(arrays)
    if isinstance(system, Flow):
        made: Any = Flow(OfVectors(system.loss, up), MethodOfVectors(system.method, up))
    elif isinstance(system, StepMap):
        made = StepMap(
            OfVectors(system.loss, up),
            MethodOfVectors(system.method, up),
            system.learning_rate,
            system.momentum,
        )
    elif isinstance(system, OptaxStepMap):
        made = OptaxStepMap(
            OfVectors(system.loss, up),
            _optimizer_of_vectors(system.optimizer, up),
            MethodOfVectors(system.method, up),
            system.injected,
        )
    else:
        made = _general(system, up)
    return Flat(made, flat, up)


def _general(system: Any, up: "Unravel") -> Any:
    kinds: Any = (
        (AbstractODE, ODEOfVectors),
        (AbstractMap, MapOfVectors),
        (AbstractSDE, SDEOfVectors),
        (AbstractStochasticMap, StochasticMapOfVectors),
    )
    return next((made(system, up) for kind, made in kinds if isinstance(system, kind)), system)


class Unravel(eqx.Module):
    """Vector → pytree, in the dtype of the vector; two of the same structure are equal."""

    structure: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __call__(self, v: Array) -> PyTree:
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        parts = jnp.split(v, ends[:-1].tolist())
        leaves = [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)


def down(w: PyTree) -> Array:
    """A pytree as a vector."""
    return ravel_pytree(w)[0]


class OfVectors(eqx.Module):
    """A function of a pytree, as one of the vector."""

    function: Callable
    up: Unravel

    def __call__(self, v: Array) -> Any:
        return self.function(self.up(v))


class MethodOfVectors(AbstractMethod):
    """A method of pytrees, as one of vectors: it sees the leaves that it would see."""

    of: AbstractMethod
    up: Unravel

    def _lifted(self, gradient: Callable, w: Array, tree: PyTree) -> Callable:
        # the very point of the caller keeps its identity
        return lambda v: self.up(gradient(w if v is tree else down(v)))

    def perturb(self, gradient, w):
        tree = self.up(w)
        return down(self.of.perturb(self._lifted(gradient, w, tree), tree))

    def descend(self, gradient, w, ahead):
        tree, there = self.up(w), self.up(ahead)
        lifted = lambda v: self.up(gradient(w if v is tree else ahead if v is there else down(v)))  # noqa: E731
        return down(self.of.descend(lifted, tree, there))

    def init(self, w):
        return self.of.init(self.up(w))

    def ascend(self, memory, gradient, w):
        tree = self.up(w)
        there, memory = self.of.ascend(memory, self._lifted(gradient, w, tree), tree)
        return down(there), memory

    def conclude(self, memory, gradient, w, direction):
        tree = self.up(w)
        lifted = self._lifted(gradient, w, tree)
        direction, memory = self.of.conclude(memory, lifted, tree, self.up(direction))
        return down(direction), memory

    def smoothed(self, mean_unit, gradient, w):
        tree = self.up(w)
        of_tree = lambda v: self.up(mean_unit(down(v)))  # noqa: E731
        found = self.of.smoothed(of_tree, self._lifted(gradient, w, tree), tree)
        return None if found is None else down(found)

    @property
    def remembers(self):
        return self.of.remembers

    @property
    def ascent(self):
        return self.of.ascent

    @property
    def discontinuous(self):
        return self.of.discontinuous

    @property
    def smooth(self):
        return self.of.smooth

    @property
    def differentiates_ascent(self):
        return self.of.differentiates_ascent

    @property
    def linear(self):
        return self.of.linear

    @property
    def asks_gradient(self):
        return self.of.asks_gradient

    @property
    def counts(self):
        return self.of.counts

    @property
    def radius(self):
        return self.of.radius

    @property
    def label(self):
        return self.of.label

    @property
    def kin(self):
        return self.of.kin

    @property
    def published_as(self):
        return self.of.published_as


def _optimizer_of_vectors(optimizer: Any, up: Any) -> "optax.GradientTransformation":
    def init(v):
        return optimizer.init(up(v))

    def update(updates, state, params=None):
        tree = None if params is None else up(params)
        found, state = optimizer.update(up(updates), state, tree)
        return down(found), state

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


class ODEOfVectors(AbstractODE):
    """An ODE of pytrees, as one of vectors."""

    of: AbstractODE
    up: Unravel

    def velocity(self, w):
        return down(self.of.velocity(self.up(w)))


class MapOfVectors(AbstractMap):
    """A map of pytrees, as one of vectors; what it remembers stays as it is."""

    of: AbstractMap
    up: Unravel

    def init(self, w):
        state = self.of.init(self.up(w))
        return state._replace(w=w)

    def __call__(self, state: State) -> State:
        after = self.of(state._replace(w=self.up(state.w)))
        return after._replace(w=down(after.w))


class SDEOfVectors(AbstractSDE):
    """An SDE of pytrees, as one of vectors."""

    of: AbstractSDE
    up: Unravel

    interpretation = "Itô"

    def _up(self, y: Any) -> Any:
        return tuple(map(self.up, y)) if self.inertial else self.up(y)

    def _down(self, y: Any) -> Any:
        return tuple(map(down, y)) if self.inertial else down(y)

    @property
    def inertial(self):
        return self.of.inertial

    @property
    def momentum(self) -> AbstractMomentum:
        """That of the optimizer."""
        return self.of.momentum  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def learning_rate(self) -> Any:
        """That of the optimizer."""
        return self.of.learning_rate  # pyright: ignore[reportAttributeAccessIssue]

    def init(self, w):
        return self._down(self.of.init(self.up(w)))

    def position(self, y):
        return y[0] if self.inertial else y

    def draws(self, w):
        return self.of.draws(self.up(w))

    def drift(self, y):
        return self._down(self.of.drift(self._up(y)))

    def disperse(self, y, z):
        return self._down(self.of.disperse(self._up(y), z))

    @property
    def additive(self):
        return self.of.additive

    def is_additive(self, w):
        return self.of.is_additive(self.up(w))

    @property
    def uniform(self):
        return self.of.uniform

    def accepts(self, solver):
        return self.of.accepts(solver)

    def default_solver(self):
        return self.of.default_solver()


class StochasticMapOfVectors(AbstractStochasticMap):
    """A random map of pytrees, as one of vectors."""

    of: AbstractStochasticMap
    up: Unravel

    @property
    def loss(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return OfVectors(self.of.loss, self.up)

    @property
    def method(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return MethodOfVectors(self.of.method, self.up)

    @property
    def learning_rate(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.of.learning_rate

    @property
    def momentum(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.of.momentum

    @property
    def law(self):
        return self.of.law

    def draws(self, w):
        return self.of.draws(self.up(w))

    def init(self, w):
        return self.of.init(self.up(w))

    def direction(self, state, z):
        return self.of.direction(state, z)

    def step(self, state, z):
        return self.of.step(state, z)

    def __call__(self, state, key):
        return self.of(state, key)


def region_of_vectors(region: AbstractRegion, up: Unravel) -> AbstractRegion:
    """A region of pytrees, as one of vectors."""
    if isinstance(region, Predicate):
        return Predicate(OfVectors(region.function, up), region.predicate)
    return RegionOfVectors(region, up)


class RegionOfVectors(AbstractRegion):
    """A region of pytrees with a distance of its own, as one of vectors."""

    of: AbstractRegion
    up: Unravel

    def distance(self, w):
        return self.of.distance(self.up(w))

    def is_predicate(self, w):
        return self.of.is_predicate(self.up(w))

    @property
    def exact(self):
        return self.of.exact

    def __str__(self):
        return str(self.of)
