"""A problem is known by what it computes: the traced program and the numbers within it.

Two functions are one problem if they trace to the same operations on the same constants, whatever
their names, files, line numbers and comments are, and whichever process asks. The text of a jaxpr
does not tell that: it shows names, memory addresses and the mere shapes of constants, and of a
`custom_jvp` nothing but its rule's name. Here each variable is the number of its first appearance,
each constant its bytes, and each rule the program that it traces to.

What cannot be traced is known less well. Of a function that JAX calls back (`pure_callback`) the
bytecode counts, and what `code.py` says it reads; of data that a primitive carries in a form of its
own, the text.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .code import code_of

NAMES = {"name", "name_and_src_info", "debug_info", "out_trees", "ctx_mesh"}  # of no consequence


def identity(function: Callable, *examples: PyTree, orders: int = 2) -> str:
    """SHA-256 of what `function(*examples)` computes, in hex.

    Arrays in `examples` count by shape and dtype. Everything else counts by value: numbers and
    arrays that the function holds or closes over (those of a Module too), static fields, and
    numbers in `examples` that are no arrays. `orders` is how often its derivative will be taken:
    to that order custom rules count, which the program itself does not hold.
    """
    jaxpr, _, _ = eqx.filter_make_jaxpr(lambda *a: function(*a))(*examples)
    return program(jaxpr, orders)


def program(jaxpr: Any, orders: int = 2) -> str:
    """SHA-256 of what a closed jaxpr computes, in hex; `orders` as in `identity`."""
    return _Reader().closed(jaxpr, orders)


def values(*trees: PyTree) -> str:
    """SHA-256 of the arrays and numbers in pytrees: their values, shapes and dtypes, in order."""
    leaves = [leaf for leaf in jax.tree.leaves(trees) if eqx.is_array_like(leaf)]
    return _hash(" ".join(_number(leaf) for leaf in leaves))


def joined(*words: str) -> str:
    """One SHA-256 for several, and for words that belong to them."""
    return _hash(" ".join(words))


def inner_jaxprs(equation: Any) -> Iterator[Any]:
    """The jaxprs among the parameters of an equation, without their constants."""
    for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_closed):
        if _is_closed(value) or hasattr(value, "eqns"):
            yield getattr(value, "jaxpr", value)


class _Reader:
    """Hashes jaxprs; one that is met again is read once."""

    def __init__(self):
        self.known: dict[tuple[int, int], tuple[Any, str]] = {}

    def closed(self, closed: Any, orders: int) -> str:
        constants = " ".join(_number(constant) for constant in closed.consts)
        return _hash(f"{constants}; {self.jaxpr(closed.jaxpr, orders)}")

    def jaxpr(self, jaxpr: Any, orders: int) -> str:
        key = id(jaxpr), orders
        if key not in self.known:  # kept with its hash: an id is that of a living object
            self.known[key] = jaxpr, _hash("\n".join(self._lines(jaxpr, orders)))
        return self.known[key][1]

    def _lines(self, jaxpr: Any, orders: int) -> Iterator[str]:
        numbers: dict[Any, int] = {}

        def told(atom: Any) -> str:
            if hasattr(atom, "val"):
                return f"{_number(atom.val)}:{_kind(atom.aval)}"
            return f"{numbers.setdefault(atom, len(numbers))}:{_kind(atom.aval)}"

        yield " ".join(map(told, [*jaxpr.constvars, *jaxpr.invars]))
        for equation in jaxpr.eqns:
            inputs, outputs = (map(told, v) for v in (equation.invars, equation.outvars))
            options = self._options(equation, orders)
            yield f"{' '.join(outputs)} = {equation.primitive.name} {options} {' '.join(inputs)}"
        yield " ".join(map(told, jaxpr.outvars))

    def _options(self, equation: Any, orders: int) -> str:
        told = [
            f"{name}={self.value(value, orders)}"
            for name, value in sorted(equation.params.items())
            if name not in NAMES and not _is_rule(value)
        ]
        if any(_is_rule(value) for value in equation.params.values()) and orders > 0:
            told.append(f"rule={self._rule(equation, orders - 1)}")
        return " ".join(told)

    def _rule(self, equation: Any, orders: int) -> str:
        """The derivative of an equation that brings its own."""
        try:
            found = _derivative(equation)
        except Exception as error:  # whatever somebody's rule may raise
            return f"none, {type(error).__name__}"
        return self.closed(found, orders)

    def value(self, value: Any, orders: int) -> str:
        """A parameter of an equation."""
        leaves, structure = jax.tree.flatten(value, is_leaf=_is_closed)
        return f"{_anonymous(structure)}{[self._leaf(leaf, orders) for leaf in leaves]}"

    def _leaf(self, leaf: Any, orders: int) -> str:
        tell = lambda part: self.value(part, orders)  # noqa: E731
        if _is_closed(leaf):
            return self.closed(leaf, orders)
        if hasattr(leaf, "eqns"):
            return self.jaxpr(leaf, orders)
        if isinstance(leaf, set | frozenset):
            return str(sorted(map(tell, leaf)))
        if eqx.is_array_like(leaf):
            return _number(leaf)
        if callable(leaf) and not isinstance(leaf, type):
            return code_of(leaf, tell)
        return _anonymous(leaf)


def _derivative(equation: Any) -> Any:
    """The program of an equation's derivative: forward, or in reverse where only that is known."""
    options = equation.primitive.get_bind_params(equation.params)
    inputs, outputs = (
        [_example(atom.aval) for atom in atoms] for atoms in (equation.invars, equation.outvars)
    )
    reverse = "bwd" in equation.params

    def derivative(values, changes):
        def call(*floats):
            found = equation.primitive.bind(*_filled(values, floats), **options)
            return [value for value in found if _is_float(value)]

        floats = [value for value in values if _is_float(value)]
        if reverse:
            return jax.vjp(call, *floats)[1](changes)
        return jax.jvp(call, floats, changes)

    changes = [value for value in (outputs if reverse else inputs) if _is_float(value)]
    return jax.make_jaxpr(derivative)(inputs, changes)


