"""Interval arithmetic on arrays: every rule gives bounds that hold for real numbers.

An interval is a pair (low, high) of arrays; an infinite end means unbounded. Sums, products,
quotients and roots are rounded outwards by one place. NumPy's elementary functions promise fewer
than 4 units in the last place on every CPU; they are widened by 8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Interval = tuple[Any, Any]

WIDENING = 8 * np.finfo(float).eps
TINY = np.finfo(float).smallest_subnormal
LARGEST = np.finfo(float).max
FAR = 1e12  # beyond it a period of sine and cosine is not told apart


def outwards(low: Any, high: Any) -> Interval:
    """One place further out; what is not a number is unbounded."""
    return (
        np.fmax(np.nextafter(low, -np.inf), -np.inf),
        np.fmin(np.nextafter(high, np.inf), np.inf),
    )


def widened(low: Any, high: Any) -> Interval:
    """Eight units in the last place further out: for functions that are not rounded correctly."""
    low, high = np.minimum(low, LARGEST), np.maximum(high, -LARGEST)
    low = low - (np.abs(low) * WIDENING + TINY)
    high = high + (np.abs(high) * WIDENING + TINY)
    return np.fmax(low, -np.inf), np.fmin(high, np.inf)


def add(x: Interval, y: Interval) -> Interval:
    """x + y."""
    low, high = outwards(x[0] + y[0], x[1] + y[1])
    # what is not negative stays so: the root of a sum of squares is defined
    return np.where((x[0] >= 0) & (y[0] >= 0), np.maximum(low, 0.0), low), high


def sub(x: Interval, y: Interval) -> Interval:
    """x − y."""
    return outwards(x[0] - y[1], x[1] - y[0])


def neg(x: Interval) -> Interval:
    """−x."""
    return -x[1], -x[0]


def mul(x: Interval, y: Interval) -> Interval:
    """0 times an unbounded end is 0: every number inside is finite."""
    products = [a * b for a in x for b in y]
    low = np.fmin(np.fmin(products[0], products[1]), np.fmin(products[2], products[3]))
    high = np.fmax(np.fmax(products[0], products[1]), np.fmax(products[2], products[3]))
    if np.any(np.isnan(low)):  # [0, 0] times an unbounded one
        low, high = np.where(np.isnan(low), 0.0, low), np.where(np.isnan(high), 0.0, high)
    wide = outwards(low, high)
    return np.where(low >= 0, np.maximum(wide[0], 0.0), wide[0]), wide[1]


def contains_zero(x: Interval) -> Any:
    """Whether 0 is inside, (n,)."""
    return (x[0] <= 0) & (x[1] >= 0)


def reciprocal(x: Interval) -> Interval:
    """Of an interval with 0 inside, or at an end, unbounded on the side where it is."""
    low = np.where((x[0] < 0) & (x[1] >= 0), -np.inf, 1 / _unsigned(x[1]))
    high = np.where((x[1] > 0) & (x[0] <= 0), np.inf, 1 / _unsigned(x[0]))
    nothing = (x[0] == 0) & (x[1] == 0)
    low, high = np.where(nothing, -np.inf, low), np.where(nothing, np.inf, high)
    return outwards(low, high)


def _unsigned(x: Any) -> Any:
    """Without the sign of a zero, which would decide on which side infinity lies."""
    return x + 0.0


def div(x: Interval, y: Interval) -> Interval:
    """x/y."""
    return mul(x, reciprocal(y))


def integer_pow(x: Interval, y: int) -> Interval:
    """x^y: of even powers without the sign, so that 0 inside makes 0 the least."""
    if y < 0:
        return reciprocal(integer_pow(x, -y))
    if y == 0:
        return np.ones_like(x[0]), np.ones_like(x[1])
    if y == 1:
        return x
    low, high = (np.abs(end) for end in x) if y % 2 == 0 else x
    if y % 2 == 0:
        low, high = np.where(contains_zero(x), 0.0, np.minimum(low, high)), np.maximum(low, high)
    powers = low, high
    # one rounding a factor, each of half a place, on magnitudes: y places hold for y factors
    for _ in range(y - 1):
        powers = powers[0] * low, powers[1] * high
    slack = y * np.finfo(float).eps
    below, above = (np.minimum(powers[0], LARGEST), powers[1]) if y % 2 == 0 else powers
    if y % 2:
        below, above = np.minimum(below, LARGEST), np.maximum(above, -LARGEST)
    below = below - (np.abs(below) * slack + TINY)
    above = above + (np.abs(above) * slack + TINY)
    return (np.maximum(below, 0.0) if y % 2 == 0 else below), above


def square(x: Interval) -> Interval:
    """x²."""
    return integer_pow(x, 2)


def absolute(x: Interval) -> Interval:
    """|x|."""
    ends = np.abs(x[0]), np.abs(x[1])
    return np.where(contains_zero(x), 0.0, np.minimum(*ends)), np.maximum(*ends)


def sign(x: Interval) -> Interval:
    """−1, 0 or 1: of an interval with 0 inside both."""
    return np.sign(x[0]), np.sign(x[1])


def rising(function: Callable, least: float = -np.inf, most: float = np.inf) -> Callable:
    """The rule of a function that never falls, with values between `least` and `most`."""

    def apply(x: Interval) -> Interval:
        low, high = widened(function(x[0]), function(x[1]))
        return np.maximum(low, least), np.minimum(high, most)

    return apply


def falling(function: Callable, least: float = -np.inf, most: float = np.inf) -> Callable:
    """The rule of a function that never rises."""
    rule = rising(function, least, most)

    def apply(x: Interval) -> Interval:
        low, high = rule((x[1], x[0]))
        return low, high

    return apply


def stepwise(function: Callable) -> Callable:
    """The rule of a function that never falls and is exact, such as floor."""
    return lambda x: (function(x[0]), function(x[1]))


def sqrt(x: Interval) -> Interval:
    """√x, of what of x is not negative."""
    low, high = outwards(np.sqrt(np.maximum(x[0], 0)), np.sqrt(np.maximum(x[1], 0)))
    return np.maximum(low, 0), high


def rsqrt(x: Interval) -> Interval:
    """1/√x, of what of x is positive."""
    low, high = reciprocal(sqrt(x))
    return np.maximum(low, 0), high


def logarithm(function: Callable, start: float) -> Callable:
    """The rule of log, or log1p: defined beyond `start`."""

    def apply(x: Interval) -> Interval:
        return widened(function(np.maximum(x[0], start)), function(np.maximum(x[1], start)))

    return apply


def cosh(x: Interval) -> Interval:
    """cosh x: falls, then rises."""
    low, high = absolute(x)
    low, high = widened(np.cosh(low), np.cosh(high))
    return np.maximum(low, 1.0), high


def wave(function: Callable, peak: float) -> Callable:
    """The rule of sin or cos, whose maxima lie at `peak` + 2πk."""

    def apply(x: Interval) -> Interval:
        ends = function(x[0]), function(x[1])
        low, high = widened(np.fmin(*ends), np.fmax(*ends))
        far = ~((x[0] > -FAR) & (x[1] < FAR))
        top, bottom = _meets(x, peak) | far, _meets(x, peak + np.pi) | far
        low, high = np.where(bottom, -1.0, low), np.where(top, 1.0, high)
        return np.maximum(low, -1.0), np.minimum(high, 1.0)

    return apply


def _meets(x: Interval, place: float, period: float = 2 * np.pi) -> Any:
    """Whether `place` + k·period lies inside, in doubt yes."""
    low, high = (x[0] - place) / period, (x[1] - place) / period
    slack = 1e-15 * (2 + np.abs(low) + np.abs(high))
    return np.floor(high + slack) >= np.ceil(low - slack)


def tan(x: Interval) -> Interval:
    """tan x, unbounded where a pole may lie inside."""
    low, high = widened(np.tan(x[0]), np.tan(x[1]))
    pole = _meets(x, np.pi / 2, np.pi) | ~((x[0] > -FAR) & (x[1] < FAR))
    return np.where(pole, -np.inf, low), np.where(pole, np.inf, high)


def pole_of_tan(x: Interval) -> Any:
    """Whether tan may be undefined inside."""
    return _meets(x, np.pi / 2, np.pi) | ~((x[0] > -FAR) & (x[1] < FAR))


def power(x: Interval, y: Interval) -> Interval:
    """x^y for x ≥ 0: monotone in each of both, so that its extremes are those of the corners."""
    x = np.maximum(x[0], 0), np.maximum(x[1], 0)
    corners = [np.power(a, b) for a in x for b in y]
    corners = [np.where(np.isnan(c), 1.0, c) for c in corners]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    unbounded = (x[0] == 0) & (y[0] < 0)
    low, high = widened(low, np.where(unbounded, np.inf, high))
    return np.maximum(low, 0), high


def atan2(y: Interval, x: Interval) -> Interval:
    """Over a box without the half-line x ≤ 0, y = 0 the extremes are those of the corners."""
    corners = [np.arctan2(a, b) for a in y for b in x]
    low, high = widened(np.minimum.reduce(corners), np.maximum.reduce(corners))
    cut = contains_zero(y) & (x[0] <= 0)
    return np.where(cut, -np.nextafter(np.pi, 4), low), np.where(cut, np.nextafter(np.pi, 4), high)


def maximum(x: Interval, y: Interval) -> Interval:
    """The larger of both."""
    return np.maximum(x[0], y[0]), np.maximum(x[1], y[1])


def minimum(x: Interval, y: Interval) -> Interval:
    """The smaller of both."""
    return np.minimum(x[0], y[0]), np.minimum(x[1], y[1])


def greater(x: Interval, y: Interval) -> Interval:
    """Truth as an interval of 0 and 1: (0, 1) where it isn't known."""
    return x[0] > y[1], x[1] > y[0]


def at_least(x: Interval, y: Interval) -> Interval:
    """x ≥ y, as `greater`."""
    return x[0] >= y[1], x[1] >= y[0]


def equal(x: Interval, y: Interval) -> Interval:
    """x = y, as `greater`."""
    same = (x[0] == x[1]) & (y[0] == y[1]) & (x[0] == y[0])
    return same, (x[1] >= y[0]) & (y[1] >= x[0])


def negated(x: Interval) -> Interval:
    """Not x."""
    return ~np.asarray(x[1]), ~np.asarray(x[0])
