"""Closed-form thresholds in rho and in curvature, for the flow and for the step.

Near a critical point a direction of curvature λ is descended as if its curvature were
a = λ(1 + ρ_eff λ), with ρ_eff = ρ under USAM and ρ/‖g‖ under SAM. A step of size η is stable
on curvature a exactly when 0 < ηa < edge, where edge is 2 for the plain step, 2(1+γ) for heavy
ball (`AbstractMomentum.edge`).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...dynamics.momentum import as_momentum
from ...programs.enclosing import intervals


def critical_rho(hessian_eigenvalues: Any) -> float | None:
    """The smallest ρ from which every negative direction is restoring under USAM.

    It is 1/min|λ| over the negative eigenvalues: all of them must flip. None if there is none.
    Source: arXiv 2301.06308, Theorem 1, for one negative eigenvalue.
    """
    values = np.asarray(hessian_eigenvalues)
    negative = values[values < 0]
    return float(1 / np.min(-negative)) if negative.size else None


def rho_window(
    hessian_eigenvalues: Any, learning_rate: float, momentum: Any = 0.0
) -> tuple[float | None, float | None] | None:
    """The radii ρ_eff for which the step map contracts every direction, as (low, high).

    None stands for an end without a bound, and None instead of the pair for an empty window.
    The window is that of USAM; for SAM read ρ_eff = ρ/‖g‖.
    """
    largest = as_momentum(momentum).edge() / learning_rate  # of the stable curvatures a
    low, high = None, None
    for value in np.asarray(hessian_eigenvalues, dtype=float):
        if value == 0:
            return None
        upper = (largest / value - 1) / value  # where λ(1+ρλ) reaches the edge
        if value < 0:
            low = max(low or 0.0, -1 / value)
        high = upper if high is None else min(high, upper)
    if high is not None and high <= (low or 0.0):
        return None
    return low, high


Ends = tuple[float, float]  # between which a number lies for sure
WIDER = 8 * np.finfo(float).eps


def critical_rho_bounds(bounds: Any) -> Ends | None:
    """Between what `critical_rho` lies, from bounds (d, 2) of the eigenvalues, ascending; None
    where a sign isn't certain, or none is negative."""
    low, high = np.asarray(bounds, float).T
    if np.any((low <= 0) & (high >= 0)) or not np.any(high < 0):
        return None
    last = np.flatnonzero(high < 0)[-1]  # the negative one nearest to 0
    return _wider(-1 / low[last], -1 / high[last])


def rho_window_bounds(
    bounds: Any, learning_rate: float, momentum: Any = 0.0
) -> tuple[Ends | None, Ends | None] | None:
    """Between what the two ends of `rho_window` lie; None for an end that there is not, and for
    all where there is no window, or a sign isn't certain."""
    low, high = np.asarray(bounds, float).T
    if np.any((low <= 0) & (high >= 0)):
        return None
    edge = float(as_momentum(momentum).edge()) / learning_rate
    largest, curvature = np.array([[edge], [edge]]), np.stack([low, high])
    # λ(1+ρλ) reaches the edge at (edge/λ − 1)/λ; the edge itself was rounded
    largest = intervals.widened(largest)
    one = np.ones((2, 1))
    ends = intervals.div(intervals.sub(intervals.div(largest, curvature), one), curvature)
    upper = float(np.min(ends[0])), float(np.min(ends[1]))
    lower = critical_rho_bounds(bounds)
    if upper[0] <= (0.0 if lower is None else lower[1]):
        return None
    return lower, upper


def _wider(low: float, high: float) -> Ends:
    """Further out, by more than a few operations round."""
    return float(low - WIDER * abs(low)), float(high + WIDER * abs(high))


def stable_curvatures(
    rho: float, learning_rate: float, momentum: Any = 0.0
) -> tuple[tuple[float, float], ...]:
    """The intervals of Hessian eigenvalue λ on which USAM's step (GD's at ρ = 0) is stable.

    For ρ > 0 there are two: (0, λ_e), and (−1/ρ − λ_e, −1/ρ), where SAM has turned negative
    curvature into an attractor; λ_e = (−1 + √(1 + 4ρ·edge/η))/(2ρ). Listed ascending.
    """
    largest = as_momentum(momentum).edge() / learning_rate
    if rho == 0:
        return ((0.0, largest),)
    edge = 2 * largest / (1 + np.sqrt(1 + 4 * rho * largest))
    return (float(-1 / rho - edge), float(-1 / rho)), (0.0, float(edge))


def sam_edge(gradient_norm: Any, rho: Any, learning_rate: Any) -> Float[Array, "..."]:
    """The top curvature at which training by SAM is marginal: USAM's edge with ρ/‖g‖ for ρ.

    (‖g‖/2ρ)(√(1 + 8ρ/(η‖g‖)) − 1), which tends to 2/η as ρ → 0.
    Source: Long & Bartlett, arXiv 2309.12488.
    """
    ratio = jnp.asarray(rho) / jnp.asarray(gradient_norm)
    return 4 / (learning_rate * (1 + jnp.sqrt(1 + 8 * ratio / learning_rate)))


def trap_threshold(top_eigenvalue: float, learning_rate: float) -> float:
    """The μ above which SAM's step map is trapped at an index-1 saddle, whatever ρ.

    With top curvature λ and negative curvature −μ on a quadratic: SAM escapes if
    μ < ηλ²/(2−ηλ), for 0 < ηλ < 2 and no momentum. On the period-2 orbit along the top
    direction the gradient norm is λ·amplitude, so ρ_eff = (2−ηλ)/(ηλ²) whatever ρ.
    """
    return learning_rate * top_eigenvalue**2 / (2 - learning_rate * top_eigenvalue)


def period_two_range(top_eigenvalue: float, learning_rate: float) -> tuple[float, float]:
    """The μ between which SAM's period-2 orbit at an index-1 saddle is stable, whatever ρ.

    With s = ηλ and m = ημ a perturbation along −μ is multiplied by 1 + m − m²(2−s)/s² at each
    step: below `trap_threshold` it grows, above the upper end it overshoots. There the orbit
    stays bounded, but wanders, while m < 1; for m > 1 nothing else holds a run near the saddle.
    """
    s = learning_rate * top_eigenvalue
    overshoot = s**2 * (1 + np.sqrt(1 + 8 * (2 - s) / s**2)) / (2 * (2 - s))
    return trap_threshold(top_eigenvalue, learning_rate), float(overshoot / learning_rate)


def period_two_amplitude(
    eigenvalue: float, rho: float, learning_rate: float, gamma: float = 0.0
) -> float:
    """Half the distance between the two points on which SAM alternates along a curvature λ > 0.

    ρs/(2(1+γ) − s) with s = ηλ, for heavy ball γ; γ = 0 is the plain step. Holds for
    0 < s < 2(1+γ) on a quadratic.
    """
    s = learning_rate * eigenvalue
    return rho * s / (2 * (1 + gamma) - s)
