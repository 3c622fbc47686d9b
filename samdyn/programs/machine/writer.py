"""The text of one function in LLVM's language, on vectors that hold one lane an element.

Every value is a vector of `width` elements or a single number. Sections keep apart what is computed
once, before the loop, from what is computed in it. No instruction may be reordered, contracted or
approximated by the compiler (no fast-math flag is ever written), so that a lane's bits depend
neither on the width nor on its neighbours.
"""

import contextlib
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

TYPES = {"f32": "float", "f64": "double", "ptr": "ptr"}
TYPES |= {f"i{bits}": f"i{bits}" for bits in (1, 4, 8, 16, 32, 64)}
BYTES = {"f32": 4, "f64": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
MOST_HELD = 128  # constants that are kept at hand; more would fill the nearest memory


class Value(NamedTuple):
    """A name or a constant, the kind of its numbers, and whether it holds one for each lane."""

    name: str
    kind: str
    wide: bool = True


def kind_of(dtype: Any) -> str:
    """The kind of a NumPy dtype; LLVM's integers have no sign. `KeyError` for one that has none."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return "i1"
    return {"f": {4: "f32", 8: "f64"}, "i": _WHOLE, "u": _WHOLE}[dtype.kind][dtype.itemsize]


_WHOLE = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}


class Writer:
    """Collects the lines of a function's sections, in the order in which they were opened."""

    def __init__(self, width: int):
        self.width = width
        self.sections: dict[str, list[str]] = {"variables": []}  # before all others
        self.declared: dict[str, str] = {}  # other functions and constants of the module, by name
        self._lines: list[str] = []
        self._count = 0
        self._held: dict[tuple[str, str], Value] = {}

    # places

    def open(self, section: str) -> None:
        """Go on in `section`."""
        self._lines = self.sections.setdefault(section, [])

    @contextlib.contextmanager
    def inside(self, section: str) -> Iterator[None]:
        """For a while in another section."""
        before = self._lines
        self.open(section)
        try:
            yield
        finally:
            self._lines = before

    def line(self, text: str) -> None:
        self._lines.append("  " + text)

    def label(self, name: str) -> None:
        """Begin a block."""
        self._lines.append(f"{name}:")

    def name(self, stem: str = "v") -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{stem}{self._count}"

    def branch(self, where: str) -> None:
        self.line(f"br label %{where}")

    def branch_if(self, which: Value, yes: str, no: str, seldom: bool = False) -> None:
        """Go to `yes` where a single number is true; `seldom` tells that it hardly ever is."""
        hint = ", !prof !0" if seldom else ""
        self.line(f"br i1 {which.name}, label %{yes}, label %{no}{hint}")

    # values

    def type(self, value: Value) -> str:
        """The type of a value, in LLVM's words."""
        return self.type_of(value.kind, value.wide)

    def type_of(self, kind: str, wide: bool = True) -> str:
        return f"<{self.width} x {TYPES[kind]}>" if wide else TYPES[kind]

    def put(self, text: str, kind: str, wide: bool = True) -> Value:
        """The result of an instruction."""
        name = "%" + self.name()
        self.line(f"{name} = {text}")
        return Value(name, kind, wide)

    def constant(self, kind: str, number: Any, wide: bool = True) -> Value:
        """A number, in every lane."""
        if wide and kind in ("f32", "f64") and number != 0:
            return self.held(kind, number)
        text = _digits(kind, number)
        return Value(f"splat ({TYPES[kind]} {text})" if wide else text, kind, wide)

    def held(self, kind: str, number: Any) -> Value:
        """A number in every lane, spread once before all else.

        An operation then reads it where it lies. The compiler by itself would load a constant's
        address, and spread it, each time. That the number is `volatile` keeps it from doing so.
        """
        text = _digits(kind, number)
        known = self._held.get((kind, text))
        if known is None and len(self._held) >= MOST_HELD:
            return Value(f"splat ({TYPES[kind]} {text})", kind)
        if known is None:
            with self.inside("variables"):
                place = self.variable(kind, False)
                self.line(f"store volatile {TYPES[kind]} {text}, ptr {place.name}")
                one = self.put(f"load volatile {TYPES[kind]}, ptr {place.name}", kind, False)
                known = self._held[kind, text] = self.spread(one)
        return known

    def like(self, value: Value, number: Any) -> Value:
        """A constant of the kind of `value`."""
        return self.constant(value.kind, number, value.wide)

    def spread(self, value: Value) -> Value:
        """A single number in every lane."""
        kind = self.type_of(value.kind)
        one = self.put(
            f"insertelement {kind} poison, {TYPES[value.kind]} {value.name}, i64 0", value.kind
        )
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.put(f"shufflevector {kind} {one.name}, {kind} poison, {zeros}", value.kind)

    # arithmetic

    def binary(self, name: str, one: Value, other: Value) -> Value:
        return self.put(f"{name} {self.type(one)} {one.name}, {other.name}", one.kind, one.wide)

    def call(self, function: str, *values: Value, kind: str | None = None) -> Value:
        """One of LLVM's own functions of vectors: "sqrt", "fma", "floor", "ctpop", …"""
        one = values[0]
        of = f"v{self.width}{one.kind}" if one.wide else one.kind
        full = f"llvm.{function}.{of}"
        kinds = ", ".join(self.type(value) for value in values)
        result = self.type_of(kind or one.kind, one.wide)
        self.declared[full] = f"declare {result} @{full}({kinds})"
        given = ", ".join(f"{self.type(value)} {value.name}" for value in values)
        return self.put(f"call {result} @{full}({given})", kind or one.kind, one.wide)

    def fma(self, one: Value, two: Value, three: Value) -> Value:
        """one · two + three, rounded once."""
        return self.call("fma", one, two, three)

    def negative(self, one: Value) -> Value:
        return self.put(f"fneg {self.type(one)} {one.name}", one.kind, one.wide)

    def compare(self, how: str, one: Value, other: Value) -> Value:
        """By "olt", "ugt", "uno", … of floats, by "eq", "slt", "ult", … of whole numbers."""
        which = "fcmp" if one.kind in ("f32", "f64") else "icmp"
        return self.put(f"{which} {how} {self.type(one)} {one.name}, {other.name}", "i1", one.wide)

    def select(self, which: Value, yes: Value, no: Value) -> Value:
        kinds = self.type(which), self.type(yes)
        text = f"select {kinds[0]} {which.name}, {kinds[1]} {yes.name}, {kinds[1]} {no.name}"
        return self.put(text, yes.kind, yes.wide)

    def cast(self, how: str, one: Value, kind: str) -> Value:
        """A value in another kind, by "bitcast", "sitofp", "fpext", "zext", …"""
        to = self.type_of(kind, one.wide)
        return self.put(f"{how} {self.type(one)} {one.name} to {to}", kind, one.wide)

    def any(self, mask: Value) -> Value:
        """Whether a mask is true in any lane, as a single number."""
        full = f"llvm.vector.reduce.or.v{self.width}i1"
        self.declared[full] = f"declare i1 @{full}({self.type(mask)})"
        return self.put(f"call i1 @{full}({self.type(mask)} {mask.name})", "i1", False)

    def first(self, value: Value) -> Value:
        """The number in the first lane."""
        return self.put(f"extractelement {self.type(value)} {value.name}, i64 0", value.kind, False)

    # memory

    def table(self, kind: str, entries: list[Value]) -> Value:
        """A place with single numbers one after another."""
        count, name = len(entries), "%" + self.name("table")
        with self.inside("variables"):
            self.line(f"{name} = alloca [{count} x {TYPES[kind]}], align 64")
        place = Value(name, "ptr", False)
        for number, entry in enumerate(entries):
            self.store(entry, self.at(place, number, kind))
        return place

    def gather(self, kind: str, place: Value, index: Value) -> Value:
        """For each lane the number of a table that its index says."""
        width = self.width
        far = index if index.kind == "i64" else self.cast("sext", index, "i64")
        places = self.put(
            f"getelementptr {TYPES[kind]}, ptr {place.name}, <{width} x i64> {far.name}", "ptr"
        )
        result, full = self.type_of(kind), f"llvm.masked.gather.v{width}{kind}.v{width}p0"
        given = f"<{width} x ptr>, i32, <{width} x i1>, {result}"
        self.declared[full] = f"declare {result} @{full}({given})"
        every = f"<{width} x i1> splat (i1 true)"
        return self.put(
            f"call {result} @{full}(<{width} x ptr> {places.name}, i32 {BYTES[kind]}, {every}, "
            f"{result} poison)",
            kind,
        )

    def load(self, kind: str, place: Value, wide: bool = True) -> Value:
        align = _alignment(kind)
        return self.put(
            f"load {self.type_of(kind, wide)}, ptr {place.name}, align {align}", kind, wide
        )

    def store(self, value: Value, place: Value) -> None:
        align = _alignment(value.kind)
        self.line(f"store {self.type(value)} {value.name}, ptr {place.name}, align {align}")

    def at(self, place: Value, offset: Value | int, kind: str = "i8") -> Value:
        """`offset` numbers of `kind` further on."""
        offset = offset if isinstance(offset, Value) else self.constant("i64", offset, False)
        text = f"getelementptr {TYPES[kind]}, ptr {place.name}, i64 {offset.name}"
        return self.put(text, "ptr", False)

    def variable(self, kind: str, wide: bool = True) -> Value:
        """A place for a value that changes; the compiler keeps it in a register."""
        name = "%" + self.name("place")
        with self.inside("variables"):
            self.line(f"{name} = alloca {self.type_of(kind, wide)}, align 64")
        return Value(name, "ptr", False)


def module(function: str, arguments: str, writer: Writer, target: str) -> str:
    """The module of one function, `i64 function(arguments)`, made of a writer's sections."""
    body = "\n".join(line for lines in writer.sections.values() for line in lines)
    bits = "512"  # the widest: LLVM takes what the processor has
    return "\n".join(
        [
            f'target triple = "{target}"',
            *writer.declared.values(),
            f"define i64 @{function}({arguments}) #0 {{",
            body,
            "}",
            f'attributes #0 = {{ nounwind "no-builtins" "min-legal-vector-width"="{bits}" '
            f'"prefer-vector-width"="{bits}" }}',
            '!0 = !{!"branch_weights", i32 1, i32 2000}',
            "",
        ]
    )


def _alignment(kind: str) -> int:
    """Bytes of whose multiple an address is, at least."""
    return min(4, BYTES.get(kind, 1))


def _digits(kind: str, number: Any) -> str:
    if kind == "f32":
        number = float(np.float32(number))
    if kind in ("f32", "f64"):
        return "0x" + struct.pack(">d", float(number)).hex().upper()
    if kind == "i1":
        return "true" if number else "false"
    return str(int(number))
