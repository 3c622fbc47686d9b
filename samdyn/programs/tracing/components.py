"""Arrays as NumPy arrays of their components, and the operations that only move those.

An entry may be anything that stands for one number: a place in a program, a constant, or a JAX
array of lanes. What combines numbers (`add`, `mul`, …) is given from outside.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Components = Any  # an array of NumPy, dtype object, with the shape of the array it stands for
Combine = Callable[[str, Any, Any], Any]  # (name of a primitive, one, other) -> the number


class NotFlat(Exception):
    """A function has no program, for the reason given."""


_NAMES = """abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e
    bitcast_convert_type cbrt ceil clamp convert_element_type copy copy_p cos cosh digamma div eq
    erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic
    lt max min mul ne neg nextafter not or population_count pow reduce_precision rem round rsqrt
    select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square
    stop_gradient sub tan tanh xor"""
ELEMENTWISE = frozenset(_NAMES.split())
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
_CALLS |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "remat2": "jaxpr"}
_CALLS |= {"custom_vjp_call_jaxpr": "fun_jaxpr", "checkpoint": "jaxpr"}
REDUCTIONS = {"reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min"}
REDUCTIONS |= {"reduce_and": "and", "reduce_or": "or"}


def called(equation: Any) -> tuple[Any, list[Any]] | None:
    """The jaxpr that an equation only calls, with its constants; None where it is no call."""
    inner = equation.params.get(_CALLS.get(equation.primitive.name, ""))
    if inner is None:
        return None
    return getattr(inner, "jaxpr", inner), list(getattr(inner, "consts", ()))


def components_of(value: Any) -> Components:
    """Components of an array that is the same in every lane (concrete or traced)."""
    shape = np.shape(value)
    out = np.empty(shape, dtype=object)
    known = isinstance(value, np.ndarray | np.generic | int | float | bool)
    for place in np.ndindex(shape):
        out[place] = np.asarray(value)[place] if known else value[place] if shape else value
    return out


def moved(equation: Any, inputs: list[Components]) -> Components | None:
    """The result of an equation that only moves components; None for any other."""
    name = equation.primitive.name
    if name == "iota":
        return _iota(equation.params)
    return _MOVES[name](equation.params, *inputs) if name in _MOVES else None


def reduced(combine: Combine, equation: Any, operand: Components) -> Components:
    """A sum, product, maximum, … along axes, from the first component to the last."""
    name, axes = REDUCTIONS[equation.primitive.name], equation.params["axes"]
    kept = [axis for axis in range(operand.ndim) if axis not in axes]
    rows = operand.transpose(*kept, *axes).reshape([operand.shape[a] for a in kept] + [-1])
    out = np.empty(rows.shape[:-1], dtype=object)
    for place in np.ndindex(out.shape):
        total = rows[place][0]
        for entry in rows[place][1:]:
            total = combine(name, total, entry)
        out[place] = total
    return out


def product(combine: Combine, equation: Any, left: Components, right: Components) -> Components:
    """`dot_general`."""
    (cl, cr), (bl, br) = equation.params["dimension_numbers"]
    fl = [a for a in range(left.ndim) if a not in (*cl, *bl)]
    fr = [a for a in range(right.ndim) if a not in (*cr, *br)]
    batch = [left.shape[a] for a in bl]
    shape_l, shape_r = [left.shape[a] for a in fl], [right.shape[a] for a in fr]
    dtype = equation.outvars[0].aval.dtype
    one = left.transpose(*bl, *fl, *cl).reshape(*batch, int(np.prod(shape_l)), -1)
    two = right.transpose(*br, *fr, *cr).reshape(*batch, int(np.prod(shape_r)), -1)
    out = np.empty((*batch, one.shape[-2], two.shape[-2]), dtype=object)
    for place in np.ndindex(out.shape):
        *b, i, j = place
        total: Any = np.zeros((), dtype)[()]
        for x, y in zip(one[(*b, i)], two[(*b, j)], strict=True):
            total = combine("add", total, combine("mul", x, y))
        out[place] = total
    return out.reshape((*batch, *shape_l, *shape_r))


def _iota(params) -> Components:
    shape, axis = params["shape"], params["dimension"]
    numbers = np.arange(shape[axis], dtype=params["dtype"])
    numbers = numbers.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return components_of(np.broadcast_to(numbers, shape))


def _broadcast(params, operand: Components) -> Components:
    shape = params["shape"]
    inner = [1] * len(shape)
    for axis, target in enumerate(params["broadcast_dimensions"]):
        inner[target] = operand.shape[axis]
    return np.broadcast_to(operand.reshape(inner), shape)


def _slice(params, operand: Components) -> Components:
    steps = params["strides"] or (1,) * operand.ndim
    limits = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return operand[tuple(slice(*limit) for limit in limits)]


def _pad(params, operand: Components, value: Components) -> Components:
    for axis, (low, high, inner) in enumerate(params["padding_config"]):
        operand = _pad_axis(operand, value[()], axis, int(low), int(high), int(inner))
    return operand


def _pad_axis(operand: Components, value: Any, axis: int, low: int, high: int, inner: int):
    operand = np.moveaxis(operand, axis, 0)
    count = operand.shape[0]
    length = max(low + high + count + max(count - 1, 0) * inner, 0)
    out = np.empty((length, *operand.shape[1:]), dtype=object)
    out[...] = value
    for row in range(count):
        place = low + row * (inner + 1)
        if 0 <= place < length:
            out[place] = operand[row]
    return np.moveaxis(out, 0, axis)


_MOVES: dict[str, Callable] = {
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "pad": _pad,
    "rev": lambda params, operand: np.flip(operand, params["dimensions"]),
    "reshape": lambda params, operand: operand.reshape(params["new_sizes"]),
    "squeeze": lambda params, operand: np.squeeze(operand, tuple(params["dimensions"])),
    "expand_dims": lambda params, operand: np.expand_dims(operand, params["dimensions"]),
    "transpose": lambda params, operand: operand.transpose(params["permutation"]),
    "concatenate": lambda params, *parts: np.concatenate(parts, params["dimension"]),
    "stack": lambda params, *parts: np.stack(parts, params["axis"]),
}
