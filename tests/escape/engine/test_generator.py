"""The counter generator: its words are uniform and independent, its normals are normal.

Statistics are compared with their exact law, within as many standard errors as the number of
comparisons asks for.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from samdyn.escape.engine.stepping import generator
from samdyn.escape.engine.stepping.generator import (
    normal_pair,
    path_key,
    random_words,
    seed_words,
    uniform,
)

LARGEST = 2**32 - 1
EXTREME = [0, 1, 2, 2**29, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 3 * 2**30, LARGEST - 1, LARGEST]


def u32(values):
    return jnp.asarray(np.asarray(values, np.uint32))


@jax.jit
def words(seed, index, counter):
    return jnp.stack(random_words(path_key(seed, index), counter))


@jax.jit
def normals(seed, index, counter):
    return jnp.stack(normal_pair(random_words(path_key(seed, index), counter), jnp.float32))


def grid(function, index, counter, seed=0):
    """Both words or normals, (2, paths, counters), of every path at every counter."""
    index, counter = jnp.broadcast_arrays(u32(index)[:, None], u32(counter)[None])
    return np.asarray(function(u32(seed_words(seed)), index, counter))


@pytest.fixture(scope="module")
def long_paths():
    """Few paths, many counters: (2, 8, 2^20)."""
    return grid(normals, np.arange(8), np.arange(2**20)).astype(float)


@pytest.fixture(scope="module")
def many_paths():
    """Many paths, few counters: (2, 2^20, 8)."""
    return grid(normals, np.arange(2**20), np.arange(8), seed=1).astype(float)


def moment(power):
    """E zⁿ of a standard normal."""
    return 0 if power % 2 else math.prod(range(power - 1, 0, -2))


def assert_uncorrelated(one, other, sigmas=4.5):
    """The means of products of values with mean 0 and variance 1, and of their squares."""
    one, other = one.ravel(), other.ravel()
    assert abs(one @ other) < sigmas * math.sqrt(one.size)
    assert abs((one**2 - 1) @ (other**2 - 1)) < sigmas * 2 * math.sqrt(one.size)


@pytest.mark.parametrize("draws", ["long_paths", "many_paths"])
@pytest.mark.thorough
def test_the_moments_of_both_normals_and_of_their_products(draws, request):
    """E xᵃyᵇ for a + b ≤ 6."""
    size, total = 0, np.zeros((7, 7))
    for block in np.split(request.getfixturevalue(draws).reshape(2, -1), 256, axis=1):
        x, y = (np.cumprod([np.ones_like(z), *[z] * 6], axis=0) for z in block)
        size, total = size + block.shape[1], total + x @ y.T
    for a, b in itertools.product(range(7), repeat=2):
        if 1 <= a + b <= 6:
            expected = moment(a) * moment(b)
            error = math.sqrt((moment(2 * a) * moment(2 * b) - expected**2) / size)
            assert abs(total[a, b] / size - expected) < 4.5 * error, (a, b)


@pytest.mark.parametrize("draws", ["long_paths", "many_paths"])
@pytest.mark.thorough
def test_the_tails_of_the_normals(draws, request):
    sizes = np.abs(request.getfixturevalue(draws))
    for level in (1, 2, 3, 4, 5):
        expected = sizes.size * 2 * scipy.stats.norm.sf(level)
        assert abs(np.sum(sizes > level) - expected) < 4 * math.sqrt(expected)
    assert sizes.max() < 6.7


@pytest.mark.thorough
def test_a_path_is_white(long_paths):
    """x₀, y₀, x₁, y₁, … at lags up to 16: values and squares."""
    series = np.moveaxis(long_paths[:, :4], 0, -1).reshape(4, -1)
    for lag in range(1, 17):
        assert_uncorrelated(series[:, lag:], series[:, :-lag])


@pytest.mark.thorough
def test_neighbouring_paths_are_independent(many_paths):
    for distance in (1, 2, 3, 16, 512, 2**16):
        for z in many_paths:
            assert_uncorrelated(z[distance:], z[:-distance])


@pytest.mark.thorough
def test_neighbouring_seeds_are_independent(many_paths):
    other = grid(normals, np.arange(2**20), np.arange(8), seed=2).astype(float)
    assert_uncorrelated(many_paths, other)


def test_the_words_are_uniform_in_their_high_and_low_bits():
    for drawn in (
        grid(words, np.arange(4), np.arange(2**20), seed=3),
        grid(words, np.arange(2**20), np.arange(4), seed=3),
    ):
        for word in drawn.reshape(2, -1):
            for part in (word >> 20, word & 0xFFF, (word >> 10) & 0xFFF):
                assert scipy.stats.chisquare(np.bincount(part, minlength=4096)).pvalue > 1e-4


def test_the_two_words_of_a_counter_and_successive_ones_are_independent():
    first, second = grid(words, np.arange(4), np.arange(2**20), seed=4)
    pairs = [(first, second), (first[:, 1:], first[:, :-1]), (second[:, 1:], first[:, :-1])]
    for one, other in pairs:
        for shift, mask in ((26, 0x3F), (0, 0x3F)):
            cells = ((one >> shift) & mask) * 64 + ((other >> shift) & mask)
            counts = np.bincount(cells.ravel(), minlength=4096)
            assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_flipping_any_bit_of_seed_index_or_counter_flips_half_of_the_output():
    """128 input bits by 64 output bits, each from 4096 small indices and counters."""
    index, counter = (part.ravel() for part in np.meshgrid(range(64), range(64)))
    base = np.stack([np.full(4096, w) for w in seed_words(5)] + [index, counter]).astype(np.uint32)
    flips = np.kron(np.eye(4, dtype=np.uint32), 2 ** np.arange(32, dtype=np.uint32)[:, None])
    inputs = np.swapaxes(base[None] ^ flips.reshape(128, 4, 1), 0, 1)
    before = np.asarray(words(u32(base[:2]), u32(base[2]), u32(base[3])))
    after = np.asarray(words(u32(inputs[:2]), u32(inputs[2]), u32(inputs[3])))
    changed = (before[:, None] ^ after)[..., None] >> np.arange(32, dtype=np.uint32) & 1
    share = np.mean(changed, axis=2)
    assert np.max(np.abs(share - 0.5)) < 5.5 * 0.5 / math.sqrt(4096)


@pytest.mark.thorough
def test_no_path_is_shared_between_seeds():
    keys = [path_key(u32(seed_words(seed)), u32(np.arange(100_000))) for seed in range(20)]
    keys = [np.asarray(k.low, np.uint64) << 32 | np.asarray(k.high, np.uint64) for k in keys]
    assert np.unique(np.concatenate(keys)).size == 20 * 100_000


def test_seeds_whose_words_are_close_have_unrelated_paths():
    """Path i + 1 of seed words (a, b) and path i of (a + 1, b'), at equal counters."""
    a, b = seed_words(6)
    index, counter = jnp.broadcast_arrays(u32(np.arange(64))[:, None], u32(np.arange(4096))[None])
    one = np.asarray(words(u32([a, b]), index + np.uint32(1), counter))
    for other_seed in ([a + 1, b + 1], [a + 1, b - 1], [a + 1, b ^ np.uint32(2**31)]):
        other = np.asarray(words(u32(other_seed), index, counter))
        difference = ((one - other) >> np.uint32(26)).reshape(-1, 4096)
        for row in difference:
            assert scipy.stats.chisquare(np.bincount(row, minlength=64)).pvalue > 1e-6


def test_extreme_words_give_finite_normals():
    first, second = jnp.meshgrid(u32(EXTREME), u32(EXTREME))
    for z in normal_pair((first, second), jnp.float64):
        assert z.dtype == jnp.float64
        assert np.all(np.isfinite(z))
        assert np.max(np.abs(z)) < 6.7
    u = np.asarray(uniform(u32(EXTREME)))
    assert np.all((u > 0) & (u <= 1))
    assert u[0] == 2.0**-32


@pytest.mark.thorough
def test_binomial_numbers_have_the_moments_of_32_tosses():
    index, counter = jnp.broadcast_arrays(u32(np.arange(256))[:, None], u32(np.arange(2**14))[None])
    drawn = random_words(path_key(u32(seed_words(7)), index), counter)
    x, y = (np.asarray(z, float).ravel() for z in generator.binomial_pair(drawn, jnp.float32))
    tosses = (np.arange(33) - 16) / 8**0.5
    weights = scipy.stats.binom.pmf(np.arange(33), 32, 0.5)
    for power in range(1, 7):
        exact, spread = weights @ tosses**power, weights @ tosses ** (2 * power)
        for z in (x, y):
            assert abs(np.mean(z**power) - exact) < 4.5 * math.sqrt(spread / z.size)
    assert_uncorrelated(x, y)


@pytest.mark.thorough
def test_the_logarithm_is_within_1e_7():
    u = np.concatenate([np.linspace(2**-20, 1, 1_000_001), np.geomspace(2.0**-32, 1, 100_001)])
    u = jnp.asarray(u, jnp.float32)
    exact = np.log(np.asarray(u, float))
    error = np.abs(np.asarray(jax.jit(generator._log)(u)) - exact)
    assert np.max(error / np.maximum(np.abs(exact), 1)) < 1e-7


def test_cosine_and_sine_of_half_a_circle_are_within_3e_7_and_the_first_bit_turns_both():
    word = np.concatenate([np.arange(0, 2**32, 4099, np.uint64), EXTREME]).astype(np.uint32)
    cosine, sine = (np.asarray(v, float) for v in jax.jit(generator._half_circle)(u32(word)))
    angle = np.arctan2(sine, cosine)
    assert np.max(np.abs(np.hypot(cosine, sine) - 1)) < 3e-7
    quadrant = np.array([0, 1, 2, 3])[word >> np.uint32(30)]
    low = (word & np.uint32(2**30 - 1)) >> np.uint32(1)
    quarter = (low * 2.0**-29 + 2.0**-30 - 0.5) * np.pi / 2
    turned = np.where(quadrant % 2 == 1, np.pi / 2 - quarter, quarter)
    gap = np.angle(np.exp(1j * (angle - turned)))
    assert np.max(np.abs(gap)) < 3e-7
    last = np.uint32(2**31)
    pairs = [
        generator.normal_pair((u32(word), u32(other)), np.float32) for other in (word, word ^ last)
    ]
    for one, opposite in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one, -opposite)


