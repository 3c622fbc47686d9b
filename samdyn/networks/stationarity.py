"""Is a point with negative curvature near a saddle, or does its gradient matter more?

Near a saddle what lowers the loss is its negative curvature. Along gradient flow for the time
T = 1/|λ_min| in which that curvature grows e-fold, the quadratic model lowers the loss by
gᵀ f(H) g, f(θ) = (1 − e^(−2θT))/(2θ). Lanczos from g splits this into what directions of
curvature below λ_min/2 do, and what the others do (Golub & Meurant 2010). Directions that come to
rest ten times as fast as the saddle is left count for nothing: a run hovers along those.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..spectra.hessian import HessianOperator

STEPS = 12  # Hessian products
FAST = 4.0  # times |λ_min|: such directions come to rest, to 2 %, in the same time
BELOW = 0.5  # of λ_min: directions that count as the saddle's own
SPREAD = (math.e**2 - 1) / 4  # of η σ²: what noise along v has gained after an e-fold


class Gains(NamedTuple):
    """By how much the loss falls while negative curvature grows e-fold: by the gradient along
    other directions, and by negative curvature, from where the run is and what noise adds."""

    gradient: float
    curvature: float

    @property
    def away(self) -> bool:
        """Whether the gradient does more: no saddle is near."""
        return self.gradient > self.curvature


def gains(operator: HessianOperator, curvature: float, noise: float, learning_rate: float) -> Gains:
    """For the lowest `curvature` < 0, and the variance `noise` of minibatch gradients along it."""
    values, weights = _quadrature(operator)
    own, fast = values < BELOW * curvature, values > FAST * -curvature
    x = 2 * values / -curvature
    safe = np.where(x == 0, 1, x)
    fall = weights / -curvature * np.where(x == 0, 1, -np.expm1(-np.minimum(x, 700)) / safe)
    return Gains(
        float(np.sum(fall[~own & ~fast])),
        float(np.sum(fall[own])) + SPREAD * learning_rate * noise,
    )


def _quadrature(operator: HessianOperator) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, weights) for gᵀ f(H) g, from Lanczos with all vectors kept orthogonal."""
    g = np.asarray(operator.gradient, float)
    norm = float(np.linalg.norm(g))
    if norm == 0:
        return np.zeros(1), np.zeros(1)
    basis, diagonal, off = [g / norm], [], []
    with operator.precision():
        for _ in range(min(STEPS, operator.dim)):
            after = np.array(operator(jnp.asarray(basis[-1], operator.dtype)), float)
            diagonal.append(float(after @ basis[-1]))
            for _ in range(2):
                for vector in basis:
                    after -= (after @ vector) * vector
            length = float(np.linalg.norm(after))
            scale = max(map(abs, diagonal + off))
            if length <= 1e3 * float(jnp.finfo(operator.dtype).eps) * scale:
                break
            off.append(length)
            basis.append(after / length)
    n = len(diagonal)
    matrix = np.diag(diagonal) + np.diag(off[: n - 1], 1) + np.diag(off[: n - 1], -1)
    values, vectors = np.linalg.eigh(matrix)
    return values, (norm * vectors[0]) ** 2
