"""Advance many states of a step by the same number of steps, fast.

A step that is a short program runs as machine code of our own on CPUs (`machine/iteration.py`); any
other is compiled by XLA. There states go in chunks that fit the innermost cache, chunk by chunk
inside one compiled loop whose chunk count is not part of the shape, and spread over all devices.
Nothing recompiles for another number of rows or steps, and a row's result does not depend on its
neighbours.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .batch import joined, shapes_of, split
from .machine import compiled as machine
from .machine.iteration import Iteration
from .machine.operations import NotPrinted
from .machine.printer import LONGEST
from .tracing.flatten import NotFlat, flatten

WRITTEN = 4 * LONGEST  # operations while tracing, before what is not needed is left out
LANES = 256  # rows in a chunk
CHUNKS = 64  # chunks in a call


def advance(step_map: Any, states: Any, steps: int) -> tuple[np.ndarray, Any]:
    """(w one step before the end (n, d), the states after `steps` ≥ 1 steps), as by `advanced`."""
    before = advanced(step_map, states, steps - 1)
    return before.w, advanced(step_map, before, 1)


def advanced(step: Callable, states: Any, steps: int, lanes: int = LANES) -> Any:
    """The states after `steps` steps of `step`, state ↦ state, a pytree of arrays.

    `states` holds NumPy arrays with a leading axis of n rows. XLA runs `lanes` at least.
    """
    found = by_machine(step, states, steps)
    return _by_xla(step, states, steps, lanes) if found is None else found[0]


def by_machine(
    step: Callable, states: Any, steps: int, record: int = 0
) -> tuple[Any, np.ndarray] | None:
    """The same by machine code, and (steps, record, n), the first `record` numbers of the state
    after each step; None where the step has none here."""
    leaves, structure = jax.tree.flatten(states)
    if jax.default_backend() != "cpu" or machine.why_not() or not len(leaves[0]):
        return None
    kinds = tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in leaves)
    numbers, known = split(step)
    iteration = _iteration(known, shapes_of(numbers), structure, kinds, record)
    if iteration is None:
        return None
    flat = [entry for array in numbers for entry in np.asarray(array).ravel()]
    columns = [column for leaf in leaves for column in leaf.reshape(len(leaf), -1).T]
    after, kept = iteration.with_path(columns, flat, steps)
    return _together(after, structure, kinds), kept


def _together(columns: list[np.ndarray], structure: Any, kinds: Any) -> Any:
    """A state again, of the columns of its leaves one after another."""
    rows, given = [], iter(columns)
    for shape, dtype in kinds:
        part = [next(given) for _ in range(int(np.prod(shape)))]
        whole = np.stack(part, axis=1) if part else np.zeros((len(columns[0]), 0), dtype)
        rows.append(whole.reshape(len(columns[0]), *shape))
    return jax.tree.unflatten(structure, rows)


@functools.lru_cache(maxsize=128)
def _iteration(
    known: Any, shapes: Any, structure: Any, kinds: Any, record: int
) -> Iteration | None:
    """The step as machine code, once for all that differ in numbers alone."""
    state = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*kind) for kind in kinds])
    numbers = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    step = lambda state, *numbers: joined(known, numbers)(state)  # noqa: E731
    try:
        program = flatten(step, state, *numbers, longest=WRITTEN)
        size = sum(int(np.prod(shape)) for shape, _ in kinds)
        return Iteration(program, size, record=record)
    except (NotFlat, NotPrinted):
        return None


def _by_xla(step: Callable, states: Any, steps: int, lanes: int) -> Any:
    rows = len(jax.tree.leaves(states)[0])
    size = lanes * CHUNKS
    devices = jax.local_devices()
    pending = []
    for number, begin in enumerate(range(0, rows, size)):
        part = jax.tree.map(lambda leaf, b=begin: _chunked(leaf[b : b + size], lanes), states)
        used = -(-min(size, rows - begin) // lanes)
        device = devices[number % len(devices)]
        arguments = jax.device_put((part, np.int32(used), np.int32(steps)), device)
        pending.append(_advance_chunks(_on(step, device), *arguments))
    parts = [jax.tree.map(_flat, result) for result in pending]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:rows], *parts)


def _on(step: Any, device) -> Any:
    arrays, rest = eqx.partition(step, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)


def _chunked(leaf: np.ndarray, lanes: int) -> np.ndarray:
    """(m, …) padded with its last row to (CHUNKS, lanes, …)."""
    rows = np.minimum(np.arange(lanes * CHUNKS), len(leaf) - 1)
    return leaf[rows].reshape(CHUNKS, lanes, *leaf.shape[1:])


def _flat(leaf) -> np.ndarray:
    array = np.asarray(leaf)
    return array.reshape(-1, *array.shape[2:])


@eqx.filter_jit
def _advance_chunks(step: Callable, states: Any, used, steps):
    rows = jax.vmap(step)

    def chunk(index, states):
        here = jax.tree.map(lambda leaf: leaf[index], states)
        after = jax.lax.fori_loop(0, steps, lambda _, state: rows(state), here)
        return jax.tree.map(lambda leaf, value: leaf.at[index].set(value), states, after)

    return jax.lax.fori_loop(0, used, chunk, states)
