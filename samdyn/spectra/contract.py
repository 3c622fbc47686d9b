"""What a loss must be for its Hessian to mean anything; each way to fail has its sentence."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..errors import ComputationFailed, InvalidInput
from .flatten import is_parameter

CLOSE = {2: 1e-2, 4: 1e-4, 8: 1e-8}  # relative, by bytes of a number


def check_contract(loss: Callable, params: PyTree, batch: PyTree) -> None:
    """`InvalidInput` or `ComputationFailed` unless the loss is a function of its arguments alone.

    It is traced twice, so that random numbers or counters hidden in Python show; layers that
    change in training are looked for by name; and the loss of a batch must be the mean (or the
    sum) over its halves, which batch norm in training mode and dropout break.
    """
    _refuse_modes(params)
    value = _evaluate(loss, params, batch)
    again = _evaluate(loss, params, batch)
    if value != again:
        raise InvalidInput(
            f"the loss differs between two calls ({value:.6g}, {again:.6g}): it has hidden state, "
            "such as dropout or a random augmentation; switch to inference mode or fix its key."
        )
    _refuse_interaction(loss, params, batch, value)


def _evaluate(loss: Callable, params: PyTree, batch: PyTree) -> float:
    """The loss, traced anew."""
    try:
        value = eqx.filter_jit(lambda params, batch: loss(params, batch))(params, batch)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        first = str(error).strip().split("\n")[0]
        raise InvalidInput(f"loss(params, batch) failed: {first}") from error
    if not isinstance(value, jax.Array) or value.shape != ():
        shape = value.shape if isinstance(value, jax.Array) else type(value).__name__
        raise InvalidInput(f"the loss must be a scalar, it is {shape}: take the mean of the batch.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InvalidInput(f"the loss must be a real number, its dtype is {value.dtype}.")
    if not np.isfinite(float(value)):
        raise ComputationFailed(f"the loss is {float(value)} at these parameters.")
    return float(value)


_CHANGING = (eqx.nn.BatchNorm, eqx.nn.Dropout)


def _refuse_modes(params: PyTree) -> None:
    is_layer = lambda node: isinstance(node, _CHANGING)  # noqa: E731
    for layer in jax.tree.leaves(params, is_leaf=is_layer):
        if is_layer(layer) and not layer.inference and getattr(layer, "p", 1) != 0:
            name = type(layer).__name__
            raise InvalidInput(
                f"params holds {name} in training mode: its loss is not a function of the "
                "parameters alone; apply equinox.nn.inference_mode first."
            )


def _refuse_interaction(loss: Callable, params: PyTree, batch: PyTree, whole: float) -> None:
    """Examples of a batch must not see each other."""
    sizes = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or (size := sizes.pop()) < 4:
        return  # no common axis of examples to split
    half = size // 2
    first, second = (
        _evaluate(loss, params, jax.tree.map(lambda leaf: leaf[part], batch))  # noqa: B023
        for part in (slice(0, half), slice(half, 2 * half))
    )
    if size % 2:
        whole = _evaluate(loss, params, jax.tree.map(lambda leaf: leaf[: 2 * half], batch))
    bytes_ = min(leaf.dtype.itemsize for leaf in jax.tree.leaves(params) if is_parameter(leaf))
    close = CLOSE[bytes_] * (abs(first) + abs(second))
    if min(abs(whole - (first + second) / 2), abs(whole - first - second)) > close:
        raise InvalidInput(
            f"the loss of a batch ({whole:.6g}) is not the mean over its examples "
            f"({first:.6g} and {second:.6g} for its halves): they see each other, as in batch "
            "norm in training mode, or their noise differs, as in dropout; switch to inference "
            "mode, or pass check=False if this is meant."
        )
