"""Both ends of a symmetric spectrum in a few products, inside a compiled loop.

For what must run inside a training step: no restart, no stopping, a fixed number of products.
`spectrum_ends` is the thorough one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .krylov import norm, orthogonalise


class RitzEnds(NamedTuple):
    """The lowest and the highest Ritz value, each with its residual ‖A x − θ x‖: scalars.

    A residual includes 8 units of rounding of the larger value; it is nan where the value is.
    """

    low: jax.Array
    low_residual: jax.Array
    high: jax.Array
    high_residual: jax.Array


def tridiagonal(
    product: Callable[[jax.Array], jax.Array], start: jax.Array, steps: int, unroll: bool = False
) -> tuple[jax.Array, jax.Array]:
    """(diagonal (steps,), off-diagonal (steps,)) of `steps` Lanczos steps from `start` (dim,).

    The last entry of the off-diagonal is what couples to the rest of the space. If the space
    closes before, the diagonal goes on with its first entry, uncoupled: no new value outside.
    """
    steps = min(steps, start.size)
    first = start / norm(start)
    rows = jnp.zeros((steps + 1, start.size), start.dtype).at[0].set(first)
    epsilon = np.asarray(8 * jnp.finfo(start.dtype).eps, start.dtype)

    def step(carry, j):
        rows, alive = carry
        after = product(rows[j])
        left, components = orthogonalise(rows, after)
        new = norm(left)
        goes_on = alive & (new > epsilon * norm(after))
        unit = jnp.where(goes_on, left / jnp.where(goes_on, new, 1), 0)
        off = jnp.where(goes_on, new, 0)
        return (rows.at[j + 1].set(unit), goes_on), (components[j], off, alive)

    (_, _), (diagonal, off, known) = jax.lax.scan(
        step, (rows, jnp.asarray(True)), jnp.arange(steps), unroll=unroll
    )
    return jnp.where(known, diagonal, diagonal[0]), off


def ritz_ends(
    product: Callable[[jax.Array], jax.Array], start: jax.Array, steps: int, unroll: bool = False
) -> RitzEnds:
    """Both ends of a symmetric map on vectors (dim,), by `steps` products from `start` (dim,).

    With `unroll` without a compiled loop, for products that are slow in one.
    """
    diagonal, off = tridiagonal(product, start, steps, unroll)
    matrix = jnp.diag(diagonal) + jnp.diag(off[:-1], 1) + jnp.diag(off[:-1], -1)
    values, vectors = jnp.linalg.eigh(matrix)
    scale = jnp.maximum(jnp.abs(values[0]), jnp.abs(values[-1]))  # nan where a product was
    residuals = jnp.abs(off[-1] * vectors[-1]) + 8 * jnp.finfo(start.dtype).eps * scale
    return RitzEnds(values[0], residuals[0], values[-1], residuals[-1])
