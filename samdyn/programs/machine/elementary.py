"""exp, log, sin, tanh, … on vectors, from basic operations: the same bits on every processor.

Each reduces its argument to a short interval, where a polynomial answers, and is within 2 units of
the last place over the whole range (`tests/programs/machine/test_elementary.py`), nan, infinities
and subnormal numbers included. Polynomials are Taylor's, which on these intervals cost one term
more than the best. Methods: Muller, Elementary Functions (2016); Payne & Hanek (1983) for sines of
large angles; Cody & Waite (1980) for all other reductions.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from .far import PIO2, reduce_far
from .writer import Value, Writer


class NotHere(Exception):
    """A function in a precision in which it is not written yet."""


def _wider(function: Callable[..., Value]) -> Callable[..., Value]:
    """A function that float32 takes from float64: exact but for the last rounding."""

    def through(w: Writer, *values: Value) -> Value:
        if values[0].kind == "f64":
            return function(w, *values)
        wide = [w.cast("fpext", value, "f64") for value in values]
        return w.cast("fptrunc", function(w, *wide), "f32")

    return through


# polynomials


def _horner(w: Writer, x: Value, coefficients: Sequence[float]) -> Value:
    """Σ cₖ xᵏ, c₀ last."""
    total = w.like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = w.fma(total, x, w.like(x, coefficient))
    return total


def _inverse_factorials(powers: Sequence[int], signs: bool = False) -> list[float]:
    """(−1)^k/p! for the k-th of `powers`, the last first; without signs if not asked for."""
    return [
        float(Fraction((-1) ** k if signs else 1, math.factorial(p)))
        for k, p in reversed(list(enumerate(powers)))
    ]


_EXP = {"f32": _inverse_factorials(range(2, 9)), "f64": _inverse_factorials(range(2, 15))}
_SINE = {"f32": (3, 5, 7, 9), "f64": (3, 5, 7, 9, 11, 13, 15, 17)}
_COSINE = {"f32": (4, 6, 8, 10), "f64": (4, 6, 8, 10, 12, 14, 16)}
# added and taken away again, a float becomes whole; in the sum the last bits are that number
_SHIFT = {"f32": 1.5 * 2**23, "f64": 1.5 * 2**52}
_MANTISSA, _BIAS = {"f32": 23, "f64": 52}, {"f32": 127, "f64": 1023}
_WHOLE = {"f32": "i32", "f64": "i64"}


def _parts(number: Fraction, bits: int) -> tuple[float, float]:
    """A number as a sum of two floats, the first of so few bits that small multiples are exact."""
    scale = 2 ** (bits - 1 - math.floor(math.log2(number)))
    high = Fraction(math.floor(number * scale), scale)
    return float(high), float(number - high)


# ln 2 to 200 bits: Σ 1/(k 2^k)
_LN2 = sum((Fraction(1, k * 2**k) for k in range(1, 220)), Fraction(0))
_LN2_PARTS = {"f32": _parts(_LN2, 16), "f64": _parts(_LN2, 42)}


def _power_of_two(w: Writer, n: Value) -> Value:
    """2ⁿ of a whole number (i32 or i64) of normal size."""
    kind = "f32" if n.kind == "i32" else "f64"
    bits = w.binary("add", n, w.like(n, _BIAS[kind]))
    return w.cast("bitcast", w.binary("shl", bits, w.like(n, _MANTISSA[kind])), kind)


def _scaled(w: Writer, x: Value, n: Value) -> Value:
    """x·2ⁿ in two steps, so that it becomes infinite or subnormal where it must."""
    half = w.binary("ashr", n, w.like(n, 1))
    rest = w.binary("sub", n, half)
    return w.binary("fmul", w.binary("fmul", x, _power_of_two(w, half)), _power_of_two(w, rest))


def _clipped(w: Writer, x: Value, low: float, high: float) -> Value:
    """x within bounds; nan stays."""
    x = w.select(w.compare("olt", x, w.like(x, low)), w.like(x, low), x)
    return w.select(w.compare("ogt", x, w.like(x, high)), w.like(x, high), x)


def _nearest(w: Writer, x: Value, scale: float) -> tuple[Value, Value]:
    """The whole number nearest to x·scale, as a float and as an integer."""
    shift = w.like(x, _SHIFT[x.kind])
    sum_ = w.fma(x, w.like(x, scale), shift)
    whole = w.cast("bitcast", sum_, _WHOLE[x.kind])
    base = w.cast("bitcast", shift, _WHOLE[x.kind])
    return w.binary("fsub", sum_, shift), w.binary("sub", whole, base)


def _octave(w: Writer, x: Value) -> tuple[Value, Value]:
    """(r, n) with x = n ln 2 + r and |r| ≤ ½ ln 2."""
    n, whole = _nearest(w, x, 1 / math.log(2))
    high, low = _LN2_PARTS[x.kind]
    minus = w.negative(n)
    r = w.fma(minus, w.like(x, high), x)
    return w.fma(minus, w.like(x, low), r), whole


def _exp_less_one(w: Writer, r: Value) -> Value:
    """e^r − 1 for |r| ≤ ½ ln 2: r + r²·p(r)."""
    square = w.binary("fmul", r, r)
    return w.fma(square, _horner(w, r, _EXP[r.kind]), r)


def exp(w: Writer, x: Value) -> Value:
    """e^x: e^r·2^n with x = n ln 2 + r."""
    low, high = (-105.0, 90.0) if x.kind == "f32" else (-747.0, 711.0)
    r, n = _octave(w, _clipped(w, x, low, high))
    return _scaled(w, w.binary("fadd", w.like(x, 1), _exp_less_one(w, r)), n)


def exp2(w: Writer, x: Value) -> Value:
    """2^x: e^(r ln 2)·2^n with x = n + r."""
    bounds = (-152.0, 130.0) if x.kind == "f32" else (-1077.0, 1026.0)
    x = _clipped(w, x, *bounds)
    n, whole = _nearest(w, x, 1.0)
    r = w.binary("fmul", w.binary("fsub", x, n), w.like(x, math.log(2)))
    return _scaled(w, w.binary("fadd", w.like(x, 1), _exp_less_one(w, r)), whole)


def expm1(w: Writer, x: Value) -> Value:
    """e^x − 1: of e^r − 1 nothing is lost near 0."""
    bounds = (-20.0, 88.8) if x.kind == "f32" else (-40.0, 709.8)
    given, x = x, _clipped(w, x, *bounds)
    r, n = _octave(w, x)
    # half of it, since 2ⁿ alone may be too large
    half = _power_of_two(w, w.binary("sub", n, w.like(n, 1)))
    whole = w.fma(half, _exp_less_one(w, r), w.binary("fsub", half, w.like(x, 0.5)))
    found = w.binary("fadd", whole, whole)
    tiny = w.compare("olt", w.call("fabs", given), w.like(x, 2.0**-30))
    return w.select(tiny, given, found) if x.kind == "f32" else _near_zero(w, given, found)


def _near_zero(w: Writer, x: Value, found: Value) -> Value:
    """`found`, or x where that is all that is left; −0 and subnormal numbers too."""
    tiny = w.compare("olt", w.call("fabs", x), w.like(x, 2.0**-60))
    return w.select(tiny, x, found)


def log(w: Writer, x: Value) -> Value:
    """ln x: n ln 2 + ln(1 + f) with x = (1 + f)·2^n and 1 + f within a factor √2 of 1."""
    kind = x.kind
    tiny = w.compare("olt", x, w.like(x, 2.0 ** (1 - _BIAS[kind])))
    lift = _MANTISSA[kind] + 1
    lifted = w.binary("fmul", x, w.like(x, 2.0**lift))
    normal = w.select(tiny, lifted, x)
    bits = w.cast("bitcast", normal, _WHOLE[kind])
    root_half = w.cast("bitcast", w.like(x, math.sqrt(0.5)), _WHOLE[kind])
    n = w.binary("ashr", w.binary("sub", bits, root_half), w.like(bits, _MANTISSA[kind]))
    fraction = w.binary("sub", bits, w.binary("shl", n, w.like(n, _MANTISSA[kind])))
    f = w.binary("fsub", w.cast("bitcast", fraction, kind), w.like(x, 1))
    n = w.binary("sub", n, w.select(tiny, w.like(n, lift), w.like(n, 0)))
    found = _log_near_one(w, f, w.cast("sitofp", n, kind))
    # 0, below 0, infinity and nan
    finite = w.compare("olt", x, w.like(x, math.inf))
    found = w.select(finite, found, x)
    found = w.select(w.compare("oeq", x, w.like(x, 0)), w.like(x, -math.inf), found)
    return w.select(w.compare("olt", x, w.like(x, 0)), w.like(x, math.nan), found)


def _log_near_one(w: Writer, f: Value, n: Value) -> Value:
    """n ln 2 + ln(1 + f): with s = f/(2 + f), ln(1 + f) = f − s(f − R), R = 2(s²/3 + s⁴/5 + …)."""
    terms = 5 if f.kind == "f32" else 11
    s = w.binary("fdiv", f, w.binary("fadd", f, w.like(f, 2)))
    z = w.binary("fmul", s, s)
    series = _horner(w, z, [2 / (2 * k + 3) for k in reversed(range(terms))])
    half = w.binary("fmul", w.binary("fmul", f, f), w.like(f, 0.5))
    # f − f²/2 + s(f²/2 + R): the large part of s·f is taken exactly
    rest = w.binary("fmul", s, w.fma(z, series, half))
    high, low = _LN2_PARTS[f.kind]
    small = w.fma(n, w.like(f, low), rest)
    inner = w.binary("fsub", w.binary("fsub", half, small), f)
    return w.fma(n, w.like(f, high), w.negative(inner))


def log1p(w: Writer, x: Value) -> Value:
    """ln(1 + x): ln u with u = 1 + x, and what u lost over u (Kahan)."""
    u = w.binary("fadd", x, w.like(x, 1))
    lost = w.binary("fsub", x, w.binary("fsub", u, w.like(x, 1)))
    found = w.binary("fadd", log(w, u), w.binary("fdiv", lost, u))
    end = w.compare("oeq", u, w.like(x, 0))
    found = w.select(end, w.like(x, -math.inf), found)
    found = w.select(w.compare("oeq", x, w.like(x, math.inf)), x, found)
    return _near_zero(w, x, found)


def tanh(w: Writer, x: Value) -> Value:
    """t/(t + 2) with t = e^{2|x|} − 1, of which what roundings lost is carried along."""
    size = w.call("fabs", x)
    size = _clipped(w, size, 0.0, 10.0 if x.kind == "f32" else 22.0)
    r, n = _octave(w, w.binary("fadd", size, size))
    square = w.binary("fmul", w.binary("fmul", r, r), _horner(w, r, _EXP[r.kind]))
    power = _power_of_two(w, n)
    less, lost = _sum(w, r, square)
    t, t_lost = _sum(w, w.binary("fsub", power, w.like(x, 1)), w.binary("fmul", power, less))
    t_lost = w.fma(power, lost, t_lost)
    below = w.binary("fadd", t, w.like(x, 2))
    below_lost = w.binary("fadd", w.binary("fsub", w.like(x, 2), below), t)
    inverse = w.binary("fdiv", w.like(x, 1), below)
    first = w.binary("fmul", t, inverse)
    rest = w.binary("fadd", w.fma(w.negative(first), below, t), t_lost)
    rest = w.fma(w.negative(first), w.binary("fadd", below_lost, t_lost), rest)
    return w.call("copysign", w.fma(rest, inverse, first), x)


def _sum(w: Writer, a: Value, b: Value) -> tuple[Value, Value]:
    """a + b and what its rounding lost."""
    return _difference(w, a, w.negative(b))


def sinh(w: Writer, x: Value) -> Value:
    """(t + t/(t + 1))/2 with t = e^|x| − 1."""
    size = w.call("fabs", x)
    half = w.binary("fmul", size, w.like(x, 0.5))
    # beyond, where e^|x| alone is infinite, (e^{|x|/2})²/2
    root = exp(w, half)
    large = w.binary("fmul", w.binary("fmul", w.like(x, 0.5), root), root)
    t = expm1(w, size)
    small = w.binary("fadd", t, w.binary("fdiv", t, w.binary("fadd", t, w.like(x, 1))))
    small = w.binary("fmul", small, w.like(x, 0.5))
    beyond = w.compare("ogt", size, w.like(x, 700.0))
    return w.call("copysign", w.select(beyond, large, small), x)


def cosh(w: Writer, x: Value) -> Value:
    """(e^|x| + e^−|x|)/2."""
    size = w.call("fabs", x)
    root = exp(w, w.binary("fmul", size, w.like(x, 0.5)))
    large = w.binary("fmul", w.binary("fmul", w.like(x, 0.5), root), root)
    e = exp(w, size)
    small = w.binary("fadd", e, w.binary("fdiv", w.like(x, 1), e))
    small = w.binary("fmul", small, w.like(x, 0.5))
    return w.select(w.compare("ogt", size, w.like(x, 700.0)), large, small)


def logistic(w: Writer, x: Value) -> Value:
    """1/(1 + e^−x), by e^−|x|, which is never infinite."""
    e = exp(w, w.negative(w.call("fabs", x)))
    below = w.binary("fdiv", e, w.binary("fadd", e, w.like(x, 1)))
    above = w.binary("fdiv", w.like(x, 1), w.binary("fadd", e, w.like(x, 1)))
    return w.select(w.compare("olt", x, w.like(x, 0)), below, above)


def power(w: Writer, x: Value, y: Value) -> Value:
    """x^y in float64, good for float32: 10⁻¹⁴ of it is lost at the ends of that range."""
    one, zero = w.like(x, 1), w.like(x, 0)
    size = w.call("fabs", x)
    found = exp(w, w.binary("fmul", y, log(w, size)))
    whole = w.compare("oeq", w.call("roundeven", y), y)
    half = w.binary("fmul", y, w.like(y, 0.5))
    odd = w.binary("and", whole, w.compare("une", w.call("roundeven", half), half))
    found = w.select(odd, w.call("copysign", found, x), found)
    below = w.compare("olt", x, zero)
    finite = w.compare("ogt", x, w.like(x, -math.inf))
    fails = w.binary("and", w.binary("and", below, finite), w.binary("xor", whole, _true(w)))
    found = w.select(fails, w.like(x, math.nan), found)
    edge = w.binary(
        "and",
        w.compare("oeq", size, one),
        w.compare("oeq", w.call("fabs", y), w.like(y, math.inf)),
    )
    known = w.binary("or", w.compare("oeq", y, zero), w.compare("oeq", x, one))
    return w.select(w.binary("or", known, edge), one, found)


def _true(w: Writer) -> Value:
    return w.constant("i1", 1)


def _power_of_either(w: Writer, x: Value, y: Value) -> Value:
    if x.kind == "f64":
        raise NotHere
    return _wider(power)(w, x, y)


# angles


def _angle(w: Writer, x: Value) -> tuple[Value, Value, Value]:
    """(q, high, low) with x = q π/2 + high + low, |high + low| ≤ π/4, of a float64; q a whole
    number of which the last two bits are meant."""
    n, q = _nearest(w, x, 2 / math.pi)
    minus = w.negative(n)
    product = w.binary("fmul", n, w.like(x, PIO2[0]))
    lost = w.fma(n, w.like(x, PIO2[0]), w.negative(product))
    first, first_lost = _difference(w, w.binary("fsub", x, product), lost)
    product = w.binary("fmul", n, w.like(x, PIO2[1]))
    lost = w.fma(n, w.like(x, PIO2[1]), w.negative(product))
    second, second_lost = _difference(w, first, product)
    low = w.binary("fsub", w.binary("fadd", first_lost, second_lost), lost)
    low = w.fma(minus, w.like(x, PIO2[2]), low)
    high = w.binary("fadd", second, low)
    low = w.binary("fadd", w.binary("fsub", second, high), low)
    return reduce_far(w, x, q, high, low)


def _difference(w: Writer, a: Value, b: Value) -> tuple[Value, Value]:
    """a − b and what its rounding lost."""
    total = w.binary("fsub", a, b)
    part = w.binary("fsub", total, a)
    lost = w.binary("fsub", a, w.binary("fsub", total, part))
    return total, w.binary("fsub", lost, w.binary("fadd", b, part))


def _both(w: Writer, high: Value, low: Value | None) -> tuple[Value, Value]:
    """Sine and cosine of high + low."""
    kind = high.kind
    z = w.binary("fmul", high, high)
    signs = [(-1) ** ((p - 1) // 2) / math.factorial(p) for p in _SINE[kind]]
    cube = w.binary("fmul", z, high)
    sine = w.binary("fmul", cube, _horner(w, z, signs[::-1]))
    signs = [(-1) ** (p // 2) / math.factorial(p) for p in _COSINE[kind]]
    tail = w.binary("fmul", w.binary("fmul", z, z), _horner(w, z, signs[::-1]))
    half = w.binary("fmul", z, w.like(z, 0.5))
    large = w.binary("fsub", w.like(z, 1), half)
    lost = w.binary("fsub", w.binary("fsub", w.like(z, 1), large), half)
    if low is not None:
        # sin(h + l) = sin h + l (1 − h²/2), cos(h + l) = cos h − l h
        sine = w.binary("fadd", sine, w.binary("fmul", low, large))
        tail = w.fma(w.negative(high), low, tail)
    cosine = w.binary("fadd", large, w.binary("fadd", lost, tail))
    return w.binary("fadd", high, sine), cosine


def _sine_and_cosine(w: Writer, x: Value) -> tuple[Value, Value]:
    """Both, turned into the quadrant of the angle."""
    wide = x if x.kind == "f64" else w.cast("fpext", x, "f64")
    q, high, low = _angle(w, wide)
    if x.kind == "f32":
        sine, cosine = _both(w, w.cast("fptrunc", high, "f32"), None)
        q = w.cast("trunc", q, "i32")
    else:
        sine, cosine = _both(w, high, low)
    odd = w.compare("ne", w.binary("and", q, w.like(q, 1)), w.like(q, 0))

    first = _turned(w, w.select(odd, cosine, sine), q)
    second = _turned(w, w.select(odd, sine, cosine), w.binary("add", q, w.like(q, 1)))
    return first, second


def _turned(w: Writer, x: Value, q: Value) -> Value:
    """x with the other sign where bit 1 of q is set."""
    bit = w.binary("lshr", w.binary("and", q, w.like(q, 2)), w.like(q, 1))
    sign = w.binary("shl", bit, w.like(q, 31 if q.kind == "i32" else 63))
    return w.cast("bitcast", w.binary("xor", w.cast("bitcast", x, q.kind), sign), x.kind)


def sin(w: Writer, x: Value) -> Value:
    """sin x."""
    found = _sine_and_cosine(w, x)[0]
    return w.select(w.compare("oeq", x, w.like(x, 0)), x, found)  # −0 stays


def cos(w: Writer, x: Value) -> Value:
    """cos x."""
    return _sine_and_cosine(w, x)[1]


def tan(w: Writer, x: Value) -> Value:
    """sin x/cos x."""
    sine, cosine = _sine_and_cosine(w, x)
    return w.select(w.compare("oeq", x, w.like(x, 0)), x, w.binary("fdiv", sine, cosine))


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "cos": cos,
    "cosh": _wider(cosh),
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log1p": _wider(log1p),
    "logistic": logistic,
    "pow": _power_of_either,
    "sin": sin,
    "sinh": _wider(sinh),
    "tan": _wider(tan),
    "tanh": tanh,
}
