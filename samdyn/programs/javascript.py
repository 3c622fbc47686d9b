"""A program as a function in JavaScript, for pages that compute without a server.

Numbers of JavaScript are those of double precision, so sums, products and roots are the same to the
last bit; its exp, sines and powers may differ there. Whole numbers of 64 bits are right up to 2^53.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .program import Argument, Operation, Program

LONGEST = 2_000  # operations: a longer one takes its time to be read, and again at every frame


class NotScripted(Exception):
    """A program has an operation that JavaScript does not have, for the reason given."""


def function(program: Program, name: str, along: int) -> str:
    """`function name(x, p, out)`: the outputs of a program into the array `out`, of its first
    `along` inputs in the array `x` and the others in `p`. `NotScripted` where it has none.

    It calls what `HELPERS` defines.
    """
    count = len(program.operations)
    if count > LONGEST:
        raise NotScripted(f"it has {count:,d} operations, and {LONGEST:,d} are the most")
    return _Scripter(program, along).text(name)


class _Scripter:
    def __init__(self, program: Program, along: int):
        self.program, self.along, self.first = program, along, len(program.inputs)

    def text(self, name: str) -> str:
        lines = [f"function {name}(x, p, out) {{"]
        for place, operation in enumerate(self.program.operations, self.first):
            lines.append(f"const v{place} = {self._rounded(operation)};")
        for place, argument in enumerate(self.program.outputs):
            number = self.word(argument)
            lines.append(f"out[{place}] = {_sign_of(self.program.dtype(argument))}{number};")
        return "\n".join([*lines, "}"])

    def word(self, argument: Argument) -> str:
        """A value or a constant."""
        if not isinstance(argument, int):
            return _constant(argument)
        if argument >= self.first:
            return f"v{argument}"
        return f"x[{argument}]" if argument < self.along else f"p[{argument - self.along}]"

    def _rounded(self, operation: Operation) -> str:
        """An operation, as a number that its dtype can hold."""
        kinds = [self.program.dtype(a) for a in operation.arguments]
        written = self._written(operation, kinds, [self.word(a) for a in operation.arguments])
        dtype = operation.dtype
        if dtype == np.float32:
            return f"Math.fround({written})"
        if dtype == np.int32:
            return f"({written}) | 0"
        if dtype == np.uint32:
            return f"({written}) >>> 0"
        if dtype not in (np.float64, np.int64, np.bool_):
            raise NotScripted(f"JavaScript has no numbers of the kind {dtype}")
        return written

    def _written(self, operation: Operation, kinds: list[np.dtype], given: list[str]) -> str:
        name, kind = operation.name, kinds[0]
        if name in _BITS and kind.kind != "b":
            if kind.itemsize != 4:
                raise NotScripted(f"{name} of {kind} has no equal in JavaScript")
            return _BITS[name].format(*given)
        if name in _OF_TRUTH and kind.kind == "b":
            return _OF_TRUTH[name].format(*given)
        if name in _OF_WHOLES and kind.kind in "iu":
            return _OF_WHOLES[name].format(*given)
        if name in _OTHERS:
            return _OTHERS[name](operation, kinds, given)
        if name in _PLAIN:
            return _PLAIN[name].format(*given)
        raise NotScripted(f"{name} has no equal in JavaScript")


def _sign_of(dtype: np.dtype) -> str:
    """What makes a number of truth."""
    return "+" if dtype.kind == "b" else ""


def _constant(number: Any) -> str:
    if number.dtype.kind == "b":
        return "true" if number else "false"
    if number.dtype.kind in "iu":
        return f"({int(number)})"
    value = float(number)
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "(-Infinity)"
    return f"({value!r})"


def _select(operation: Operation, kinds: Sequence[np.dtype], given: Sequence[str]) -> str:
    which, *cases = given
    if kinds[0].kind == "b":
        return f"{which} ? {cases[1]} : {cases[0]}"
    return f"[{', '.join(cases)}][Math.min(Math.max({which}, 0), {len(cases) - 1})]"


def _power(operation: Operation, kinds: Sequence[np.dtype], given: Sequence[str]) -> str:
    """x^y by repeated squaring, as the other back ends have it."""
    y = int(dict(operation.options)["y"])
    multiplied = f"power({given[0]}, {abs(y)})"
    return f"1 / {multiplied}" if y < 0 else multiplied


def _round(operation: Operation, kinds: Sequence[np.dtype], given: Sequence[str]) -> str:
    even = dict(operation.options)["rounding_method"] == 1
    return f"{'roundEven' if even else 'roundAway'}({given[0]})"


def _convert(operation: Operation, kinds: Sequence[np.dtype], given: Sequence[str]) -> str:
    of, to, (x,) = kinds[0], operation.dtype, given
    if to.kind == "b":
        return f"{x} !== 0" if of.kind != "b" else x
    if of.kind == "b":
        return f"+{x}"
    if to.kind in "iu" and of.kind == "f":
        known = np.iinfo(to)
        return f"whole({x}, {known.min}, {known.max})"
    return x


_Write = Callable[[Operation, Sequence[np.dtype], Sequence[str]], str]
_OTHERS: dict[str, _Write] = {
    "convert_element_type": _convert,
    "integer_pow": _power,
    "round": _round,
    "select_n": _select,
}

_BITS = {
    "and": "{} & {}",
    "not": "~{}",
    "or": "{} | {}",
    "population_count": "bits({})",
    "shift_left": "{1} >>> 0 < 32 ? {0} << {1} : 0",
    "shift_right_arithmetic": "{0} >> ({1} >>> 0 < 32 ? {1} : 31)",
    "shift_right_logical": "{1} >>> 0 < 32 ? {0} >>> {1} : 0",
    "xor": "{} ^ {}",
}

_OF_TRUTH = {"and": "{} && {}", "not": "!{}", "or": "{} || {}", "xor": "{} !== {}"}

_OF_WHOLES = {
    "div": "quotient({}, {})",
    "mul": "product({}, {})",
    "rem": "remainder({}, {})",
}

_OF_MATH = ["abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "cos", "cosh"]
_OF_MATH += ["exp", "expm1", "floor", "log", "log1p", "sign", "sin", "sinh", "sqrt", "tan", "tanh"]
_PLAIN = {name: f"Math.{name}({{}})" for name in _OF_MATH}
_PLAIN |= {
    "add": "{} + {}",
    "atan2": "Math.atan2({}, {})",
    "clamp": "Math.min(Math.max({1}, {0}), {2})",
    "div": "{} / {}",
    "eq": "{} === {}",
    "erf": "erf({})",
    "erfc": "erfc({})",
    "exp2": "Math.pow(2, {})",
    "ge": "{} >= {}",
    "gt": "{} > {}",
    "is_finite": "Number.isFinite({})",
    "le": "{} <= {}",
    "logistic": "logistic({})",
    "lt": "{} < {}",
    "max": "Math.max({}, {})",
    "min": "Math.min({}, {})",
    "mul": "{} * {}",
    "ne": "{} !== {}",
    "neg": "-{}",
    "pow": "toThe({}, {})",
    "rem": "{} % {}",
    "rsqrt": "1 / Math.sqrt({})",
    "square": "{0} * {0}",
    "sub": "{} - {}",
}

HELPERS = """
function power(x, y) {
  let result = 1, square = x;
  for (; y; y >>= 1) {
    if (y & 1) result *= square;
    if (y > 1) square *= square;
  }
  return result;
}
function toThe(x, y) {  // JavaScript's own is NaN where |x| is 1 and y is none or infinite
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y);
}
function logistic(x) {
  const small = Math.exp(-Math.abs(x));
  return x >= 0 ? 1 / (1 + small) : small / (1 + small);
}
function roundAway(x) {
  const t = Math.trunc(x);
  return Math.abs(x - t) >= 0.5 ? t + Math.sign(x) : t;
}
function roundEven(x) {
  const t = Math.trunc(x), apart = Math.abs(x - t);
  return apart > 0.5 || (apart === 0.5 && t % 2 !== 0) ? t + Math.sign(x) : t;
}
function whole(x, low, high) { return x !== x ? 0 : Math.min(Math.max(Math.trunc(x), low), high); }
function quotient(x, y) { return y === 0 ? -1 : Math.trunc(x / y); }
function remainder(x, y) { return y === 0 ? x : x % y; }
function product(x, y) {
  const plain = x * y;
  return Math.abs(plain) <= Number.MAX_SAFE_INTEGER ? plain : Math.imul(x, y);
}
function bits(x) {
  let n = 0;
  for (let word = x >>> 0; word; word &= word - 1) n++;
  return n;
}
function erf(x) {
  if (!(Math.abs(x) < 2)) return x !== x ? x : Math.sign(x) * (1 - erfc(Math.abs(x)));
  let term = x, total = x;  // by the series exp(-x^2) sum 2^k x^(2k+1) / (2k+1)!!
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(total); k++) {
    term *= 2 * x * x / (2 * k + 1);
    total += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * total;
}
function erfc(x) {
  if (!(x >= 2)) return 1 - erf(x);
  if (x > 27) return 0;
  let tail = x;  // a continued fraction, from its end
  for (let k = 60; k > 0; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / tail;
}
"""
