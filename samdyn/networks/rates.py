"""What the ends of the spectrum say about leaving a saddle: window of radii and escape rates.

Near a saddle a direction of curvature λ is descended as if its curvature were λ(1 + ρ_eff λ),
where ρ_eff is how far the ascent goes for each unit of gradient: ρ under USAM, ρ/‖g‖ under SAM.
"""

from typing import NamedTuple

import numpy as np

from ..dynamics.momentum import as_momentum


class EscapeRate(NamedTuple):
    """Growth of log-displacement per unit of time η·steps; `slowdown` = sgd/method, None if not.

    `method` is that of the fastest direction any curvature down to λ_min could have: where
    ρ_eff|λ_min| > ½ it is not the steepest one, and an upper bound.
    """

    sgd: float
    method: float
    slowdown: float | None


def growth(curvature: float, rho_eff: float) -> float:
    """The rate, to first order in η, at which the fastest direction above −|curvature| grows.

    |λ|(1 − ρ_eff|λ|) is largest at |λ| = 1/(2ρ_eff).
    """
    steepest = -curvature
    if rho_eff * steepest <= 0.5:
        return steepest * (1 - rho_eff * steepest)
    return 1 / (4 * rho_eff)


def heavy_ball_rate(rate: float, learning_rate: float, momentum: float) -> float:
    """A rate of the gradient flow as that of the step with momentum, per unit of time η·steps.

    The multiplier of one step is the larger root of z² − (1 + γ + η·rate) z + γ.
    """
    half = (1 + momentum + learning_rate * rate) / 2
    return float(np.log(half + np.sqrt(half**2 - momentum)) / learning_rate)


def escape_rate(
    lambda_min: float, rho_eff: float, learning_rate: float, momentum: float
) -> EscapeRate:
    """The rates of SGD and of the method at a saddle whose lowest curvature is `lambda_min` < 0."""
    sgd = heavy_ball_rate(-lambda_min, learning_rate, momentum)
    method = heavy_ball_rate(growth(lambda_min, rho_eff), learning_rate, momentum)
    return EscapeRate(sgd, method, sgd / method if method > 0 else None)


def window(
    lambda_min: float | None, lambda_max: float, learning_rate: float, momentum: float
) -> tuple[float | None, float | None]:
    """ρ_eff from which the steepest negative direction is pulled back, and up to which the top
    direction is stable; None for an end that does not exist.

    Both ends are given even where the first is the larger: then no radius does both.
    """
    edge = float(as_momentum(momentum).edge()) / learning_rate
    low = None if lambda_min is None else -1 / lambda_min
    high = (edge / lambda_max - 1) / lambda_max if lambda_max > 0 else None
    return low, high
