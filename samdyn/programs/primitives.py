"""What each operation of a program is on numbers: JAX's primitives, in NumPy's words."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _special(name: str) -> Callable:
    """A function of scipy.special, imported when it is first needed."""

    def apply(*arguments):
        import scipy.special

        return getattr(scipy.special, name)(*arguments)

    return apply


def _select(which: Any, *cases: Any) -> Any:
    if np.asarray(which).dtype == bool:
        return np.where(which, cases[1], cases[0])
    if len(cases) < 32:  # NumPy's limit
        return np.choose(which, cases, mode="clip")
    whole = np.broadcast_arrays(which, *cases)
    places = np.clip(whole[0], 0, len(cases) - 1).astype(np.intp)
    return np.take_along_axis(np.stack(whole[1:]), places[None], 0)[0]


def _integer_pow(x: Any, y: int) -> Any:
    """x^y by repeated squaring, as XLA multiplies it out."""
    if y < 0:
        return 1 / _integer_pow(x, -y)
    result, square = None, x
    while y:
        if y & 1:
            result = square if result is None else result * square
        y >>= 1
        if y:
            square = square * square
    return np.ones_like(x) if result is None else result


def _round(x: Any, rounding_method: int) -> Any:
    """To the nearest whole number; halves away from zero (0) or to even (1)."""
    if rounding_method == 1:
        return np.rint(x)
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.sign(x), whole)


def _logistic(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _as(sign: str, function: Callable) -> Callable:
    """A function of bits on whole numbers with ("i") or without ("u") a sign, whatever theirs."""

    def apply(x: Any, *others: Any) -> Any:
        whole = np.ascontiguousarray(x)
        kind = f"{sign}{whole.dtype.itemsize}"
        found = function(whole.view(kind), *(np.asarray(other).astype(kind) for other in others))
        return found.astype(kind).view(whole.dtype).reshape(np.shape(found))

    return apply


FUNCTIONS: dict[str, Callable] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "add": np.add,
    "and": np.bitwise_and,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "atanh": np.arctanh,
    "bessel_i0e": _special("i0e"),
    "bessel_i1e": _special("i1e"),
    "bitcast_convert_type": lambda x, new_dtype: np.asarray(x).view(new_dtype),
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "convert_element_type": np.asarray,  # what it becomes is the dtype of the operation
    "cos": np.cos,
    "cosh": np.cosh,
    "digamma": _special("digamma"),
    "div": lambda x, y: np.divide(x, y) if _is_float(x) else _whole_quotient(x, y),
    "eq": np.equal,
    "erf": _special("erf"),
    "erf_inv": _special("erfinv"),
    "erfc": _special("erfc"),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "integer_pow": _integer_pow,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "lgamma": _special("gammaln"),
    "log": np.log,
    "log1p": np.log1p,
    "logistic": _logistic,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "population_count": _as("u", np.bitwise_count),
    "pow": np.power,
    "rem": np.fmod,
    "round": _round,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "select_n": _select,
    "shift_left": np.left_shift,
    "shift_right_arithmetic": _as("i", np.right_shift),
    "shift_right_logical": _as("u", np.right_shift),
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": lambda x: x * x,
    "sub": np.subtract,
    "tan": np.tan,
    "tanh": np.tanh,
    "xor": np.bitwise_xor,
}


def _is_float(x: Any) -> bool:
    return np.issubdtype(np.asarray(x).dtype, np.floating)


def _whole_quotient(x: Any, y: Any) -> Any:
    """Rounded towards zero."""
    return np.trunc(np.divide(x, y)).astype(np.asarray(x).dtype)
