"""A program: a list of operations on single numbers, each of which stands for a whole column."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .primitives import FUNCTIONS

# What an operation reads: the place of a value (inputs first, then results), or a constant.
Argument = int | np.generic


class Operation(NamedTuple):
    """One operation. `name` is that of JAX's primitive, `options` what else the primitive takes."""

    name: str
    arguments: tuple[Argument, ...]
    dtype: np.dtype
    options: tuple[tuple[str, Any], ...] = ()


class Input(NamedTuple):
    """One number that the program is given, such as "w[0]" or "method.rho"."""

    name: str
    dtype: np.dtype


class Program(NamedTuple):
    """Operations in the order in which they run; value k is input k, then the results in turn.

    `outputs` are the places of the results, or constants, and their `shapes` tell which of them
    make one array, in C order.
    """

    inputs: tuple[Input, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Argument, ...]
    shapes: tuple[tuple[int, ...], ...] = ()

    def dtype(self, argument: Argument) -> np.dtype:
        """The dtype of a value or of a constant."""
        return _dtype_of(self, argument)

    def uses(self) -> dict[int, int]:
        """How often each value is read, by an operation or as an output."""
        found = dict.fromkeys(range(len(self.inputs) + len(self.operations)), 0)
        read = [a for operation in self.operations for a in operation.arguments]
        for argument in [*read, *self.outputs]:
            if isinstance(argument, int):
                found[argument] += 1
        return found

    @property
    def key(self) -> Any:
        """What two programs share that are the same: place 2 is not the constant 2, 0 is not −0."""
        operations = tuple(
            (name, tuple(map(key_of, arguments)), dtype, options)
            for name, arguments, dtype, options in self.operations
        )
        return self.inputs, operations, tuple(map(key_of, self.outputs)), self.shapes

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Program) and self.key == other.key)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.key)


def _dtype_of(of: Any, argument: Argument) -> np.dtype:
    """Of an argument in a program, or in one that is being built."""
    if not isinstance(argument, int):
        return argument.dtype
    count = len(of.inputs)
    known = of.inputs[argument] if argument < count else of.operations[argument - count]
    return known.dtype


class TooLong(Exception):
    """A program has more operations than it may."""


class Builder:
    """Collects operations: what is known is computed, what is there already is not repeated.

    Nothing is left out that could change a result: 0·x stays, since x may be infinite; x + 0, x·1
    and x/1 are x.
    """

    def __init__(self, inputs: Sequence[Input], longest: int):
        self.inputs, self.longest = tuple(inputs), longest
        self.operations: list[Operation] = []
        self._places: dict[Any, int] = {}

    def dtype(self, argument: Argument) -> np.dtype:
        """The dtype of a value or of a constant."""
        return _dtype_of(self, argument)

    def add(
        self, name: str, arguments: Sequence[Argument], dtype: Any, options: Any = ()
    ) -> Argument:
        """Where the result of an operation is, or the result itself."""
        arguments, dtype = tuple(arguments), np.dtype(dtype)
        same = _same_as(name, arguments)
        if same is not None:
            return same
        if not any(isinstance(argument, int) for argument in arguments):
            return _known(name, arguments, dtype, options)
        name, arguments = self._compared(name, arguments)
        key = (name, tuple(map(key_of, arguments)), dtype, options)
        if key not in self._places:
            if len(self.operations) == self.longest:
                raise TooLong
            self._places[key] = len(self.inputs) + len(self.operations)
            self.operations.append(Operation(name, arguments, dtype, options))
        return self._places[key]

    def _compared(self, name: str, arguments: tuple[Argument, ...]) -> tuple[str, tuple]:
        """x = max(x, y) as x ≥ y, and x = min(x, y) as x ≤ y: an interval knows no more of x and
        of max(x, y) than their bounds."""
        if name != "eq":
            return name, arguments
        for one, extreme in (arguments, arguments[::-1]):
            count = len(self.inputs)
            if not isinstance(extreme, int) or extreme < count:
                continue
            found = self.operations[extreme - count]
            if found.name in ("max", "min") and key_of(one) in map(key_of, found.arguments):
                first = key_of(found.arguments[0]) == key_of(one)
                other = found.arguments[1] if first else found.arguments[0]
                return ("ge" if found.name == "max" else "le"), (one, other)
        return name, arguments

    def program(
        self, outputs: Sequence[Argument], shapes: Sequence[tuple[int, ...]] = ()
    ) -> Program:
        """The program of these outputs, without what none of them needs."""
        return _without_the_dead(
            Program(self.inputs, tuple(self.operations), tuple(outputs), tuple(shapes))
        )


class ById:
    """Anything as a key by its identity; it is held, so that no other takes its place in memory."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: Any) -> bool:
        return type(other) is type(self) and other.value is self.value


def key_of(argument: Argument) -> Any:
    """What two arguments share that are the same."""
    return argument if isinstance(argument, int) else (argument.dtype, argument.tobytes())


def _is(argument: Argument, value: Any) -> bool:
    return not isinstance(argument, int) and bool(argument == value)


def _same_as(name: str, arguments: tuple[Argument, ...]) -> Argument | None:
    """The argument that this operation gives back unchanged, if there is one."""
    if name == "add":
        for one, other in (arguments, arguments[::-1]):
            if _is(one, 0):
                return other
    if name == "mul":
        for one, other in (arguments, arguments[::-1]):
            if _is(one, 1):
                return other
    if (name == "sub" and _is(arguments[1], 0)) or (name == "div" and _is(arguments[1], 1)):
        return arguments[0]
    if name == "select_n":
        which, *cases = arguments
        if not isinstance(which, int):
            return cases[int(which)]
        if all(key_of(case) == key_of(cases[0]) for case in cases):
            return cases[0]
    return None


def _known(name: str, arguments: tuple[Any, ...], dtype: np.dtype, options: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(FUNCTIONS[name](*arguments, **dict(options))).astype(dtype)[()]


def _without_the_dead(program: Program) -> Program:
    first = len(program.inputs)
    needed = {argument for argument in program.outputs if isinstance(argument, int)}
    for place in range(first + len(program.operations) - 1, first - 1, -1):
        if place in needed:
            arguments = program.operations[place - first].arguments
            needed |= {argument for argument in arguments if isinstance(argument, int)}
    kept = [place for place in range(first + len(program.operations)) if place in needed]
    kept = [*range(first), *(place for place in kept if place >= first)]
    moved = {place: new for new, place in enumerate(kept)}

    def renamed(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        return tuple(moved[a] if isinstance(a, int) else a for a in arguments)

    operations = tuple(
        program.operations[place - first]._replace(
            arguments=renamed(program.operations[place - first].arguments)
        )
        for place in kept[first:]
    )
    return program._replace(operations=operations, outputs=renamed(program.outputs))
