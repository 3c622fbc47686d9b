"""What each operation of a program makes of intervals, and of what may be wrong with them.

A value that may be undefined, or infinite, or may jump, carries bits that say so. They pass from
operation to operation as nan and infinity do: a comparison with nan is false, exp(−1/0) is 0, and
nan⁰ is 1.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..primitives import FUNCTIONS
from ..program import Operation, key_of
from . import intervals as rules

# What may be wrong with a value somewhere in the box, as bits.
# May be undefined; may jump; is undefined everywhere; is infinite everywhere, or undefined.
UNDEFINED, KINK, NOWHERE, INFINITE = (np.uint8(bit) for bit in (1, 2, 4, 8))
NO_NUMBER = NOWHERE | INFINITE
WHOLE = ("select_n", "max", "min", "clamp")  # what is for whole numbers as for others
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
# What makes of an infinite argument no number either; exp of −inf is 0, and others have bounds.
UNBOUNDED = {"add", "sub", "mul", "neg", "abs", "square", "log", "sqrt", "select_n"}
WITHIN = "within"  # the operation by which `assumptions.py` restricts a value to where it may lie


class NotEnclosed(Exception):
    """An operation has no rule for intervals."""


class Value(NamedTuple):
    """An interval (2, n), or (2, 1), and what may be wrong with it: bits (n,), or 0."""

    ends: np.ndarray
    doubt: Any = 0


def given(operation: Operation) -> list[Any]:
    """The arguments as places and intervals. A number may well be compared with infinity."""
    known = [as_known(a) for a in operation.arguments]
    if operation.name in COMPARISONS:
        infinite = [not isinstance(a, int) and np.isinf(a) for a in operation.arguments]
        pairs = zip(known, infinite, strict=True)
        return [value._replace(doubt=0) if inf else value for value, inf in pairs]
    return known


def as_known(argument: Any) -> Any:
    """The place of an argument, or the interval of a constant."""
    return argument if isinstance(argument, int) else constant(argument)


def constant(value: Any) -> Value:
    """The interval (2, 1) of a number or a truth; what is not finite is in doubt."""
    if np.asarray(value).dtype == bool:
        return Value(np.full((2, 1), value))
    if np.isfinite(value):
        return Value(np.full((2, 1), float(value)))
    if np.isnan(value):
        return Value(np.array([[-np.inf], [np.inf]]), np.array([UNDEFINED | NOWHERE]))
    ends = rules.pair(rules.LARGEST, np.inf) if value > 0 else rules.pair(-np.inf, -rules.LARGEST)
    return Value(ends, np.array([UNDEFINED | INFINITE]))


def rule_of(operation: Operation, dtypes: list[np.dtype]) -> Callable:
    """What takes the values of an operation's arguments to that of its result. `NotEnclosed` where
    there is no rule; `dtypes` are those of all values of the program.

    An infinite argument need not give an infinite result, but for some operations.
    """
    function = _function(operation, dtypes)
    if operation.name in UNBOUNDED:
        return function

    def apply(*given: Value) -> Value:
        found = function(*given)
        if type(found.doubt) is int or not np.any(found.doubt & INFINITE):
            return found
        return found._replace(doubt=found.doubt & ~INFINITE)

    return apply


def _function(operation: Operation, dtypes: list[np.dtype]) -> Callable:
    name, arguments, options = operation.name, operation.arguments, dict(operation.options)
    if np.issubdtype(operation.dtype, np.floating) and np.finfo(operation.dtype).bits < 64:
        raise NotEnclosed("single precision has no rule for intervals")
    if name == "convert_element_type":
        (given,) = arguments
        known = dtypes[given] if isinstance(given, int) else given.dtype
        return _conversion(known, operation.dtype)
    if np.issubdtype(operation.dtype, np.integer) and name not in WHOLE:
        raise NotEnclosed(f"{name} of whole numbers has no rule for intervals")
    if name == "select_n" and len(arguments) != 3:
        raise NotEnclosed("a choice among more than two has no rule for intervals")
    if name in _SPECIAL:
        return functools.partial(_SPECIAL[name], **options)
    if len(arguments) == 2 and key_of(arguments[0]) == key_of(arguments[1]):
        if name == "mul":
            return lambda x, _: Value(rules.square(x.ends), x.doubt)
        if name in ("eq", "ne"):
            return lambda x, _: _is_number(x, name == "eq")
    scaled = _scaled(operation)
    if scaled is not None:
        return scaled
    if name not in RULES:
        raise NotEnclosed(f"{name} has no rule for intervals")
    if name in COMPARISONS:
        return functools.partial(_compared, RULES[name], name != "ne")
    return functools.partial(_ruled, RULES[name], DOMAINS.get(name), JUMPS.get(name))


def _scaled(operation: Operation) -> Callable | None:
    """A product with a finite constant, which costs less."""
    if operation.name != "mul":
        return None
    x, y = operation.arguments
    for place, factor in ((0, y), (1, x)):
        if not isinstance(factor, int) and np.isfinite(factor):
            number = float(factor)
            return lambda *g, p=place: Value(rules.times(g[p].ends, number), g[p].doubt)
    return None


def _ruled(rule: Callable, domain: Callable | None, jump: Callable | None, *given: Value):
    doubt = given[0].doubt
    for other in given[1:]:
        doubt = doubt | other.doubt
    parts = [value.ends for value in given]
    if domain is not None:
        doubt = _outside(doubt, *domain(*parts))
    found = rule(*parts)
    if jump is not None:
        doubt = _flagged(doubt, jump(*parts, found), KINK)
    return Value(found, doubt)


def _outside(doubt: Any, partly: Any, nowhere: Any, pole: Any) -> Any:
    """What is in doubt, given where a value may be undefined, is so everywhere, and is infinite."""
    doubt = _flagged(_flagged(doubt, partly, UNDEFINED), nowhere, NOWHERE)
    return _flagged(doubt, pole, INFINITE)


def _compared(rule: Callable, false_of_none: bool, x: Value, y: Value) -> Value:
    """A comparison: it is defined for what is no number, too, and then false (≠ is true)."""
    found, doubt = rule(x.ends, y.ends), x.doubt | y.doubt
    if not np.any(doubt):
        return Value(found)
    maybe, never = (np.asarray(doubt) & UNDEFINED) != 0, (np.asarray(doubt) & NOWHERE) != 0
    low, high = found
    if false_of_none:
        return Value(rules.pair(low & ~maybe, high | never))
    return Value(rules.pair(low & ~never, high | maybe))


def _flagged(doubt: Any, where: Any, bit: np.uint8) -> Any:
    return doubt | np.where(where, bit, np.uint8(0)) if np.any(where) else doubt


def _select(which: Value, *cases: Value) -> Value:
    """The case that is taken; the hull of both, and a kink, where that isn't known."""
    (sure, possible), (false, true) = which.ends, cases
    # `true` counts where it is possible, `false` where that is not sure
    low = np.where(
        sure,
        true.ends[0],
        np.where(possible, np.minimum(false.ends[0], true.ends[0]), false.ends[0]),
    )
    high = np.where(
        sure,
        true.ends[1],
        np.where(possible, np.maximum(false.ends[1], true.ends[1]), false.ends[1]),
    )
    either = (false.doubt | true.doubt) & ~NO_NUMBER
    either = either | (false.doubt & true.doubt & NO_NUMBER) | KINK
    doubt = np.where(sure, true.doubt, np.where(possible, either, false.doubt)) | which.doubt
    return Value(rules.pair(low, high), doubt.astype(np.uint8))


