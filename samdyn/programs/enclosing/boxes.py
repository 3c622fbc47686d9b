"""A program on many boxes at once: bounds of every output over each box, with outward rounding."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..points import LONGEST, OFTEN, last_uses, written_out
from ..program import Program
from . import intervals
from .interval_rules import KINK, NO_NUMBER, UNDEFINED, Value, as_known, constant, given, rule_of


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


class Encloser:
    """A program made ready to run on boxes. `NotEnclosed` where an operation has no rule."""

    def __init__(self, program: Program):
        self.program, self._calls, self._written = program, 0, None
        self._outputs = [as_known(a) for a in program.outputs]
        dtypes = [known.dtype for known in (*program.inputs, *program.operations)]
        self._steps = [
            (rule_of(operation, dtypes), given(operation), forgotten)
            for operation, forgotten in zip(program.operations, last_uses(program), strict=True)
        ]

    def __call__(
        self, low: Float[np.ndarray, "n d"], high: Float[np.ndarray, "n d"], parameters: Any = ()
    ) -> Enclosure:
        """As `enclose`."""
        sides = np.stack([np.asarray(low, float).T, np.asarray(high, float).T], axis=1)
        values: list[Any] = [Value(side) for side in sides]
        values += [_as_value(parameter) for parameter in parameters]
        if len(values) != len(self.program.inputs):
            count = len(self.program.inputs)
            raise ValueError(f"the program has {count} inputs, {len(values)} were given")
        with np.errstate(all="ignore"):
            return _collected(self._run(values), len(low))

    def _run(self, values: list[Any]) -> list[Value]:
        self._calls += 1
        if self._calls > OFTEN and len(self._steps) <= LONGEST:
            self._written = self._written or written_out(self._steps, len(values), self._outputs)
            return self._written(*values)
        for function, arguments, forgotten in self._steps:
            values.append(function(*[values[a] if type(a) is int else a for a in arguments]))
            for place in forgotten:
                values[place] = None
        return [values[a] if type(a) is int else a for a in self._outputs]


def enclose(
    program: Program,
    low: Float[np.ndarray, "n d"],
    high: Float[np.ndarray, "n d"],
    parameters: Sequence[Any] = (),
) -> Enclosure:
    """The bounds over boxes low ≤ w ≤ high; `parameters` are numbers, or pairs (low, high).

    `NotEnclosed` where an operation has no rule.
    """
    return Encloser(program)(low, high, parameters)


def _as_value(given: Any) -> Value:
    if isinstance(given, tuple):
        return Value(intervals.pair(*(np.asarray(end, float) for end in given)))
    return constant(np.asarray(given)[()])


def _collected(values: list[Value], count: int) -> Enclosure:
    if not values:
        empty = np.empty((count, 0))
        return Enclosure(empty, empty, *(empty.astype(bool) for _ in range(3)))
    ends, doubt = np.empty((2, count, len(values))), np.empty((count, len(values)), np.uint8)
    for k, value in enumerate(values):
        ends[:, :, k], doubt[:, k] = value.ends, value.doubt
    return Enclosure(*ends, *((doubt & bits) != 0 for bits in (UNDEFINED, NO_NUMBER, KINK)))
