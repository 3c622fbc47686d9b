"""What must hold where an output is a finite number, put to use in the whole program.

Where a loss is written `where(x > 0, f, inf)`, or takes the logarithm of x, points beyond are none
of its domain; but its gradient, a program of its own, may well vanish there: that of the constant
inf is 0, and that of log at −1 is −1. From the loss backwards it is seen which choices it must have
made, and in which ranges values must lie, for it to be finite. On boxes across the border of the
domain the gradient is then enclosed over the inner part alone.
"""

from typing import Any

import numpy as np

from ..program import Builder, Operation, Program
from .interval_rules import RANGES, UNBOUNDED, WITHIN

# A nan argument of any of these makes the result nan.
STRICT = {*RANGES, "add", "sub", "mul", "div", "neg", "abs", "square", "exp", "exp2", "expm1"}
STRICT |= {"sin", "cos", "tan", "tanh", "sinh", "cosh", "asinh", "atan", "logistic", "max", "min"}


class _Known:
    """What is known of values, found by going back from an output that is a number."""

    def __init__(self, program: Program):
        self.program, self.first = program, len(program.inputs)
        self.truths: dict[int, bool] = {}
        self.ranges: dict[int, tuple[float, float]] = {}
        self._seen: set[tuple[int, bool]] = set()

    def numeric(self, argument: Any, finite: bool) -> None:
        """That a value is no nan, and, with `finite`, not infinite either."""
        if not isinstance(argument, int) or argument < self.first:
            return
        if (argument, finite) in self._seen or (argument, True) in self._seen:
            return
        self._seen.add((argument, finite))
        operation = self.program.operations[argument - self.first]
        if operation.name == "select_n" and len(operation.arguments) == 3:
            self._chosen(operation, finite)
        elif operation.name in STRICT:
            self._strict(operation, finite)
        elif operation.name == "integer_pow" and dict(operation.options)["y"] > 0:
            self.numeric(operation.arguments[0], finite)

    def _strict(self, operation: Operation, finite: bool) -> None:
        for argument in operation.arguments:
            self.numeric(argument, finite and operation.name in UNBOUNDED)
        if operation.name in RANGES and isinstance(operation.arguments[0], int):
            self._range(operation.arguments[0], *RANGES[operation.name][:2])

    def _chosen(self, operation: Operation, finite: bool) -> None:
        """Of a choice between a number and what is none, that it was the former."""
        which, false, true = operation.arguments
        if _is_none(false, finite) and not _is_none(true, finite):
            self.truth(which, True)
            self.numeric(true, finite)
        elif _is_none(true, finite) and not _is_none(false, finite):
            self.truth(which, False)
            self.numeric(false, finite)

    def truth(self, argument: Any, value: bool) -> None:
        """That a statement is true, or false; with what follows for its parts."""
        if not isinstance(argument, int) or argument in self.truths:
            return
        known = (*self.program.inputs, *self.program.operations)[argument]
        if known.dtype != np.dtype(bool):  # a whole number that chooses
            return
        self.truths[argument] = value
        if argument < self.first:
            return
        operation = self.program.operations[argument - self.first]
        if operation.name == "not":
            self.truth(operation.arguments[0], not value)
        elif operation.name == ("and" if value else "or"):
            for part in operation.arguments:
                self.truth(part, value)
        elif operation.name in _ABOVE:
            one, other = operation.arguments
            self._compared(one, other, _ABOVE[operation.name] == value)

    def _compared(self, one: Any, other: Any, above: bool) -> None:
        """Of a value and a constant, that it is not below, or not `above`, the constant."""
        if isinstance(one, int) and not isinstance(other, int):
            self._range(one, *((float(other), np.inf) if above else (-np.inf, float(other))))
        elif isinstance(other, int) and not isinstance(one, int):
            self._compared(other, one, not above)

    def _range(self, place: int, low: float, high: float) -> None:
        known = self.ranges.get(place, (-np.inf, np.inf))
        self.ranges[place] = max(low, known[0]), min(high, known[1])


_ABOVE = {"gt": True, "ge": True, "lt": False, "le": False}


def _is_none(argument: Any, finite: bool) -> bool:
    """Whether it is a constant that is not a number, or, with `finite`, infinite."""
    if isinstance(argument, int):
        return False
    return bool(np.isnan(argument) or (finite and not np.isfinite(argument)))


def where_finite(program: Program, output: int) -> Program:
    """A program for boxes, whose other outputs are asked for only where this one is finite.

    That output itself stays as it is, so that it still tells where it is undefined.
    """
    known = _Known(program)
    known.numeric(program.outputs[output], True)
    if not (known.truths or known.ranges):
        return program
    return _assuming(program, known, output)


def _assuming(program: Program, known: _Known, output: int) -> Program:
    builder = Builder(program.inputs, 2 * len(program.operations) + len(known.ranges) + 8)
    own, places = _copied(builder, program, None), _copied(builder, program, known)
    read = lambda a, table: table[a] if isinstance(a, int) else a  # noqa: E731
    outputs = [read(a, own if k == output else places) for k, a in enumerate(program.outputs)]
    return builder.program(outputs, program.shapes)


def _copied(builder: Builder, program: Program, known: _Known | None) -> list[Any]:
    """Where each value of the program is, after what is known has been put in."""
    places: list[Any] = []

    def put(place: int, value: Any) -> None:
        if known is not None and place in known.truths:
            value = np.bool_(known.truths[place])
        if known is not None and place in known.ranges and isinstance(value, int):
            low, high = known.ranges[place]
            options = (("start", low), ("end", high))
            value = builder.add(WITHIN, [value], float, options)
        places.append(value)

    for place in range(len(program.inputs)):
        put(place, place)
    for number, operation in enumerate(program.operations):
        given = [places[a] if isinstance(a, int) else a for a in operation.arguments]
        value = builder.add(operation.name, given, operation.dtype, operation.options)
        put(len(program.inputs) + number, value)
    return places
