"""Random numbers made where they are used: a counter-based generator and normal deviates.

A path's numbers are a function of its seed and its index: word n of path i is a hash of
(seed, i, n). Nothing is stored, no lane knows its neighbours, and any step can be repeated
alone. Threefry with an inverse error function, which `jax.random` uses, costs about ten times
as much as everything else in an Euler–Maruyama step.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Words = jax.Array  # uint32, one a lane

_GOLDEN = np.uint32(0x9E3779B9)  # 2^32 divided by the golden ratio: counters that differ far apart


class Key(NamedTuple):
    """64 bits of a path: two uint32 words a lane.

    `twist` is what all numbers of a path need of `high`, where it is kept from one to the next.
    """

    low: Words
    high: Words
    twist: Words | None = None


def seed_words(seed: int) -> np.ndarray:
    """Two uint32 words from any integer seed in 0 … 2^64 − 1."""
    return np.random.SeedSequence(seed).generate_state(2, np.uint32)


def path_key(seed: Words, index: Words) -> Key:
    """The key of path `index` (uint32) under `seed` (two uint32 words).

    No two paths of a seed share `low`. Two hashes keep the paths of seeds whose first words are
    close from sharing theirs one after another.
    """
    low = _mix(_mix(index + seed[0]) ^ seed[1])
    high = _mix((index ^ seed[1]) * np.uint32(0x85EBCA6B) + low + _GOLDEN)
    return Key(low, high)


def random_words(key: Key, counter: Words | np.uint32, offset: int = 0) -> tuple[Words, Words]:
    """Two independent words for a counter (uint32): one hash of (low, counter), finished twice.

    The counter is `counter + offset`; consecutive offsets share the multiplication.
    """
    return words_at(key, scattered(counter), offset)


def scattered(counter: Words | np.uint32) -> Words:
    """Counters far from each other, where those that are given follow one another."""
    return jnp.asarray(counter) * _GOLDEN


def stride(counters: int) -> np.uint32:
    """How much `scattered` grows over so many counters."""
    return np.uint32(counters * int(_GOLDEN) % 2**32)


def words_at(key: Key, scattered: Words, offset: int = 0) -> tuple[Words, Words]:
    """`random_words` of a counter that has been scattered."""
    core = _mix((scattered + stride(offset)) ^ key.low)
    first = core + key.high
    first = (first ^ (first >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    second = core ^ (twist_of(key.high) if key.twist is None else key.twist)
    second = (second ^ (second >> np.uint32(13))) * np.uint32(0x297A2D39)
    return _fold(first, 16), _fold(second, 15)


def twist_of(high: Words) -> Words:
    """What tells the second of two words from the first."""
    return high * np.uint32(0x9E3779B1)


def _mix(x: Words) -> Words:
    """A bijection of 32 bits with full avalanche (two multiplications, three shifts)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return _fold(x, 16)


def _fold(x: Words, shift: int) -> Words:
    return x ^ (x >> np.uint32(shift))


def uniform(word: Words) -> jax.Array:
    """A float32 in (0, 1): the centre of one of 2^31 cells, rounded."""
    return _cell(word >> np.uint32(1)) * np.float32(2.0**-31) + np.float32(2.0**-32)


def normal_pair(words: tuple[Words, Words], dtype) -> tuple[jax.Array, jax.Array]:
    """Two independent standard normals by Box & Muller (1958), up to 6.6 standard deviations.

    They are made in float32 whatever `dtype` is: a deviate that is wrong by 1e-7 of itself moves
    no statistic of fewer than 10^13 paths.
    """
    radius = jnp.sqrt(np.float32(-2) * _log(uniform(words[0])))
    cosine, sine = _half_circle(words[1])
    back = words[1] & np.uint32(1 << 31)
    radius = _with_sign(radius, back)  # of both numbers
    return (radius * cosine).astype(dtype), (radius * sine).astype(dtype)


def binomial_pair(words: tuple[Words, Words], dtype) -> tuple[jax.Array, jax.Array]:
    """Two independent numbers of mean 0 and variance 1: the set bits of 32, standardised.

    Cheaper than normals, with their first three moments; the fourth is 3 − 1/16.
    """
    first, second = (_standardised(jax.lax.population_count(word)) for word in words)
    return first.astype(dtype), second.astype(dtype)


