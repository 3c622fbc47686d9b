"""The Hessian of a loss over batches of data as an operator on flat parameters.

A product is the forward derivative of the gradient. Where memory allows, the gradient is
linearised once and every product reuses it, which saves about a quarter of the time.
"""

from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..krylov import norm
from .batches import BatchedLoss, Batches, gather
from .contract import check_contract, coarsest, slow_in_loops, traced
from .flatten import FlatLoss, flatten
from .operator import Operator

REUSE_BYTES = 2**28  # of a linearised gradient: more is computed anew in each product
KEPT = 16  # compiled functions


class HessianOperator(Operator):
    """v ↦ H v at `params`, mean over `batches`; v and H v are flat (dim,).

    `loss`, `gradient` and `batch_gradient_norm` come with it. The last is the harmonic mean over
    the batches, because normalised SAM divides by a batch's norm; it is 0 where one of them is.
    `checked` says in words what was found out about the loss, `weighing` how the mean is taken.
    """

    def __init__(self, loss: Callable, params: PyTree, batches: Batches, check: bool):
        self.w, self.unflatten = flatten(params)
        self.weighing = batches.weighing
        first = jax.tree.map(lambda leaf: leaf[0], batches.groups[0])
        trace = traced(loss, params, first)
        weights = jnp.asarray(batches.weights, self.w.dtype)
        self.mean = BatchedLoss(FlatLoss(loss, self.unflatten, trace), batches.groups, weights)
        rounding = coarsest(loss, params, first)
        self.checked = "not checked: as asked"
        if check:
            self.checked = check_contract(loss, params, self.mean, self.w, rounding)
        product, memory = _product(self.mean, self.w)
        super().__init__(
            *(product, self.w.size, self.w.dtype),
            memory_bytes=memory,
            check=check,
            rounding=rounding,
        )
        values, norms, self.gradient = _first_order(self.mean, self.w)
        self.loss = float(batches.weights @ np.asarray(values, float))
        norms = np.asarray(norms, float)
        vanishes = np.min(norms) == 0
        self.batch_gradient_norm = 0.0 if vanishes else float(1 / (batches.weights @ (1 / norms)))


@eqx.filter_jit
def _first_order(mean: BatchedLoss, w: jax.Array):
    """(losses of the batches, gradient norms of the batches, mean gradient)."""

    def one(batch):
        value, gradient = jax.value_and_grad(mean.loss)(w, batch)
        return value, norm(gradient)

    values, norms = mean.each(one)
    return values, norms, mean.with_gradient(w)[1]


def hessian(
    loss: Callable[[PyTree, PyTree], Any],
    params: PyTree,
    batches: Iterable[PyTree],
    check: bool = True,
    *,
    weights: Any = None,
    n_batches: int | None = None,
) -> HessianOperator:
    """The Hessian of the mean of loss(params, batch) over `batches`, in the dtype of `params`.

    With `check` it is `InvalidInput` unless the loss is a scalar of these parameters and nothing
    else: the same value twice, linear and symmetric products, no batch norm in training mode, no
    dropout; `checked` of the result says what could be found out. `batches` are pytrees. In the
    mean each weighs as much as it has examples where their sizes differ, else alike; `weights`,
    one number > 0 a batch, says otherwise. `n_batches` are taken from a generator. Nothing is
    compiled again for parameters and batches of equal shapes, unless the loss does something else
    when it is traced.
    """
    return HessianOperator(loss, params, gather(batches, weights, n_batches), check)


def _product(mean: BatchedLoss, w: jax.Array, share: int = 1) -> tuple[Callable, int]:
    """(v ↦ H v, bytes that one needs), `share` of them side by side."""
    if mean.count > 1 and slow_in_loops(mean.loss, w, mean.first):
        return _product_by_batch(mean, w)
    kept = jax.tree.leaves(jax.eval_shape(_linearised, mean, w))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in kept)
    if size * share <= REUSE_BYTES:
        linear = compiled(_linearised, mean, w)(mean, w)
        apply = compiled(_applied, linear, w)
        return lambda v: apply(linear, v), size + _temporary(apply)
    forward = compiled(_tangent, mean, w, w)
    return lambda v: forward(mean, w, v), _temporary(forward)


def _product_by_batch(mean: BatchedLoss, w: jax.Array) -> tuple[Callable, int]:
    """The same with one compiled function that is called for each batch.

    On CPUs XLA's convolutions are tens of times slower in a compiled loop.
    """
    one = jnp.ones(1, w.dtype)
    singles = [
        BatchedLoss(mean.loss, (jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], batch),), one)
        for batch in mean.batches()
    ]
    weights = list(np.asarray(mean.weights).astype(w.dtype))
    parts = [_product(single, w, mean.count) for single in singles]

    def apply(v: jax.Array) -> jax.Array:
        total = jnp.zeros_like(v)
        for weight, (product, _) in zip(weights, parts, strict=True):
            total = total + weight * product(v)
        return total

    return apply, sum(memory for _, memory in parts)


def _linearised(mean: BatchedLoss, w: jax.Array):
    return jax.linearize(jax.grad(mean), w)[1]


def _applied(linear: Callable, v: jax.Array) -> jax.Array:
    return linear(v)


def _tangent(mean: BatchedLoss, w: jax.Array, v: jax.Array) -> jax.Array:
    return jax.jvp(jax.grad(mean), (w,), (v,))[1]


_compiled: dict[Any, Any] = {}


def compiled(function: Callable, *arguments: Any) -> Any:
    """`function`, compiled for arguments of these shapes; the last KEPT of them are remembered.

    Ahead of time, and not by `jax.jit` as it is called, because only so its memory is known.
    """
    leaves, structure = jax.tree.flatten(arguments)
    key = (function, structure, tuple((x.shape, str(x.dtype)) for x in map(jnp.asarray, leaves)))
    found = _compiled.pop(key, None)
    if found is None:
        while len(_compiled) >= KEPT:
            _compiled.pop(next(iter(_compiled)))
        found = jax.jit(function).lower(*arguments).compile()
    _compiled[key] = found  # last again
    return found


def _temporary(compiled: Any) -> int:
    """Bytes that a compiled function needs beyond its input and output, where it says."""
    analysis = compiled.memory_analysis()
    return int(getattr(analysis, "temp_size_in_bytes", 0) or 0)
