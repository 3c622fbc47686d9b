"""Is a point with negative curvature near a saddle, or does its gradient matter more?

Near a saddle what lowers the loss is its negative curvature. Along gradient flow for the time
T = 1/|λ_min| in which that curvature grows e-fold, the quadratic model lowers the loss by
gᵀ f(H) g, f(θ) = (1 − e^(−2θT))/(2θ). Lanczos from g splits this into what directions of
curvature below λ_min/2 do, and what the others do (Golub & Meurant 2010). Directions that come to
rest ten times as fast as the saddle is left count for nothing: a run hovers along those.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...results.encoding import storable
from ...spectra.krylov import norm, symmetric_pairs
from ...spectra.products.hessian import HessianOperator

STEPS = 12  # Hessian products
FAST = 4.0  # times |λ_min|: such directions come to rest, to 2 %, in the same time
ALTERNATES = 1.0  # times |λ_min|: along steeper ones a normalised method alternates, never at rest
FEW, UNKNOWN = 4, 0.125  # minibatches: the error of the signal of fewer is a guess
COARSE = 1e-4  # unit of rounding of an arithmetic in which Lanczos tells nothing
BELOW = 0.5  # of λ_min: directions that count as the saddle's own
SPREAD = (math.e**2 - 1) / 4  # of η σ²: what noise along v has gained after an e-fold


@storable
class Gains(NamedTuple):
    """By how much the loss falls while negative curvature grows e-fold: by the gradient along
    other directions, and by negative curvature, from where the run is and what noise adds."""

    gradient: float
    curvature: float

    def away(self, signal: "Signal | None") -> bool | None:
        """Whether the gradient, as far as it is no noise, does more: no saddle is near. None where
        the minibatches are too few to tell noise from it."""
        if signal is None:
            return bool(self.gradient > self.curvature)
        more = [self.gradient * share > self.curvature for share in signal.range]
        return None if not signal.seen and more[1] else bool(signal.seen and more[0])


@storable
class Signal(NamedTuple):
    """The share of ‖g‖² of the mean over minibatches that is no noise of its n minibatches, and
    its standard error.

    ‖g‖² without Σ p_b²‖g_b‖² is what products of different minibatches make, which noise does on
    average not: Σ_{a≠b} p_a p_b g_a·g_b, over 1 − Σ p_b². The error is the jackknife's.
    """

    share: float
    error: float

    @property
    def seen(self) -> bool:
        """Whether there is any."""
        return bool(self.share > 2 * self.error)

    @property
    def range(self) -> tuple[float, float]:
        """What it is found to be, and by one standard error more."""
        return min(1.0, max(0.0, self.share)), min(1.0, max(0.0, self.share + self.error))


def signal(operator: HessianOperator) -> Signal | None:
    """What of the gradient is no noise; None for one minibatch, or no gradient."""
    p, n = np.asarray(operator.mean.weights, float), operator.mean.count
    gradient = jnp.asarray(operator.gradient)
    size = float(np.linalg.norm(np.asarray(gradient, float)))
    if n == 1 or size == 0:
        return None
    unit = gradient / jnp.asarray(size, gradient.dtype)
    loss = operator.mean.loss
    with operator.precision():
        parts = [_projected(loss, b, operator.w, unit) for b in operator.mean.batches()]
    along, lengths = (
        np.array([float(x) for x in column]) / size for column in zip(*parts, strict=True)
    )
    square = p**2 * lengths**2  # all in units of ‖g‖
    share = (1 - np.sum(square)) / (1 - np.sum(p**2))
    if n < FEW:
        return Signal(float(share), UNKNOWN)
    rest = (1 - 2 * p * along + square - (np.sum(square) - square)) / (
        (1 - p) ** 2 - (np.sum(p**2) - p**2)
    )
    return Signal(float(share), float(np.sqrt((n - 1) / n * np.sum((rest - rest.mean()) ** 2))))


@eqx.filter_jit
def _projected(loss: Callable, batch: PyTree, w: jax.Array, unit: jax.Array):
    """(g·unit, ‖g‖) of one batch: by itself, for convolutions are slow in a compiled loop."""
    gradient = jax.grad(loss)(w, batch)
    return gradient @ unit, norm(gradient)


def gains(
    operator: HessianOperator,
    curvature: float,
    noise: float,
    learning_rate: float,
    normalised: bool = False,
) -> Gains | None:
    """For the lowest `curvature` < 0, and the variance `noise` of minibatch gradients along it.

    None where the arithmetic is too coarse to tell.
    """
    if float(jnp.finfo(operator.dtype).eps) > COARSE:
        return None
    values, weights = _quadrature(operator)
    at_rest = (ALTERNATES if normalised else FAST) * -curvature
    own, fast = values < BELOW * curvature, values > at_rest
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
    values, vectors = symmetric_pairs(matrix)
    return values, (norm * vectors[0]) ** 2
