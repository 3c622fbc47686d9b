"""A program on many points at once, in NumPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .primitives import FUNCTIONS
from .program import Program

ROWS = 4096  # at a time: what fits into a core's own cache


def evaluate(
    program: Program, points: Float[np.ndarray, "n d"], parameters: Sequence[Any] = ()
) -> Float[np.ndarray, "n m"]:
    """The m outputs of a program at n points (n, d), with further inputs the same for all.

    What is not defined is nan, as in NumPy, and nothing warns.
    """
    out = np.empty((len(points), len(program.outputs)))
    last = _last_uses(program)
    with np.errstate(all="ignore"):
        for first in range(0, len(points), ROWS):
            rows = slice(first, first + ROWS)
            columns = np.ascontiguousarray(points[rows].T)
            values = [*columns, *parameters]
            given = [x.astype(i.dtype) for x, i in _paired(values, program)]
            results = _run(program, given, last)
            for column, result in enumerate(results):
                out[rows, column] = result
    return out


def _paired(values: list[Any], program: Program) -> list[tuple[np.ndarray, Any]]:
    pairs = zip(values, program.inputs, strict=True)
    return [(np.asarray(value), known) for value, known in pairs]


def _last_uses(program: Program) -> list[list[int]]:
    """After each operation, the values that nothing reads any more."""
    first = len(program.inputs)
    kept = {a for a in program.outputs if isinstance(a, int)}
    seen, found = set(kept), []
    for operation in reversed(program.operations):
        read = {a for a in operation.arguments if isinstance(a, int) and a >= first}
        found.append(sorted(read - seen))
        seen |= read
    return found[::-1]


def _run(program: Program, given: list[np.ndarray], last: list[list[int]]) -> list[Any]:
    values: list[Any] = [*given, *[None] * len(program.operations)]
    place = len(given)
    for operation, over in zip(program.operations, last, strict=True):
        arguments = [values[a] if isinstance(a, int) else a for a in operation.arguments]
        function = FUNCTIONS[operation.name]
        if operation.name == "convert_element_type":
            values[place] = np.asarray(arguments[0]).astype(operation.dtype)
        elif operation.options:
            values[place] = function(*arguments, **dict(operation.options))
        else:
            values[place] = function(*arguments)
        place += 1
        for index in over:
            values[index] = None
    return [values[a] if isinstance(a, int) else a for a in program.outputs]
