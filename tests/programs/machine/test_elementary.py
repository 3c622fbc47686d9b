"""Every function is within 2 units of the last place, by arithmetic of 1,400 bits."""

import math

import mpmath
import numpy as np
import pytest

from samdyn.programs.machine.columns import Columns
from samdyn.programs.machine.elementary import FUNCTIONS
from samdyn.programs.primitives import FUNCTIONS as NUMPY
from samdyn.programs.program import Input, Operation, Program

MOST_ULPS = 2.0
EXACT = {
    "cos": mpmath.cos,
    "cosh": mpmath.cosh,
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sin": mpmath.sin,
    "sinh": mpmath.sinh,
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
}
PERIODIC = ("cos", "sin", "tan")
PRECISIONS = [np.float32, np.float64]


def computed(name, dtype, *columns):
    dtype = np.dtype(dtype)
    places = tuple(range(len(columns)))
    inputs = tuple(Input(str(k), dtype) for k in places)
    program = Program(inputs, (Operation(name, places, dtype),), (len(places),), ((),))
    (found,) = Columns(program, len(places))([np.asarray(c, dtype) for c in columns])
    return found


def arguments(name, dtype, count, rng):
    """Of every size, near 1, near multiples of π/2, near the ends of the range, and subnormal."""
    limits = np.finfo(dtype)
    reach = math.log(float(limits.max))
    every = np.exp(rng.uniform(math.log(float(limits.tiny)), reach, count))
    parts = [rng.normal(size=count) * scale for scale in (1e-6, 1e-2, 1, 30)]
    parts += [every * rng.choice([-1, 1], count), 1 + 0.3 * rng.normal(size=count)]
    parts += [np.pi / 2 * rng.integers(-(10**6), 10**6, count)]
    parts += [
        rng.uniform(-1.1 * reach, 1.1 * reach, count),
        rng.uniform(-1, 1, count) * limits.tiny,
    ]
    x = np.concatenate(parts).astype(dtype)
    return x if name in PERIODIC or name.startswith("log") else x[np.abs(x) < 3000]


def error_in_ulps(found, x, exact, dtype):
    limits = np.finfo(dtype)
    try:
        true = exact(mpmath.mpf(float(x)))
    except (ValueError, ZeroDivisionError):  # mpmath's poles
        return 0.0
    if isinstance(true, mpmath.mpc):
        return 0.0 if np.isnan(found) else math.inf
    if abs(true) > mpmath.mpf(float(limits.max)) * (1 + mpmath.mpf(2) ** -30):
        return 0.0 if np.isinf(found) else math.inf
    exponent = -(10**6) if true == 0 else int(mpmath.floor(mpmath.log(abs(true), 2)))
    ulp = mpmath.mpf(2) ** (max(exponent, int(limits.minexp)) - int(limits.nmant))
    return float(abs(mpmath.mpf(float(found)) - true) / ulp)


def worst(name, dtype, count, seed):
    x = arguments(name, dtype, count, np.random.default_rng(seed))
    with mpmath.workprec(1400):
        pairs = zip(computed(name, dtype, x), x, strict=True)
        return max(error_in_ulps(found, at, EXACT[name], dtype) for found, at in pairs)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_a_function_is_within_two_ulps(name, dtype):
    assert worst(name, dtype, 60, 0) <= MOST_ULPS


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_a_function_is_within_two_ulps_everywhere(name, dtype):
    assert worst(name, dtype, 4000, 1) <= MOST_ULPS


def test_every_function_is_tested():
    assert set(FUNCTIONS) == {*EXACT, "pow"}


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "cos"])
def test_float32_agrees_with_float64_on_a_tenth_of_all_numbers(name):
    """Every tenth float32 there is, against NumPy's float64, which is exact beside it."""
    for first in range(0, 2**32, 2**28):
        x = np.arange(first + first // 2**28, first + 2**28, 10, dtype=np.uint32).view(np.float32)
        x = x[np.isfinite(x)]
        with np.errstate(all="ignore"):
            true = getattr(np, name)(x.astype(np.float64))
            found = computed(name, np.float32, x).astype(np.float64)
            rounded = true.astype(np.float32)
            apart = np.abs(found - true) / np.spacing(np.abs(rounded))
        same = (np.isnan(found) & np.isnan(true)) | (found == rounded)
        assert np.all(same | (apart <= MOST_ULPS)), x[~(same | (apart <= MOST_ULPS))][:5]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_special_values_are_those_of_numpy(name, dtype):
    limits = np.finfo(dtype)
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, limits.max, -limits.max], dtype)
    found = computed(name, dtype, x)
    with np.errstate(all="ignore"):
        true = NUMPY[name](x)
    np.testing.assert_allclose(found, true, rtol=4 * limits.eps)
    numbers = ~np.isnan(true)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(true[numbers]))


def test_powers_are_those_of_numpy():
    rng = np.random.default_rng(0)
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, 0.5, -0.5, 2.5, np.inf, -np.inf, np.nan]
    x, y = (grid.ravel() for grid in np.meshgrid(special, special))
    x = np.concatenate([x, np.exp(rng.normal(size=2000) * 5)]).astype(np.float32)
    y = np.concatenate([y, rng.normal(size=2000) * 4]).astype(np.float32)
    with np.errstate(all="ignore"):
        true = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(computed("pow", np.float32, x, y), true, rtol=2e-7)
