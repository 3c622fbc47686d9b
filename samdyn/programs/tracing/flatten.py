"""From a function that JAX can trace to a program of operations on single numbers.

Loops whose number of turns is known are written out; both branches of a condition are computed.
What has no such form (a loop that depends on the data, a factorisation, a network) raises
`NotFlat` with the reason, and is then left to JAX.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from ..primitives import FUNCTIONS
from ..program import Argument, Builder, Input, Program, TooLong
from .components import (
    ELEMENTWISE,
    REDUCTIONS,
    Components,
    NotFlat,
    called,
    components_of,
    moved,
    product,
    reduced,
)
from .tables import entry, looked_up

LONGEST = 20_000  # operations; beyond it a compiler is the better reader
MOST_CASES = 100_000  # of all choices among the entries of tables together
SAME = ("copy", "copy_p", "stop_gradient", "optimization_barrier")


def flatten(
    function: Callable, *examples: Any, longest: int = LONGEST, tables: bool = False
) -> Program:
    """The program of `function` at arguments like `examples`, pytrees of arrays or their shapes.

    Every number in the arguments is an input of the program, named by its path ("[0][1]" is
    coordinate 1 of the first argument); what the function closes over is a constant. `NotFlat`
    where an operation has no scalar form, or where there are more than `longest`. With `tables`
    an index may depend on the data: what it finds is a choice ("select_n") among all entries.
    """
    shapes = jax.tree.map(_shape_of, examples)
    closed = jax.make_jaxpr(lambda *given: jax.tree.leaves(function(*given)))(*shapes)
    sizes = [var.aval.size for var in closed.jaxpr.invars] + [np.size(c) for c in closed.consts]
    if sum(sizes) > longest:
        raise NotFlat(f"it has more than {longest:,d} numbers")
    inputs, arguments = _inputs(shapes)
    builder = Builder(inputs, longest)
    reader = _Reader(builder, MOST_CASES if tables else 0)
    try:
        consts = [components_of(np.asarray(value)) for value in closed.consts]
        outputs = reader.read(closed.jaxpr, consts, arguments)
    except TooLong:
        raise NotFlat(f"it has more than {longest:,d} operations") from None
    places = [place for output in outputs for place in output.ravel()]
    return builder.program(places, [output.shape for output in outputs])


def _shape_of(example: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(example), jnp.result_type(example))


def _inputs(shapes: Any) -> tuple[list[Input], list[Components]]:
    inputs: list[Input] = []
    arguments = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        whole = np.empty(leaf.shape, dtype=object)
        for place in np.ndindex(leaf.shape):
            whole[place] = len(inputs)
            index = "".join(f"[{i}]" for i in place)
            inputs.append(Input(jax.tree_util.keystr(path) + index, np.dtype(leaf.dtype)))
        arguments.append(whole)
    return inputs, arguments


class _Reader:
    """Reads jaxprs into a builder."""

    def __init__(self, builder: Builder, cases: int = 0):
        self.builder, self.cases = builder, cases  # how many entries may still be chosen among

    def count(self, cases: int) -> None:
        """So many entries more are chosen among."""
        self.cases -= cases
        if self.cases < 0:
            raise NotFlat(f"tables are looked at in more than {MOST_CASES:,d} places")

    def read(self, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Components]:
        """The components of the results of `jaxpr`."""
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

        def read(atom: Any) -> Components:
            return components_of(atom.val) if isinstance(atom, jex.Literal) else known[atom]

        for equation in jaxpr.eqns:
            results = self._results(equation, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _results(self, equation: Any, inputs: list[Components]) -> list[Components]:
        name = equation.primitive.name
        inner = called(equation)
        if inner is not None:
            jaxpr, consts = inner
            return self.read(jaxpr, [components_of(np.asarray(c)) for c in consts], inputs)
        if name in SAME:
            return inputs
        if name in ELEMENTWISE:
            return [self._elementwise(equation, inputs)]
        placed = moved(equation, inputs)
        if placed is not None:
            return [placed]
        if name in REDUCTIONS and inputs[0].size:
            return [reduced(self._combined, equation, inputs[0])]
        if name == "dot_general":
            return [product(self._combined, equation, *inputs)]
        if name in _OTHERS:
            return _OTHERS[name](self, equation.params, inputs)
        raise NotFlat(f"{name} has no scalar form")

    def _combined(self, name: str, one: Argument, other: Argument) -> Argument:
        return self.builder.add(name, (one, other), self.builder.dtype(one))

    def _elementwise(self, equation: Any, inputs: list[Components]) -> Components:
        name, result = equation.primitive.name, equation.outvars[0].aval
        name = "add" if name == "add_any" else name
        if name not in FUNCTIONS:
            raise NotFlat(f"{name} has no scalar form")
        options = tuple(
            (key, int(equation.params[key]))
            for key in ("y", "rounding_method")
            if key in equation.params and name in ("integer_pow", "round")
        )
        if name == "bitcast_convert_type":
            if equation.invars[0].aval.dtype.itemsize != result.dtype.itemsize:
                raise NotFlat("bits become numbers of another size")
            options = (("new_dtype", str(result.dtype)),)
        out = np.empty(result.shape, dtype=object)
        spread = [np.broadcast_to(entry, result.shape) for entry in inputs]
        for place in np.ndindex(result.shape):
            operands: list[Any] = [entry[place] for entry in spread]
            out[place] = self._one(name, operands, result.dtype, options)
        return out

    def _one(self, name: str, operands: list[Argument], dtype: Any, options: Any) -> Argument:
        if name == "convert_element_type" and self.builder.dtype(operands[0]) == dtype:
            return operands[0]
        return self.builder.add(name, operands, dtype, options)


def _split(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    ends = np.cumsum(params["sizes"])[:-1]
    return np.split(inputs[0], ends, axis=params["axis"])


def _unstack(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    axis, (whole,) = params["axis"], inputs
    return [_as_components(part) for part in np.moveaxis(whole, axis, 0)]


def _scan(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    """Every turn written out."""
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, rows = inputs[:first], inputs[first:second], inputs[second:]
    body, stacked = params["jaxpr"], []
    order = range(params["length"])
    for turn in reversed(order) if params["reverse"] else order:
        given = [*consts, *carry, *(row[turn, ...] for row in rows)]
        given = [_as_components(entry) for entry in given]
        results = reader.read(body.jaxpr, list(map(components_of, body.consts)), given)
        carry = results[: params["num_carry"]]
        stacked.append(results[params["num_carry"] :])
    if params["reverse"]:
        stacked.reverse()
    if not stacked:
        raise NotFlat("a loop of no turns")
    return [*carry, *(np.stack(entries) for entries in zip(*stacked, strict=True))]


def _while(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    """Written out while the condition is known beforehand, as that of a counter is."""
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    of_condition, of_body, carry = inputs[:first], inputs[first:second], inputs[second:]
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    for _ in range(reader.builder.longest):
        consts = list(map(components_of, condition.consts))
        (goes_on,) = reader.read(condition.jaxpr, consts, [*of_condition, *carry])
        if isinstance(goes_on[()], int):
            raise NotFlat("the number of turns of a loop depends on the data")
        if not goes_on[()]:
            return carry
        consts = list(map(components_of, body.consts))
        carry = reader.read(body.jaxpr, consts, [*of_body, *carry])
    raise TooLong


def _cond(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    """All branches, and a choice between their results."""
    which, *operands = inputs
    branches = params["branches"]
    results = [
        reader.read(branch.jaxpr, list(map(components_of, branch.consts)), operands)
        for branch in branches
    ]
    return [_choice(reader, which[()], cases) for cases in zip(*results, strict=True)]


def _choice(reader: _Reader, which: Argument, cases: Sequence[Components]) -> Components:
    """The components of the case that `which` says."""
    out = np.empty(cases[0].shape, dtype=object)
    for place in np.ndindex(out.shape):
        choices = [case[place] for case in cases]
        dtype = reader.builder.dtype(choices[0])
        out[place] = reader.builder.add("select_n", (which, *choices), dtype)
    return out


def _as_components(entry: Any) -> Components:
    if isinstance(entry, np.ndarray) and entry.dtype == object:
        return entry
    single = np.empty((), dtype=object)
    single[()] = entry
    return single


def _dynamic_slice(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    """Where the first index is known; or a choice among the slices along one axis."""
    operand, *starts = inputs
    sizes = params["slice_sizes"]
    asked = [axis for axis, start in enumerate(starts) if isinstance(start[()], int)]
    if len(asked) > (1 if reader.cases else 0):
        raise NotFlat("an index depends on the data")

    def part(known: int) -> Components:
        places = []
        for axis, (start, size, length) in enumerate(
            zip(starts, sizes, operand.shape, strict=True)
        ):
            first = known if axis in asked else int(start[()])
            low = min(max(first, 0), length - size)
            places.append(slice(low, low + size))
        return operand[tuple(places)]

    if not asked:
        return [part(0)]
    axis = asked[0]
    cases = [part(known) for known in range(operand.shape[axis] - sizes[axis] + 1)]
    reader.count(len(cases) * cases[0].size)
    out = np.empty(cases[0].shape, dtype=object)
    for place in np.ndindex(out.shape):
        out[place] = entry(reader, starts[axis][()], [case[place] for case in cases])
    return [out]


def _dynamic_update(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
    operand, update, *starts = inputs
    result, places = operand.copy(), []
    for start, size, length in zip(starts, update.shape, operand.shape, strict=True):
        if isinstance(start[()], int):
            raise NotFlat("an index depends on the data")
        low = min(max(int(start[()]), 0), length - size)
        places.append(slice(low, low + size))
    result[tuple(places)] = update
    return [result]


def _by_position(primitive: Any) -> Callable:
    """A move whose indices are known: JAX says where each component comes from."""

    def apply(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
        operand, *indices = inputs
        if any(isinstance(entry, int) for index in indices for entry in index.flat):
            if primitive is jax.lax.gather_p and reader.cases:
                return [looked_up(reader, params, operand, indices[0])]
            raise NotFlat("an index depends on the data")
        numbers = jnp.arange(operand.size).reshape(operand.shape)
        arrays = [jnp.asarray(index.astype(float).astype(int)) for index in indices]
        told = dict(params)
        if "fill_value" in told:
            told["fill_value"] = -1
        where = np.asarray(primitive.bind(numbers, *arrays, **told))
        flat = operand.ravel()
        out = np.empty(where.shape, dtype=object)
        for place in np.ndindex(where.shape):
            if where[place] < 0:
                raise NotFlat("an index is out of range")
            out[place] = flat[where[place]]
        return [out]

    return apply


def _scatter(combine: str | None) -> Callable:
    """`x.at[i].set`, `.add`, `.multiply` at known places."""

    def apply(reader: _Reader, params: Any, inputs: list[Components]) -> list[Components]:
        operand, indices, updates = inputs
        if any(isinstance(entry, int) for entry in indices.flat):
            raise NotFlat("an index depends on the data")
        where = _targets(operand.shape, indices, updates.shape, params)
        flat = operand.ravel().copy()
        for place in np.ndindex(updates.shape):
            target = where[place]
            if target < 0:
                continue  # dropped, as JAX does
            update = updates[place]
            known = flat[target]
            flat[target] = update if combine is None else reader._combined(combine, known, update)
        return [flat.reshape(operand.shape)]

    return apply


def _targets(shape: Any, indices: Components, updates: Any, params: Any) -> np.ndarray:
    """Where in the flat operand each update goes, −1 for nowhere: where 1, 2, … of them land."""
    index = indices.astype(float).astype(int)
    dimension, mode = params["dimension_numbers"], params["mode"]
    hits = np.asarray(_landed(index, tuple(shape), tuple(updates), dimension, mode))
    return np.where(np.any(hits, axis=1), np.argmax(hits, axis=1), -1).reshape(updates)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _landed(index: Any, shape: Any, updates: Any, dimension: Any, mode: Any) -> Any:
    """Whether each update (rows) lands on each place of the operand."""

    def landed(one):  # one at a time, since several may land on one place
        nothing = jnp.zeros(shape, one.dtype)
        return jax.lax.scatter_add(nothing, index, one, dimension, mode=mode).ravel()

    count = int(np.prod(updates))
    return jax.vmap(landed)(jnp.eye(count).reshape(count, *updates)) != 0


_OTHERS: dict[str, Callable] = {
    "split": _split,
    "unstack": _unstack,
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update,
    "gather": _by_position(jax.lax.gather_p),
    "scatter": _scatter(None),
    "scatter-add": _scatter("add"),
    "scatter_add": _scatter("add"),
    "scatter_mul": _scatter("mul"),
}