def _standardised(bits: Words) -> jax.Array:
    return (bits.astype(jnp.int32).astype(jnp.float32) - np.float32(16)) * np.float32(8**-0.5)


def _cell(word: Words) -> jax.Array:
    return word.astype(jnp.int32).astype(jnp.float32)


def _log(u: jax.Array) -> jax.Array:
    """ln u for u in (0, 1], a polynomial without division, within 1e-7."""
    bits = jax.lax.bitcast_convert_type(u, jnp.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    x = jax.lax.bitcast_convert_type(bits - (exponent << np.int32(23)), jnp.float32) - np.float32(1)
    square = x * x
    tail = _horner(x, _LOG) * x * square - np.float32(0.5) * square
    return x + tail + exponent.astype(jnp.float32) * np.float32(np.log(2))


def exponential(x: jax.Array) -> jax.Array:
    """min(exp(x), 1) in float32, a polynomial without division, within 1e-5.

    Enough for a probability: what it decides wrongly is one path in 10^4 of those in doubt.
    """
    scaled = x * np.float32(1 / np.log(2))  # comparisons are cheaper than maxima that pass on nan
    scaled = jnp.where(scaled > -125, scaled, np.float32(-125))
    scaled = jnp.where(scaled < 0, scaled, np.float32(0))
    whole = jnp.round(scaled)
    root = _horner(scaled - whole, _POWER)
    # in the sum the last bits are the whole number; a conversion would check for overflow
    exponent = jax.lax.bitcast_convert_type(whole + _SHIFT, jnp.int32) << np.int32(23)
    bits = jax.lax.bitcast_convert_type(root, jnp.int32) + exponent
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _half_circle(word: Words) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine, up to the sign of both that the first bit gives, of a uniform angle: the
    second bit chooses the quadrant, the rest the angle."""
    quarter = _cell((word << np.uint32(2)) >> np.uint32(3)) * np.float32(2.0**-29)
    quarter = quarter + np.float32(2.0**-30 - 0.5)
    square = quarter * quarter
    sine = quarter * _horner(square, _SINE)
    cosine = _horner(square, _COSINE)
    turned = (word & np.uint32(1 << 30)) != 0
    return jnp.where(turned, sine, cosine), jnp.where(turned, cosine, sine)


def _with_sign(x: jax.Array, sign: Words) -> jax.Array:
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) ^ sign
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _horner(x: jax.Array, coefficients: Sequence[float]) -> jax.Array:
    total = np.asarray(coefficients[0], x.dtype)
    for coefficient in coefficients[1:]:
        total = total * x + np.asarray(coefficient, x.dtype)
    return jnp.asarray(total)


def _taylor(first: int, terms: int) -> list[float]:
    """Taylor coefficients in a², highest first, of cos(πa/2) or sin(πa/2)/a for |a| ≤ ½."""
    import math

    powers = [first + 2 * k for k in range(terms)]
    return [(-1) ** (p // 2) * (math.pi / 2) ** p / math.factorial(p) for p in reversed(powers)]


_SINE, _COSINE = _taylor(1, 5), _taylor(0, 5)

# ln(1 + x) = x − x²/2 + x³·p(x) on [√½ − 1, √2 − 1]: least-squares fit at Chebyshev points
_NODES = np.cos(np.pi * (np.arange(400) + 0.5) / 400)
_NODES = 0.5 * ((np.sqrt(2) - 1) * (1 + _NODES) + (np.sqrt(0.5) - 1) * (1 - _NODES))
_LOG = np.polyfit(_NODES, (np.log1p(_NODES) - _NODES + _NODES**2 / 2) / _NODES**3, 8).tolist()

# 2^x = 1 + x·p(x) on [−½, ½], exact at 0: least-squares fit at Chebyshev points
_HALF = 0.5 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
_POWER = [*np.polyfit(_HALF, (2.0**_HALF - 1) / _HALF, 3).tolist(), 1.0]
_SHIFT = np.float32(1.5 * 2**23)
