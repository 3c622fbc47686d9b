"""A Krylov basis of fixed size: extended by one product at a time, rotated when it is full.

Every new vector is made orthogonal to all others in two passes (once leaves rounding errors that
grow into ghost eigenvalues; twice is enough: Giraud, Langou & Rozložník 2005). When the space
closes, which identity and low-rank matrices do at once, a random direction goes on.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

COLUMNS = 2**14  # rotated at a time, so that a rotation needs no second basis


class Basis:
    """Up to `size` + 1 orthonormal vectors (dim,) as rows; rows not yet made are zero.

    `projection` (size + 1, size), float64: column j holds the coefficients of A v_j in the basis.
    """

    def __init__(self, size: int, dim: int, dtype: Any, seed: Any):
        self.size, self.dim = size, dim
        padded = dim + -dim % min(COLUMNS, dim)
        self._rows = jnp.zeros((size + 1, padded), dtype)
        self._random = np.random.default_rng(seed)
        self.projection = np.zeros((size + 1, size))
        self.count = 0  # columns of the projection that are known
        self._append_random(0)

    @property
    def dtype(self) -> np.dtype:
        return self._rows.dtype

    def __getitem__(self, j: int) -> jax.Array:
        return row(self._rows, j, self.dim)

    def extend(self, after: jax.Array) -> None:
        """Take A v_j for the newest vector v_j, and make v_{j+1}."""
        j = self.count
        self._rows, coefficients, new, before = append(self._rows, j + 1, after)
        self.projection[:, j] = np.asarray(coefficients, float)
        self.count = j + 1
        if float(new) > 8 * jnp.finfo(self._rows.dtype).eps * float(before):
            self.projection[j + 1, j] = float(new)
            return
        self.projection[j + 1, j] = 0.0
        self._rows = erase(self._rows, j + 1)
        if j + 1 < self.dim:
            self._append_random(j + 1)

    def rotate(self, rotation: np.ndarray) -> None:
        """Keep the combinations `rotation` (count, kept) of the known vectors, and the newest."""
        known, kept = rotation.shape
        square = np.zeros((self.size + 1, self.size + 1))
        square[:known, :kept] = rotation
        square[known, kept] = 1.0
        self._rows = rotate(self._rows, jnp.asarray(square, self._rows.dtype))
        self.count = kept

    def combine(self, weights: np.ndarray) -> jax.Array:
        """The vector Σ weights_j v_j (dim,), for real weights (count,)."""
        full = np.zeros(self.size + 1)
        full[: weights.size] = weights
        return (jnp.asarray(full, self._rows.dtype) @ self._rows)[: self.dim]

    def _append_random(self, j: int) -> None:
        v = jnp.asarray(self._random.standard_normal(self.dim), self._rows.dtype)
        self._rows, *_ = append(self._rows, j, v)


def symmetric_pairs(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues ascending, and vectors as columns, of a small matrix made symmetric.

    SciPy's, because NumPy's hands 28 rows to threads that then wait busily for a tenth of a second.
    """
    return scipy.linalg.eigh((matrix + matrix.T) / 2, driver="evd")


def norm(v: jax.Array) -> jax.Array:
    """‖v‖, also where the squares of single precision would overflow or vanish."""
    largest = jnp.max(jnp.abs(v))
    scale = jnp.where(largest > 0, largest, 1)
    return scale * jnp.linalg.norm(v / scale)


def orthogonalise(rows: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(v without its components along the rows, those components); rows of zeros have none."""
    first = rows @ v
    v = v - first @ rows
    second = rows @ v
    return v - second @ rows, first + second


@partial(jax.jit, static_argnums=2)
def row(rows: jax.Array, j: Any, dim: int) -> jax.Array:
    """The first `dim` numbers of row j."""
    return rows[j, :dim]


@partial(jax.jit, donate_argnums=0)
def append(rows: jax.Array, j: Any, v: jax.Array):
    """(rows with row j the direction of v that is new, components of v, new norm, norm of v).

    v may be shorter than the rows, which end in zeros.
    """
    v = jnp.pad(v, (0, rows.shape[1] - v.size))
    left, components = orthogonalise(rows, v)
    new = norm(left)
    unit = jnp.where(new > 0, left / jnp.where(new > 0, new, 1), 0)
    return rows.at[j].set(unit), components, new, norm(v)


@partial(jax.jit, donate_argnums=0)
def erase(rows: jax.Array, j: Any) -> jax.Array:
    """The rows with row j zero, in place."""
    return rows.at[j].set(0)


@partial(jax.jit, donate_argnums=0)
def rotate(rows: jax.Array, square: jax.Array) -> jax.Array:
    """squareᵀ · rows, in place, some columns at a time."""
    width = min(COLUMNS, rows.shape[1])

    def block(i, rows):
        part = jax.lax.dynamic_slice_in_dim(rows, i * width, width, 1)
        return jax.lax.dynamic_update_slice_in_dim(rows, square.T @ part, i * width, 1)

    return jax.lax.fori_loop(0, rows.shape[1] // width, block, rows)
