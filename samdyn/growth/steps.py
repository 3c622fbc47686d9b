"""What one step may be: of a deterministic map one map, under minibatches one for each outcome.

Every outcome is a row of numbers, a minibatch or the words that draw one, so that the Jacobians of
all of them are one evaluation of one program, and no number that is varied traces anything anew.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..checks import told
from ..compiling import jit_for_few_runs
from ..dynamics.noise.noise import examples
from ..dynamics.systems.flat import Unravel, flattened
from ..dynamics.systems.map import AbstractMap, Map, State, StepOnState, flat_step
from ..dynamics.systems.minibatch_map import MinibatchStepMap
from ..dynamics.systems.stochastic_map import AbstractStochasticMap
from ..errors import InvalidInput
from ..programs.batch import OnPoints
from ..spectra.products.batches import checked_weights, listed

MOST_OUTCOMES = 5000  # that are all looked at; of more, some are drawn
MOST_NUMBERS = 20_000_000  # in all rows of what is drawn: of long rows there are fewer
WORD = 1 << 32
SHORT = 64  # numbers in a row, and in a state, of which a program is made; else JAX compiles


class OneBatch(eqx.Module):
    """A loss of (params, batch) on one batch."""

    loss: Callable
    batch: PyTree

    def __call__(self, w: PyTree) -> Any:
        return self.loss(w, self.batch)


class FixedDraw(AbstractMap):
    """A random map with the random numbers of a step given."""

    random: AbstractStochasticMap
    z: Array

    def init(self, w):
        return self.random.init(w)

    def __call__(self, state: State) -> State:
        return self.random.step(state, self.z)


class Form(eqx.Module):
    """How a batch is written as a row of numbers, and read again in its own dtypes."""

    structure: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    dtypes: tuple[str, ...] = eqx.field(static=True)

    def read(self, row: Array) -> PyTree:
        """The batch of a row."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1].tolist()
        parts = zip(jnp.split(row, ends), self.shapes, self.dtypes, strict=True)
        leaves = [part.reshape(shape).astype(dtype) for part, shape, dtype in parts]
        return jax.tree.unflatten(self.structure, leaves)


class Outcomes(NamedTuple):
    """Batches as `rows` (n, numbers), drawn with probabilities `weights` (n,).

    `sampled` says that they are draws from a law and not all of it. No `form`: the step is one map.
    """

    form: Form | None
    rows: np.ndarray
    weights: np.ndarray
    sampled: bool
    told: str


def outcomes_of(
    step: Any, params: PyTree, batches: Any, weights: Any, draws: int, seed: int
) -> Outcomes:
    """All that a step at `params` may be; of a random step with too many outcomes, `draws`."""
    if isinstance(step, AbstractStochasticMap):
        if batches is not None:
            raise InvalidInput(f"a {type(step).__name__} draws by itself: leave batches out.")
        return _of_random(step, params, draws, seed)
    if not isinstance(step, AbstractMap):
        raise InvalidInput(
            f"exponents takes a StepMap, OptaxStepMap, Map or MinibatchStepMap, not {told(step)}."
        )
    if batches is None:
        return Outcomes(None, np.zeros((1, 0)), np.ones(1), False, "the step is deterministic")
    if callable(batches):
        return _of_sampler(batches, draws, seed)
    return _of_batches(batches, weights)


def _of_batches(batches: Any, weights: Any) -> Outcomes:
    found = alike(batches)
    form = _form(found[0])
    for batch in found:  # 1 beside 1.5 is a batch of floats
        common = map(np.result_type, form.dtypes, _form(batch).dtypes)
        form = Form(form.structure, form.shapes, tuple(str(dtype) for dtype in common))
    rows = np.stack([_row(batch) for batch in found])
    count = len(found)
    share = np.ones(count) if weights is None else checked_weights(weights, count)
    return Outcomes(form, rows, share / share.sum(), False, f"{count} batches")


