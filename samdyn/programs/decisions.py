"""The decisions within a program: comparisons whose outcome depends on where one is.

At a kink two values are equal, of which one is the larger on either side: |x| asks whether x > 0,
max(a, b) whether a > b. Once they are decided a program is smooth, and goes on beyond the kink.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .program import Argument, Builder, Input, Operation, Program, key_of

# Of a and b, what is true where a > b, and where a < b.
OUTCOMES = {
    "gt": (True, False),
    "ge": (True, False),
    "lt": (False, True),
    "le": (False, True),
    "eq": (False, False),
    "ne": (True, True),
}
ZERO = np.float64(0)

Pair = tuple[Argument, Argument]


def decisions(program: Program) -> list[Pair]:
    """Pairs (a, b) of values of which it is asked which is the larger; each pair once."""
    found: dict[Any, Pair] = {}
    for operation in program.operations:
        pair = _pair(operation, program)
        if pair is not None and _key(pair) not in found and _key(pair[::-1]) not in found:
            found[_key(pair)] = pair
    return list(found.values())


def decided(program: Program, known: Iterable[tuple[Pair, bool]]) -> Program:
    """The program where of some decisions (a, b) it is known whether a > b, or a < b."""
    table = {}
    for pair, above in known:
        table |= {_key(pair): above, _key(pair[::-1]): not above}
    builder = Builder(program.inputs, 2 * len(program.operations) + 8)
    places: list[Any] = list(range(len(program.inputs)))
    read = lambda a: places[a] if isinstance(a, int) else a  # noqa: E731
    for operation in program.operations:
        pair = _pair(operation, program)
        above = None if pair is None else table.get(_key(pair))
        given = [read(a) for a in operation.arguments]
        if above is None:
            name, _, dtype, options = operation
            places.append(builder.add(name, given, dtype, options))
        else:
            places.append(_outcome(builder, operation, given, above))
    return builder.program([read(a) for a in program.outputs], program.shapes)


def on_edge(program: Program, pair: Pair, dim: int) -> Program:
    """The program of (w, λ) ↦ (λF₊ + (1 − λ)F₋, a − b, what else the program gives).

    F are the first `dim` outputs of `program`, of w (dim,), F₊ where a > b and F₋ where a < b.
    Where the first two vanish, on the edge a = b, 0 lies between the sides.
    """
    share = Input("share", np.dtype(float))
    inputs = (*program.inputs[:dim], share, *program.inputs[dim:])
    places = [*range(dim), *range(dim + 1, len(inputs))]
    gap = differences(program, [pair])
    parts = [decided(program, [(pair, above)]) for above in (True, False)]
    builder = Builder(inputs, sum(len(part.operations) for part in (gap, *parts)) + 3 * dim)
    above, below = (_joined(builder, part, places) for part in parts)
    mixed = []
    for over, under in zip(above[:dim], below[:dim], strict=True):
        change = builder.add("mul", [dim, builder.add("sub", [over, under], float)], float)
        mixed.append(builder.add("add", [under, change], float))
    outputs = [*mixed, *_joined(builder, gap, places), *above[dim:]]
    return builder.program(outputs, ((len(outputs),),))


def _joined(builder: Builder, program: Program, inputs: list[int]) -> list[Argument]:
    """The outputs of a program whose inputs are those of the builder's in these places."""
    places: list[Any] = list(inputs)
    read = lambda a: places[a] if isinstance(a, int) else a  # noqa: E731
    for name, arguments, dtype, options in program.operations:
        places.append(builder.add(name, [read(a) for a in arguments], dtype, options))
    return [read(a) for a in program.outputs]


def differences(program: Program, pairs: list[Pair]) -> Program:
    """The program of a − b for each pair."""
    everything = program._replace(outputs=tuple(range(_count(program))))
    builder = Builder(program.inputs, _count(program) + len(pairs))
    places = _joined(builder, everything, list(range(len(program.inputs))))
    read = lambda a: places[a] if isinstance(a, int) else a  # noqa: E731
    outputs = [builder.add("sub", [read(a), read(b)], float) for a, b in pairs]
    return builder.program(outputs, ((len(pairs),),))


def _count(program: Program) -> int:
    return len(program.inputs) + len(program.operations)


def _pair(operation: Operation, program: Program) -> Pair | None:
    """Which two numbers an operation compares."""
    name, arguments = operation.name, operation.arguments
    if name in ("abs", "sign"):
        pair = arguments[0], ZERO
    elif name in OUTCOMES or name in ("max", "min"):
        pair = arguments[0], arguments[1]
    else:
        return None
    if key_of(pair[0]) == key_of(pair[1]):  # whether it is a number is asked
        return None
    return pair if all(_is_float(a, program) for a in pair) else None


def _is_float(argument: Argument, program: Program) -> bool:
    if not isinstance(argument, int):
        return bool(np.issubdtype(argument.dtype, np.floating) and np.isfinite(argument))
    known = (*program.inputs, *program.operations)[argument]
    return bool(np.issubdtype(known.dtype, np.floating))


def _key(pair: tuple[Argument, ...]) -> Any:
    return tuple(map(key_of, pair))


def _outcome(builder: Builder, operation: Operation, given: list[Any], above: bool) -> Any:
    if operation.name in OUTCOMES:
        return np.bool_(OUTCOMES[operation.name][0 if above else 1])
    if operation.name == "sign":
        return operation.dtype.type(1 if above else -1)
    if operation.name == "abs":
        return given[0] if above else builder.add("neg", given, operation.dtype)
    return given[0 if above == (operation.name == "max") else 1]
