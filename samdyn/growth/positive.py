"""The largest eigenvalue of P ↦ E A P Aᵀ, a map of matrices that keeps positive semidefinite ones.

It is real, and its matrix positive semidefinite (Krein & Rutman 1948).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import ComputationFailed


class Largest(NamedTuple):
    """μ and its P (m, m); the cosine between P and the left eigenmatrix; how far the next μ is."""

    value: float
    p: np.ndarray
    cosine: float
    gap: float


def largest(small: np.ndarray, weights: np.ndarray, symmetric: bool, guess: np.ndarray) -> Largest:
    """Of P ↦ Σ w A P Aᵀ for matrices (n, m, m), which keeps positive semidefinite ones."""
    turned = small.swapaxes(1, 2)
    forth = lambda p: np.einsum("n,nij->ij", weights, small @ p @ turned)  # noqa: E731
    back = lambda p: np.einsum("n,nij->ij", weights, turned @ p @ small)  # noqa: E731
    values, found = dominant(forth, guess, 2 if symmetric else 1)
    gap = values[0] - values[1] if len(values) > 1 else 0.0
    if symmetric:
        return Largest(values[0], found, 1.0, max(gap, 0.0))
    _, left = dominant(back, guess, 1)
    cosine = abs(float(np.sum(left * found))) / (np.linalg.norm(left) * np.linalg.norm(found))
    return Largest(values[0], found, float(cosine), 0.0)


def dominant(
    apply: Callable[[np.ndarray], np.ndarray], guess: np.ndarray, count: int
) -> tuple[list[float], np.ndarray]:
    """(the `count` largest moduli of eigenvalues, the matrix of the first)."""
    m = len(guess)
    if m <= 4:
        units = np.eye(m * m).reshape(-1, m, m)
        values, vectors = np.linalg.eig(np.stack([apply(u).ravel() for u in units], axis=1))
    else:
        values, vectors = _by_arnoldi(apply, guess, count)
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    found = vectors[:, order[0]].reshape(m, m)
    found = np.real(found * np.exp(-1j * np.angle(np.trace(found))))
    return [float(x) for x in np.abs(values[order])], (found + found.T) / 2


def _by_arnoldi(apply: Callable, guess: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    m = len(guess)
    act = lambda v: apply(v.reshape(m, m)).ravel()  # noqa: E731
    operator: Any = LinearOperator((m * m, m * m), matvec=act, dtype=float)  # pyright: ignore
    for tol in (1e-10, 1e-6, 1e-3):
        try:
            found: Any = eigs(operator, count, v0=guess.ravel(), tol=tol)  # pyright: ignore
            return found
        except ArpackNoConvergence as stopped:
            if len(stopped.eigenvalues):
                return stopped.eigenvalues, stopped.eigenvectors
    raise ComputationFailed(
        "the growth of the mean square was not found: its T is too far from normal."
    )
