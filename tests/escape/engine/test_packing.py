"""Words survive packing bit by bit, in JAX and in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.escape.engine.stepping.packing import pack, read, unpack, words_per_array

LANES = 7
PATTERNS = {
    "float32": [0x7FC00001, 0x7F800001, 0xFFC12345, 0x7F800000, 0x80000000, 0x00000001, 0x3F800000],
    "float64": [
        0x7FF8000000000001,
        0xFFF8123456789ABC,
        0x7FF0000000000000,
        0x8000000000000000,
        0x0000000000000001,
        0x3FF0000000000000,
        0x7FF8DEADBEEF0000,
    ],
}


def bits(values):
    values = np.ascontiguousarray(values)
    return values.view(f"u{values.dtype.itemsize}")


def words_of(dtype, count):
    """`count` words (LANES,): every pattern in every place."""
    width = np.dtype(dtype).itemsize
    patterns = np.array(PATTERNS[dtype], f"u{width}").view(dtype)
    return [jnp.asarray(np.roll(patterns, shift)) for shift in range(count)]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", PATTERNS)
@pytest.mark.parametrize("count", range(1, 11))
@pytest.mark.thorough
def test_every_bit_pattern_makes_the_round_trip(count, dtype, packed):
    """NaN payloads, infinities, −0 and denormals among them."""
    words = words_of(dtype, count)
    arrays = jax.jit(lambda *words: pack(words, packed))(*words)
    assert len(arrays) == -(-count // words_per_array(dtype, packed))
    back = jax.jit(lambda *arrays: unpack(arrays, count, dtype, packed))(*arrays)
    assert len(back) == count
    here = read([np.asarray(array) for array in arrays], count, dtype)
    assert here.shape == (count, LANES)
    for original, inside, outside in zip(words, back, here, strict=True):
        np.testing.assert_array_equal(bits(original), bits(inside))
        np.testing.assert_array_equal(bits(original), bits(outside))


@pytest.mark.parametrize("dtype", PATTERNS)
def test_integers_travel_as_floats(dtype):
    """What a float32 word carries may be an int32: small ones are denormal, −1 is a NaN."""
    integers = jnp.asarray([0, 1, -1, 2**31 - 1, -(2**31), 12345, 7], jnp.int32)
    word = integers.astype(jnp.float64)
    if dtype == "float32":
        word = jax.lax.bitcast_convert_type(integers, jnp.float32)
    arrays = pack([jnp.ones(LANES, dtype), word, jnp.ones(LANES, dtype)], True)
    back = unpack(arrays, 3, dtype, True)[1]
    restored = back.astype(jnp.int32)
    if dtype == "float32":
        restored = jax.lax.bitcast_convert_type(back, jnp.int32)
    np.testing.assert_array_equal(restored, integers)


def test_rows_may_be_selected_before_reading():
    words = words_of("float32", 5)
    arrays = [np.asarray(array) for array in pack(words, True)]
    chosen = np.array([0, 3, 6])
    part = read([array[chosen] for array in arrays], 5, "float32")
    np.testing.assert_array_equal(bits(part), bits(read(arrays, 5, "float32"))[:, chosen])
