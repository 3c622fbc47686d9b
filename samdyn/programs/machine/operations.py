"""What each operation of a program is in machine code."""

from collections.abc import Callable

import numpy as np

from ..program import Operation
from . import elementary
from .writer import Value, Writer, kind_of


class NotPrinted(Exception):
    """A program has an operation that has no machine code here, for the reason given."""


Write = Callable[[Writer, Operation, list[Value], list[np.dtype]], Value]


def _float(dtype: np.dtype) -> bool:
    return dtype.kind == "f"


def _by_kind(of_floats: str, of_wholes: str) -> Write:
    """An instruction by the kind of its operands."""

    def write(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
        if _float(dtypes[0]):
            return w.binary(of_floats, *given)
        if dtypes[0].kind in "iu":
            numbers = [None if isinstance(a, int) else a for a in operation.arguments]
            kind = kind_of(dtypes[0])
            given = [
                v if n is None else w.held(kind, n) for v, n in zip(given, numbers, strict=True)
            ]
        return w.binary(of_wholes, *given)

    return write


def _comparison(of_floats: str, signed: str, unsigned: str) -> Write:
    def write(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
        how = of_floats if _float(dtypes[0]) else signed if dtypes[0].kind == "i" else unsigned
        return w.compare(how, *given)

    return write


def _extreme(beyond: str, signed: str, unsigned: str) -> Write:
    """max or min; of floats nan where either is."""

    def write(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
        one, other = given
        if not _float(dtypes[0]):
            how = signed if dtypes[0].kind == "i" else unsigned
            return w.select(w.compare(how, one, other), one, other)
        chosen = w.select(w.compare(beyond, one, other), one, other)  # one, if it is nan
        return w.select(w.compare("uno", other, other), other, chosen)

    return write


def _function(function: Callable) -> Write:
    """A function of floats from `elementary.py`."""

    def write(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
        if not _float(dtypes[0]):
            raise NotPrinted(f"{operation.name} of whole numbers has no machine code here")
        try:
            return function(w, *given)
        except elementary.NotHere:
            raise NotPrinted(f"{operation.name} in {dtypes[0]} has no machine code here") from None

    return write


def _own(function: str) -> Write:
    """One of the processor's own, rounded correctly."""
    return lambda w, operation, given, dtypes: w.call(function, *given)


def _abs(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    if _float(dtypes[0]):
        return w.call("fabs", given[0])
    if dtypes[0].kind == "u":
        return given[0]
    below = w.compare("slt", given[0], w.like(given[0], 0))
    return w.select(below, w.binary("sub", w.like(given[0], 0), given[0]), given[0])


def _negative(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    if _float(dtypes[0]):
        return w.negative(given[0])
    return w.binary("sub", w.like(given[0], 0), given[0])


def _sign(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    (x,) = given
    if not _float(dtypes[0]):
        raise NotPrinted("sign of whole numbers has no machine code here")
    signed = w.call("copysign", w.like(x, 1), x)
    return w.select(w.compare("one", x, w.like(x, 0)), signed, x)  # 0, -0 and nan stay


def _convert(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    return converted(w, given[0], dtypes[0], operation.dtype)


def converted(w: Writer, x: Value, of: np.dtype, to: np.dtype) -> Value:
    """A value in another dtype, as NumPy and XLA have it; beyond its range, the nearest there."""
    kind = kind_of(to)
    if _float(of) and _float(to):
        if of.itemsize == to.itemsize:
            return x
        return w.cast("fpext" if to.itemsize > of.itemsize else "fptrunc", x, kind)
    if to.kind == "b":
        how = "une" if _float(of) else "ne"
        return w.compare(how, x, w.like(x, 0))
    if _float(to):
        return w.cast("sitofp" if of.kind == "i" else "uitofp", x, kind)
    if _float(of):
        how = "fptosi" if to.kind == "i" else "fptoui"
        full = f"llvm.{how}.sat.v{w.width}{kind}.v{w.width}{x.kind}"
        w.declared[full] = f"declare {w.type_of(kind)} @{full}({w.type(x)})"
        return w.put(f"call {w.type_of(kind)} @{full}({w.type(x)} {x.name})", kind)
    if of.kind == "b":
        return w.cast("zext", x, kind)
    if of.itemsize == to.itemsize:
        return x
    if of.itemsize > to.itemsize:
        return w.cast("trunc", x, kind)
    return w.cast("sext" if of.kind == "i" else "zext", x, kind)


def _bits(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    if dtypes[0].itemsize != operation.dtype.itemsize:
        raise NotPrinted("bitcast_convert_type to another size has no machine code here")
    kind = kind_of(operation.dtype)
    return given[0] if kind == given[0].kind else w.cast("bitcast", given[0], kind)


def _not(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    return w.binary("xor", given[0], w.like(given[0], 1 if dtypes[0].kind == "b" else -1))


def _select(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    which, *cases = given
    if dtypes[0].kind == "b":
        return w.select(which, cases[1], cases[0])
    how = "slt" if dtypes[0].kind == "i" else "ult"
    chosen = cases[-1]
    for place in reversed(range(len(cases) - 1)):  # beyond either end the nearest
        below = w.compare(how, which, w.like(which, place + 1))
        chosen = w.select(below, cases[place], chosen)
    return chosen


def _clamp(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    low, x, high = given
    more = OPERATIONS["max"](w, operation, [x, low], [dtypes[1]] * 2)
    return OPERATIONS["min"](w, operation, [more, high], [dtypes[1]] * 2)


def _finite(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    return w.compare("olt", w.call("fabs", given[0]), w.like(given[0], np.inf))


def _power(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    """x^y by repeated squaring, as XLA multiplies it out."""
    (x,), y = given, int(dict(operation.options)["y"])
    multiply = "fmul" if _float(dtypes[0]) else "mul"
    if y < 0:
        if not _float(dtypes[0]):
            raise NotPrinted("negative powers of whole numbers have no machine code here")
        other = operation._replace(options=(("y", -y),))
        return w.binary("fdiv", w.like(x, 1), _power(w, other, given, dtypes))
    result, square = None, x
    while y:
        if y & 1:
            result = square if result is None else w.binary(multiply, result, square)
        y >>= 1
        if y:
            square = w.binary(multiply, square, square)
    return w.like(x, 1) if result is None else result


def _round(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    return w.call(
        "roundeven" if dict(operation.options)["rounding_method"] == 1 else "round", *given
    )


def _square(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    return w.binary("fmul" if _float(dtypes[0]) else "mul", given[0], given[0])


def _shift(how: str) -> Write:
    """By the size of the word or more: 0, or the sign."""

    def write(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
        x, by = given
        size = dtypes[0].itemsize * 8
        inside = w.compare("ult", by, w.like(by, size))
        if how == "ashr":
            return w.binary(how, x, w.select(inside, by, w.like(by, size - 1)))
        safe = w.select(inside, by, w.like(by, 0))
        return w.select(inside, w.binary(how, x, safe), w.like(x, 0))

    return write


def _remainder(
    w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]
) -> Value:
    if _float(dtypes[0]):
        raise NotPrinted("rem of floats has no machine code here")
    return _whole_quotient(w, "rem", given, dtypes[0])


def _quotient(w: Writer, operation: Operation, given: list[Value], dtypes: list[np.dtype]) -> Value:
    if _float(dtypes[0]):
        return w.binary("fdiv", *given)
    return _whole_quotient(w, "div", given, dtypes[0])


def _whole_quotient(w: Writer, what: str, given: list[Value], dtype: np.dtype) -> Value:
    """As XLA has it, where a processor would stop the program: x/0 is all bits, and x is left over;
    the least number over −1 is itself, and nothing is left over."""
    x, y = given
    zero = w.compare("eq", y, w.like(y, 0))
    bad = zero
    if dtype.kind == "i":
        least = w.compare("eq", x, w.like(x, np.iinfo(dtype).min))
        both = w.binary("and", least, w.compare("eq", y, w.like(y, -1)))
        bad = w.binary("or", zero, both)
    how = ("s" if dtype.kind == "i" else "u") + what
    found = w.binary(how, x, w.select(bad, w.like(y, 1), y))
    return w.select(zero, w.like(x, -1) if what == "div" else x, found)


def _reciprocal_root(w: Writer, operation: Operation, given: list[Value], dtypes) -> Value:
    return w.binary("fdiv", w.like(given[0], 1), w.call("sqrt", given[0]))


OPERATIONS: dict[str, Write] = {
    "abs": _abs,
    "add": _by_kind("fadd", "add"),
    "and": _by_kind("", "and"),
    "bitcast_convert_type": _bits,
    "ceil": _own("ceil"),
    "clamp": _clamp,
    "convert_element_type": _convert,
    "div": _quotient,
    "eq": _comparison("oeq", "eq", "eq"),
    "floor": _own("floor"),
    "ge": _comparison("oge", "sge", "uge"),
    "gt": _comparison("ogt", "sgt", "ugt"),
    "integer_pow": _power,
    "is_finite": _finite,
    "le": _comparison("ole", "sle", "ule"),
    "lt": _comparison("olt", "slt", "ult"),
    "max": _extreme("ugt", "sgt", "ugt"),
    "min": _extreme("ult", "slt", "ult"),
    "mul": _by_kind("fmul", "mul"),
    "ne": _comparison("une", "ne", "ne"),
    "neg": _negative,
    "not": _not,
    "or": _by_kind("", "or"),
    "population_count": _own("ctpop"),
    "rem": _remainder,
    "round": _round,
    "rsqrt": _reciprocal_root,
    "select_n": _select,
    "shift_left": _shift("shl"),
    "shift_right_arithmetic": _shift("ashr"),
    "shift_right_logical": _shift("lshr"),
    "sign": _sign,
    "sqrt": _own("sqrt"),
    "square": _square,
    "sub": _by_kind("fsub", "sub"),
    "xor": _by_kind("", "xor"),
}
OPERATIONS |= {name: _function(f) for name, f in elementary.FUNCTIONS.items()}