def _filled(values: Sequence[Any], floats: Sequence[Any]) -> list[Any]:
    """`values` with its floats replaced by `floats`."""
    rest = iter(floats)
    return [next(rest) if _is_float(value) else value for value in values]


def _is_float(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, jnp.inexact)


def _example(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def _is_closed(value: Any) -> bool:
    """Whether a parameter of an equation is a jaxpr with its constants."""
    return hasattr(value, "consts") and hasattr(value, "jaxpr")


def _is_rule(value: Any) -> bool:
    """Whether it is the rule of a `custom_jvp` or `custom_vjp`, which is traced instead."""
    return hasattr(value, "call_wrapped")


def _kind(aval: Any) -> str:
    weak = "weak " if getattr(aval, "weak_type", False) else ""
    shape = getattr(aval, "shape", None)
    return _anonymous(aval) if shape is None else f"{weak}{aval.dtype}{list(shape)}"


def _number(value: Any) -> str:
    """An array or a number: a short one as it is, in hex, and the hash of a long one."""
    if isinstance(value, bool | int | float | complex):
        return f"{type(value).__name__} {value!r}"
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return f"{jax.random.key_impl(value)} {_number(jax.random.key_data(value))}"
    array = np.ascontiguousarray(value)
    if array.dtype.hasobject:
        return _anonymous(array.tolist())
    data = array.reshape(-1).view(np.uint8).data
    digits = data.hex() if data.nbytes <= 64 else hashlib.sha256(data).hexdigest()
    return f"{array.dtype}{list(np.shape(value))}{digits}"


def _anonymous(value: Any) -> str:
    """The text of an object without memory addresses."""
    return re.sub(r"0x[0-9a-f]+", "", str(value))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
