"""The loss over several batches as one function of the parameters, a batch at a time.

Its gradient and its Hessian products accumulate over the batches, so that memory is that of one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..dynamics import tree
from ..errors import InvalidInput


def stack(batches: Sequence[PyTree]) -> PyTree:
    """All batches in one pytree, with a new first axis."""
    if isinstance(batches, Mapping | str) or not isinstance(batches, Iterable):
        raise InvalidInput(f"batches is a list of batches, not {type(batches).__name__}.")
    batches = list(batches)
    if not batches:
        raise InvalidInput("batches is empty: give at least one.")
    for leaf in jax.tree.leaves(batches) or [None]:
        if not (isinstance(leaf, jax.Array) or np.asarray(leaf).dtype.kind in "fiubc"):
            raise InvalidInput(
                "a batch holds no array, or something else "
                f"({type(leaf).__name__}): a loss without data takes [jnp.zeros(1)]."
            )
    first = jax.tree.structure(batches[0])
    for number, batch in enumerate(batches):
        if jax.tree.structure(batch) != first:
            raise InvalidInput(f"batch {number} has another structure than batch 0.")
        for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(batches[0]), strict=True):
            if np.shape(one) != np.shape(other):
                raise InvalidInput(
                    f"batch {number} has an array of shape {np.shape(one)} where batch 0 has "
                    f"{np.shape(other)}: make all equal, leaving out an incomplete last one; "
                    "a single batch is given as [batch]."
                )
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *batches)


class BatchedLoss(eqx.Module):
    """w ↦ the mean of loss(w, batch) over the batches. Differentiate in reverse, then forward.

    A module, so that the data are arguments of what is compiled and not constants within it.
    """

    loss: Callable[[PyTree, PyTree], Any]
    stacked: PyTree

    @property
    def count(self) -> int:
        return int(jax.tree.leaves(self.stacked)[0].shape[0])

    @property
    def first(self) -> PyTree:
        """The first batch."""
        return jax.tree.map(lambda leaf: leaf[0], self.stacked)

    def __call__(self, w: PyTree) -> Any:
        if self.count == 1:
            return self.loss(w, self.first)
        mean = jax.custom_vjp(lambda w: self.with_gradient(w)[0])
        mean.defvjp(self.with_gradient, lambda gradient, s: (tree.scaled(s, gradient),))
        return mean(w)

    def with_gradient(self, w: PyTree) -> tuple[Any, PyTree]:
        """(value, gradient), accumulated over the batches."""
        one = jax.value_and_grad(self.loss)

        def add(total, batch):
            return tree.add_scaled(total, 1.0, one(w, batch)), None

        shapes = jax.eval_shape(one, w, self.first)
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        total, _ = jax.lax.scan(add, zero, self.stacked)
        return tree.scaled(1 / self.count, total)
