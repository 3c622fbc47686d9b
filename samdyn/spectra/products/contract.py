"""What a loss must be for its Hessian to mean anything; each way to fail has its sentence."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...errors import ComputationFailed, InvalidInput, brief
from ...results.problem.identity import inner_jaxprs, program
from .batches import BatchedLoss
from .independence import check_independence, evaluate


def traced(loss: Callable, params: PyTree, batch: PyTree) -> str:
    """What loss(params, batch) computes: equal words are equal computations.

    `InvalidInput` if it raises or returns no real scalar.
    """
    try:
        jaxpr, shape, _ = eqx.filter_make_jaxpr(lambda p, b: loss(p, b))(params, batch)
    except (InvalidInput, ComputationFailed):
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise InvalidInput(f"loss(params, batch) failed: {brief(error, loss)}.") from error
    _refuse_shape(shape)
    return program(jaxpr)


def _refuse_shape(value: object) -> None:
    if not isinstance(value, jax.ShapeDtypeStruct) or value.shape != ():
        shape = getattr(value, "shape", None)
        what = f"a {type(value).__name__}" if shape is None else f"an array of shape {shape}"
        raise InvalidInput(
            f"the loss must be a scalar array, it is {what}: take the mean of the batch."
        )
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InvalidInput(f"the loss must be a real number, its dtype is {value.dtype}.")


def check_contract(
    loss: Callable, params: PyTree, mean: BatchedLoss, w: jax.Array, rounding: float
) -> str:
    """What could be found out about the loss, in words.

    `InvalidInput` or `ComputationFailed` unless it is a function of its arguments alone, as far as
    that can be told. `mean` is the same loss on flat parameters w, `rounding` the unit of its
    coarsest arithmetic. It is traced twice, so that random numbers or counters hidden in Python
    show; layers that change in training are looked for by name; a random key in the batch must not
    matter; and examples must not see each other, which they do in batch norm in training mode
    (`independence.py`).
    """
    _refuse_modes(params)
    if traced(loss, params, mean.first) != mean.loss.fingerprint:
        raise InvalidInput(
            "the loss does something else each time it is called: it has hidden state, such as "
            "dropout or a random augmentation; switch to inference mode or fix its key."
        )
    value, gradient = evaluate(mean.loss, w, mean.first)
    if not np.isfinite(value):
        raise ComputationFailed(f"the loss is {value} at these parameters.")
    if not np.all(np.isfinite(gradient)):
        raise ComputationFailed(
            f"the gradient is not finite at these parameters, where the loss is {value:.6g}: a "
            "norm or a square root of 0 has no derivative, for one."
        )
    return check_independence(mean.loss, w, mean.first, rounding)


def coarsest(loss: Callable, params: PyTree, batch: PyTree) -> float:
    """The unit of rounding of the coarsest floating-point numbers that the loss computes with."""
    jaxpr, _, _ = eqx.filter_make_jaxpr(lambda p, b: loss(p, b))(params, batch)
    return max([float(jnp.finfo(dtype).eps) for dtype in _floats(jaxpr.jaxpr)], default=0.0)


def _floats(jaxpr: Any) -> Iterator[Any]:
    """Floating-point dtypes of everything that a jaxpr computes, inner ones included."""
    for equation in jaxpr.eqns:
        for inner in inner_jaxprs(equation):
            yield from _floats(inner)
        for variable in equation.outvars:
            dtype = getattr(variable.aval, "dtype", None)
            if dtype is not None and jnp.issubdtype(dtype, jnp.floating):
                yield dtype


def slow_in_loops(function: Callable, *arguments: Any) -> bool:
    """Whether it computes a convolution on a CPU, where XLA's are slow in a compiled loop."""
    if jax.default_backend() != "cpu":
        return False
    traced = jax.make_jaxpr(lambda *a: function(*a))(*arguments)
    return "conv_general_dilated" in _primitives(traced.jaxpr)


def _primitives(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in inner_jaxprs(equation):
            yield from _primitives(inner)


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
