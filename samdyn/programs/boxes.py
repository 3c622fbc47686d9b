"""A program on many boxes at once: bounds of every output over each box, with outward rounding."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from . import intervals as rules
from .program import Operation, Program, key_of

# What may be wrong with a value somewhere in the box, as bits.
UNDEFINED, KINK, NOWHERE = 1, 2, 4  # it may be undefined; may jump; is undefined everywhere


class Enclosure(NamedTuple):
    """Bounds over n boxes of the m outputs of a program, each array of shape (n, m).

    Every value that an output takes where it is defined lies between `low` and `high`. It may be
    undefined somewhere in the box only where `undefined`, and is so everywhere where `nowhere`;
    it may jump only where `kinked` (at a kink of the loss its gradient does).
    """

    low: Float[np.ndarray, "n m"]
    high: Float[np.ndarray, "n m"]
    undefined: Bool[np.ndarray, "n m"]
    nowhere: Bool[np.ndarray, "n m"]
    kinked: Bool[np.ndarray, "n m"]


class NotEnclosed(Exception):
    """An operation has no rule for intervals."""


class _Value(NamedTuple):
    low: Any
    high: Any
    doubt: Any = 0

    @property
    def interval(self) -> rules.Interval:
        return self.low, self.high


def enclose(
    program: Program,
    low: Float[np.ndarray, "n d"],
    high: Float[np.ndarray, "n d"],
    parameters: Sequence[Any] = (),
) -> Enclosure:
    """The bounds over boxes low ≤ w ≤ high; `parameters` are numbers, or pairs (low, high).

    `NotEnclosed` where an operation has no rule.
    """
    values = [_Value(low[:, k], high[:, k]) for k in range(low.shape[1])]
    values += [_as_value(parameter) for parameter in parameters]
    if len(values) != len(program.inputs):
        raise ValueError(f"the program has {len(program.inputs)} inputs, {len(values)} were given")
    with np.errstate(all="ignore"):
        for operation in program.operations:
            given = [_read(values, a) for a in operation.arguments]
            values.append(_apply(operation, given))
    return _collected([_read(values, a) for a in program.outputs], len(low))


def _as_value(given: Any) -> _Value:
    if isinstance(given, tuple):
        return _Value(*(np.asarray(end, float) for end in given))
    return _constant(np.asarray(given)[()])


def _read(values: list[_Value], argument: Any) -> _Value:
    return values[argument] if isinstance(argument, int) else _constant(argument)


def _constant(value: Any) -> _Value:
    if np.asarray(value).dtype == bool or np.isfinite(value):
        return _Value(value, value)
    return _Value(-np.inf, np.inf, UNDEFINED | NOWHERE)


def _collected(values: list[_Value], count: int) -> Enclosure:
    def table(entries: list[Any]) -> np.ndarray:
        return np.stack([np.broadcast_to(entry, count) for entry in entries], axis=1)

    if not values:
        empty = np.empty((count, 0))
        return Enclosure(empty, empty, *(empty.astype(bool) for _ in range(3)))
    doubt = table([value.doubt for value in values])
    flags = ((doubt & bit) != 0 for bit in (UNDEFINED, NOWHERE, KINK))
    low, high = table([v.low for v in values]), table([v.high for v in values])
    return Enclosure(low.astype(float), high.astype(float), *flags)


def _apply(operation: Operation, given: list[Any]) -> _Value:
    name = operation.name
    if name == "select_n":
        return _select(*given)
    if name == "integer_pow":
        return _integer_pow(given[0], dict(operation.options)["y"])
    if name == "pow":
        return _power(*given)
    if name == "convert_element_type":
        return _convert(given[0], operation.dtype)
    if name == "is_finite":
        return _is_finite(given[0])
    if len(given) == 2 and key_of(operation.arguments[0]) == key_of(operation.arguments[1]):
        if name == "mul":
            return _Value(*rules.square(given[0].interval), given[0].doubt)
        if name in ("eq", "ne"):
            return _is_number(given[0], name == "eq")
    rule = RULES.get(name)
    if rule is None:
        raise NotEnclosed(f"{name} has no rule for intervals")
    doubt = given[0].doubt
    for other in given[1:]:
        doubt = doubt | other.doubt
    parts = [value.interval for value in given]
    if name in DOMAINS:
        partly, wholly = DOMAINS[name](*parts)
        doubt = doubt | _flag(partly, UNDEFINED) | _flag(wholly, NOWHERE)
    low, high = rule(*parts)
    if name in JUMPS:
        doubt = doubt | _flag(JUMPS[name](*parts, (low, high)), KINK)
    return _Value(low, high, doubt)


def _flag(where: Any, bit: int) -> Any:
    return np.where(where, np.uint8(bit), np.uint8(0))


def _select(which: _Value, *cases: _Value) -> _Value:
    """The case that is taken; the hull of both, and a kink, where that isn't known."""
    if len(cases) != 2:
        raise NotEnclosed("a choice among more than two has no rule for intervals")
    false, true = cases
    sure, possible = np.asarray(which.low, bool), np.asarray(which.high, bool)
    low = np.where(sure, true.low, np.where(possible, np.minimum(false.low, true.low), false.low))
    high = np.where(
        sure, true.high, np.where(possible, np.maximum(false.high, true.high), false.high)
    )
    either = (false.doubt | true.doubt) & ~np.uint8(NOWHERE)
    either = either | (false.doubt & true.doubt & NOWHERE) | KINK
    doubt = np.where(sure, true.doubt, np.where(possible, either, false.doubt)) | which.doubt
    return _Value(low, high, doubt.astype(np.uint8))