def _integer_pow(x: Value, y: int) -> Value:
    doubt = x.doubt if y else 0  # x⁰ is 1, whatever x is
    if y < 0:
        doubt = _outside(doubt, *_no_zero(x.ends))
    return Value(rules.integer_pow(x.ends, y), doubt)


def _power(x: Value, y: Value) -> Value:
    exponent, number = y.ends[0, 0], y.ends.shape[1] == 1 and y.ends[0, 0] == y.ends[1, 0]
    if number and float(exponent).is_integer() and abs(exponent) <= 64:
        return _integer_pow(x, int(exponent))
    (x_low, x_high), (y_low, y_high) = x.ends, y.ends
    below = x_low < 0
    partly = below | ((x_low <= 0) & (x_high >= 0) & (y_low <= 0))
    wholly = (x_high < 0) & (np.ceil(y_low) > np.floor(y_high))  # (−1)^2 is defined
    given = x.doubt | y.doubt
    doubt = _outside(given & ~NO_NUMBER, partly, wholly, False)
    found = rules.power(x.ends, y.ends)
    size = rules.power(rules.absolute(x.ends), y.ends)[1]
    low, high = np.where(below, -size, found[0]), np.where(below, size, found[1])
    none = (np.asarray(given) & UNDEFINED) != 0  # of what is no number: x⁰ and 1^y are 1
    return Value(
        rules.pair(
            np.where(none, np.minimum(low, 1), low), np.where(none, np.maximum(high, 1), high)
        ),
        doubt,
    )


