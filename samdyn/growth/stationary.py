"""The covariance that random linear steps settle to: δ ↦ A δ + c, both drawn anew at every step."""

import numpy as np


def stationary_covariance(
    jacobians: np.ndarray, weights: np.ndarray, moves: np.ndarray
) -> np.ndarray | None:
    """P = E A P Aᵀ + E c cᵀ for A of `jacobians` (n, k, k), c of `moves` (n, k), mean 0.

    None for more than 30 dimensions, where the equation for P is not written down.
    """
    k = jacobians.shape[-1]
    if k > 30:
        return None
    flat = jacobians.reshape(-1, k * k)
    pairs = ((flat * weights[:, None]).T @ flat).reshape(k, k, k, k)
    return settled(pairs, np.einsum("n,ni,nj->ij", weights, moves, moves))


def settled(pairs: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """P (k, k) for `pairs`[i, j, a, b] = E A_ij A_ab and noise E c cᵀ (k, k)."""
    k = len(noise)
    square = pairs.transpose(0, 2, 1, 3).reshape(k * k, k * k)
    found = np.linalg.solve(np.eye(k * k) - square, noise.ravel()).reshape(k, k)
    return (found + found.T) / 2
