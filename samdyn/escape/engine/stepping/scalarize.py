"""Rewrite a function of small arrays as arithmetic on their components, lane by lane.

`componentwise(f)` gives the function that takes every component of f's arguments as its own
array of lanes. A vmapped gradient of a loss of w = (x, y) is full of slices, pads and
concatenations along an axis of length two, which keep XLA from fusing a step into one loop;
written on components the same step runs ten to sixty times faster on a CPU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

Components = np.ndarray  # dtype object, with the shape of the array it stands for

_NAMES = """abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e
    bitcast_convert_type cbrt ceil clamp convert_element_type copy copy_p cos cosh digamma div eq
    erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic
    lt max min mul ne neg nextafter not or pow reduce_precision rem round rsqrt select_n
    shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient
    sub tan tanh xor"""
_ELEMENTWISE = frozenset(_NAMES.split())
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
_CALLS |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "remat2": "jaxpr"}
_CALLS |= {"custom_vjp_call_jaxpr": "fun_jaxpr", "checkpoint": "jaxpr"}
_REDUCTIONS = {"reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min"}
_REDUCTIONS |= {"reduce_and": "and", "reduce_or": "or"}


def componentwise(function: Callable, *shapes: jax.ShapeDtypeStruct) -> Callable:
    """`function` of arrays of the given shapes, as a function of arrays of components.

    Arguments and result are NumPy object arrays: entry [i, j, …] holds component (i, j, …) of
    every lane, a JAX array of any one shape. What does not depend on the arguments is computed
    here, once, however often the result is called.
    """
    closed = jax.make_jaxpr(function)(*shapes)
    known: dict[Any, Components] = {}
    operations: list[_Operation] = []
    inputs = [object() for _ in closed.jaxpr.invars]
    consts = [_know(known, value) for value in closed.consts]
    (output,) = _inline(closed.jaxpr, [*consts], inputs, known, operations)
    later = [operation for operation in operations if not _apply_if_known(operation, known)]

    def on_components(*arguments: Components) -> Components:
        values = known | dict(zip(inputs, arguments, strict=True))
        for operation in later:
            operation.apply(values)
        return values[output]

    return on_components


class _Operation(NamedTuple):
    """An equation between values that are named by any hashable object."""

    equation: Any
    inputs: list[Any]
    outputs: list[Any]

    def apply(self, values: dict[Any, Components]) -> None:
        results = _apply(self.equation, [values[name] for name in self.inputs])
        values.update(zip(self.outputs, results, strict=True))


def _apply_if_known(operation: _Operation, known: dict[Any, Components]) -> bool:
    if any(name not in known for name in operation.inputs):
        return False
    operation.apply(known)
    return True


def _know(known: dict[Any, Components], value: Any) -> Any:
    name = object()
    known[name] = _constant(value)
    return name


def _inline(jaxpr, consts, arguments, known, operations: list[_Operation]) -> list[Any]:
    """Append the equations of `jaxpr`, calls opened up; the names of its results."""
    names = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(atom) -> Any:
        return _know(known, atom.val) if isinstance(atom, jex.Literal) else names[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        inner = equation.params.get(_CALLS.get(equation.primitive.name, ""))
        if inner is None:
            outputs = [object() for _ in equation.outvars]
            operations.append(_Operation(equation, inputs, outputs))
        else:
            held = [_know(known, value) for value in getattr(inner, "consts", ())]
            body = getattr(inner, "jaxpr", inner)
            outputs = _inline(body, held, inputs, known, operations)
        names.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _constant(value: Any) -> Components:
    """Components of an array that is the same in every lane (concrete or traced)."""
    shape = np.shape(value)
    out = np.empty(shape, dtype=object)
    known = isinstance(value, np.ndarray | np.generic | int | float | bool)
    for place in np.ndindex(shape):
        out[place] = np.asarray(value)[place] if known else value[place] if shape else value
    return out


def _apply(equation, inputs: list[Components]) -> list[Components]:
    name = equation.primitive.name
    if name in _ELEMENTWISE:
        return [_elementwise(equation, inputs)]
    if name in _MOVES:
        return [_MOVES[name](equation.params, *inputs)]
    if name in _REDUCTIONS and inputs[0].size:
        return [_reduce(_REDUCTIONS[name], inputs[0], equation.params["axes"])]
    if name == "dot_general":
        return [_dot(equation, *inputs)]
    if name == "iota":
        return [_iota(equation.params)]
    return _vectorised(equation, inputs)


def _elementwise(equation, inputs: list[Components]) -> Components:
    shape = equation.outvars[0].aval.shape
    out = np.empty(shape, dtype=object)
    spread = [np.broadcast_to(entry, shape) for entry in inputs]
    for place in np.ndindex(shape):
        out[place] = _bind(equation, [entry[place] for entry in spread])
    return out


def _bind(equation, operands: list[Any]) -> Any:
    if equation.primitive.name in ("add", "add_any"):
        for one, other in (operands, operands[::-1]):
            if _is_zero(one):
                return other
    arrays = jnp.broadcast_arrays(*operands)
    return equation.primitive.bind(*arrays, **equation.params)


def _reduce(name: str, operand: Components, axes) -> Components:
    combine = {"add": _add, "mul": jnp.multiply, "max": jnp.maximum, "min": jnp.minimum}
    combine |= {"and": jnp.logical_and, "or": jnp.logical_or}
    kept = [axis for axis in range(operand.ndim) if axis not in axes]
    moved = operand.transpose(*kept, *axes).reshape([operand.shape[a] for a in kept] + [-1])
    out = np.empty(moved.shape[:-1], dtype=object)
    for place in np.ndindex(out.shape):
        total = moved[place][0]
        for entry in moved[place][1:]:
            total = combine[name](total, entry)
        out[place] = total
    return out


def _add(one: Any, other: Any) -> Any:
    if _is_zero(one):
        return other
    return one if _is_zero(other) else one + other


def _is_zero(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0 and bool(value == 0)


def _dot(equation, left: Components, right: Components) -> Components:
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
        total: Any = np.zeros((), dtype)
        for x, y in zip(one[(*b, i)], two[(*b, j)], strict=True):
            total = _add(total, x * y)
        out[place] = total
    return out.reshape((*batch, *shape_l, *shape_r))


def _iota(params) -> Components:
    shape, axis = params["shape"], params["dimension"]
    numbers = np.arange(shape[axis], dtype=params["dtype"])
    numbers = numbers.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return _constant(np.broadcast_to(numbers, shape))


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


def _rev(params, operand: Components) -> Components:
    return np.flip(operand, params["dimensions"])


_MOVES: dict[str, Callable] = {
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "pad": _pad,
    "rev": _rev,
    "reshape": lambda params, operand: operand.reshape(params["new_sizes"]),
    "squeeze": lambda params, operand: np.squeeze(operand, tuple(params["dimensions"])),
    "expand_dims": lambda params, operand: np.expand_dims(operand, params["dimensions"]),
    "transpose": lambda params, operand: operand.transpose(params["permutation"]),
    "concatenate": lambda params, *parts: np.concatenate(parts, params["dimension"]),
}


def _vectorised(equation, inputs: list[Components]) -> list[Components]:
    """Any other operation: on stacked components, vmapped over the lanes."""
    lanes = np.broadcast_shapes(*(np.shape(entry) for x in inputs for entry in x.flat))
    avals = [atom.aval for atom in equation.invars]
    stacked = [_stack(x, aval, lanes) for x, aval in zip(inputs, avals, strict=True)]
    params = equation.primitive.get_bind_params(equation.params)

    def bind(*arrays):
        result = equation.primitive.bind(*arrays, **params)
        return result if equation.primitive.multiple_results else [result]

    for _ in lanes:
        bind = jax.vmap(bind, in_axes=-1, out_axes=-1)
    return [_unstack(result, len(lanes)) for result in bind(*stacked)]


def _stack(components: Components, aval, lanes) -> jax.Array:
    flat = [jnp.broadcast_to(jnp.asarray(entry, aval.dtype), lanes) for entry in components.flat]
    if not flat:
        return jnp.zeros((*aval.shape, *lanes), aval.dtype)
    return jnp.stack(flat).reshape(*aval.shape, *lanes)


def _unstack(result: jax.Array, lanes: int) -> Components:
    shape = result.shape[: result.ndim - lanes]
    out = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        out[place] = result[place]
    return out
