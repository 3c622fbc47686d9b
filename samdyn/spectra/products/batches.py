"""The loss over several batches as one function of the parameters, a batch at a time.

Its gradient and its Hessian products accumulate over the batches, so that memory is that of one.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...dynamics import tree
from ...errors import InvalidInput


class Batches(NamedTuple):
    """Batches of equal shapes stacked in `groups`, in the order of `weights` (n,), which sum to 1.

    `weighing` says in words how the mean over them is taken.
    """

    groups: tuple[PyTree, ...]
    weights: np.ndarray
    weighing: str


def gather(batches: Any, weights: Any = None, n_batches: int | None = None) -> Batches:
    """All batches as arrays; those of unequal sizes weigh as much as they have examples.

    `weights`, one number > 0 a batch, says otherwise. `n_batches` are taken from something without
    a length, such as an endless generator. `InvalidInput` for what is no list of batches.
    """
    found = listed(batches, n_batches)
    order, groups = _grouped(found)
    weighing = "every batch alike"
    if weights is not None:
        values, weighing = checked_weights(weights, len(found)), "weights as given"
    elif len(groups) > 1:
        values, weighing = _sizes(found), "batches by their number of examples"
    else:
        values = np.ones(len(found))
    return Batches(groups, (values / values.sum())[order], weighing)


def listed(batches: Any, n_batches: int | None = None) -> list[Any]:
    """The batches as a list of one structure; `InvalidInput` for what is none."""
    if isinstance(batches, Mapping | str) or not isinstance(batches, Iterable):
        raise InvalidInput(f"batches is a list of batches, not {type(batches).__name__}.")
    if not hasattr(batches, "__len__") and n_batches is None:
        raise InvalidInput(
            "batches does not tell its length and may never end: give a list, or n_batches."
        )
    if n_batches is not None and not (isinstance(n_batches, int | np.integer) and n_batches > 0):
        raise InvalidInput(f"n_batches is a whole number > 0, not {n_batches!r}.")
    found = list(itertools.islice(batches, n_batches))
    if not found:
        raise InvalidInput("batches is empty: give at least one.")
    if n_batches is not None and len(found) < n_batches:
        raise InvalidInput(f"batches ended after {len(found)} of n_batches = {n_batches}.")
    for leaf in jax.tree.leaves(found) or [None]:
        if not (isinstance(leaf, jax.Array) or np.asarray(leaf).dtype.kind in "fiubc"):
            raise InvalidInput(
                "a batch holds no array, or something else "
                f"({type(leaf).__name__}): a loss without data takes [jnp.zeros(1)]."
            )
    first = jax.tree.structure(found[0])
    for number, batch in enumerate(found):
        if jax.tree.structure(batch) != first:
            raise InvalidInput(f"batch {number} has another structure than batch 0.")
    return found


def _grouped(batches: list[Any]) -> tuple[np.ndarray, tuple[PyTree, ...]]:
    """(the order of the batches by groups of equal shapes, the groups, stacked)."""
    members: dict[Any, list[int]] = {}
    for number, batch in enumerate(batches):
        leaves = [on_one_device(leaf) for leaf in jax.tree.leaves(batch)]
        members.setdefault(tuple((x.shape, str(x.dtype)) for x in leaves), []).append(number)
    stacked = [
        jax.tree.map(lambda *x: jnp.stack([on_one_device(v) for v in x]), *(batches[i] for i in m))
        for m in members.values()
    ]
    return np.array([i for m in members.values() for i in m]), tuple(stacked)


def on_one_device(leaf: Any) -> Any:
    """A leaf as an array of the default device, gathered if it is spread over several."""
    if isinstance(leaf, jax.Array) and not _is_key(leaf) and len(leaf.sharding.device_set) > 1:
        if not leaf.is_fully_addressable:
            raise InvalidInput(
                "an array is spread over devices of several processes: gather it first."
            )
        return jnp.asarray(np.asarray(leaf))
    return jnp.asarray(leaf)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _sizes(batches: list[Any]) -> np.ndarray:
    """How many examples each batch has: the first axis that all its arrays share."""
    sizes = []
    for number, batch in enumerate(batches):
        for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(batches[0]), strict=True):
            if np.shape(one)[1:] != np.shape(other)[1:] or np.ndim(one) != np.ndim(other):
                raise InvalidInput(
                    f"batch {number} has an array of shape {np.shape(one)} where batch 0 has "
                    f"{np.shape(other)}, and only the number of examples may differ; a single "
                    "batch is given as [batch]."
                )
    for batch in batches:
        lengths = {np.shape(leaf)[0] for leaf in jax.tree.leaves(batch) if np.ndim(leaf)}
        if len(lengths) != 1:
            raise InvalidInput(
                "batches have unequal shapes, and no first axis of examples that all arrays of a "
                "batch share: give weights, one a batch, or make all equal, leaving out an "
                "incomplete last one."
            )
        sizes.append(lengths.pop())
    return np.array(sizes, float)


def checked_weights(weights: Any, count: int) -> np.ndarray:
    """The weights (count,), or `InvalidInput`."""
    try:
        values = np.asarray(weights, float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (count,) or not np.all(np.isfinite(values) & (values > 0)):
        raise InvalidInput(f"weights are {count} finite numbers > 0, one a batch.")
    return values


class BatchedLoss(eqx.Module):
    """w ↦ the mean of loss(w, batch) over the batches. Differentiate in reverse, then forward.

    A module, so that the data are arguments of what is compiled and not constants within it.
    """

    loss: Callable[[PyTree, PyTree], Any]
    groups: tuple[PyTree, ...]
    weights: jax.Array | np.ndarray  # (n,), sum 1

    @property
    def count(self) -> int:
        return len(self.weights)

    @property
    def first(self) -> PyTree:
        """The first batch."""
        return jax.tree.map(lambda leaf: leaf[0], self.groups[0])

    def batches(self) -> Iterator[PyTree]:
        """One after the other, in the order of the weights."""
        for group in self.groups:
            for number in range(jax.tree.leaves(group)[0].shape[0]):
                yield jax.tree.map(lambda leaf, k=number: leaf[k], group)

    def mean_of(self, one: Callable[[PyTree], PyTree]) -> PyTree:
        """The mean of one(batch), a pytree of arrays, over the batches, one at a time."""
        if self.count == 1:
            return one(self.first)
        shapes = jax.eval_shape(one, self.first)
        total = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def add(total, item):
            batch, weight = item
            return tree.add_scaled(total, weight, one(batch)), None

        for group, weights in self._by_group():
            total, _ = jax.lax.scan(add, total, (group, weights))
        return total

    def each(self, one: Callable[[PyTree], PyTree]) -> PyTree:
        """one(batch) for every batch, along a new first axis (n, …)."""
        if self.count == 1:
            return jax.tree.map(lambda x: x[None], one(self.first))
        parts = [jax.lax.map(one, group) for group in self.groups]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    def _by_group(self) -> Iterator[tuple[PyTree, Any]]:
        at = 0
        for group in self.groups:
            size = jax.tree.leaves(group)[0].shape[0]
            yield group, jnp.asarray(self.weights)[at : at + size]
            at += size

    def __call__(self, w: PyTree) -> Any:
        if self.count == 1:
            return self.loss(w, self.first)
        mean = jax.custom_vjp(lambda w: self.with_gradient(w)[0])
        mean.defvjp(self.with_gradient, lambda gradient, s: (tree.scaled(s, gradient),))
        return mean(w)

    def with_gradient(self, w: PyTree) -> tuple[Any, PyTree]:
        """(value, gradient), accumulated over the batches."""
        one = jax.value_and_grad(self.loss)
        return self.mean_of(lambda batch: one(w, batch))
