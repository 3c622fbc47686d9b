"""What the ends of the spectrum say about leaving a saddle: window of radii and escape rates.

Near a saddle a direction of curvature λ is descended as if its curvature were λ(1 + ρ_eff λ),
where ρ_eff is how far the ascent goes for each unit of gradient: ρ under USAM, the mean of
ρ/‖g_B‖ over minibatches under SAM.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...dynamics.momentum import as_momentum
from ...results.encoding import storable

ADVISED = 0.2  # of the radius that holds: there the steepest direction grows at 0.8 of its rate


@storable
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


def reach(curvature: float, descended: float, error: float) -> float:
    """ρ_eff of a direction whose curvature is descended as if it were `descended`.

    0 within the arithmetic's `error`, and where there is no curvature to ascend along.
    """
    if abs(curvature) <= error or abs(descended - curvature) <= error:
        return 0.0
    return (descended / curvature - 1) / curvature


def heavy_ball_rate(rate: float, learning_rate: float, momentum: float) -> float:
    """A rate of the gradient flow as that of the step with momentum, per unit of time η·steps.

    The multiplier of one step is the larger root z of z² − (1 + γ + η·rate) z + γ; z − 1 is
    written without a difference of near numbers.
    """
    gain = learning_rate * rate
    half = (1 - momentum - gain) / 2
    return float(np.log1p(gain / (half + np.sqrt(half**2 + gain))) / learning_rate)


def escape_rate(
    lambda_min: float, rho_eff: float, learning_rate: float, momentum: float
) -> EscapeRate:
    """The rates of SGD and of the method at a saddle whose lowest curvature is `lambda_min` < 0."""
    sgd = heavy_ball_rate(-lambda_min, learning_rate, momentum)
    method = heavy_ball_rate(growth(lambda_min, rho_eff), learning_rate, momentum)
    return EscapeRate(sgd, method, sgd / method if method > 0 else None)


def window(
    lambda_min: float | None,
    lambda_max: float,
    learning_rate: float,
    momentum: float,
    units: Sequence[float] = (1.0, 1.0),
) -> tuple[float | None, float | None]:
    """The radius from which the steepest negative direction is pulled back, and up to which the
    top direction is stable; None for an end that does not exist, 0 where no radius is stable.

    `units` are ρ_eff/ρ along the two directions. Both ends are given even where the first is the
    larger: then no radius does both.
    """
    edge = as_momentum(momentum).edge() / learning_rate
    low = high = None
    if lambda_min is not None and units[0] > 0:
        low = -1 / (lambda_min * units[0])
    if lambda_max >= edge:
        high = 0.0
    elif lambda_max > 0 and units[1] > 0:
        high = (edge / lambda_max - 1) / (lambda_max * units[1])
    return low, high


def hover(lambda_max: float, learning_rate: float, momentum: float) -> float:
    """The largest ρ_eff that a normalised method keeps.

    Beyond it the top direction overshoots, which makes gradients, and the ascent shorter for
    each unit of them, until steps along the top just alternate.
    """
    high = window(None, lambda_max, learning_rate, momentum)[1]
    return np.inf if high is None else high
