"""A program once on many points: column by column in, column by column out."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..program import Program
from . import compiled as machine
from .printer import write_program
from .writer import BYTES, Value, Writer, kind_of, module

SLOT = 8  # bytes that a number, or an element of a column, may take


class Columns:
    """A program whose first `along` inputs are columns, and whose others are single numbers."""

    def __init__(self, program: Program, along: int):
        self.program, self.along = program, along
        self.width = width_of(program)
        self._call = machine.compiled(_text(program, along, self.width, machine.triple()), "run")

    def __call__(self, columns: Sequence[np.ndarray], numbers: Sequence[Any] = ()) -> list[Any]:
        """The outputs, each (n,), of columns (n,)."""
        rows = len(columns[0])
        padded = -(-rows // self.width) * self.width
        types = [known.dtype for known in self.program.inputs]
        given = np.zeros((len(columns), padded * SLOT), np.uint8)
        for place, column in enumerate(columns):
            view = given[place].view(types[place] if types[place].kind != "b" else np.uint8)
            view[:rows] = column
            view[rows:padded] = column[-1] if rows else 0
        found = np.zeros((len(self.program.outputs), padded * SLOT), np.uint8)
        held = packed(numbers, types[self.along :])
        self._call(given, held, found, padded // self.width, padded * SLOT)
        return [
            found[place].view(_stored(dtype))[:rows].astype(dtype)
            for place, dtype in enumerate(dtypes_of(self.program))
        ]


def packed(numbers: Sequence[Any], types: Sequence[Any]) -> np.ndarray:
    """Single numbers as compiled code reads them, one in eight bytes."""
    held = np.zeros((max(len(types), 1), SLOT), np.uint8)
    for place, (number, dtype) in enumerate(zip(numbers, types, strict=True)):
        held[place].view(_stored(np.dtype(dtype)))[0] = np.asarray(number)
    return held


def read_numbers(writer: Writer, place: Value, types: Sequence[Any]) -> list[Value]:
    """The numbers that `packed` holds, as single values."""
    found = []
    for number, dtype in enumerate(types):
        found.append(load(writer, writer.at(place, number * SLOT), np.dtype(dtype), wide=False))
    return found


def load(writer: Writer, place: Value, dtype: np.dtype, wide: bool = True) -> Value:
    """A value of a dtype; truth is a byte in memory."""
    if dtype.kind != "b":
        return writer.load(kind_of(dtype), place, wide)
    byte = writer.load("i8", place, wide)
    return writer.compare("ne", byte, writer.like(byte, 0))


def store(writer: Writer, value: Value, place: Value) -> None:
    """The reverse of `load`."""
    writer.store(writer.cast("zext", value, "i8") if value.kind == "i1" else value, place)


def _stored(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def dtypes_of(program: Program) -> list[np.dtype]:
    """The dtypes of the outputs."""
    return [program.dtype(a) for a in program.outputs]


def width_of(program: Program) -> int:
    """Lanes that fill a vector of the processor with the program's widest numbers."""
    widest = max([operation.dtype.itemsize for operation in program.operations] or [8])
    return machine.vector_bytes() // min(widest, 8)


@functools.lru_cache(maxsize=256)
def _text(program: Program, along: int, width: int, target: str) -> str:
    w = Writer(width)
    for section in ("variables", "numbers", "body"):
        w.open(section)
    numbers, types = Value("%numbers", "ptr", False), [known.dtype for known in program.inputs]
    with w.inside("numbers"):
        held = read_numbers(w, numbers, types[along:])
    w.branch("test")
    w.label("test")
    count = w.variable("i64", False)
    with w.inside("numbers"):
        w.store(w.constant("i64", 0, False), count)
    block = w.load("i64", count, False)
    more = w.compare("slt", block, Value("%blocks", "i64", False))
    w.branch_if(more, "go", "end")
    w.label("go")
    stride = Value("%stride", "i64", False)
    columns = []
    for place in range(along):
        row = w.binary("mul", stride, w.constant("i64", place, False))
        columns.append(load(w, element(w, "%given", row, block, types[place]), types[place]))
    for place, value in enumerate(write_program(w, program, [*columns, *held], "numbers")):
        row = w.binary("mul", stride, w.constant("i64", place, False))
        dtype = dtypes_of(program)[place]
        store(w, value if value.wide else w.spread(value), element(w, "%found", row, block, dtype))
    w.store(w.binary("add", block, w.constant("i64", 1, False)), count)
    w.branch("test")
    w.label("end")
    w.line("ret i64 0")
    arguments = "ptr %given, ptr %numbers, ptr %found, i64 %blocks, i64 %stride"
    return module("run", arguments, w, target)


def element(w: Writer, base: str, row: Value, block: Value, dtype: np.dtype) -> Value:
    """Where in a row of bytes the elements of a block are."""
    size = BYTES[kind_of(_stored(dtype))] * w.width
    offset = w.binary("mul", block, w.constant("i64", size, False))
    return w.at(Value(base, "ptr", False), w.binary("add", row, offset))
