"""A program on many points at once, in NumPy."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .primitives import FUNCTIONS
from .program import Operation, Program

OFTEN, LONGEST = 8, 2_000  # calls, after which a program of so few operations is written out
ROWS = 4096  # at a time: what fits into a core's own cache


class Runner:
    """A program made ready to run: each operation with its function, and what it is the last to
    read."""

    def __init__(self, program: Program):
        self.program = program
        self._calls, self._written = 0, None
        self._dtypes = [known.dtype for known in program.inputs]
        over = last_uses(program)
        self._steps = [
            (function_of(operation), operation.arguments, forgotten)
            for operation, forgotten in zip(program.operations, over, strict=True)
        ]

    def __call__(
        self, points: Float[np.ndarray, "n d"], parameters: Sequence[Any] = ()
    ) -> Float[np.ndarray, "n m"]:
        """As `evaluate`."""
        out = np.empty((len(points), len(self.program.outputs)))
        with np.errstate(all="ignore"):
            for first in range(0, len(points), ROWS):
                rows = slice(first, first + ROWS)
                columns = np.ascontiguousarray(points[rows].T)
                for column, result in enumerate(self._run([*columns, *parameters])):
                    out[rows, column] = result
        return out

    def _run(self, given: list[Any]) -> list[Any]:
        """The outputs of columns and numbers."""
        pairs = zip(given, self._dtypes, strict=True)
        values: list[Any] = [np.asarray(value, dtype) for value, dtype in pairs]
        self._calls += 1
        if self._calls > OFTEN and len(self._steps) <= LONGEST:
            self._written = self._written or written_out(
                self._steps, len(self.program.inputs), self.program.outputs
            )
            return self._written(*values)
        for function, arguments, forgotten in self._steps:
            values.append(function(*[values[a] if type(a) is int else a for a in arguments]))
            for place in forgotten:
                values[place] = None
        return [values[a] if type(a) is int else a for a in self.program.outputs]


def written_out(steps: Sequence[tuple], inputs: int, outputs: Sequence[Any]) -> Callable:
    """The steps (function, arguments, what is forgotten) as the text of one Python function, in
    which no list is looked up: on few points it takes half the time, but some ms to be made."""
    known: dict[str, Any] = {}

    def word(argument: Any) -> str:
        if isinstance(argument, int):
            return f"v{argument}"
        name = f"k{len(known)}"
        known[name] = argument
        return name

    lines = []
    for place, (function, arguments, forgotten) in enumerate(steps, inputs):
        known[f"f{place}"] = function
        lines.append(f"v{place} = f{place}({', '.join(map(word, arguments))})")
        lines += [f"v{old} = None" for old in forgotten]
    names = ", ".join(f"v{place}" for place in range(inputs))
    lines.append(f"return [{', '.join(map(word, outputs))}]")
    exec("\n    ".join([f"def run({names}):", *lines]), known)
    return known["run"]


def evaluate(
    program: Program, points: Float[np.ndarray, "n d"], parameters: Sequence[Any] = ()
) -> Float[np.ndarray, "n m"]:
    """The m outputs of a program at n points (n, d), with further inputs the same for all.

    What is not defined is nan, as in NumPy, and nothing warns.
    """
    return Runner(program)(points, parameters)


def function_of(operation: Operation) -> Callable:
    """What an operation is in NumPy."""
    if operation.name == "convert_element_type":
        return functools.partial(np.asarray, dtype=operation.dtype)
    function = FUNCTIONS[operation.name]
    return functools.partial(function, **dict(operation.options)) if operation.options else function


def last_uses(program: Program) -> list[list[int]]:
    """After each operation, the values that nothing reads any more."""
    first = len(program.inputs)
    seen, found = {a for a in program.outputs if isinstance(a, int)}, []
    for operation in reversed(program.operations):
        read = {a for a in operation.arguments if isinstance(a, int) and a >= first}
        found.append(sorted(read - seen))
        seen |= read
    return found[::-1]
