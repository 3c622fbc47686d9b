"""Training runs side by side: minibatch SGD with heavy-ball momentum and a perturbation.

A *lane* is one run: its own radius, step size, momentum and seed. All lanes of a call advance in
one compiled loop and share model, batch size and number of steps. A step is the very
`samdyn.StepMap` of the minibatch's loss, so SAM here is the SAM of `dynamics`, and both of its
gradients see the same minibatch.

An epoch visits the training examples in a new random order and leaves out the last n mod B of it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from ...dynamics.methods.method import AbstractMethod
from ...dynamics.momentum import HeavyBall
from ...dynamics.systems.map import State
from ...dynamics.systems.step_map import StepMap
from ...dynamics.tree import as_dtype
from ...errors import InvalidInput
from ...interrupts import heed, heeded
from ..data.dataset import Dataset

SMOOTHING = 0.9  # of the running mean that decides when the plateau is left
BELOW = 0.9  # of the plateau
LAUNCH = 256  # steps of one launch at most, so that an interrupt is heard
EVALUATED = 512  # examples at a time, for memory


def cross_entropy(logits: Float[Array, "n classes"], y: Int[Array, " n"]) -> Float[Array, ""]:
    """Mean of −log softmax at the label."""
    shifted = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(shifted, y[:, None], axis=1))


class BatchLoss(eqx.Module):
    """The mean cross-entropy of a network over (x, y), as a function of its parameters.

    With `piece` a larger batch goes through the network that many examples at a time, forth and
    back, so that what is between stays in the cache or at least in memory. That costs a second
    way forth, and changes rounding.
    """

    static: PyTree
    x: Float[Array, "n ..."]
    y: Int[Array, " n"]
    piece: int | None = eqx.field(static=True, default=None)

    def __call__(self, params: PyTree) -> Float[Array, ""]:
        network = eqx.combine(params, self.static)
        if self.piece is None or len(self.y) <= self.piece:
            return cross_entropy(jax.vmap(network)(self.x), self.y)

        @jax.checkpoint
        def one(example):
            x, y = example
            return cross_entropy(network(x)[None], y[None])

        return jnp.mean(jax.lax.map(one, (self.x, self.y), batch_size=self.piece))


class Lane(eqx.Module):
    """The options of one run; every leaf gets a leading axis where lanes run side by side."""

    method: AbstractMethod
    learning_rate: Float[Array, "..."]
    momentum: Float[Array, "..."]
    key: Key[Array, "..."]  # orders the examples


class Progress(eqx.Module):
    """Where one run is: `level` is the running mean of losses, `plateau` −1 while still on it."""

    state: State
    steps: Int[Array, "..."]
    level: Float[Array, "..."]
    plateau: Int[Array, "..."]


class Problem(eqx.Module):
    """What all lanes share."""

    static: PyTree  # the network without its parameters
    x: Float[Array, "n ..."]
    y: Int[Array, " n"]
    threshold: Float[Array, ""]
    batch_size: int = eqx.field(static=True)
    piece: int | None = eqx.field(static=True)

    def advance(
        self, lane: Lane, progress: Progress, epoch: Array, first: Array, last: Array
    ) -> tuple[Progress, Float[Array, ""]]:
        """Minibatches `first` to `last` of an epoch; also the sum of their losses."""
        order = jax.random.permutation(jax.random.fold_in(lane.key, epoch), len(self.y))

        def step(index, carry):
            progress, total = carry
            chosen = jax.lax.dynamic_slice(order, (index * self.batch_size,), (self.batch_size,))
            loss = BatchLoss(self.static, self.x[chosen], self.y[chosen], self.piece)
            value = loss(progress.state.w)  # the compiler shares this with the first gradient
            move = StepMap(loss, lane.method, lane.learning_rate, HeavyBall(lane.momentum))
            return self._noted(progress, move(progress.state), value), total + value

        start = progress, jnp.zeros((), self.x.dtype)
        return jax.lax.fori_loop(first, last, step, start)

    def _noted(self, progress: Progress, state: State, value: Array) -> Progress:
        level = SMOOTHING * progress.level + (1 - SMOOTHING) * value
        weight = 1 - SMOOTHING ** (progress.steps + 1).astype(value.dtype)
        left = (progress.plateau < 0) & (level < weight * self.threshold)
        plateau = jnp.where(left, progress.steps, progress.plateau)
        return Progress(state, progress.steps + 1, level, plateau)


class Training(NamedTuple):
    """What L runs came to.

    `params` is the networks' parameters, each leaf (L, …). `curve` (L, epochs) holds the mean
    minibatch loss of every epoch, `train_loss`, `train_accuracy` and `test_accuracy` (L,) the
    final values over all examples; they are nan where a run diverged. `plateau_steps` (L,) is the
    number of steps a run had made when its loss first was clearly below the plateau, −1 if never:
    the first t at which the running mean of the minibatch losses ℓ₀ … ℓ_t (weights 0.9^(t−s),
    normalised; ℓ_t is taken before step t + 1) is below 0.9 × the entropy of the training labels,
    which for balanced classes is 0.9·ln(classes). `status` (L,) is "ran", or "diverged" where a
    parameter or the final loss is not finite.
    """

    params: PyTree
    curve: np.ndarray
    train_loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    plateau_steps: np.ndarray
    status: np.ndarray


def train(
    dataset: Dataset,
    make: Callable[[Any], Any],
    method: AbstractMethod | Sequence[AbstractMethod],
    *,
    rho: Any = None,
    learning_rate: Any,
    momentum: Any = 0.0,
    batch_size: int,
    steps: int,
    seeds: Sequence[int] = (0,),
    piece: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Training:
    """Train `make(key)` on `dataset`, one lane for each of `seeds`.

    `method` is one, or one for each lane that differ in numbers alone. `rho` (L,) gives each lane a
    radius of its own; without it all have that of `method`.
    `learning_rate` and `momentum` are numbers or (L,). A seed determines the first parameters and
    the order of the examples, whatever else differs, so runs of equal seed can be compared in
    pairs. Parameters take the dtype of the data. A minibatch of more than `piece` examples is
    differentiated in pieces (see `BatchLoss`). `progress` is called with the fraction done.
    `InvalidInput` for a batch larger than the data, a momentum outside [0, 1) or no lanes.
    """
    check_batch_size(batch_size, len(dataset.train_y))
    lanes = lanes_of(method, rho, learning_rate, momentum, seeds)
    params, static = initial(make, seeds, dataset.train_x.dtype)
    problem = problem_of(dataset, static, batch_size, piece)
    with heeded():
        now, curve = _run(problem, lanes, start_of(params, problem, lanes), steps, progress)
    return _finished(dataset, problem, now, curve)


def check_batch_size(batch_size: int, examples: int) -> None:
    """`InvalidInput` unless 1 ≤ batch_size ≤ examples."""
    if not 1 <= batch_size <= examples:
        raise InvalidInput(
            f"the batch size must lie between 1 and the {examples} training examples, "
            f"not {batch_size}."
        )


def lanes_of(method, rho, learning_rate, momentum, seeds) -> Lane:
    """The options of the runs, side by side."""
    count = len(seeds)
    if count == 0:
        raise InvalidInput("a training needs one seed or more.")
    each = lambda value: jnp.broadcast_to(jnp.asarray(value, jnp.float32), (count,))  # noqa: E731
    rates, gammas = each(learning_rate), each(momentum)
    if isinstance(method, AbstractMethod):
        at = method if rho is None else method.at_radius(jnp.asarray(rho, jnp.float32))
        at = jax.tree.map(each, at)
    else:
        at = _side_by_side(method)
    StepMap(len, at, rates, HeavyBall(gammas))  # refuses what cannot be
    return Lane(at, rates, gammas, _keys(seeds, 1))


def _side_by_side(methods: Sequence[AbstractMethod]) -> AbstractMethod:
    """One method whose numbers have a leading axis of lanes."""
    parts = [eqx.partition(method, eqx.is_array_like) for method in methods]
    stack = lambda *leaves: jnp.stack([jnp.asarray(x, _dtype(x)) for x in leaves])  # noqa: E731
    return eqx.combine(jax.tree.map(stack, *(numbers for numbers, _ in parts)), parts[0][1])


def _dtype(leaf: Any) -> Any:
    inexact = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    return jnp.float32 if inexact else jnp.result_type(leaf)


def _keys(seeds: Sequence[int], stream: int) -> Key[Array, " lanes"]:
    """One key a lane; streams: 0 first parameters, 1 order of the examples."""
    return jnp.stack([jax.random.fold_in(jax.random.key(seed), stream) for seed in seeds])


def initial(make: Callable, seeds: Sequence[int], dtype: Any) -> tuple[PyTree, PyTree]:
    """(parameters with a leading axis of lanes, the rest of the network).

    Each network is made alone: its numbers do not depend on how many there are.
    """
    parts = {}
    for seed, key in zip(seeds, _keys(seeds, 0), strict=True):
        if seed not in parts:
            parts[seed] = eqx.partition(as_dtype(make(key), dtype), eqx.is_inexact_array)
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(parts[seed][0] for seed in seeds))
    return params, parts[seeds[0]][1]


def problem_of(dataset: Dataset, static: PyTree, batch_size: int, piece: int | None) -> Problem:
    """What the runs share; `static` is the network without its parameters."""
    x, y = jnp.asarray(dataset.train_x), jnp.asarray(dataset.train_y)
    threshold = jnp.asarray(BELOW * dataset.plateau, x.dtype)
    return Problem(static, x, y, threshold, batch_size, piece)


def start_of(params: PyTree, problem: Problem, lanes: Lane) -> Progress:
    """Where the runs begin."""
    count = len(jax.tree.leaves(params)[0])
    memory = eqx.filter_vmap(lambda method, w: method.init(w))(lanes.method, params)
    state = State(params, jax.tree.map(jnp.zeros_like, params), memory)
    zeros, dtype = jnp.zeros(count, jnp.int32), problem.x.dtype
    return Progress(state, zeros, jnp.zeros(count, dtype), zeros - 1)


@eqx.filter_jit
def _advance(problem: Problem, lanes: Lane, progress: Progress, span: Int[Array, "3"]) -> Any:
    each = eqx.if_array(0)  # a method may hold what is no array
    every = eqx.filter_vmap(problem.advance, in_axes=(each, each, None, None, None))
    return every(lanes, progress, *span)


def _run(problem, lanes, now, steps, report) -> tuple[Progress, np.ndarray]:
    """Progress after `steps`, and the mean loss of each epoch (lanes, epochs)."""
    each = len(problem.y) // problem.batch_size
    curve = []
    for begin in range(0, steps, each):
        batches, total = min(each, steps - begin), np.zeros(len(lanes.learning_rate))
        for first in range(0, batches, LAUNCH):
            last = min(batches, first + LAUNCH)
            span = jnp.asarray([begin // each, first, last], jnp.int32)
            now, losses = _advance(problem, lanes, now, span)
            total = total + np.asarray(losses, float)
            heed()
            if report is not None:
                report((begin + last) / steps)
        curve.append(total / batches)
    return now, np.stack(curve, axis=1)


@eqx.filter_jit
def evaluate(problem: Problem, params: PyTree, x: Array, y: Array) -> tuple[Array, Array]:
    """Mean loss of each lane over (x, y), and how many examples it labels correctly."""

    def one(params):
        network = eqx.combine(params, problem.static)
        logits = jax.lax.map(network, x, batch_size=EVALUATED)
        correct = jnp.argmax(logits, axis=1).astype(y.dtype) == y
        return cross_entropy(logits, y), jnp.sum(correct)

    return jax.vmap(one)(params)


def _finished(dataset: Dataset, problem: Problem, now: Progress, curve: np.ndarray) -> Training:
    params = now.state.w
    test = jnp.asarray(dataset.test_x), jnp.asarray(dataset.test_y)
    loss, right = evaluate(problem, params, problem.x, problem.y)
    _, test_right = evaluate(problem, params, *test)
    finite = np.isfinite(np.asarray(loss))
    for leaf in jax.tree.leaves(params):
        finite &= np.all(np.isfinite(np.asarray(leaf).reshape(len(finite), -1)), axis=1)
    known = lambda values: np.where(finite, np.asarray(values, float), math.nan)  # noqa: E731
    return Training(
        params,
        curve,
        known(loss),
        known(right) / len(problem.y),
        known(test_right) / len(test[1]),
        np.asarray(now.plateau),
        np.where(finite, "ran", "diverged"),
    )
