"""Keep the state of a lane in as few arrays as the backend's compiler likes.

XLA for CPUs compiles an unrolled chain of steps into one vectorised loop when the chain ends in
one array; with several it repeats the chain for each, or runs it through memory. So the words of
a lane (two float64, or four 32-bit words) travel as one complex128. On other backends each word
is its own array.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

_bits = jax.lax.bitcast_convert_type


def words_per_array(dtype, packed: bool) -> int:
    """How many words of `dtype` share an array."""
    return 16 // np.dtype(dtype).itemsize if packed else 1


def pack(words: Sequence[jax.Array], packed: bool) -> tuple[jax.Array, ...]:
    """Words of one dtype, float32 or float64, as fewer arrays. Needs 64-bit types if `packed`."""
    if not packed:
        return tuple(words)
    group = words_per_array(words[0].dtype, packed)
    filled = [*words, *[jnp.zeros_like(words[0])] * (-len(words) % group)]
    return tuple(_join(filled[i : i + group]) for i in range(0, len(filled), group))


def unpack(arrays: Sequence[jax.Array], count: int, dtype, packed: bool) -> list[jax.Array]:
    """The `count` words that `pack` was given."""
    if not packed:
        return list(arrays)
    words = [word for array in arrays for word in _split(array, dtype)]
    return words[:count]


def read(arrays: Sequence[np.ndarray], count: int, dtype) -> np.ndarray:
    """The same in NumPy: words (count, n) of `dtype` from arrays of n lanes."""
    width = 16 if arrays[0].dtype.kind == "c" else np.dtype(dtype).itemsize
    shape = (-1, width // np.dtype(dtype).itemsize)
    parts = [np.ascontiguousarray(array).view(dtype).reshape(shape) for array in arrays]
    return np.concatenate(parts, axis=1).T[:count]


def _join(words: Sequence[jax.Array]) -> jax.Array:
    if len(words) == 2:
        return jax.lax.complex(*words)
    low, high = _pair(words[0], words[1]), _pair(words[2], words[3])
    return jax.lax.complex(low, high)


def _pair(one: jax.Array, other: jax.Array) -> jax.Array:
    high = _bits(other, jnp.uint32).astype(jnp.uint64) << np.uint64(32)
    return _bits(high | _bits(one, jnp.uint32).astype(jnp.uint64), jnp.float64)


def _split(array: jax.Array, dtype) -> list[jax.Array]:
    halves = [jnp.real(array), jnp.imag(array)]
    if np.dtype(dtype).itemsize == 8:
        return halves
    return [word for half in halves for word in _unpair(half)]


def _unpair(half: jax.Array) -> list[jax.Array]:
    bits = _bits(half, jnp.uint64)
    low, high = bits.astype(jnp.uint32), (bits >> np.uint64(32)).astype(jnp.uint32)
    return [_bits(low, jnp.float32), _bits(high, jnp.float32)]
