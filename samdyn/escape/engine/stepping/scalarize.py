"""Rewrite a function of small arrays as arithmetic on their components, lane by lane.

`componentwise(f)` gives the function that takes every component of f's arguments as its own
array of lanes. A vmapped gradient of a loss of w = (x, y) is full of slices, pads and
concatenations along an axis of length two, which keep XLA from fusing a step into one loop;
written on components the same step runs ten to sixty times faster on a CPU.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from ....programs.tracing.components import (
    ELEMENTWISE,
    REDUCTIONS,
    Components,
    called,
    components_of,
    moved,
    product,
    reduced,
)


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
    known[name] = components_of(value)
    return name


def _inline(jaxpr, consts, arguments, known, operations: list[_Operation]) -> list[Any]:
    """Append the equations of `jaxpr`, calls opened up; the names of its results."""
    names = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(atom) -> Any:
        return _know(known, atom.val) if isinstance(atom, jex.Literal) else names[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        inner = called(equation)
        if inner is None:
            outputs = [object() for _ in equation.outvars]
            operations.append(_Operation(equation, inputs, outputs))
        else:
            body, consts = inner
            held = [_know(known, value) for value in consts]
            outputs = _inline(body, held, inputs, known, operations)
        names.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation, inputs: list[Components]) -> list[Components]:
    name = equation.primitive.name
    if name in ELEMENTWISE:
        return [_elementwise(equation, inputs)]
    placed = moved(equation, inputs)
    if placed is not None:
        return [placed]
    if name in REDUCTIONS and inputs[0].size:
        return [reduced(_combined, equation, inputs[0])]
    if name == "dot_general":
        return [product(_combined, equation, *inputs)]
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


_COMBINE: dict[str, Callable] = {"mul": operator.mul, "max": jnp.maximum, "min": jnp.minimum}
_COMBINE |= {"and": jnp.logical_and, "or": jnp.logical_or}


def _combined(name: str, one: Any, other: Any) -> Any:
    return _add(one, other) if name == "add" else _COMBINE[name](one, other)


def _add(one: Any, other: Any) -> Any:
    if _is_zero(one):
        return other
    return one if _is_zero(other) else one + other


def _is_zero(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0 and bool(value == 0)


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
