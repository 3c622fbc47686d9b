"""Products of a program with their numbers gathered: 2(x² − 1)·2x/4 is (x² − 1)·x.

Derivatives are full of factors that cancel, and noise is scaled by three numbers one after another.
What is the same in all lanes is multiplied once, before the loop, and what then is 1 is left out.
That rounds otherwise than one by one, in the last place: it is decided here, by the program alone.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..points import function_of
from ..program import Argument, Builder, Operation, Program


class _Product(NamedTuple):
    """factors (differing by lane) · numbers (the same in all lanes) · constant."""

    factors: tuple[Argument, ...]
    numbers: tuple[Argument, ...]
    constant: float


@functools.lru_cache(maxsize=256)
def gathered(program: Program, uniform: tuple[int, ...]) -> Program:
    """The program, with its products rewritten; `uniform` are the inputs that no lane has of its
    own."""
    return _Gatherer(program, uniform).program()


def within_range(program: Program, along: int, numbers: Sequence[Any]) -> bool:
    """Whether the products of numbers that a gathered program makes beforehand are such as their
    dtype holds in full; `numbers` are the inputs after the first `along`."""
    made = gathered(program, tuple(range(along, len(program.inputs))))
    known: dict[int, Any] = {}
    for place, number in enumerate(numbers, along):
        known[place] = program.dtype(place).type(number)
    with np.errstate(all="ignore"):
        for place, operation in enumerate(made.operations, len(program.inputs)):
            if all(not isinstance(a, int) or a in known for a in operation.arguments):
                given = [known[a] if isinstance(a, int) else a for a in operation.arguments]
                known[place] = np.asarray(function_of(operation)(*given), operation.dtype)[()]
                if operation.name == "mul" and not _is_held(known[place], given):
                    return False
    return True


def _is_held(product: Any, factors: Sequence[Any]) -> bool:
    """Whether a product of usual numbers is one of its dtype, and not lost."""
    if product.dtype.kind != "f" or not all(np.isfinite(x) and x != 0 for x in factors):
        return True
    known = np.finfo(product.dtype)
    return bool(known.tiny <= abs(product) <= known.max)


class _Gatherer:
    def __init__(self, program: Program, uniform: Sequence[int]):
        self.old = program
        self.first = len(program.inputs)
        self.uses = program.uses()
        self.builder = Builder(program.inputs, 2 * len(program.operations) + 8)
        self.uniform: set[Argument] = set(uniform)  # of the new program
        self.places: list[Any] = list(range(self.first))  # old → new
        self.products: dict[int, _Product] = {}  # old places that are products, not built yet

    def program(self) -> Program:
        for place, operation in enumerate(self.old.operations, self.first):
            product = self._product(operation)
            if product is not None:
                self.products[place] = product
                self.places.append(None)
            else:
                self.places.append(self._same(operation))
        return self.builder.program([self._built(a) for a in self.old.outputs], self.old.shapes)

    def _product(self, operation: Operation) -> _Product | None:
        """An operation as a product of floats, if it is one."""
        name, arguments, dtype, options = operation
        if dtype.kind != "f":
            return None
        if name == "mul":
            return self._multiple(*arguments)
        if name == "neg":
            return self._scaled(arguments[0], -1.0)
        if name == "add" and arguments[0] == arguments[1] and isinstance(arguments[0], int):
            return self._scaled(arguments[0], 2.0)
        if name == "div" and _is_power_of_two(arguments[1]):
            return self._scaled(arguments[0], 1 / float(arguments[1]))
        if name == "square" or (name == "integer_pow" and dict(options)["y"] == 2):
            whole = self._built(arguments[0])
            return _Product((whole, whole), (), 1.0) if not self._is_uniform(whole) else None
        return None

    def _multiple(self, first: Argument, second: Argument) -> _Product | None:
        """A product of two, unless its factors would meet in an order in which they may overflow,
        or vanish, where they did not before: factors keep theirs, and numbers pass one at most."""
        one, other = self._part(first), self._part(second)
        if len(one.factors) > 1 and len(other.factors) > 1:
            return None
        whole = _times(one, other)
        passed = len(whole.factors) > 1 and whole.numbers
        return None if passed or not _is_usual(whole.constant) else whole

    def _scaled(self, argument: Argument, by: float) -> _Product | None:
        part = self._part(argument)
        whole = part._replace(constant=by * part.constant)
        return whole if _is_usual(whole.constant) else None

    def _part(self, argument: Argument) -> _Product:
        """A factor: taken apart, if it is a product that nobody else reads."""
        if not isinstance(argument, int):
            return _Product((), (), float(argument))
        if argument in self.products and self.uses[argument] == 1:
            return self.products[argument]
        new = self._built(argument)
        if not isinstance(new, int):
            return _Product((), (), float(new))
        return _Product((), (new,), 1.0) if self._is_uniform(new) else _Product((new,), (), 1.0)

    def _built(self, argument: Argument) -> Argument:
        """Where a value of the old program is in the new one."""
        if not isinstance(argument, int):
            return argument
        if self.places[argument] is None:
            self.places[argument] = self._whole(self.products[argument], self.old.dtype(argument))
        return self.places[argument]

    def _whole(self, product: _Product, dtype: np.dtype) -> Argument:
        """A product, its numbers first multiplied among themselves."""
        numbers = list(product.numbers)
        constant = dtype.type(product.constant)
        if numbers and constant != 1:
            numbers.append(constant)
            constant = dtype.type(1)
        scale = self._multiplied(numbers, dtype)
        whole = self._multiplied(product.factors, dtype)
        if scale is not None:
            whole = scale if whole is None else self._add("mul", (whole, scale), dtype)
        if whole is None:
            return constant
        if constant == -1:
            return self._add("neg", (whole,), dtype)
        return whole if constant == 1 else self._add("mul", (whole, constant), dtype)

    def _multiplied(self, factors: Sequence[Argument], dtype: np.dtype) -> Argument | None:
        total = None
        for factor in factors:
            total = factor if total is None else self._add("mul", (total, factor), dtype)
        return total

    def _same(self, operation: Operation) -> Argument:
        name, arguments, dtype, options = operation
        return self._add(name, tuple(self._built(a) for a in arguments), dtype, options)

    def _add(self, name: str, arguments: tuple, dtype: Any, options: Any = ()) -> Argument:
        place = self.builder.add(name, arguments, dtype, options)
        if isinstance(place, int) and all(self._is_uniform(a) for a in arguments):
            self.uniform.add(place)
        return place

    def _is_uniform(self, argument: Argument) -> bool:
        return not isinstance(argument, int) or argument in self.uniform


def _times(one: _Product, other: _Product) -> _Product:
    if len(other.factors) > len(one.factors):  # as they were: (b·c)·a, not a·b·c
        one, other = other, one
    return _Product(
        one.factors + other.factors, one.numbers + other.numbers, one.constant * other.constant
    )


def _is_usual(constant: float) -> bool:
    """Whether a constant moves no number of usual size out of either precision's range."""
    return constant == 0 or 2.0**-20 <= abs(constant) <= 2.0**20


def _is_power_of_two(argument: Argument) -> bool:
    if isinstance(argument, int) or not np.isfinite(argument) or argument == 0:
        return False
    return abs(np.frexp(float(argument))[0]) == 0.5
