"""The mean step of a method that ascends on each minibatch by itself, as training does.

Near a saddle the full gradient vanishes and those of the minibatches do not. How far SAM ascends
is then said by the minibatches, and the mean of their steps, not the step of the mean loss, says
whether a displacement grows. It is smooth there, too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ...dynamics.methods.method import AbstractMethod
from ...spectra.products.batches import BatchedLoss
from ...spectra.products.hessian import REUSE_BYTES
from ...spectra.products.operator import Operator


class Along(NamedTuple):
    """What each minibatch's step does along a direction v, arrays (n,): `tangent` = vᵀ D v, D the
    Jacobian of the direction of descent, that direction itself, `descent` = vᵀ d; of the loss
    `gradient` = vᵀ g and `curvature` = vᵀ H v, which are those of a plain step.
    """

    tangent: np.ndarray
    descent: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray


def along(mean: BatchedLoss, method: AbstractMethod, w: Array, v: Array) -> Along:
    """The steps of a method at w (dim,) along the unit vector v (dim,), batch by batch.

    One compiled function, called for each: XLA's convolutions are slow inside a compiled loop.
    """
    parts = [_along(mean.loss, method, batch, w, v) for batch in mean.batches()]
    return Along(*(np.array([float(x) for x in column]) for column in zip(*parts, strict=True)))


@eqx.filter_jit
def _along(loss: Callable, method: AbstractMethod, batch: PyTree, w, v):
    one = lambda w: loss(w, batch)  # noqa: E731
    d, change = jax.jvp(lambda w: method.direction(jax.grad(one), w), (w,), (v,))
    g, bent = jax.jvp(jax.grad(one), (w,), (v,))
    return v @ change, v @ d, v @ g, v @ bent


def step_operator(
    mean: BatchedLoss,
    method: AbstractMethod,
    w: Array,
    rate: float,
    gamma: float,
    rounding: float = 0.0,
    check: bool = True,
) -> Operator:
    """The Jacobian of the mean heavy-ball step at w, on (w,), or with momentum on (w, m).

    The method's directions are differentiated batch by batch, once where memory allows.
    """
    changes = _kept(mean, method, w)
    weights = list(np.asarray(mean.weights).astype(w.dtype))
    zero, settings = jnp.zeros_like(w), np.array([rate, gamma], w.dtype)

    def turned(v: Array) -> Array:
        total = zero
        if changes is not None:
            for weight, change in zip(weights, changes, strict=True):
                total = _added(total, weight, change, v)
            return total
        for weight, batch in zip(weights, mean.batches(), strict=True):
            total = total + weight * _turned(mean.loss, method, batch, w, v[: w.size])
        return total

    def product(v: Array) -> Array:
        return _stepped(v, turned(v), settings)

    size = w.size * (1 if gamma == 0 else 2)
    how = {"symmetric": False, "rounding": rounding, "check": check}
    return Operator(product, size, w.dtype, **how)


def _kept(mean: BatchedLoss, method: AbstractMethod, w: Array) -> list | None:
    """The derivative of each batch's direction, as a linear function, where all fit in memory."""
    one = eqx.filter_eval_shape(_linearised, mean.loss, method, mean.first, w)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
    if size * mean.count > REUSE_BYTES:
        return None
    return [_linearised(mean.loss, method, batch, w) for batch in mean.batches()]


@eqx.filter_jit
def _linearised(loss: Callable, method: AbstractMethod, batch: PyTree, w: Array):
    one = lambda w: loss(w, batch)  # noqa: E731
    return jax.linearize(lambda w: method.direction(jax.grad(one), w), w)[1]


@jax.jit
def _added(total: Array, weight: Any, change: Callable, v: Array) -> Array:
    return total + weight * change(v[: total.size])


@jax.jit
def _stepped(v: Array, turned: Array, settings: Array) -> Array:
    """The change v of (w,) or (w, m) after a step that changes its direction by `turned`."""
    rate, gamma = settings
    if v.size == turned.size:
        return v - rate * turned
    place, buffer = jnp.split(v, 2)
    buffer = gamma * buffer + turned
    return jnp.concatenate([place - rate * buffer, buffer])


@eqx.filter_jit
def _turned(loss: Callable, method: AbstractMethod, batch: PyTree, w, v):
    one = lambda w: loss(w, batch)  # noqa: E731
    return jax.jvp(lambda w: method.direction(jax.grad(one), w), (w,), (v,))[1]