def alike(batches: Any) -> list[PyTree]:
    """The batches as a list, all of one structure and size; `InvalidInput` for anything else."""
    found = listed(batches)
    for number, batch in enumerate(found):
        if _form(batch).shapes != _form(found[0]).shapes:
            raise InvalidInput(
                f"batch {number} is {_shapes(batch)} and batch 0 is {_shapes(found[0])}: every "
                "step draws one of them with equal probability, so that all must be of one size; "
                "leave out an incomplete one."
            )
    return found


def _of_sampler(sampler: Callable, draws: int, seed: int) -> Outcomes:
    one = jax.eval_shape(sampler, jax.random.key(0))
    draws = _affordable(draws, sum(leaf.size for leaf in jax.tree.leaves(one)))
    keys = jax.random.split(jax.random.key(seed), draws)
    found = jax.vmap(sampler)(keys)
    form = _form(jax.tree.map(lambda leaf: leaf[0], found))
    rows = [np.asarray(leaf, float).reshape(draws, -1) for leaf in jax.tree.leaves(found)]
    return Outcomes(
        form, np.concatenate(rows, axis=1), np.full(draws, 1 / draws), True, f"{draws:,} draws"
    )


def _of_random(step: AbstractStochasticMap, params: PyTree, draws: int, seed: int) -> Outcomes:
    if isinstance(step, MinibatchStepMap):
        rows, weights = _all_minibatches(step)
        if rows is not None and weights is not None:
            told = f"all {len(rows):,} minibatches"
            return Outcomes(_words(rows.shape[1], "uint32"), rows, weights, False, told)
    count, rng = step.draws(params), np.random.default_rng(seed)
    draws = _affordable(draws, count)
    if step.law == "words":
        rows, form = rng.integers(WORD, size=(draws, count)).astype(float), _words(count, "uint32")
    else:
        rows, form = rng.normal(size=(draws, count)), _words(count, "float64")
    return Outcomes(form, rows, np.full(draws, 1 / draws), True, f"{draws:,} draws")