def _integer_pow(x: _Value, y: int) -> _Value:
    doubt = x.doubt
    if y < 0:
        partly, wholly = _no_zero(x.interval)
        doubt = doubt | _flag(partly, UNDEFINED) | _flag(wholly, NOWHERE)
    return _Value(*rules.integer_pow(x.interval, y), doubt)


def _power(x: _Value, y: _Value) -> _Value:
    whole = np.ndim(y.low) == 0 and y.low == y.high and float(y.low).is_integer()
    if whole and abs(y.low) <= 64:
        return _integer_pow(x, int(y.low))
    below = np.asarray(x.low < 0)
    partly = below | ((x.low <= 0) & (x.high >= 0) & (y.low <= 0))
    wholly = (x.high < 0) & (np.ceil(y.low) > np.floor(y.high))  # (−1)^2 is defined
    doubt = x.doubt | y.doubt | _flag(partly, UNDEFINED) | _flag(wholly, NOWHERE)
    low, high = rules.power(x.interval, y.interval)
    size = rules.power(rules.absolute(x.interval), y.interval)[1]
    return _Value(np.where(below, -size, low), np.where(below, size, high), doubt)


def _convert(x: _Value, dtype: np.dtype) -> _Value:
    if np.issubdtype(dtype, np.floating):
        if np.finfo(dtype).bits < 64:
            raise NotEnclosed("single precision has no rule for intervals")
        unknown = _flag(np.asarray(x.low) != x.high, KINK) if _is_bool(x.low) else 0
        return _Value(np.asarray(x.low, float), np.asarray(x.high, float), x.doubt | unknown)
    if _is_bool(x.low) and np.issubdtype(dtype, np.integer):
        return _Value(np.asarray(x.low, dtype), np.asarray(x.high, dtype), x.doubt)
    raise NotEnclosed(f"a conversion to {dtype} has no rule for intervals")


def _is_finite(x: _Value) -> _Value:
    """A real number is finite; where it is too large for double precision isn't known."""
    known = (x.low > -rules.LARGEST) & (x.high < rules.LARGEST) & ((x.doubt & UNDEFINED) == 0)
    return _Value(known, (np.asarray(x.doubt) & NOWHERE) == 0)


def _is_number(x: _Value, truth: bool) -> _Value:
    """x = x, which is false of what is undefined; or x ≠ x."""
    sure, possible = (np.asarray(x.doubt) & UNDEFINED) == 0, (np.asarray(x.doubt) & NOWHERE) == 0
    return _Value(sure, possible) if truth else _Value(~possible, ~sure)


def _is_bool(x: Any) -> bool:
    return np.asarray(x).dtype == bool


def _no_zero(x: rules.Interval) -> tuple[Any, Any]:
    return rules.contains_zero(x), (x[0] == 0) & (x[1] == 0)


def _above(start: float, itself: bool) -> Callable:
    """The domain x > start, or x ≥ start."""
    if itself:
        return lambda x: (x[0] < start, x[1] < start)
    return lambda x: (x[0] <= start, x[1] <= start)


def _within(limit: float, itself: bool) -> Callable:
    """The domain |x| < limit, or ≤."""

    def domain(x):
        size = rules.absolute(x)
        if itself:
            return size[1] > limit, size[0] > limit
        return size[1] >= limit, size[0] >= limit

    return domain


DOMAINS: dict[str, Callable] = {
    "div": lambda x, y: _no_zero(y),
    "sqrt": _above(0.0, True),
    "rsqrt": _above(0.0, False),
    "log": _above(0.0, False),
    "log1p": _above(-1.0, False),
    "asin": _within(1.0, True),
    "acos": _within(1.0, True),
    "atanh": _within(1.0, False),
    "acosh": _above(1.0, True),
    "tan": lambda x: (rules.pole_of_tan(x), np.False_),
}

JUMPS: dict[str, Callable] = {
    "sign": lambda x, result: result[0] != result[1],
    "floor": lambda x, result: result[0] != result[1],
    "ceil": lambda x, result: result[0] != result[1],
    "atan2": lambda y, x, result: rules.contains_zero(y) & (x[0] <= 0),
}


def _both(combine: Callable) -> Callable:
    return lambda x, y: (combine(x[0], y[0]), combine(x[1], y[1]))


def _clamp(low: rules.Interval, x: rules.Interval, high: rules.Interval) -> rules.Interval:
    return rules.minimum(rules.maximum(x, low), high)


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
    "floor": rules.stepwise(np.floor),
    "ceil": rules.stepwise(np.ceil),
    "max": rules.maximum,
    "min": rules.minimum,
    "clamp": _clamp,
    "gt": rules.greater,
    "lt": lambda x, y: rules.greater(y, x),
    "ge": rules.at_least,
    "le": lambda x, y: rules.at_least(y, x),
    "eq": rules.equal,
    "ne": lambda x, y: rules.negated(rules.equal(x, y)),
    "not": rules.negated,
    "and": _both(np.logical_and),
    "or": _both(np.logical_or),
}
