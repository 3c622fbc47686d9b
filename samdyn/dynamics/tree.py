"""Arithmetic on parameters, which may be any pytree of arrays."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree, Scalar

FEW = 4096  # numbers that are converted sooner than a conversion is compiled


def add_scaled(w: PyTree, scale: Any, v: PyTree) -> PyTree:
    """w + scale·v, computed in the dtype of w."""
    return jax.tree.map(lambda x, y: x + jnp.asarray(scale).astype(x.dtype) * y, w, v)


def scaled(scale: Any, v: PyTree) -> PyTree:
    """scale·v, computed in the dtype of v."""
    return jax.tree.map(lambda y: jnp.asarray(scale).astype(y.dtype) * y, v)


def squared_norm(v: PyTree) -> Float[Scalar, ""]:
    """Σ v² over every leaf, in float32 for leaves of 16 bits."""
    return sum(jnp.sum(_widened(leaf) ** 2) for leaf in jax.tree.leaves(v))  # pyright: ignore


def inner(v: PyTree, w: PyTree) -> Float[Scalar, ""]:
    """Σ v·w over every leaf, in float32 for leaves of 16 bits."""
    products = jax.tree.map(lambda x, y: jnp.sum(_widened(x) * _widened(y)), v, w)
    return sum(jax.tree.leaves(products))  # pyright: ignore


def ascend(w: PyTree, rho: Any, v: PyTree) -> PyTree:
    """w + ρ·v; where w has 16 bits in float32, since 16 bits would round a small ascent away."""
    return add_scaled(jax.tree.map(_widened, w), rho, jax.tree.map(_widened, v))


def unit(v: PyTree, eps: Any = 0.0) -> PyTree:
    """v/(‖v‖ + eps), and 0 at v = 0, with finite derivatives there as well; float32 for 16 bits.

    The derivative at 0 is 1/eps, and 0 without eps, where there is none.

    In float32 v may have any size that is normal. In float64 squares are in range from 1e-154 to
    1e154: less counts as 0 and more gives not-a-number, since to scale there too costs a third of
    a verdict's time.
    """
    v = jax.tree.map(_widened, v)
    return _unit(v, jnp.asarray(eps).astype(squared_norm(v).dtype))


@jax.custom_jvp
def _unit(v: PyTree, eps: Float[Scalar, ""]) -> PyTree:
    inverse, factor = _inverse_norm(v, eps)
    return scaled(inverse, scaled(factor, v))


@_unit.defjvp
def _derivative_of_unit(at, change):
    """(dv − u(v̂·dv + d eps))/(‖v‖ + eps): no number in it leaves the range unless it does."""
    (v, eps), (dv, deps) = at, change
    inverse, factor = _inverse_norm(v, eps)
    u, along = _unit(v, eps), _unit(v, jnp.zeros_like(eps))
    longer = sum(map(jnp.vdot, jax.tree.leaves(along), jax.tree.leaves(dv)), deps)
    turned = add_scaled(dv, -longer, u)
    return u, scaled(factor, scaled(inverse, turned))


def _inverse_norm(v: PyTree, eps: Float[Scalar, ""]) -> tuple[Float[Scalar, ""], Any]:
    """1/(‖v‖ + eps) as a product of two numbers, the second a power of two."""
    square, factor = _square_in_range(v)
    nonzero = square >= jnp.finfo(square.dtype).tiny
    norm = jnp.sqrt(jnp.where(nonzero, square, 1))
    eps = eps * factor
    at_zero = jnp.where(eps > 0, 1 / jnp.where(eps > 0, eps, 1), 0)
    inverse = jnp.where(nonzero, 1 / (norm + eps), at_zero)
    return jnp.where(square < jnp.inf, inverse, jnp.nan), factor


def _square_in_range(v: PyTree) -> tuple[Float[Scalar, ""], Float[Scalar, ""] | float]:
    """‖factor·v‖² and factor, a power of two, so nothing is rounded: 1 for squares in range."""
    square = squared_norm(v)
    if jnp.result_type(square) != jnp.float32:
        return square, 1.0
    one = jnp.ones((), square.dtype)
    factor = jnp.where(jax.lax.stop_gradient(square) > 1, one * 2.0**-80, one * 2.0**80)
    usual = (square > 2.0**-80) & (square < 2.0**100)
    factor = jnp.where(usual, one, factor)
    return squared_norm(scaled(factor, v)), factor


def _widened(leaf: Any) -> Any:
    """Leaves of 16 bits in float32: in float16 a square leaves the range above 255, below 2e-4."""
    return jnp.asarray(leaf, jnp.float32) if has_16_bits(leaf) else leaf


def has_16_bits(leaf: Any) -> bool:
    """Whether a leaf is float16 or bfloat16."""
    return jnp.result_type(leaf) in (jnp.float16, jnp.bfloat16)


def flatten(loss: Callable, w: PyTree) -> tuple[Callable, Float[Array, " dim"], Callable]:
    """(flat loss, flat w of shape (dim,), unravel) for a loss of a pytree."""
    if isinstance(w, jax.Array) and w.ndim == 1:
        return loss, w, lambda flat: flat
    flat, unravel = ravel_pytree(w)
    return (lambda v: loss(unravel(v))), flat, unravel


def as_dtype(tree: PyTree, dtype: Any) -> PyTree:
    """The same pytree, or Module, with its inexact arrays in `dtype`."""
    return jax.tree.map(lambda x: _cast(x, dtype) if _is_inexact(x) else x, tree)


def _cast(x: Any, dtype: Any) -> jax.Array:
    """An array in `dtype`; without a compiler, where it is a few numbers that are known."""
    traced = isinstance(x, Tracer)
    if traced or np.size(x) > FEW or not getattr(x, "is_fully_addressable", True):
        return jnp.asarray(x, dtype)
    with np.errstate(all="ignore"):  # what the dtype does not hold is inf or 0
        return jnp.asarray(np.asarray(x).astype(dtype))


def _is_inexact(x: Any) -> bool:
    """Whether x is an array, or a number of NumPy, with a fraction."""
    return eqx.is_inexact_array(x) or isinstance(x, np.inexact)


def as_array(value: Any) -> Any:
    """A float array that traces: a Python float would recompile at every new value.

    In double precision whatever JAX's default is, so that 0.1 stays 0.1 for verbs that compute in
    it; what is computed with the array takes the dtype of the parameters.
    """
    if isinstance(value, jax.Array):
        return value
    with jax.enable_x64(True):
        return jnp.asarray(value, dtype=float)


def number(value: Any) -> jax.Array:
    """A number of `as_array` in the precision that JAX computes in here, for arithmetic with it."""
    return jnp.asarray(value).astype(jnp.result_type(float))