def _conversion(given: np.dtype, wanted: np.dtype) -> Callable:
    """To double precision, or from a truth value; whole numbers are kept as floating-point ones."""
    if not np.issubdtype(wanted, np.floating) and (
        given.kind != "b" or not np.issubdtype(wanted, np.integer)
    ):
        raise NotEnclosed(f"a conversion to {wanted} has no rule for intervals")
    return _from_truth if given.kind == "b" else lambda x: x


def _from_truth(x: Value) -> Value:
    return Value(x.ends.astype(float), _flagged(x.doubt, x.ends[0] != x.ends[1], KINK))


def _restricted(x: Value, start: float, end: float) -> Value:
    """x where it lies between two numbers: elsewhere what is asked for is undefined."""
    doubt = _flagged(x.doubt, (x.ends[0] < start) | (x.ends[1] > end), UNDEFINED)
    doubt = _flagged(doubt, (x.ends[1] < start) | (x.ends[0] > end), NOWHERE)
    return Value(rules.within(x.ends, start, end), doubt)


def _is_finite(x: Value) -> Value:
    """A real number is finite; where it is too large for double precision isn't known."""
    known = (x.ends[0] > -rules.LARGEST) & (x.ends[1] < rules.LARGEST)
    known = known & ((np.asarray(x.doubt) & UNDEFINED) == 0)
    return Value(rules.pair(known, (np.asarray(x.doubt) & NO_NUMBER) == 0))


def _is_number(x: Value, truth: bool) -> Value:
    """x = x, which is false of what is undefined; or x ≠ x."""
    sure, possible = (np.asarray(x.doubt) & UNDEFINED) == 0, (np.asarray(x.doubt) & NOWHERE) == 0
    return Value(rules.pair(sure, possible) if truth else rules.pair(~possible, ~sure))


def _rounded(x: Value, rounding_method: int) -> Value:
    ends = FUNCTIONS["round"](x.ends, rounding_method)
    return Value(ends, _flagged(x.doubt, ends[0] != ends[1], KINK))


_SPECIAL: dict[str, Callable] = {
    "round": _rounded,
    "select_n": _select,
    "integer_pow": _integer_pow,
    "pow": _power,
    "is_finite": _is_finite,
    WITHIN: _restricted,
}


# Where x must lie for f(x) to be a number: between which ends, and whether these belong to it (else
# they are poles).
RANGES: dict[str, tuple[float, float, bool]] = {
    "sqrt": (0.0, np.inf, True),
    "rsqrt": (0.0, np.inf, False),
    "log": (0.0, np.inf, False),
    "log1p": (-1.0, np.inf, False),
    "asin": (-1.0, 1.0, True),
    "acos": (-1.0, 1.0, True),
    "atanh": (-1.0, 1.0, False),
    "acosh": (1.0, np.inf, True),
    "erf_inv": (-1.0, 1.0, False),
}


# Of each domain three answers: where a value may be undefined, where it is so everywhere, and where
# it is infinite, which a further operation may make a number of.


