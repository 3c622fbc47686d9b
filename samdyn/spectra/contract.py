"""What a loss must be for its Hessian to mean anything; each way to fail has its sentence."""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..errors import ComputationFailed, InvalidInput, brief
from .batches import BatchedLoss

CLOSE = {2: 1e-2, 4: 1e-4, 8: 1e-8}  # relative, by bytes of a number


def traced(loss: Callable, params: PyTree, batch: PyTree) -> str:
    """What loss(params, batch) does, as text: equal texts are equal computations.

    `InvalidInput` if it raises or returns no real scalar.
    """
    try:
        jaxpr, shape, _ = eqx.filter_make_jaxpr(lambda p, b: loss(p, b))(params, batch)
    except (InvalidInput, ComputationFailed):
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise InvalidInput(f"loss(params, batch) failed: {brief(error, loss)}.") from error
    _refuse_shape(shape)
    digest = hashlib.sha256(re.sub("0x[0-9a-f]+", "", str(jaxpr)).encode())
    for constant in _constants(jaxpr):
        digest.update(np.asarray(constant).tobytes() if _is_plain(constant) else b"")
    return digest.hexdigest()


def _constants(closed: Any) -> Iterator[Any]:
    """Arrays held by a closed jaxpr and those inside it; its text tells their shapes only."""
    yield from closed.consts
    for equation in closed.jaxpr.eqns:
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_closed):
            if _is_closed(inner):
                yield from _constants(inner)


def _is_closed(value: Any) -> bool:
    return hasattr(value, "consts") and hasattr(value, "jaxpr")


def _is_plain(constant: object) -> bool:
    return not jnp.issubdtype(jnp.result_type(constant), jax.dtypes.extended)


def _refuse_shape(value: object) -> None:
    if not isinstance(value, jax.ShapeDtypeStruct) or value.shape != ():
        shape = getattr(value, "shape", None)
        what = f"a {type(value).__name__}" if shape is None else f"an array of shape {shape}"
        raise InvalidInput(
            f"the loss must be a scalar array, it is {what}: take the mean of the batch."
        )
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InvalidInput(f"the loss must be a real number, its dtype is {value.dtype}.")


def check_contract(loss: Callable, params: PyTree, mean: BatchedLoss, w: jax.Array) -> None:
    """`InvalidInput` or `ComputationFailed` unless the loss is a function of its arguments alone.

    `mean` is the same loss on flat parameters w. It is traced twice, so that random numbers or
    counters hidden in Python show; layers that change in training are looked for by name; and
    loss and gradient of a batch must be the mean (or the sum) over its halves, which batch norm
    in training mode and dropout break.
    """
    _refuse_modes(params)
    if traced(loss, params, mean.first) != mean.loss.fingerprint:
        raise InvalidInput(
            "the loss does something else each time it is called: it has hidden state, such as "
            "dropout or a random augmentation; switch to inference mode or fix its key."
        )
    whole = _evaluate(mean.loss, w, mean.first)
    if not np.isfinite(whole[0]):
        raise ComputationFailed(f"the loss is {whole[0]} at these parameters.")
    _refuse_interaction(mean.loss, w, mean.first, whole)


@eqx.filter_jit
def _value_and_gradient(loss: Callable, w: jax.Array, batch: PyTree):
    return jax.value_and_grad(loss)(w, batch)


def _evaluate(loss: Callable, w: jax.Array, batch: PyTree) -> tuple[float, np.ndarray]:
    value, gradient = _value_and_gradient(loss, w, batch)
    return float(value), np.asarray(gradient, float)


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


def _refuse_interaction(loss: Callable, w: jax.Array, batch: PyTree, whole: tuple) -> None:
    """Examples of a batch must not see each other, in the loss or in its gradient: at a plateau
    the loss is the same for all of them."""
    sizes = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or (size := sizes.pop()) < 4:
        return  # no common axis of examples to split
    half = size // 2
    try:
        one, other = (
            _evaluate(loss, w, jax.tree.map(lambda leaf: leaf[part], batch))  # noqa: B023
            for part in (slice(0, half), slice(half, 2 * half))
        )
        if size % 2:
            whole = _evaluate(loss, w, jax.tree.map(lambda leaf: leaf[: 2 * half], batch))
    except Exception:  # the first axis is not one of examples
        return
    close = CLOSE[w.dtype.itemsize], 100 * float(jnp.finfo(w.dtype).eps) * max(1, abs(whole[0]))
    if not all(_adds_up(*parts, *close) for parts in zip(whole, one, other, strict=True)):
        raise InvalidInput(
            f"the loss of a batch ({whole[0]:.6g}) or its gradient is neither the mean nor the "
            f"sum over its examples ({one[0]:.6g} and {other[0]:.6g} for its halves): they see "
            "each other, as in batch norm in training mode, their noise differs, as in dropout, "
            "or the mean is not the last thing taken; switch to inference mode, or pass "
            "check=False if this is meant."
        )


def _adds_up(whole, one, other, relative: float, absolute: float) -> bool:
    """Whether `whole` is the mean or the sum of the two, within rounding of their sizes."""
    most = relative * sum(float(np.linalg.norm(part)) for part in (whole, one, other)) + absolute
    distances = (np.linalg.norm(whole - (one + other) / 2), np.linalg.norm(whole - one - other))
    return float(min(distances)) <= most
