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

from ...results.encoding import storable

CHAINS, STEPS, BURN = 128, 3000, 100
TOGETHER = (1, 2, 5, 10, 20)  # steps between two looks at the length, which must stay in range
ALIKE = 1e-12  # relative: curvatures that are one


@storable
class Rate(NamedTuple):
    """A growth rate per step (natural logarithm of ‖displacement‖); `error` is 2 standard errors.

    The error is 0 where the value is exact.
    """

    value: float
    error: float

    def to_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return {"value": self.value, "error": self.error}


@storable
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
    return random_growths(np.asarray(curvatures, float)[None], weights, learning_rate, momentum)[0]


def random_growths(
    curvatures: np.ndarray, weights: np.ndarray, learning_rate: float, momentum: float
) -> list[Growth]:
    """The same along each of several directions, curvatures (directions, n)."""
    a = np.asarray(curvatures, float)
    p = np.asarray(weights, float) / np.sum(weights)
    matrices = np.empty((*a.shape, 2, 2))
    matrices[..., 0, 0], matrices[..., 0, 1] = 1 - learning_rate * a, -learning_rate * momentum
    matrices[..., 1, 0], matrices[..., 1, 1] = a, momentum
    if momentum == 0:
        matrices = matrices[..., :1, :1]
    runs = _lyapunov(a, matrices, p, learning_rate, momentum)
    return [
        Growth(Rate(mean, 0.0), Rate(square / 2, 0.0), run)
        for (mean, square), run in zip((_moments(m, p) for m in matrices), runs, strict=True)
    ]


def _moments(matrices: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Growth of the mean and of the mean square, for matrices (n, k, k)."""
    k = len(matrices[0])
    square = np.einsum("n,nij,nab->iajb", p, matrices, matrices).reshape(k * k, k * k)
    return _log_radius(np.einsum("n,nij->ij", p, matrices)), _log_radius(square)


def _log_radius(matrix: np.ndarray) -> float:
    if not np.all(np.isfinite(matrix)):
        return math.inf
    radius = float(np.max(np.abs(np.linalg.eigvals(matrix))))
    return math.log(radius) if radius > 0 else -math.inf


def _lyapunov(
    a: np.ndarray, matrices: np.ndarray, p: np.ndarray, eta: float, gamma: float
) -> list[Rate]:
    """Rates of almost every run; those of products of matrices simulated side by side."""
    one = np.ptp(a, axis=1) <= ALIKE * np.max(np.abs(a), axis=1)
    if gamma == 0:
        with np.errstate(divide="ignore"):
            rates = np.log(np.abs(matrices[..., 0, 0])) @ p
        return [Rate(float(rate), 0.0) for rate in rates]
    rates = [Rate(_log_radius(m[0]), 0.0) for m in matrices]
    if not np.all(one):
        found = iter(_simulated(a[~one], p, eta, gamma))
        rates = [rate if alike else next(found) for rate, alike in zip(rates, one, strict=True)]
    return rates


def _simulated(a: np.ndarray, p: np.ndarray, eta: float, gamma: float) -> list[Rate]:
    rng = np.random.default_rng(0)
    # (directions, chains); a direction is the same whether others are asked or not
    w, m = (np.broadcast_to(x, (len(a), CHAINS)) for x in rng.normal(size=(2, CHAINS)))
    total = np.zeros((len(a), CHAINS))
    drawn = a[:, np.searchsorted(np.cumsum(p)[:-1], rng.random((BURN + STEPS, CHAINS)))]
    largest = max(1.0, float(np.max(np.abs(1 - eta * a))), eta, float(np.max(np.abs(a))))
    decades = max(1.0, math.log10(largest), -math.log10(gamma))
    together = max(n for n in TOGETHER if n == 1 or n * decades < 150)
    for first in range(0, BURN + STEPS, together):
        for step in range(first, first + together):
            m = gamma * m + drawn[:, step] * w
            w = w - eta * m
        length = np.maximum(np.hypot(w, m), 1e-300)
        w, m = w / length, m / length
        if first >= BURN:
            total += np.log(length)
    rates = total / STEPS
    # of a run that ends somewhere within a turn of (w, m) about the origin, 1/STEPS is left
    errors = 2 * np.std(rates, axis=1, ddof=1) / math.sqrt(CHAINS) + 1 / STEPS
    return [Rate(float(x), float(e)) for x, e in zip(np.mean(rates, axis=1), errors, strict=True)]
