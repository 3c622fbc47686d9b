"""Arithmetic on parameters, which may be any pytree of arrays."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
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


def unit(v: PyTree, eps: Any = 0.0) -> PyTree:
    """v/(‖v‖ + eps), and 0 at v = 0, with finite derivatives there as well.

    Below ‖v‖ ≈ 1e-162 (float64) or 1e-23 (fewer bits) the squares underflow and v counts as 0.
    """
    square = squared_norm(v)
    nonzero = square > 0
    norm = jnp.sqrt(jnp.where(nonzero, square, 1))
    scale = jnp.where(nonzero, 1 / (norm + jnp.asarray(eps).astype(norm.dtype)), 0)
    found = scaled(scale, jax.tree.map(_widened, v))
    return jax.tree.map(lambda x, y: x.astype(jnp.result_type(y)), found, v)


def _widened(leaf: Any) -> Any:
    """Leaves of 16 bits in float32: in float16 a square leaves the range above 255, below 2e-4."""
    few = jnp.result_type(leaf) in (jnp.float16, jnp.bfloat16)
    return jnp.asarray(leaf, jnp.float32) if few else leaf


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
    """A float array that traces: a Python float would recompile at every new value."""
    return value if isinstance(value, jax.Array) else jnp.asarray(value, dtype=float)
