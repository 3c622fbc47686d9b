"""Indices that depend on the data: what they find is a choice ("select_n") among all entries."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..program import Argument
from .components import Components, NotFlat


def looked_up(reader: Any, params: Any, operand: Components, index: Components) -> Components:
    """A gather along one axis at places that depend on the data: for each entry of the result, a
    choice among what is found there for every value that the index may have."""
    columns = [
        k for k in range(index.shape[-1]) if any(isinstance(e, int) for e in index[..., k].flat)
    ]
    if len(columns) != 1 or index[..., columns[0]].size == 0:
        raise NotFlat("several indices depend on the data")
    (column,), dimension = columns, params["dimension_numbers"]
    axis = dimension.start_index_map[column]
    count = operand.shape[axis] - params["slice_sizes"][axis] + 1
    fixed = np.vectorize(lambda e: 0 if isinstance(e, int) else int(e), otypes=[int])(index)
    for other, along in enumerate(dimension.start_index_map):
        last = operand.shape[along] - params["slice_sizes"][along]
        if np.any((fixed[..., other] < 0) | (fixed[..., other] > last)):
            raise NotFlat("an index is out of range")
    reader.count(count * fixed[..., 0].size * int(np.prod(params["slice_sizes"])))
    positions, at = _found_at(operand.shape, fixed, column, count, params)
    flat, out = operand.ravel(), np.empty(positions.shape[1:], dtype=object)
    for place in np.ndindex(out.shape):
        which = index[..., column].flat[at[place]]
        found = [flat[p] for p in positions[(slice(None), *place)]]
        one = entry(reader, which, found)
        if params["mode"] == jax.lax.GatherScatterMode.FILL_OR_DROP:
            one = _or_filling(reader, params, which, len(found), one)
        out[place] = one
    return out


def _found_at(
    shape: Any, index: np.ndarray, column: int, count: int, params: Any
) -> tuple[np.ndarray, np.ndarray]:
    """(for each value of the index, where in the operand the entries of the result come from; to
    which index they belong)."""
    told = {"mode": jax.lax.GatherScatterMode.CLIP, "fill_value": None}
    gather = lambda numbers, index: jax.lax.gather_p.bind(numbers, index, **params | told)  # noqa: E731
    numbers = jnp.arange(int(np.prod(shape))).reshape(shape)
    values = jnp.arange(count)
    at = lambda value: jnp.asarray(index).at[..., column].set(value)  # noqa: E731
    positions = jax.jit(jax.vmap(lambda value: gather(numbers, at(value))))(values)
    # the same gather of what numbers the indices themselves, along an axis that is as long
    batch = index.shape[:-1]
    rows = np.arange(int(np.prod(batch))).reshape(batch)
    offsets = params["dimension_numbers"].offset_dims
    spread = np.expand_dims(rows, tuple(offsets)) if offsets else rows
    return np.asarray(positions), np.broadcast_to(spread, positions.shape[1:])


def entry(reader: Any, which: Argument, found: list[Argument]) -> Argument:
    """One of the entries, by an index; beyond either end the nearest."""
    inside = _as_whole(reader, _inside(reader, which, len(found)))
    return reader.builder.add("select_n", (inside, *found), reader.builder.dtype(found[0]))


def _or_filling(
    reader: Any, params: Any, which: Argument, count: int, chosen: Argument
) -> Argument:
    """What stands for an entry that is not there."""
    add, dtype, filling = reader.builder.add, reader.builder.dtype(chosen), params["fill_value"]
    if filling is None:
        filling = np.nan if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind == "i" else -1
    there = add("eq", (_inside(reader, which, count), _wide(reader, which)), bool)
    return add("select_n", (there, dtype.type(filling), chosen), dtype)


def _inside(reader: Any, which: Argument, count: int) -> Argument:
    which = _wide(reader, which)
    kind = reader.builder.dtype(which)
    return reader.builder.add("clamp", (kind.type(0), which, kind.type(count - 1)), kind)


def _wide(reader: Any, which: Argument) -> Argument:
    """An index in a dtype that holds the length of every table."""
    if reader.builder.dtype(which).itemsize >= 4:
        return which
    return _as_whole(reader, which)


def _as_whole(reader: Any, which: Argument) -> Argument:
    """In int32, as "select_n" takes it."""
    if reader.builder.dtype(which) == np.int32:
        return which
    return reader.builder.add("convert_element_type", (which,), np.int32)
