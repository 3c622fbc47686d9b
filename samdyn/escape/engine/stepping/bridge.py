"""What happens within a step: its random numbers, and whether and when a path left during it.

A path draws one uniform number when it begins. It ends when its probability of not having touched
the border, step by step that of a Brownian bridge, falls below that number; `life` is the ratio of
the two. All functions are of one path, or of arrays of them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from . import generator
from .stepper import AbstractStepper

# `life` of a lane: ≥ 1 while running, the inverse of how much likelier than the path's own
# uniform number its survival is. At most 0 when finished: minus the gap before the step that left
# the region, or one of these.
CENSORED, FAILED, IDLE = -1e30, -2e30, -3e30

# counters that no step reaches, for what a path draws once
_FIRST, _EXIT_NORMAL, _EXIT_CHOICE = (0xFFFFFFFF - k for k in range(3))

_DEVIATES = {
    "normal": generator.normal_pair,
    "binomial": generator.binomial_pair,
    "words": lambda words, dtype: words,
}


def draws(stepper: AbstractStepper, key, steps, unroll: int) -> list[list[jax.Array]]:
    """For each of `unroll` steps from `steps` on, an even one, its draws; a counter gives two."""
    first = (steps.astype(jnp.uint32) >> np.uint32(1)) * np.uint32(stepper.draws)
    return draws_from(stepper, key, generator.scattered(first), unroll)


def draws_from(stepper: AbstractStepper, key, scattered, unroll: int) -> list[list[jax.Array]]:
    """`draws` from a counter on, which has been scattered."""
    dtype = stepper.start.dtype
    numbers: list[jax.Array] = []
    for pair in range(-(-unroll * stepper.draws // 2)):
        words = generator.words_at(key, scattered, pair)
        numbers += _DEVIATES[stepper.law](words, dtype)
    m = stepper.draws
    return [numbers[step * m : (step + 1) * m] for step in range(unroll)]


def draws_at(key, step, count: int, law: str, dtype) -> jax.Array:
    """The draws (count,) of step `step` (uint32) alone, of counters that no other step has."""
    pairs = -(-count // 2)
    numbers: list[jax.Array] = []
    for pair in range(pairs):
        words = generator.random_words(key, step * np.uint32(pairs), pair)
        numbers += _DEVIATES[law](words, dtype)
    return jnp.stack(numbers[:count]) if count else jnp.zeros(0, dtype)


def first_life(key: generator.Key, dtype) -> jax.Array:
    """1/u with u uniform: the path ends when its survival probability falls below u."""
    word = generator.random_words(key, np.uint32(_FIRST))[0]
    return jnp.ones((), dtype) / generator.uniform(word).astype(dtype)


def rate(variance):
    """−2 over the variance of the noise of a step towards the border."""
    number = _number_in(variance.dtype)
    return jnp.where(variance > 0, number(-2) / variance, number(-1e30))


def exponent(rate, gap, reached):
    """The logarithm of the probability that a bridge from `gap` to `reached` touches 0."""
    return (rate * (gap * reached)).astype(jnp.float32)


def no_touch(exponent, dtype):
    """The probability that it stays above 0; 0 for one that ends below."""
    return np.asarray(1, dtype) - generator.exponential(exponent).astype(dtype)


def first_passage(above, below, variance, key):
    """When, within the step, a Brownian bridge from `above` to −`below` first touches 0.

    By reflection the same for a bridge that ends at +`below` and is known to touch. T/(1−T)
    is inverse Gaussian with mean above/below and shape above²/variance, drawn as by Michael,
    Schucany & Haas (1976).
    """
    dtype, number = above.dtype, _number_in(above.dtype)
    words = generator.random_words(key, np.uint32(_EXIT_NORMAL))
    normal, _ = generator.normal_pair(words, dtype)
    choice = generator.random_words(key, np.uint32(_EXIT_CHOICE))[0]
    below = jnp.maximum(below, number(1e-6) * above) + number(1e-30)
    half = normal**2 * variance / (number(2) * above * below)
    root = number(1) / (number(1) + half + jnp.sqrt(half * (half + number(2))))
    early = generator.uniform(choice).astype(dtype) * (number(1) + root) < 1
    return jnp.where(early, above * root / (below + above * root), above / (below * root + above))


def straight_passage(above, below):
    """The same on the straight way from `above` to −`below`."""
    return above / (above + below + _number_in(above.dtype)(1e-30))


def within_a_step(fraction):
    """In (0, 1], as a life that is settled must be."""
    number = _number_in(fraction.dtype)
    return jnp.clip(fraction, number(2.0**-10), number(1))


def _number_in(dtype):
    return lambda value: np.asarray(value, dtype)
