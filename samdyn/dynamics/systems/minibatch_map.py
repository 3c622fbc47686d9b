"""The discrete optimizer on real minibatches of data, driven by random words."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, UInt32

from ...errors import InvalidInput
from ..coupling import AbstractCoupling, Minibatch, as_coupling
from ..methods.method import AbstractMethod, require_given_gradient, require_method
from ..momentum import AbstractMomentum, as_momentum
from ..noise.noise import MeanLoss, check_without_replacement, examples
from .map import State
from .step_map import as_learning_rate
from .stochastic_map import AbstractStochasticMap


def _static_size(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InvalidInput(f"the batch size must be an integer >= 1, like 32, not {size}.")
    return int(size)


class MinibatchStepMap(AbstractStochasticMap):
    """One step of GD, SAM, … on minibatches: w⁺ = w − η·(momentum of g_B(w^p)).

    `example_loss(w, example)` is the loss of one example, `data` any pytree whose leaves have a
    first axis of n examples, `batch_size` B. With `SameBatch` both gradients of a step see one
    minibatch, with `Independent` two; with `Fresh` the ascent sees all data. Batches are drawn
    anew at every step, with or without replacement (no epochs).
    """

    example_loss: Callable
    data: PyTree = eqx.field(converter=lambda data: jax.tree.map(jnp.asarray, data))
    batch_size: int = eqx.field(static=True, converter=_static_size)
    method: AbstractMethod = eqx.field(converter=require_method)
    learning_rate: jax.Array = eqx.field(converter=as_learning_rate)
    coupling: AbstractCoupling = eqx.field(converter=as_coupling, default=None)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)
    replacement: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        require_given_gradient(self.method)
        n = examples(self.data)
        if not self.replacement:
            check_without_replacement(self.batch_size, n)
        if not self.coupling.on_data:
            raise InvalidInput(
                f"the {self.coupling.name} coupling is a model of noise that no minibatch follows; "
                "use same-batch, fresh or independent."
            )

    @property
    def loss(self) -> MeanLoss:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The mean loss over all data."""
        return MeanLoss(self.example_loss, self.data)

    def parameters(self):
        return {**super().parameters(), "batch_size": self.batch_size}

    def with_values(self, values):
        """A batch size is a whole number, and each makes another step: that compiles anew."""
        rest = {name: value for name, value in values.items() if name != "batch_size"}
        changed = super().with_values(rest)
        if "batch_size" not in values:
            return changed
        size = values["batch_size"]
        whole = int(size) if isinstance(size, float) and size.is_integer() else size
        return dataclasses.replace(changed, batch_size=whole)

    @property
    def law(self):
        return "words"

    def draws(self, w: PyTree) -> int:
        """How many random words of 32 bits one step needs."""
        del w
        each = self.batch_size if self.replacement else examples(self.data)
        return self.coupling.minibatches * each

    def __call__(self, state: State, key: PRNGKeyArray) -> State:
        return self.step(state, jax.random.bits(key, (self.draws(state.w),), jnp.uint32))

    def direction(self, state: State, z: UInt32[Array, " words"]) -> tuple[PyTree, PyTree]:
        mean = jax.grad(self.loss)
        batches = [self._minibatch(mean, words) for words in self.coupling.cut(z)]
        return self.coupling.step(self.method, state.ascent, batches, mean, state.w)

    def _minibatch(self, mean: Callable, words: Array) -> Minibatch:
        gradient = jax.grad(self.batch_loss(words))
        noise = lambda v: jax.tree.map(jnp.subtract, gradient(v), mean(v))  # noqa: E731
        return Minibatch(gradient, noise, modelled=False)

    def batch_loss(self, words: UInt32[Array, " words"]) -> MeanLoss:
        """The mean loss over the minibatch that the words choose."""
        n = examples(self.data)
        # without replacement: the examples that hold the smallest words
        chosen = below(n, words) if self.replacement else jnp.argsort(words)[: self.batch_size]
        return MeanLoss(self.example_loss, jax.tree.map(lambda leaf: leaf[chosen], self.data))


def below(n: int, words: UInt32[Array, " k"]) -> Int[Array, " k"]:
    """⌊word·n/2³²⌋, exactly and in 32 bits: indices in [0, n), uniform to one part in 2³²/n."""
    high, low = words >> 16, words & 0xFFFF
    n_high, n_low = (jnp.uint32(part) for part in divmod(n, 1 << 16))
    first = high * n_low + (low * n_low >> 16)
    second = low * n_high + (first & 0xFFFF)
    return (high * n_high + (first >> 16) + (second >> 16)).astype(jnp.int32)
