"""The Jacobian of a program, as a program: forward mode, operation by operation.

A derivative that is zero because nothing depends on an input is absent, and never a factor 0;
so 0·∞ cannot arise from one. It is the derivative of what is computed: `stop_gradient` and custom
rules of JAX decide what a gradient is, but not how that field changes from point to point. At a
kink the derivative is that of one side, or between both, which `boxes.py` encloses.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .program import Argument, Builder, Operation, Program

LONGEST = 200_000
FLAT = ("sign", "floor", "ceil", "round")  # whose derivative is 0 where there is one


class NoDerivative(Exception):
    """An operation whose derivative is not written down here."""


def with_jacobian(program: Program, columns: Sequence[int] | None = None) -> Program:
    """The program that also gives ∂(output i)/∂(input j), row by row after the outputs.

    `columns` are the inputs j, by default all of them; the further shape is (outputs, columns).
    """
    columns = range(len(program.inputs)) if columns is None else columns
    return _Forward(program, columns).program()


def _number(value: float, dtype: Any) -> Any:
    """A constant of a dtype."""
    return np.asarray(value, dtype)[()]


class _Forward:
    """The values of a program with their derivatives, sparse: {column: derivative}."""

    def __init__(self, program: Program, columns: Sequence[int]):
        self.given, self.columns = program, tuple(columns)
        self.builder = Builder(program.inputs, LONGEST)
        self.values: list[Argument] = list(range(len(program.inputs)))
        self.slopes: list[dict[int, Argument]] = [{} for _ in program.inputs]
        for column, place in enumerate(self.columns):
            self.slopes[place] = {column: _number(1.0, program.inputs[place].dtype)}

    def program(self) -> Program:
        for operation in self.given.operations:
            arguments = [self._value(a) for a in operation.arguments]
            name, dtype, options = operation.name, operation.dtype, operation.options
            result = self.builder.add(name, arguments, dtype, options)
            self.values.append(result)
            self.slopes.append(self._slope(operation, arguments, result))
        outputs = [self._value(a) for a in self.given.outputs]
        rows = [self._row(a) for a in self.given.outputs]
        shape = (len(outputs), len(self.columns))
        flat = [*outputs, *(entry for row in rows for entry in row)]
        return self.builder.program(flat, [*self.given.shapes, shape])

    def _value(self, argument: Argument) -> Argument:
        return self.values[argument] if isinstance(argument, int) else argument

    def _slopes_of(self, argument: Argument) -> dict[int, Argument]:
        return self.slopes[argument] if isinstance(argument, int) else {}

    def _row(self, argument: Argument) -> list[Argument]:
        slopes: dict[int, Any] = self._slopes_of(argument)
        none = _number(0.0, self.builder.dtype(self._value(argument)))
        return [slopes.get(column, none) for column in range(len(self.columns))]

    def _slope(self, operation: Operation, arguments: list[Argument], result: Argument) -> dict:
        """{column: derivative} of one result."""
        own = [self._slopes_of(a) for a in operation.arguments]
        columns = sorted(set().union(*own))
        smooth = np.issubdtype(operation.dtype, np.floating)
        if not columns or not smooth or operation.name in FLAT:
            return {}
        say = _Say(self.builder, operation.dtype)
        if operation.name in _CHOICES:
            return _CHOICES[operation.name](say, arguments, own, columns)
        rule = _PARTIALS.get(operation.name)
        if rule is None:
            raise NoDerivative(f"the derivative of {operation.name} is not known here")
        partials = rule(say, result, *arguments, **dict(operation.options))
        return {column: self._sum(say, partials, own, column) for column in columns}

    def _sum(self, say: "_Say", partials: Any, own: list[dict], column: int) -> Argument:
        total = None
        for partial, slopes in zip(partials, own, strict=True):
            if column in slopes:
                term = _times(say, partial(), slopes[column])
                total = term if total is None else say("add", total, term)
        assert total is not None
        return total


def _times(say: "_Say", partial: Argument, slope: Argument) -> Argument:
    """A product in which a factor −1 is a change of sign."""
    for one, other in ((partial, slope), (slope, partial)):
        if not isinstance(one, int) and one == -1:
            return say("neg", other)
    return say("mul", partial, slope)


class _Say:
    """Adds operations of one dtype."""

    def __init__(self, builder: Builder, dtype: np.dtype):
        self.builder, self.dtype = builder, dtype

    def __call__(self, name: str, *arguments: Any, dtype: Any = None, options: Any = ()) -> Any:
        given = [a if isinstance(a, int | np.generic) else self.number(a) for a in arguments]
        return self.builder.add(name, given, self.dtype if dtype is None else dtype, options)

    def number(self, value: float) -> np.generic:
        return _number(value, self.dtype)

    def power(self, x: Argument, y: int) -> Argument:
        if y in (0, 1):
            return self.number(1.0) if y == 0 else x
        return self("integer_pow", x, options=(("y", y),))


def _chosen(say: _Say, arguments: list, own: list[dict], columns: list[int]) -> dict:
    which, zero = arguments[0], say.number(0.0)
    return {
        column: say("select_n", which, *(slopes.get(column, zero) for slopes in own[1:]))
        for column in columns
    }


def _extreme(comparison: str) -> Callable:
    """max, min: the derivative of the one that is taken, the mean of both where they are equal."""

    def apply(say: _Say, arguments: list, own: list[dict], columns: list[int]) -> dict:
        first = say(comparison, *arguments, dtype=bool)
        equal = say("eq", *arguments, dtype=bool)
        zero, found = say.number(0.0), {}
        for column in columns:
            one, other = (slopes.get(column, zero) for slopes in own)
            middle = say("mul", say.number(0.5), say("add", one, other))
            found[column] = say("select_n", equal, say("select_n", first, other, one), middle)
        return found

    return apply


def _clamped(say: _Say, arguments: list, own: list[dict], columns: list[int]) -> dict:
    """Of the middle argument, within its bounds."""
    low, x, high = arguments
    inside = say("and", say("gt", x, low, dtype=bool), say("lt", x, high, dtype=bool), dtype=bool)
    zero = say.number(0.0)
    return {c: say("select_n", inside, zero, own[1].get(c, zero)) for c in columns}


_CHOICES: dict[str, Callable] = {
    "select_n": _chosen,
    "max": _extreme("gt"),
    "min": _extreme("lt"),
    "clamp": _clamped,
}


def _unary(partial: Callable) -> Callable:
    """The rule of a function of one number: partial(say, result, x)."""
    return lambda say, result, x: [lambda: partial(say, result, x)]


def _one_less_square(say, x):
    """1 − x²."""
    return say("sub", 1.0, say("mul", x, x))


_TWO_OVER_ROOT_PI = 2 / np.sqrt(np.pi)


def _bell(say, x):
    return say("mul", _TWO_OVER_ROOT_PI, say("exp", say("neg", say("mul", x, x))))


def _quotient(say, result, x, y):
    return [
        lambda: say("div", 1.0, y),
        lambda: say("neg", say("div", result, y)),
    ]


def _power(say, result, x, y):
    """At y = 0 the slope along x is 0, and at x = 0 that along y is, as limits."""
    flat = lambda: say("eq", y, 0.0, dtype=bool)  # noqa: E731
    below = lambda: say("select_n", flat(), say("sub", y, 1.0), 1.0)  # noqa: E731
    along_x = lambda: say("mul", y, say("pow", x, below()))  # noqa: E731
    known = lambda: say("select_n", say("eq", x, 0.0, dtype=bool), x, 1.0)  # noqa: E731
    return [along_x, lambda: say("mul", result, say("log", known()))]


def _angle(say, result, y, x):
    square = lambda: say("add", say("mul", x, x), say("mul", y, y))  # noqa: E731
    return [lambda: say("div", x, square()), lambda: say("neg", say("div", y, square()))]


def _remainder(say, result, x, y):
    whole = lambda: say("sub", x, result)  # noqa: E731
    return [lambda: say.number(1.0), lambda: say("neg", say("div", whole(), y))]


_PARTIALS: dict[str, Callable] = {
    "add": lambda say, result, x, y: [lambda: say.number(1.0), lambda: say.number(1.0)],
    "sub": lambda say, result, x, y: [lambda: say.number(1.0), lambda: say.number(-1.0)],
    "mul": lambda say, result, x, y: [lambda: y, lambda: x],
    "div": _quotient,
    "pow": _power,
    "atan2": _angle,
    "rem": _remainder,
    "neg": _unary(lambda say, r, x: say.number(-1.0)),
    "abs": _unary(lambda say, r, x: say("sign", x)),
    "convert_element_type": lambda say, r, x, **options: [lambda: say.number(1.0)],
    "integer_pow": lambda say, r, x, y: [lambda: say("mul", float(y), say.power(x, y - 1))],
    "square": _unary(lambda say, r, x: say("mul", 2.0, x)),
    "sqrt": _unary(lambda say, r, x: say("div", 0.5, r)),
    "rsqrt": _unary(lambda say, r, x: say("mul", -0.5, say("div", r, x))),
    "cbrt": _unary(lambda say, r, x: say("div", 1 / 3, say("mul", r, r))),
    "exp": _unary(lambda say, r, x: r),
    "exp2": _unary(lambda say, r, x: say("mul", np.log(2.0), r)),
    "expm1": _unary(lambda say, r, x: say("add", r, 1.0)),
    "log": _unary(lambda say, r, x: say("div", 1.0, x)),
    "log1p": _unary(lambda say, r, x: say("div", 1.0, say("add", x, 1.0))),
    "logistic": _unary(lambda say, r, x: say("mul", r, say("sub", 1.0, r))),
    "sin": _unary(lambda say, r, x: say("cos", x)),
    "cos": _unary(lambda say, r, x: say("neg", say("sin", x))),
    "tan": _unary(lambda say, r, x: say("add", 1.0, say("mul", r, r))),
    "asin": _unary(lambda say, r, x: say("rsqrt", _one_less_square(say, x))),
    "acos": _unary(lambda say, r, x: say("neg", say("rsqrt", _one_less_square(say, x)))),
    "atan": _unary(lambda say, r, x: say("div", 1.0, say("add", 1.0, say("mul", x, x)))),
    "sinh": _unary(lambda say, r, x: say("cosh", x)),
    "cosh": _unary(lambda say, r, x: say("sinh", x)),
    "tanh": _unary(lambda say, r, x: _one_less_square(say, r)),
    "asinh": _unary(lambda say, r, x: say("rsqrt", say("add", 1.0, say("mul", x, x)))),
    "acosh": _unary(lambda say, r, x: say("rsqrt", say("sub", say("mul", x, x), 1.0))),
    "atanh": _unary(lambda say, r, x: say("div", 1.0, _one_less_square(say, x))),
    "erf": _unary(lambda say, r, x: _bell(say, x)),
    "erfc": _unary(lambda say, r, x: say("neg", _bell(say, x))),
    "erf_inv": _unary(lambda say, r, x: say("div", 1.0, _bell(say, r))),
    "lgamma": _unary(lambda say, r, x: say("digamma", x)),
}
