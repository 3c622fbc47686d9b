"""How fast a displacement grows along one direction when every step draws a minibatch.

Along a direction in which minibatch b has the curvature a_b (of its descent, ascent included), a
heavy-ball step multiplies (w, m) by A_b = [[1 − ηa_b, −ηγ], [a_b, γ]]. The mean grows by the
spectral radius of E A, the mean square by that of E A⊗A, and almost every run by the Lyapunov
exponent of the product of random A_b: without momentum E ln|1 − ηa_b|. The three may differ in
sign; what a run does is the last (Furstenberg & Kesten 1960).
"""

import math
from typing import NamedTuple

import numpy as np

CHAINS, STEPS, BURN = 128, 3000, 100
ALIKE = 1e-12  # relative: curvatures that are one


class Rate(NamedTuple):
    """A growth rate per step (natural logarithm of ‖displacement‖); `error` is 2 standard errors.

    The error is 0 where the value is exact.
    """

    value: float
    error: float

    def to_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return {"value": self.value, "error": self.error}


class Growth(NamedTuple):
    """Rates of the mean, of the root mean square, and of almost every run."""

    mean: Rate
    mean_square: Rate
    almost_sure: Rate

    @property
    def leaves(self) -> bool | None:
        """Whether runs leave: None where the error does not tell."""
        value, error = self.almost_sure
        return None if abs(value) <= error or math.isnan(value) else value > 0


def random_growth(
    curvatures: np.ndarray, weights: np.ndarray, learning_rate: float, momentum: float
) -> Growth:
    """Rates for curvatures (n,) drawn with probabilities `weights` (n,), anew at every step."""
    a = np.asarray(curvatures, float)
    p = np.asarray(weights, float) / np.sum(weights)
    matrices = np.empty((a.size, 2, 2))
    matrices[:, 0, 0], matrices[:, 0, 1] = 1 - learning_rate * a, -learning_rate * momentum
    matrices[:, 1, 0], matrices[:, 1, 1] = a, momentum
    if momentum == 0:
        matrices = matrices[:, :1, :1]
    n = len(matrices[0])
    mean = _log_radius(np.einsum("k,kij->ij", p, matrices))
    square = np.einsum("k,kij,kab->iajb", p, matrices, matrices).reshape(n * n, n * n)
    runs = _lyapunov(a, matrices, p, learning_rate, momentum)
    return Growth(Rate(mean, 0.0), Rate(_log_radius(square) / 2, 0.0), runs)


def _log_radius(matrix: np.ndarray) -> float:
    if not np.all(np.isfinite(matrix)):
        return math.inf
    radius = float(np.max(np.abs(np.linalg.eigvals(matrix))))
    return math.log(radius) if radius > 0 else -math.inf


def _lyapunov(a: np.ndarray, matrices: np.ndarray, p: np.ndarray, eta: float, gamma: float) -> Rate:
    if np.ptp(a) <= ALIKE * np.max(np.abs(a)):  # one matrix
        return Rate(_log_radius(matrices[0]), 0.0)
    if gamma == 0:
        with np.errstate(divide="ignore"):
            return Rate(float(p @ np.log(np.abs(matrices[:, 0, 0]))), 0.0)
    rng = np.random.default_rng(0)
    w, m = rng.normal(size=(2, CHAINS))
    total = np.zeros(CHAINS)
    drawn = a[np.searchsorted(np.cumsum(p)[:-1], rng.random((BURN + STEPS, CHAINS)))]
    for step, row in enumerate(drawn):
        m = gamma * m + row * w
        w = w - eta * m
        length = np.maximum(np.hypot(w, m), 1e-300)
        w, m = w / length, m / length
        if step >= BURN:
            total += np.log(length)
    rates = total / STEPS
    # of a run that ends somewhere within a turn of (w, m) about the origin, 1/STEPS is left
    error = 2 * np.std(rates, ddof=1) / math.sqrt(CHAINS) + 1 / STEPS
    return Rate(float(np.mean(rates)), float(error))