def test_the_exponential_is_within_1e_5_and_exact_at_0():
    x = -np.concatenate([np.linspace(0, 20, 1_000_001), np.geomspace(1e-30, 1e30, 10_001)])
    x = jnp.asarray(np.concatenate([x, [-np.inf]]), jnp.float32)
    error = np.abs(np.asarray(jax.jit(generator.exponential)(x)) - np.exp(np.asarray(x, float)))
    assert np.max(error) < 1e-5
    assert generator.exponential(jnp.float32(0)) == 1
    assert not np.any(np.isnan(error))


@pytest.mark.thorough
def test_numbers_do_not_depend_on_how_they_are_asked_for():
    seed, index, counter = u32(seed_words(7)), u32(range(100)), u32(range(1000, 1100))
    together = np.asarray(words(seed, index, counter))
    with jax.disable_jit():
        np.testing.assert_array_equal(together, words(seed, index, counter))
    one_by_one = jax.vmap(lambda i, n: words(seed, i, n), out_axes=1)(index, counter)
    np.testing.assert_array_equal(together, one_by_one)
    z = np.asarray(normals(seed, index, counter))
    with jax.disable_jit():  # fused multiply-adds round once
        np.testing.assert_allclose(z, normals(seed, index, counter), rtol=2e-6, atol=1e-6)


def test_seeds_are_64_bits_and_give_two_words():
    assert seed_words(2**64 - 1).dtype == np.uint32
    drawn = {tuple(seed_words(seed).tolist()) for seed in range(1000)}
    assert len(drawn) == 1000


def test_counters_may_be_scattered_beforehand_and_a_key_hold_its_twist():
    index, counter = u32(np.arange(100)), u32(np.arange(100) * 7919)
    key = path_key(u32(seed_words(3)), index)
    held = key._replace(twist=generator.twist_of(key.high))
    scattered = generator.scattered(counter)
    for offset in (0, 1, 5):
        wanted = np.stack(random_words(key, counter, offset))
        np.testing.assert_array_equal(generator.words_at(held, scattered, offset), wanted)
        further = scattered + generator.stride(offset)
        np.testing.assert_array_equal(generator.words_at(held, further), wanted)
        beyond = random_words(key, counter + np.uint32(offset))
        np.testing.assert_array_equal(np.stack(beyond), wanted)