def _no_zero(x: rules.Interval) -> tuple[Any, Any, Any]:
    return rules.contains_zero(x), False, (x[0] == 0) & (x[1] == 0)


def _between(low: float, high: float, itself: bool) -> Callable:
    def domain(x):
        nowhere = (x[1] < low) | (x[0] > high)
        if itself:
            return (x[0] < low) | (x[1] > high), nowhere, False
        pole = (x[1] == low) | ((x[0] == high) & np.isfinite(high))
        return (x[0] <= low) | (x[1] >= high) & np.isfinite(high), nowhere, pole

    return domain


DOMAINS: dict[str, Callable] = {
    "div": lambda x, y: _no_zero(y),
    **{name: _between(*ends) for name, ends in RANGES.items()},
    "rem": lambda x, y: _no_zero(y),
    "tan": lambda x: (rules.pole_of_tan(x), False, False),
}

JUMPS: dict[str, Callable] = {
    "sign": lambda x, result: result[0] != result[1],
    "floor": lambda x, result: result[0] != result[1],
    "ceil": lambda x, result: result[0] != result[1],
    "rem": lambda x, y, result: result[1] - result[0] >= np.max(np.abs(y), axis=0),
    "atan2": lambda y, x, result: rules.contains_zero(y) & (x[0] <= 0),
}


def _clamp(low: rules.Interval, x: rules.Interval, high: rules.Interval) -> rules.Interval:
    return np.minimum(np.maximum(x, low), high)


RULES: dict[str, Callable] = {
    "add": rules.add,
    "sub": rules.sub,
    "mul": rules.mul,
    "div": rules.div,
    "neg": rules.neg,
    "abs": rules.absolute,
    "sign": rules.sign,
    "square": rules.square,
    "sqrt": rules.sqrt,
    "rsqrt": rules.rsqrt,
    "cbrt": rules.rising(np.cbrt),
    "exp": rules.rising(np.exp, least=0.0),
    "exp2": rules.rising(np.exp2, least=0.0),
    "expm1": rules.rising(np.expm1, least=-1.0),
    "log": rules.logarithm(np.log, 0.0),
    "log1p": rules.logarithm(np.log1p, -1.0),
    "sin": rules.wave(np.sin, np.pi / 2),
    "cos": rules.wave(np.cos, 0.0),
    "tan": rules.tan,
    "asin": rules.rising(lambda x: np.arcsin(np.clip(x, -1, 1))),
    "acos": rules.falling(lambda x: np.arccos(np.clip(x, -1, 1)), least=0.0),
    "atan": rules.rising(np.arctan),
    "atan2": rules.atan2,
    "sinh": rules.rising(np.sinh),
    "cosh": rules.cosh,
    "tanh": rules.rising(np.tanh, least=-1.0, most=1.0),
    "asinh": rules.rising(np.arcsinh),
    "acosh": rules.rising(lambda x: np.arccosh(np.maximum(x, 1)), least=0.0),
    "atanh": rules.rising(lambda x: np.arctanh(np.clip(x, -1, 1))),
    "logistic": rules.rising(
        lambda x: np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))), 0.0, 1.0
    ),
    "erf": rules.special(FUNCTIONS["erf"], 32.0),
    "erfc": rules.special(FUNCTIONS["erfc"], 4096.0, rises=False),
    "erf_inv": rules.special(lambda x: FUNCTIONS["erf_inv"](np.clip(x, -1, 1)), 32.0),
    "rem": rules.remainder,
    "floor": rules.stepwise(np.floor),
    "ceil": rules.stepwise(np.ceil),
    "max": np.maximum,
    "min": np.minimum,
    "clamp": _clamp,
    "gt": rules.greater,
    "lt": lambda x, y: rules.greater(y, x),
    "ge": rules.at_least,
    "le": lambda x, y: rules.at_least(y, x),
    "eq": rules.equal,
    "ne": lambda x, y: rules.negated(rules.equal(x, y)),
    "not": rules.negated,
    "and": np.logical_and,
    "or": np.logical_or,
}