def _affordable(draws: int, numbers: int) -> int:
    """As many draws of rows of so many numbers as fit in memory, 32 at least."""
    return min(draws, max(32, MOST_NUMBERS // max(numbers, 1)))


def _words(count: int, dtype: str) -> Form:
    return Form(jax.tree.structure(0), ((count,),), (dtype,))


def _all_minibatches(step: MinibatchStepMap) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(words that draw each minibatch, or pair of such, there is; their probabilities), or Nones
    where there are too many."""
    n, size, times = examples(step.data), step.batch_size, step.coupling.minibatches
    kinds = math.comb(n + size - 1, size) if step.replacement else math.comb(n, size)
    if kinds**times > MOST_OUTCOMES:
        return None, None
    if step.replacement:
        chosen = np.array(list(itertools.combinations_with_replacement(range(n), size)))
        words = -(-chosen * WORD // n)  # ⌈·⌉: the first word that means this index
        counts = [np.bincount(one, minlength=n) for one in chosen]
        ways = [math.factorial(size) / math.prod(map(math.factorial, c.tolist())) for c in counts]
        chance = np.array(ways) / float(n) ** size
    else:
        words = np.full((kinds, n), WORD - 1)
        for row, one in zip(words, itertools.combinations(range(n), size), strict=True):
            row[list(one)] = 0
        chance = np.full(kinds, 1 / kinds)
    several = list(itertools.product(range(kinds), repeat=times))
    rows = np.array([np.concatenate([words[i] for i in one]) for one in several], float)
    return rows, np.array([math.prod(chance[i] for i in one) for one in several])


def _form(batch: PyTree) -> Form:
    leaves, structure = jax.tree.flatten(batch)
    arrays = [leaf if isinstance(leaf, jax.Array) else np.asarray(leaf) for leaf in leaves]
    if not arrays or any(np.dtype(a.dtype).kind not in "fiub" for a in arrays):
        raise InvalidInput(f"a batch is a pytree of arrays of numbers, not {told(batch)}.")
    return Form(structure, tuple(a.shape for a in arrays), tuple(str(a.dtype) for a in arrays))


def _row(batch: PyTree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, float).ravel() for leaf in jax.tree.leaves(batch)])


def _shapes(batch: PyTree) -> str:
    return "of shape " + ", ".join(str(np.shape(leaf)) for leaf in jax.tree.leaves(batch))


def under(step: Any, batch: PyTree) -> AbstractMap:
    """The step on one batch; itself where there is none."""
    if batch is None:
        return step
    if isinstance(step, AbstractStochasticMap):
        return FixedDraw(step, batch)
    if isinstance(step, Map):
        return eqx.tree_at(lambda s: s.args, step, batch, is_leaf=lambda x: x is None)
    if hasattr(step, "loss"):
        return eqx.tree_at(lambda s: s.loss, step, OneBatch(step.loss, batch))
    raise InvalidInput(
        f"a {type(step).__name__} has no loss of (params, batch): leave batches out."
    )


class StepUnder(eqx.Module):
    """(state, row) ↦ the state after a step on the batch of that row; all flat vectors.

    Parameters that are a pytree are read by `up`, those of `dim` numbers.
    """

    step: Any
    form: Form | None
    up: Unravel | None
    dim: int = eqx.field(static=True)
    size: int = eqx.field(static=True)  # of the state

    def __call__(self, both: Array) -> Array:
        state, row = both[: self.size], both[self.size :]
        return self.after(state, None if self.form is None else self.form.read(row))

    def after(self, state: Array, batch: PyTree) -> Array:
        """The flat state after a step on a batch."""
        return StepOnState(self.on(batch), self.dim)(state)

    def on(self, batch: PyTree) -> AbstractMap:
        """The step on one batch, of vectors."""
        step = under(self.step, batch)
        return step if self.up is None else flattened(step, self.up(jnp.zeros(self.dim))).system


class Linearised(NamedTuple):
    """A step on each outcome at one state (size,): where it leads (n, size), and its Jacobians
    (n, size, size)."""

    after: np.ndarray
    jacobians: np.ndarray


class AllSteps:
    """A step on all its outcomes at once, as a map of flat states."""

    def __init__(self, step: Any, outcomes: Outcomes, dim: int, up: Unravel | None = None):
        self.outcomes, self.dim = outcomes, dim
        form = outcomes.form
        self.first = None if form is None else form.read(jnp.asarray(outcomes.rows[0]))
        plain = StepUnder(step, form, up, dim, dim)
        self._first = plain.on(self.first)
        self.size = self.rest(np.zeros(dim)).size
        self.function = StepUnder(step, form, up, dim, self.size)
        numbers = outcomes.rows.shape[1]
        short = max(self.size, numbers) <= SHORT
        self._on_points = OnPoints(self.function, self.size + numbers, self.size) if short else None

    def rest(self, w: np.ndarray) -> np.ndarray:
        """The state (size,) at rest at w (dim,)."""
        return np.asarray(flat_step(self._first, self._first.init(jnp.asarray(w)))[1], float)

    def batches(self) -> list[PyTree]:
        """The batch of every outcome."""
        form = self.outcomes.form
        rows = self.outcomes.rows
        return [None] if form is None else [form.read(jnp.asarray(row)) for row in rows]

    def at(self, state: np.ndarray) -> Linearised:
        """The step at a state (size,), on every outcome."""
        rows = self.outcomes.rows
        if self._on_points is not None:
            states = np.broadcast_to(state, (len(rows), self.size))
            return Linearised(
                *self._on_points.with_jacobians(np.concatenate([states, rows], axis=1))
            )
        found = _linearised(self.function, jnp.asarray(state), jnp.asarray(rows))
        return Linearised(*(np.asarray(x, float) for x in found))


@jit_for_few_runs
def _linearised(function: StepUnder, state: Array, rows: Array):
    def on(row):
        step = lambda v: function(jnp.concatenate([v, row]))  # noqa: E731
        return step(state), jax.jacfwd(step)(state)

    return jax.lax.map(on, rows)
