"""Interval arithmetic on arrays: every rule gives bounds that hold for real numbers.

An interval is an array (2, n) of lower and upper ends, or (2, 1) for a constant; an infinite end
means unbounded. Sums, products, quotients and roots are rounded outwards by one place. NumPy's
elementary functions promise fewer than 4 units in the last place on every CPU; they are widened
by 8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Interval = np.ndarray  # (2, n)

EPS = np.finfo(float).eps
WIDENING = 8 * EPS
TINY = np.finfo(float).smallest_subnormal
LARGEST = np.finfo(float).max
FAR = 1e12  # beyond it a period of sine and cosine is not told apart
_ALL = np.logical_and.reduce  # a third of the time of ndarray.all on few numbers
OUT = np.array([[-1.0], [1.0]])  # the directions of the two ends


def outwards(x: Interval, least: float = TINY) -> Interval:
    """At least one place further out; what is not a number is unbounded.

    `least` may be 0 for sums: where these are subnormal they are exact.
    """
    return _moved(x, EPS, least)


def widened(x: Interval) -> Interval:
    """Eight units in the last place further out: for functions that are not rounded correctly."""
    return _moved(x, WIDENING, TINY)


def _moved(x: Interval, relative: float, least: float) -> Interval:
    # |x|·eps is one place or more, and rounding is monotone: the sum is never nearer than that
    out = np.abs(x)
    out *= relative * OUT
    if least:
        out += least * OUT
    out += x
    return out if _ALL(np.isfinite(out), axis=None) else _mended(x, relative, least)


def _mended(x: Interval, relative: float, least: float) -> Interval:
    """Where an end is infinite: a lower one that overflowed is the largest number."""
    ends = pair(np.minimum(x[0], LARGEST), np.maximum(x[1], -LARGEST))
    out = ends + OUT * (np.abs(ends) * relative + least)
    return pair(np.fmax(out[0], -np.inf), np.fmin(out[1], np.inf))


def pair(low: Any, high: Any) -> Interval:
    """An interval of its ends, (n,) each or numbers."""
    shape = np.broadcast_shapes(np.shape(low), np.shape(high)) or (1,)
    out = np.empty((2, *shape), np.result_type(low, high))
    out[0], out[1] = low, high
    return out


def hull_of(ends: np.ndarray) -> Interval:
    """The smallest interval with all of these numbers (k, n)."""
    out = np.empty((2, ends.shape[1]))
    np.minimum.reduce(ends, axis=0, out=out[0])
    np.maximum.reduce(ends, axis=0, out=out[1])
    return out


def add(x: Interval, y: Interval) -> Interval:
    """x + y; what is not negative stays so: the root of a sum of squares is defined."""
    return outwards(x + y, 0.0)


def sub(x: Interval, y: Interval) -> Interval:
    """x − y."""
    return outwards(x - y[::-1], 0.0)


def neg(x: Interval) -> Interval:
    """−x."""
    return -x[::-1]


def mul(x: Interval, y: Interval) -> Interval:
    """0 times an unbounded end is 0: every number inside is finite."""
    ends = (x[:, None] * y[None]).reshape(4, -1)
    exact = hull_of(ends)
    if np.isnan(exact).any():
        exact = hull_of(np.where(np.isnan(ends), 0.0, ends))
    return _keeping_sign(outwards(exact), exact)


def times(x: Interval, factor: float) -> Interval:
    """x times a number."""
    if factor == 0:
        return np.zeros_like(x)
    exact = x * factor if factor > 0 else x[::-1] * factor
    size = abs(factor)
    if size >= 1 and np.log2(size).is_integer():  # nothing is rounded, though it may overflow
        return pair(np.minimum(exact[0], LARGEST), np.maximum(exact[1], -LARGEST))
    return _keeping_sign(outwards(exact), exact)


def _keeping_sign(out: Interval, exact: Interval) -> Interval:
    """A product that is not negative stays so; −0 may be a negative one that was too small."""
    np.maximum(out[0], 0.0, out=out[0], where=~np.signbit(exact[0]))
    return out


def contains_zero(x: Interval) -> Any:
    """Whether 0 is inside, (n,)."""
    return (x[0] <= 0) & (x[1] >= 0)


def reciprocal(x: Interval) -> Interval:
    """Of an interval with 0 inside, or at an end, unbounded on the side where it is."""
    exact = 1 / (x[::-1] + 0.0)  # without the sign of a zero, which would decide the side
    if contains_zero(x).any():
        nothing = (x[0] == 0) & (x[1] == 0)
        exact[0][((x[0] < 0) & (x[1] >= 0)) | nothing] = -np.inf
        exact[1][((x[1] > 0) & (x[0] <= 0)) | nothing] = np.inf
    return outwards(exact)


def div(x: Interval, y: Interval) -> Interval:
    """x/y."""
    return mul(x, reciprocal(y))


def integer_pow(x: Interval, y: int) -> Interval:
    """x^y: of even powers without the sign, so that 0 inside makes 0 the least."""
    if y < 0:
        return reciprocal(integer_pow(x, -y))
    if y == 0:
        return np.ones_like(x)
    if y == 1:
        return x
    base = absolute(x) if y % 2 == 0 else x
    power = base * base
    # one rounding a factor, each of half a place, on magnitudes: y places hold for y factors
    for _ in range(y - 2):
        power = power * base
    out = _moved(power, y * EPS, TINY)
    if y % 2 == 0:
        np.maximum(out[0], 0.0, out=out[0])
    return out


def square(x: Interval) -> Interval:
    """x²."""
    return integer_pow(x, 2)


def absolute(x: Interval) -> Interval:
    """|x|."""
    ends = np.abs(x)
    out = hull_of(ends)
    out[0][contains_zero(x)] = 0.0
    return out


def sign(x: Interval) -> Interval:
    """−1, 0 or 1: of an interval with 0 inside both."""
    return np.sign(x)


def within(x: Interval, low: float, high: float) -> Interval:
    """What of x lies between two numbers; where nothing does, x."""
    out = pair(np.maximum(x[0], low), np.minimum(x[1], high))
    return np.where(out[0] <= out[1], out, x)


def rising(function: Callable, least: float = -np.inf, most: float = np.inf) -> Callable:
    """The rule of a function that never falls, with values between `least` and `most`."""

    def apply(x: Interval) -> Interval:
        out = widened(function(x))
        return pair(np.maximum(out[0], least), np.minimum(out[1], most))

    return apply


def falling(function: Callable, least: float = -np.inf, most: float = np.inf) -> Callable:
    """The rule of a function that never rises."""
    rule = rising(function, least, most)
    return lambda x: rule(x[::-1])


def stepwise(function: Callable) -> Callable:
    """The rule of a function that never falls and is exact, such as floor."""
    return lambda x: function(x)


def special(function: Callable, units: float, rises: bool = True) -> Callable:
    """The rule of a monotone function of SciPy's, whose errors were found below `units`/4 in the
    last place: it promises none."""

    def apply(x: Interval) -> Interval:
        return _moved(function(x if rises else x[::-1]), units * EPS, 2 * np.finfo(float).tiny)

    return apply


def remainder(x: Interval, y: Interval) -> Interval:
    """What is left of x after whole multiples of a number y, with the sign of x, exactly; all that
    there may be where x holds more than one multiple."""
    left = np.fmod(x, y)
    whole = x - left  # of multiples, which are told apart where these are few enough
    same = (whole[0] == whole[1]) & np.all(np.abs(x) < 2.0**40 * np.abs(y), axis=0)
    same &= (np.signbit(x[0]) == np.signbit(x[1])) & (y[0] == y[1])
    size = np.max(np.abs(y), axis=0)
    most, least = np.where(x[1] > 0, size, 0.0), np.where(x[0] < 0, -size, 0.0)
    return pair(np.where(same, left[0], least), np.where(same, left[1], most))


def sqrt(x: Interval) -> Interval:
    """√x, of what of x is not negative."""
    out = outwards(np.sqrt(np.maximum(x, 0)))
    np.maximum(out[0], 0.0, out=out[0])
    return out


def rsqrt(x: Interval) -> Interval:
    """1/√x, of what of x is positive."""
    out = reciprocal(sqrt(x))
    np.maximum(out[0], 0.0, out=out[0])
    return out


def logarithm(function: Callable, start: float) -> Callable:
    """The rule of log, or log1p: defined beyond `start`."""
    return lambda x: widened(function(np.maximum(x, start)))


def cosh(x: Interval) -> Interval:
    """cosh x: falls, then rises."""
    out = widened(np.cosh(absolute(x)))
    return pair(np.maximum(out[0], 1.0), out[1])


def wave(function: Callable, peak: float) -> Callable:
    """The rule of sin or cos, whose maxima lie at `peak` + 2πk."""

    def apply(x: Interval) -> Interval:
        out = widened(hull_of(function(x)))
        far = _is_far(x)
        out[0][_meets(x, peak + np.pi) | far] = -1.0
        out[1][_meets(x, peak) | far] = 1.0
        return pair(np.maximum(out[0], -1.0), np.minimum(out[1], 1.0))

    return apply


def _is_far(x: Interval) -> Any:
    return ~((x[0] > -FAR) & (x[1] < FAR))


def _meets(x: Interval, place: float, period: float = 2 * np.pi) -> Any:
    """Whether `place` + k·period lies inside, in doubt yes."""
    low, high = (x - place) / period
    slack = 1e-15 * (2 + np.abs(low) + np.abs(high))
    return np.floor(high + slack) >= np.ceil(low - slack)


def tan(x: Interval) -> Interval:
    """tan x, unbounded where a pole may lie inside."""
    out, pole = widened(np.tan(x)), pole_of_tan(x)
    out[0][pole], out[1][pole] = -np.inf, np.inf
    return out


def pole_of_tan(x: Interval) -> Any:
    """Whether tan may be undefined inside."""
    return _meets(x, np.pi / 2, np.pi) | _is_far(x)


def power(x: Interval, y: Interval) -> Interval:
    """x^y for x ≥ 0: monotone in each of both, so that its extremes are those of the corners."""
    x = np.maximum(x, 0)
    corners = np.power(x[:, None], y[None]).reshape(4, -1)
    exact = hull_of(np.where(np.isnan(corners), 1.0, corners))
    exact[1][np.broadcast_to((x[0] == 0) & (y[0] < 0), exact[1].shape)] = np.inf
    out = widened(exact)
    np.maximum(out[0], 0.0, out=out[0])
    return out


def atan2(y: Interval, x: Interval) -> Interval:
    """Over a box without the half-line x ≤ 0, y = 0 the extremes are those of the corners."""
    out = widened(hull_of(np.arctan2(y[:, None], x[None]).reshape(4, -1)))
    cut = np.broadcast_to(contains_zero(y) & (x[0] <= 0), out[0].shape)
    out[0][cut], out[1][cut] = -np.nextafter(np.pi, 4), np.nextafter(np.pi, 4)
    return out


def greater(x: Interval, y: Interval) -> Interval:
    """Truth as an interval of 0 and 1: (0, 1) where it isn't known."""
    return np.greater(x, y[::-1])


def at_least(x: Interval, y: Interval) -> Interval:
    """x ≥ y, as `greater`."""
    return np.greater_equal(x, y[::-1])


def equal(x: Interval, y: Interval) -> Interval:
    """x = y, as `greater`."""
    same = (x[0] == x[1]) & (y[0] == y[1]) & (x[0] == y[0])
    return pair(same, (x[1] >= y[0]) & (y[1] >= x[0]))


def negated(x: Interval) -> Interval:
    """Not x."""
    return ~x[::-1]
