"""A whole program in machine code: operation by operation, where the writer stands."""

import contextlib
from collections.abc import Sequence
from typing import Any

from ..program import Argument, Operation, Program
from .contraction import contracted
from .factors import gathered
from .operations import OPERATIONS, NotPrinted
from .writer import Value, Writer, kind_of

FEW = 4  # entries of a table that are chosen among one by one; more are looked up in memory
MOST_CASES = 64  # that differ by lane
LONGEST = 1_500  # operations, beyond which LLVM takes more than a second


def write_program(
    writer: Writer, program: Program, inputs: Sequence[Value], before: str = ""
) -> list[Value]:
    """The outputs of a program at `inputs`, written where the writer stands.

    What depends on numbers alone, the inputs that are not wide, is written into the section
    `before`, if one is named, and spread over the lanes from there. `NotPrinted` where an operation
    has no machine code.
    """
    uniform = tuple(place for place, value in enumerate(inputs) if not value.wide)
    return _Printer(writer, gathered(program, uniform), before).outputs(inputs)


def printable(program: Program, longest: int = LONGEST, along: int | None = None) -> str:
    """Why a program cannot be printed, or is longer than `longest`; "" where it can. Inputs after
    the first `along` are single numbers."""
    count = len(program.operations)
    if count > longest:
        return f"it has {count:,d} operations, and {longest:,d} are the most"
    try:
        kinds = [kind_of(known.dtype) for known in program.inputs]
        along = len(kinds) if along is None else along
        values = [Value(f"%i{k}", kind, k < along) for k, kind in enumerate(kinds)]
        writer = Writer(4)
        writer.open("body")
        write_program(writer, program, values)
    except NotPrinted as reason:
        return str(reason)
    except KeyError as kind:
        return f"it has numbers of another kind ({kind})"
    return ""


class _Printer:
    def __init__(self, writer: Writer, program: Program, before: str):
        self.writer, self.program, self.before = writer, program, before
        self.first = len(program.inputs)
        self.tables: dict[Any, Value] = {}

    def outputs(self, inputs: Sequence[Value]) -> list[Value]:
        self.values: list[Value | None] = list(inputs)
        self.wide: dict[int, Value] = {}
        self.uniform = uniform = self._uniform(inputs)
        fused = contracted(self.program, uniform)
        for place, operation in enumerate(self.program.operations, self.first):
            if place in fused.inside:
                self.values.append(None)  # part of the sum that reads it
            elif place in uniform and self.before:
                with self.writer.inside(self.before):
                    self.values.append(self._one(operation, fused.sums.get(place)))
            else:
                self.values.append(self._one(operation, fused.sums.get(place)))
        return [self.read(a) for a in self.program.outputs]

    def _uniform(self, inputs: Sequence[Value]) -> set[int]:
        """Places of what depends on no lane."""
        found = {place for place, value in enumerate(inputs) if not value.wide}
        for place, operation in enumerate(self.program.operations, self.first):
            if all(not isinstance(a, int) or a in found for a in operation.arguments):
                found.add(place)
        return found

    def read(self, argument: Argument) -> Value:
        """A value or a constant, in every lane."""
        if not isinstance(argument, int):
            return self.writer.constant(self._kind(argument.dtype), argument)
        value = self.values[argument]
        assert value is not None
        if value.wide:
            return value
        if argument not in self.wide:
            with self.writer.inside(self.before) if self.before else contextlib.nullcontext():
                self.wide[argument] = self.writer.spread(value)
        return self.wide[argument]

    def _kind(self, dtype: Any) -> str:
        try:
            return kind_of(dtype)
        except KeyError:
            raise NotPrinted(f"it has numbers of another kind ({dtype})") from None

    def _one(self, operation: Operation, product: Any) -> Value:
        if product is not None:
            return self._fused(product)
        if operation.name == "select_n" and len(operation.arguments) > FEW + 1:
            return self._looked_up(operation)
        given = [self.read(a) for a in operation.arguments]
        dtypes = [self.program.dtype(a) for a in operation.arguments]
        write = OPERATIONS.get(operation.name)
        if write is None:
            raise NotPrinted(f"{operation.name} has no machine code here")
        self._kind(operation.dtype)
        return write(self.writer, operation, given, dtypes)

    def _fused(self, product: tuple) -> Value:
        """a·b ± c in one rounding."""
        (one, other), rest, signs = product
        a, b, c = self.read(one), self.read(other), self.read(rest)
        a = self.writer.negative(a) if signs[0] < 0 else a
        c = self.writer.negative(c) if signs[1] < 0 else c
        return self.writer.fma(a, b, c)

    def _looked_up(self, operation: Operation) -> Value:
        """An entry of a table that is the same in all lanes, read from memory."""
        which, *entries = operation.arguments
        if not all(self._is_uniform(entry) for entry in entries):
            if len(entries) > MOST_CASES:
                raise NotPrinted("a table that is another for each lane has no machine code here")
            dtypes = [self.program.dtype(a) for a in operation.arguments]
            return OPERATIONS["select_n"](
                self.writer, operation, [self.read(a) for a in operation.arguments], dtypes
            )
        kind = self._kind(operation.dtype)
        key = tuple(e if isinstance(e, int) else (kind, e.tobytes()) for e in entries)
        if key not in self.tables:
            with self.writer.inside(self.before) if self.before else contextlib.nullcontext():
                self.tables[key] = self.writer.table(kind, [self._single(e) for e in entries])
        w, index = self.writer, self.read(which)
        index = w.select(w.compare("sgt", index, w.like(index, 0)), index, w.like(index, 0))
        last = w.like(index, len(entries) - 1)
        index = w.select(w.compare("slt", index, last), index, last)
        return w.gather(kind, self.tables[key], index)

    def _is_uniform(self, argument: Argument) -> bool:
        return not isinstance(argument, int) or argument in self.uniform

    def _single(self, argument: Argument) -> Value:
        """What is the same in all lanes, as one number."""
        if not isinstance(argument, int):
            return self.writer.constant(self._kind(argument.dtype), argument, False)
        value = self.values[argument]
        assert value is not None
        return self.writer.first(value) if value.wide else value
