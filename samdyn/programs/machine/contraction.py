"""Which products of a program become part of the sum that reads them.

A product that one sum alone reads is not rounded: a·b + c is one operation (fma) on today's
processors, twice as fast and more exact. What is contracted follows from the program alone, so
that numbers do not depend on the compiler's mind.
"""

from typing import NamedTuple

from ..program import Argument, Operation, Program

Product = tuple[tuple[Argument, Argument], Argument, tuple[int, int]]


class Contracted(NamedTuple):
    """Sums by their place, each ((a, b), c, signs of a·b and of c), and the products in them."""

    sums: dict[int, Product]
    inside: set[int]


def contracted(program: Program, uniform: set[int]) -> Contracted:
    """The contraction of a program; a product that is the same in all lanes is left outside of a
    sum that is not."""
    first, uses = len(program.inputs), program.uses()
    sums: dict[int, Product] = {}
    inside: set[int] = set()

    def factors(argument: Argument, place: int) -> tuple[Argument, Argument] | None:
        if not isinstance(argument, int) or argument < first or uses[argument] != 1:
            return None
        if (argument in uniform) != (place in uniform):
            return None
        return _factors(program.operations[argument - first])

    for place, (name, arguments, dtype, _) in enumerate(program.operations, first):
        if name not in ("add", "sub") or dtype.kind != "f":
            continue
        one, other = arguments
        sign = -1 if name == "sub" else 1
        for product, rest, signs in ((one, other, (1, sign)), (other, one, (sign, 1))):
            found = factors(product, place)
            if found is not None:
                sums[place] = found, rest, signs
                inside.add(product)  # pyright: ignore[reportArgumentType]
                break
    return Contracted(sums, inside)


def _factors(operation: Operation) -> tuple[Argument, Argument] | None:
    name, arguments, _, options = operation
    if name == "mul":
        return arguments[0], arguments[1]
    if name == "square" or (name == "integer_pow" and dict(options)["y"] == 2):
        return arguments[0], arguments[0]
    return None
