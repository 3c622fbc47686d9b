"""The discrete optimizer on real minibatches of data, driven by random words."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, UInt32

from ...errors import InvalidInput
from .. import tree
from ..coupling import AbstractCoupling, Fresh, Independent, Paper, SameBatch, has_own_direction
from ..methods.method import AbstractMethod
from ..momentum import AbstractMomentum, as_momentum
from ..noise.noise import MeanLoss, check_without_replacement, examples
from .step_map import State, _positive


def _static_size(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InvalidInput(f"the batch size must be an integer >= 1, like 32, not {size}.")
    return int(size)


class MinibatchStepMap(eqx.Module):
    """One step of GD, SAM, … on minibatches: w⁺ = w − η·(momentum of g_B(w^p)).

    `example_loss(w, example)` is the loss of one example, `data` any pytree whose leaves have a
    first axis of n examples, `batch_size` B. With `SameBatch` both gradients of a step see one
    minibatch, with `Independent` two; with `Fresh` the ascent sees all data. Batches are drawn
    anew at every step, with or without replacement (no epochs).
    """

    example_loss: Callable
    data: PyTree = eqx.field(converter=lambda data: jax.tree.map(jnp.asarray, data))
    batch_size: int = eqx.field(static=True, converter=_static_size)
    method: AbstractMethod
    learning_rate: jax.Array = eqx.field(converter=_positive)
    coupling: AbstractCoupling = eqx.field(default_factory=SameBatch)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)
    replacement: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        n = examples(self.data)
        if not self.replacement:
            check_without_replacement(self.batch_size, n)
        if isinstance(self.coupling, Paper):
            raise InvalidInput(
                "the paper coupling is a model of noise that no minibatch follows; "
                "use same-batch, fresh or independent."
            )
        own = has_own_direction(self.method)
        if own and not isinstance(self.coupling, SameBatch):
            raise InvalidInput(
                f"{type(self.method).__name__} does not descend the gradient at w^p, so its "
                "minibatches must be same-batch."
            )

    @property
    def loss(self) -> MeanLoss:
        """The mean loss over all data."""
        return MeanLoss(self.example_loss, self.data)

    def init(self, w: PyTree) -> State:
        """The state before the first step from w."""
        return State(w, self.momentum.init(w))

    def words(self, w: PyTree) -> int:
        """How many random words of 32 bits one step needs."""
        del w
        each = self.batch_size if self.replacement else examples(self.data)
        return 2 * each if isinstance(self.coupling, Independent) else each

    def step(self, state: State, words: UInt32[Array, " words"]) -> State:
        """One step with the given random words."""
        memory, step = self.momentum.update(state.memory, self.direction(state.w, words))
        return State(tree.add_scaled(state.w, -self.learning_rate, step), memory)

    def __call__(self, state: State, key: PRNGKeyArray) -> State:
        return self.step(state, jax.random.bits(key, (self.words(state.w),), jnp.uint32))

    def at_radius(self, rho: Any) -> "MinibatchStepMap":
        """The same map with another perturbation radius."""
        return eqx.tree_at(lambda m: m.method, self, self.method.at_radius(rho))

    def direction(self, w: PyTree, words: UInt32[Array, " words"]) -> PyTree:
        """The descent direction at w on the minibatches that the words choose."""
        if isinstance(self.coupling, SameBatch):
            return self.method.direction(self.batch_loss(words), w)
        if isinstance(self.coupling, Fresh):
            outer, inner = self.batch_loss(words), self.loss
        else:  # independent: the first half is the outer one, as in `Independent`
            outer, inner = (self.batch_loss(half) for half in jnp.split(words, 2))
        return jax.grad(outer)(self.method.perturb(jax.grad(inner), w))

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
