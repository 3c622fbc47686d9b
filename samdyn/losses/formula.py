"""A loss from a formula that somebody typed, such as "x^2 - y^2 + exp(-x*y)".

The text is parsed by Python's own grammar and nothing of it is ever executed: each node is one of a
few kinds, and becomes an operation on coordinates. Whatever else stands there is refused by name.
"""

import ast
import difflib
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InvalidInput

LONGEST = 500  # characters
COORDINATES = {"x": 0, "y": 1, "w0": 0, "w1": 1}
CONSTANTS = {"pi": np.pi, "e": np.e}
FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "atan", "abs")
_PYTHON = {"atan": "arctan"}  # what jax.numpy calls a function
_PLAIN = str.maketrans({"²": "^2", "³": "^3", "⁴": "^4", "·": "*", "×": "*", "−": "-", "π": "pi"})
_OPERATORS: dict[type, tuple[str, Callable]] = {
    ast.Add: ("+", lambda a, b: a + b),
    ast.Sub: ("-", lambda a, b: a - b),
    ast.Mult: ("*", lambda a, b: a * b),
    ast.Div: ("/", lambda a, b: a / b),
    ast.Pow: ("**", lambda a, b: a**b),
}


class Formula:
    """The function (2,) → () that a text stands for. `InvalidInput` says what is wrong, and where.

    `python` is the same as an expression of `jax.numpy` (`jnp`) in the array w.
    """

    def __init__(self, text: str):
        self.text = text.strip()
        self._node = _parsed(self.text)
        self.python = _written(self._node)
        value = jax.eval_shape(self, jax.ShapeDtypeStruct((2,), float))
        if value.shape != ():
            raise InvalidInput("the formula does not give one number.")

    def __call__(self, w: Any) -> Any:
        return jnp.asarray(_value(self._node, w), w.dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def _parsed(text: str) -> ast.expr:
    if not text:
        raise InvalidInput("the formula is empty: type one in x and y, such as x^2 - y^2.")
    if len(text) > LONGEST:
        raise InvalidInput(f"the formula has {len(text)} characters, and {LONGEST} are the most.")
    plain = text.translate(_PLAIN).replace("^", "**")
    try:
        node = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = getattr(error, "offset", None)
        before = f" after {plain[max(0, where - 21) : where - 1]!r}" if where and where > 1 else ""
        raise InvalidInput(f"the formula cannot be read{before}.{_multiplied(text)}") from None
    _check(node)
    return _folded(node)


def _multiplied(text: str) -> str:
    """What to do about "2x"."""
    close = any(a.isdigit() and b.isalpha() for a, b in itertools.pairwise(text))
    return " A product is written 2*x." if close else ""


def _check(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=bool() | str() | bytes() | complex() | None):
            raise InvalidInput(f"{ast.unparse(node)} is no real number.")
        case ast.Constant(value=int() | float() as number):
            if not abs(number) <= 1e300:
                raise InvalidInput("a number of the formula is too large.")
        case ast.Name(id=name):
            if name not in COORDINATES and name not in CONSTANTS:
                raise InvalidInput(f"{name!r} is not known here: {_known(name)}.")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left)
            _check(right)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
            if name not in FUNCTIONS:
                raise InvalidInput(f"there is no function {name!r}: {_known(name)}.")
            _check(argument)
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            raise InvalidInput(f"{name} takes one argument.")
        case _:
            raise InvalidInput(f"{_quoted(node)} is nothing that a formula can have.")


def _folded(node: Any) -> Any:
    """The same with each part that has no coordinate as one number, which must be finite."""
    for name, inner in ast.iter_fields(node):
        if isinstance(inner, ast.expr) and name != "func":
            setattr(node, name, _folded(inner))
    if isinstance(node, ast.Call):
        node.args = [_folded(argument) for argument in node.args]
    if any(isinstance(part, ast.Name) and part.id in COORDINATES for part in ast.walk(node)):
        return node
    with np.errstate(all="ignore"):
        number = float(_value(node, np.zeros(2), np))
    if not np.isfinite(number):
        raise InvalidInput(f"{_quoted(node)} is no finite number.")
    return ast.Constant(int(number) if number.is_integer() and abs(number) < 1e9 else number)


def _quoted(node: ast.expr) -> str:
    """A part of a formula, in quotes."""
    part = ast.unparse(node)
    return repr(part if len(part) <= 40 else part[:37] + "…")


def _known(name: str) -> str:
    names = [*COORDINATES, *CONSTANTS, *FUNCTIONS]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}There are x, y, pi, e, {', '.join(FUNCTIONS)}"


def _value(node: Any, w: Any, numbers: Any = jnp) -> Any:
    """By JAX, or by NumPy, which folds constants in double precision whatever JAX is set to."""
    match node:
        case ast.Constant(value=number):
            return number
        case ast.Name(id=name):
            return w[COORDINATES[name]] if name in COORDINATES else CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand):
            inner = _value(operand, w, numbers)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            inner = numbers.asarray(_value(argument, w, numbers), w.dtype)
            return getattr(numbers, _PYTHON.get(name, name))(inner)
    one, other = _value(node.left, w, numbers), _value(node.right, w, numbers)
    if isinstance(one, int | float):
        one = numbers.asarray(one, w.dtype)
    if isinstance(other, int | float) and not _whole(node.op, other):
        other = numbers.asarray(other, w.dtype)
    return _OPERATORS[type(node.op)][1](one, other)


def _whole(operator: ast.operator, exponent: Any) -> bool:
    """Whether x^exponent is a product, so that it has a derivative at 0 and below."""
    return isinstance(operator, ast.Pow) and isinstance(exponent, int) and abs(exponent) <= 64


def _written(node: Any) -> str:
    match node:
        case ast.Constant(value=int() | float() as number):
            return repr(number) if number >= 0 else f"({number!r})"
        case ast.Name(id=name):
            return f"w[{COORDINATES[name]}]" if name in COORDINATES else f"jnp.{name}"
        case ast.UnaryOp(op=op, operand=operand):
            return f"({'-' if isinstance(op, ast.USub) else '+'}{_written(operand)})"
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return f"jnp.{_PYTHON.get(name, name)}({_written(argument)})"
    return f"({_written(node.left)} {_OPERATORS[type(node.op)][0]} {_written(node.right)})"
