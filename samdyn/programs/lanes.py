"""Advance many states of a step map by the same number of steps, fast.

States go in chunks that fit the innermost cache, chunk by chunk inside one compiled loop whose
chunk count is not part of the shape, and spread over all devices. Nothing recompiles for
another number of rows or steps, and a row's result does not depend on its neighbours.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

LANES = 256  # rows in a chunk
CHUNKS = 64  # chunks in a call


def advance(step_map: Any, states: Any, steps: int) -> tuple[np.ndarray, Any]:
    """(w one step before the end (n, d), the states after `steps` ≥ 1 steps).

    `states` holds NumPy arrays with a leading axis of n rows, w of shape (n, d).
    """
    rows = len(states.w)
    size = LANES * CHUNKS
    devices = jax.local_devices()
    pending = []
    for number, begin in enumerate(range(0, rows, size)):
        part = jax.tree.map(lambda leaf, b=begin: _chunked(leaf[b : b + size]), states)
        used = -(-min(size, rows - begin) // LANES)
        device = devices[number % len(devices)]
        arguments = jax.device_put((part, np.int32(used), np.int32(steps)), device)
        pending.append(_advance_chunks(_on(step_map, device), *arguments))
    parts = [jax.tree.map(_flat, result) for result in pending]
    before, after = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:rows], *parts)
    return before, after


def _on(step_map: Any, device) -> Any:
    arrays, rest = eqx.partition(step_map, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)


def _chunked(leaf: np.ndarray) -> np.ndarray:
    """(m, …) padded with its last row to (CHUNKS, LANES, …)."""
    rows = np.minimum(np.arange(LANES * CHUNKS), len(leaf) - 1)
    return leaf[rows].reshape(CHUNKS, LANES, *leaf.shape[1:])


def _flat(leaf) -> np.ndarray:
    array = np.asarray(leaf)
    return array.reshape(-1, *array.shape[2:])


@eqx.filter_jit
def _advance_chunks(step_map: Any, states: Any, used, steps):
    step = jax.vmap(step_map)

    def chunk(index, carry):
        before, states = carry
        here = jax.tree.map(lambda leaf: leaf[index], states)
        here = jax.lax.fori_loop(0, steps - 1, lambda _, state: step(state), here)
        after = step(here)
        put = lambda leaf, value: leaf.at[index].set(value)  # noqa: E731
        return put(before, here.w), jax.tree.map(put, states, after)

    return jax.lax.fori_loop(0, used, chunk, (jnp.zeros_like(states.w), states))
