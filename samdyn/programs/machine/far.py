"""Angles beyond 2³⁰ quarter turns, reduced with as many bits of 2/π as they need.

Payne & Hanek (1983): of x·2/π only what is left modulo 4 counts, and of 2/π only those bits that
can move it. Such angles are rare: they are reduced one by one, in a function of their own that is
called where any lane holds one.
"""

import struct
from fractions import Fraction

from .writer import Value, Writer

FAR = 2.0**30  # from here on the three parts of π/2 below are too few
BITS = 1168  # of 2/π behind the point: 971 for the largest float64, and 190 to be left
WINDOW = 192


def _arctangent(inverse: int, scale: int) -> int:
    """scale·arctan(1/inverse)."""
    term = total = scale // inverse
    k = 1
    while term:
        term //= inverse**2
        total += (-1) ** k * (term // (2 * k + 1))
        k += 1
    return total


def _pi(bits: int) -> Fraction:
    """π to so many bits, by Machin's formula."""
    scale = 1 << (bits + 32)
    return Fraction(4 * (4 * _arctangent(5, scale) - _arctangent(239, scale)), scale)


_PI = _pi(2 * BITS)


def _in_parts(number: Fraction, count: int) -> list[float]:
    """A number as a sum of floats, each the nearest to what is left."""
    parts = []
    for _ in range(count):
        parts.append(float(number))
        number -= Fraction(parts[-1])
    return parts


PIO2 = _in_parts(_PI / 2, 3)
_TABLE = int(2 / _PI * 2**BITS).to_bytes(BITS // 8 + 16, "little")


_OTHERS = {
    "llvm.fabs.f64": "declare double @llvm.fabs.f64(double)",
    "llvm.fma.f64": "declare double @llvm.fma.f64(double, double, double)",
    f"llvm.ctlz.i{WINDOW}": f"declare i{WINDOW} @llvm.ctlz.i{WINDOW}(i{WINDOW}, i1)",
}


def reduce_far(
    w: Writer, x: Value, q: Value, high: Value, low: Value
) -> tuple[Value, Value, Value]:
    """(q, high, low) where an element of x (float64) is far, made anew; the others as they are."""
    function = f"far{w.width}"
    w.declared |= _OTHERS | {function: _function(function, w.width)}
    size = w.call("fabs", x)
    far = w.compare("oge", size, w.like(x, FAR))
    far = w.binary("and", far, w.compare("olt", size, w.like(x, float("inf"))))
    places = [w.variable(value.kind) for value in (q, high, low)]
    scratch = [w.variable(value.kind) for value in (x, q, high, low)]
    for value, place in zip((q, high, low), places, strict=True):
        w.store(value, place)
    seldom, on = w.name("far"), w.name("near")
    w.branch_if(w.any(far), seldom, on, seldom=True)
    w.label(seldom)
    for value, place in zip((x, q, high, low), scratch, strict=True):
        w.store(value, place)
    w.line(f"call void @{function}({', '.join(f'ptr {place.name}' for place in scratch)})")
    for value, place, spare in zip((q, high, low), places, scratch[1:], strict=True):
        w.store(w.load(value.kind, spare), place)
    w.branch(on)
    w.label(on)
    kinds = zip((q, high, low), places, strict=True)
    found = [w.load(value.kind, place) for value, place in kinds]
    return found[0], found[1], found[2]


def _hex(number: float) -> str:
    return "0x" + struct.pack(">d", number).hex().upper()


def _function(name: str, width: int) -> str:
    """The function, element by element."""
    table = "".join(f"\\{byte:02X}" for byte in _TABLE)
    return f"""
@{name}.table = private constant [{len(_TABLE)} x i8] c"{table}"
define internal void @{name}(ptr %xs, ptr %qs, ptr %highs, ptr %lows) noinline cold nounwind {{
begin:
  br label %loop
loop:
  %i = phi i64 [ 0, %begin ], [ %next, %end ]
  %x.at = getelementptr double, ptr %xs, i64 %i
  %x = load double, ptr %x.at
  %size = call double @llvm.fabs.f64(double %x)
  %beyond = fcmp oge double %size, {_hex(FAR)}
  %finite = fcmp olt double %size, {_hex(float("inf"))}
  %far = and i1 %beyond, %finite
  br i1 %far, label %reduce, label %end
reduce:
  %bits = bitcast double %size to i64
  %power = lshr i64 %bits, 52
  %fraction = and i64 %bits, {2**52 - 1}
  %mantissa = or i64 %fraction, {2**52}
  ; x = mantissa 2^(power - 1075); its bit of weight 1/4 quarter turns is where the window begins
  %shift = sub i64 {BITS - WINDOW + 2 + 1075}, %power
  %byte = lshr i64 %shift, 3
  %rest = and i64 %shift, 7
  %window.at = getelementptr i8, ptr @{name}.table, i64 %byte
  %window.raw = load i256, ptr %window.at, align 1
  %rest.wide = zext i64 %rest to i256
  %window.moved = lshr i256 %window.raw, %rest.wide
  %window = trunc i256 %window.moved to i{WINDOW}
  %mantissa.wide = zext i64 %mantissa to i{WINDOW}
  %product = mul i{WINDOW} %window, %mantissa.wide
  %quarters.wide = lshr i{WINDOW} %product, {WINDOW - 2}
  %quarters = trunc i{WINDOW} %quarters.wide to i64
  %part = shl i{WINDOW} %product, 2
  %above = icmp slt i{WINDOW} %part, 0
  %one = zext i1 %above to i64
  %turns = add i64 %quarters, %one
  %part.negative = sub i{WINDOW} 0, %part
  %part.size = select i1 %above, i{WINDOW} %part.negative, i{WINDOW} %part
  %zeros.wide = call i{WINDOW} @llvm.ctlz.i{WINDOW}(i{WINDOW} %part.size, i1 false)
  %zeros.safe = and i{WINDOW} %zeros.wide, 127
  %zeros = trunc i{WINDOW} %zeros.safe to i64
  %normal = shl i{WINDOW} %part.size, %zeros.safe
  %top.wide = lshr i{WINDOW} %normal, {WINDOW - 64}
  %top = trunc i{WINDOW} %top.wide to i64
  %below.wide = lshr i{WINDOW} %normal, {WINDOW - 128}
  %below = trunc i{WINDOW} %below.wide to i64
  %first = lshr i64 %top, 11
  %second.high = and i64 %top, 2047
  %second.up = shl i64 %second.high, 42
  %second.low = lshr i64 %below, 22
  %second = or i64 %second.up, %second.low
  %first.float = uitofp i64 %first to double
  %second.float = uitofp i64 %second to double
  %exponent = sub i64 {1023 - 53}, %zeros
  %scale.bits = shl i64 %exponent, 52
  %scale = bitcast i64 %scale.bits to double
  %a = fmul double %first.float, %scale
  %b.up = fmul double %second.float, %scale
  %b = fmul double %b.up, {_hex(2.0**-53)}
  %p = fmul double %a, {_hex(PIO2[0])}
  %p.minus = fneg double %p
  %p.lost = call double @llvm.fma.f64(double %a, double {_hex(PIO2[0])}, double %p.minus)
  %l.a = call double @llvm.fma.f64(double %a, double {_hex(PIO2[1])}, double %p.lost)
  %l = call double @llvm.fma.f64(double %b, double {_hex(PIO2[0])}, double %l.a)
  %h = fadd double %p, %l
  %h.back = fsub double %p, %h
  %l.left = fadd double %h.back, %l
  ; the sign: that of x, turned where the nearest quarter was above
  %minus = fcmp olt double %x, 0.0
  %turn = xor i1 %minus, %above
  %h.turned = fneg double %h
  %l.turned = fneg double %l.left
  %h.found = select i1 %turn, double %h.turned, double %h
  %l.found = select i1 %turn, double %l.turned, double %l.left
  %turns.negative = sub i64 0, %turns
  %turns.found = select i1 %minus, i64 %turns.negative, i64 %turns
  %q.at = getelementptr i64, ptr %qs, i64 %i
  %h.at = getelementptr double, ptr %highs, i64 %i
  %l.at = getelementptr double, ptr %lows, i64 %i
  store i64 %turns.found, ptr %q.at
  store double %h.found, ptr %h.at
  store double %l.found, ptr %l.at
  br label %end
end:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {width}
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""
