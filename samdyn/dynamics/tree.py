"""Arithmetic on parameters, which may be any pytree of arrays."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree, Scalar


def add_scaled(w: PyTree, scale: Any, v: PyTree) -> PyTree:
    """w + scale·v, computed in the dtype of w."""
    return jax.tree.map(lambda x, y: x + jnp.asarray(scale).astype(x.dtype) * y, w, v)


def scaled(scale: Any, v: PyTree) -> PyTree:
    """scale·v, computed in the dtype of v."""
    return jax.tree.map(lambda y: jnp.asarray(scale).astype(y.dtype) * y, v)


def squared_norm(v: PyTree) -> Float[Scalar, ""]:
    """Σ v² over every leaf, in float32 for leaves of 16 bits."""
    return sum(jnp.sum(_widened(leaf) ** 2) for leaf in jax.tree.leaves(v))  # pyright: ignore


def ascend(w: PyTree, rho: Any, v: PyTree) -> PyTree:
    """w + ρ·v; where w has 16 bits in float32, since 16 bits would round a small ascent away."""
    return add_scaled(jax.tree.map(_widened, w), rho, jax.tree.map(_widened, v))


def unit(v: PyTree, eps: Any = 0.0) -> PyTree:
    """v/(‖v‖ + eps), and 0 at v = 0, with finite derivatives there as well; float32 for 16 bits.

    The derivative at 0 is 1/eps, and 0 without eps, where there is none.

    Components are first divided by a power of two near the largest, which rounds nothing and
    keeps their squares in range: v may have any size that is normal in its dtype; below, it counts
    as 0.
    """
    v = jax.tree.map(_widened, v)
    shrink = _power_of_two(v)
    v = scaled(shrink, v)
    square = squared_norm(v)
    nonzero = square > 0
    norm = jnp.sqrt(jnp.where(nonzero, square, 1))
    eps = jnp.asarray(eps).astype(norm.dtype) * shrink.astype(norm.dtype)
    at_zero = jnp.where(eps > 0, 1 / jnp.where(eps > 0, eps, 1), 0)
    return scaled(jnp.where(nonzero, 1 / (norm + eps), at_zero), v)


def _power_of_two(v: PyTree) -> Float[Scalar, ""]:
    """A power of two near the inverse of the largest component of `v`, within range.

    From the bits of the exponent: neither a division nor a logarithm. It is at most the root of
    the largest number, which suffices, and keeps derivatives at v = 0 from overflowing on the way.
    """
    leaves = [leaf for leaf in jax.tree.leaves(v) if leaf.size]
    if not leaves:
        return jnp.ones(())
    dtype = jnp.result_type(*leaves)
    largest = [jnp.max(jnp.abs(jax.lax.stop_gradient(leaf))).astype(dtype) for leaf in leaves]
    top = functools.reduce(jnp.maximum, largest)
    info = jnp.finfo(dtype)
    word = np.dtype(f"int{info.bits}").type
    power = lambda exponent: word(info.maxexp - 1 + exponent) << word(info.nmant)  # noqa: E731
    bits = jax.lax.bitcast_convert_type(top, word) & (power(info.maxexp))
    inverse = jnp.clip(2 * power(0) - bits, power(info.minexp), power(info.maxexp // 2))
    return jax.lax.bitcast_convert_type(inverse, dtype)


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
    cast = lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array(x) else x  # noqa: E731
    return jax.tree.map(cast, tree)


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
