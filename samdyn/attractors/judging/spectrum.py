"""Eigenvalues of small non-symmetric matrices on every backend.

Closed forms for d ≤ 3, which run on any accelerator; LAPACK on the CPU or through a host
callback above that (no TPU lowering of non-symmetric `eig` exists).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ...losses.gradient import Gradient
from ...programs.batch import OnPoints


def hessian_at(loss: Callable, w: Any) -> Float[np.ndarray, "d d"]:
    """The Hessian of the loss at w (d,)."""
    w = np.asarray(w, float)
    return OnPoints(Gradient(loss), w.size).with_jacobians(w[None])[1][0]


def ordered_eigenvalues(matrix: Float[np.ndarray, "d d"]) -> Complex[np.ndarray, " d"]:
    """As `eigenvalues`, by LAPACK at once; nan where the matrix is not finite."""
    if not np.all(np.isfinite(matrix)):
        return np.full(len(matrix), np.nan + 0j)
    if np.array_equal(matrix, matrix.T):
        return np.linalg.eigvalsh(matrix).astype(complex)
    values = np.linalg.eigvals(matrix).astype(complex)
    return values[np.lexsort((np.imag(values), np.real(values)))]


def eigenvalues(matrix: Float[Array, "d d"]) -> Complex[Array, " d"]:
    """The eigenvalues of a real matrix, ascending by real part, then imaginary part.

    Symmetric input gets the accuracy of a symmetric solver. Otherwise two nearly equal
    eigenvalues are accurate to the square root of the machine precision only.
    """
    d = matrix.shape[-1]
    if d == 1:
        values = _complex(matrix[0])
    elif d == 2:
        values = _two(matrix)
    elif d == 3:
        values = _three(matrix)
    else:
        values = _many(matrix)
    return values[jnp.lexsort((values.imag, values.real))]


def _complex(real, imaginary=None):
    return jax.lax.complex(real, jnp.zeros_like(real) if imaginary is None else imaginary)


def _two(matrix):
    (a, b), (c, d) = matrix
    middle, discriminant = (a + d) / 2, ((a - d) / 2) ** 2 + b * c
    root = jnp.sqrt(jnp.abs(discriminant))
    real = jnp.where(discriminant >= 0, root, 0)
    imaginary = jnp.where(discriminant < 0, root, 0)
    return _complex(jnp.stack([middle - real, middle + real]), jnp.stack([-imaginary, imaginary]))


def _three(matrix):
    """Roots of the characteristic cubic about the mean eigenvalue: z³ − pz − q = 0."""
    mean = jnp.trace(matrix) / 3
    size = jnp.max(jnp.abs(matrix))
    unit = jnp.where(size > 0, size, 1)
    centred = (matrix - mean * jnp.eye(3, dtype=matrix.dtype)) / unit
    p, q = jnp.trace(centred @ centred) / 2, _determinant(centred)
    three = (q / 2) ** 2 <= (p / 3) ** 3
    roots = _complex(unit) * jnp.where(three, _three_real(p, q), _one_real(p, q))
    symmetric = jnp.max(jnp.abs(matrix - matrix.T)) <= 8 * jnp.finfo(matrix.dtype).eps * size
    return jnp.where(symmetric, _complex(_three_symmetric(matrix)), roots + _complex(mean))


def _three_symmetric(matrix):
    """Cyclic Jacobi rotations: a double eigenvalue keeps the full precision."""

    def sweep(_, m):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            gap, coupling = m[j, j] - m[i, i], 2 * m[i, j]
            size = jnp.hypot(gap, coupling)
            denominator = jnp.abs(gap) + size
            tangent = coupling / jnp.where(denominator > 0, denominator, 1)
            tangent = jnp.where(gap < 0, -tangent, tangent)
            cosine = 1 / jnp.sqrt(1 + tangent**2)
            sine = cosine * tangent
            rotation = jnp.eye(3, dtype=m.dtype)
            rotation = rotation.at[i, i].set(cosine).at[j, j].set(cosine)
            rotation = rotation.at[i, j].set(sine).at[j, i].set(-sine)
            m = rotation.T @ m @ rotation
        return m

    return jnp.diagonal(jax.lax.fori_loop(0, 8, sweep, matrix))


def _three_real(p, q):
    radius = jnp.sqrt(jnp.maximum(p, 0) / 3)
    cosine = q / 2 / jnp.where(radius > 0, radius**3, 1)
    angle = jnp.arccos(jnp.clip(cosine, -1, 1)) / 3
    turns = jnp.asarray([0.0, 2.0, 4.0], p.dtype) * (jnp.pi / 3)
    return _complex(2 * radius * jnp.cos(angle - turns))


def _one_real(p, q):
    inside = jnp.sqrt(jnp.maximum((q / 2) ** 2 - (p / 3) ** 3, 0))
    u = jnp.cbrt(q / 2 + jnp.where(q >= 0, inside, -inside))
    v = p / 3 / jnp.where(u != 0, u, 1)
    half, tilt = (u + v) / 2, jnp.sqrt(jnp.asarray(3.0, p.dtype)) / 2 * jnp.abs(u - v)
    return _complex(jnp.stack([-half, -half, u + v]), jnp.stack([-tilt, tilt, 0 * tilt]))


def _determinant(m):
    return jnp.dot(m[0], jnp.cross(m[1], m[2]))


def _many(matrix):
    dtype = jnp.complex128 if matrix.dtype == jnp.float64 else jnp.complex64

    def on_host(matrix):
        shape = jax.ShapeDtypeStruct(matrix.shape[:-1], dtype)
        lapack = lambda m: np.linalg.eigvals(m).astype(dtype)  # noqa: E731
        return jax.pure_callback(lapack, shape, matrix, vmap_method="broadcast_all")

    return jax.lax.platform_dependent(matrix, cpu=jnp.linalg.eigvals, default=on_host)
