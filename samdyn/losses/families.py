"""Losses that exist in any dimension, and quadratic forms with a chosen spectrum."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import InvalidInput
from .loss import Loss


def rosenbrock(w: Float[Array, " dim"]) -> Float[Array, ""]:
    """Σ 100(wᵢ₊₁ − wᵢ²)² + (1 − wᵢ)² of w (dim,), dim ≥ 2: a scalar (Rosenbrock 1960)."""
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2)


def styblinski_tang(w: Float[Array, " dim"]) -> Float[Array, ""]:
    """½ Σ wᵢ⁴ − 16wᵢ² + 5wᵢ of w (dim,): a scalar (Styblinski & Tang 1990)."""
    return jnp.sum(w**4 - 16 * w**2 + 5 * w) / 2


def double_well_product(w: Float[Array, " dim"]) -> Float[Array, ""]:
    """Σ (wᵢ² − 1)²/4 of w (dim,): a scalar, a double well along every axis."""
    return jnp.sum((w**2 - 1) ** 2) / 4


class QuadraticForm(eqx.Module):
    """½ wᵀ matrix w."""

    matrix: Float[Array, "dim dim"]

    def __call__(self, w: Float[Array, " dim"]) -> Float[Array, ""]:
        return 0.5 * w @ (self.matrix.astype(w.dtype) @ w)


def quadratic(spectrum: Sequence[float], seed: int | None = 0) -> Loss:
    """The quadratic form ½ wᵀHw whose Hessian H has the given eigenvalues.

    The eigenvectors are a random rotation drawn from `seed` (Haar measure), or the coordinate
    axes in the order given when `seed` is None.
    """
    eigenvalues = np.asarray(spectrum, dtype=float)
    if eigenvalues.ndim != 1 or eigenvalues.size == 0 or not np.all(np.isfinite(eigenvalues)):
        raise InvalidInput(f"spectrum must be a list of finite eigenvalues, not {spectrum!r}.")
    dim = eigenvalues.size
    frame = np.eye(dim) if seed is None else _random_rotation(dim, seed)
    matrix = frame @ np.diag(eigenvalues) @ frame.T
    text = ", ".join(f"{value:g}" for value in eigenvalues[:6]) + (", …" if dim > 6 else "")
    return Loss(
        QuadraticForm(jnp.asarray((matrix + matrix.T) / 2)),
        "quadratic",
        dim,
        f"½ wᵀHw, H with eigenvalues ({text})" + ("" if seed is None else " in a rotated frame"),
        "a quadratic form with a chosen spectrum",
        ((-1.0, 1.0),) * dim,
    )


def _random_rotation(dim: int, seed: int) -> np.ndarray:
    gaussian = np.random.default_rng(seed).standard_normal((dim, dim))
    q, r = np.linalg.qr(gaussian)
    return q * np.sign(np.diag(r))
