"""Where a growth rate is 0: the edge of stability, in any parameter of a step."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..bisection import bisect_on_host
from ..errors import ComputationFailed, InvalidInput
from ..results.result import Result
from .exponents import KINDS, MOST_DENSE, point_of, rate_of, resting_of
from .invariant import transverse
from .moments import CurvatureMoments, squared_growth
from .rates import ROUNDING, Rate
from .steps import AllSteps, outcomes_of

LOOKS = 9  # at the rate between the ends, for its first change of sign
JUMP = 1e-6  # between neighbouring numbers: an exact rate that changes by more is not continuous
NOISY = 12  # halvings of a rate that is simulated


class Edge(Result, eqx.Module):
    """Where the growth rate of `kind` is 0: `value` of `parameter`, to `error`.

    `grows_above` says on which side perturbations grow.
    """

    parameter: str
    value: float
    error: float
    kind: str
    grows_above: bool
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn threshold --json`."""
        found: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        names = ("parameter", "value", "error")
        return found | {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        side = "above" if self.grows_above else "below"
        lines = [f"warning: {warning}" for warning in self.warnings]
        told = f"{self.parameter} = {self.value:.12g} ± {self.error:.1g}"
        return "\n".join([*lines, f"{self.kind}: the edge is {told}; perturbations grow {side} it"])


def edge(
    system: Any,
    parameter: str,
    between: tuple[float, float],
    *,
    at: Any,
    kind: str | float,
    batches: Any,
    weights: Any,
    draws: int,
    seed: int,
) -> Edge:
    """The first change of sign of a rate of `exponents` between two values of a parameter.

    Exact rates to rounding; of a simulated one the error is 2 standard errors over the slope.
    """
    if not (kind in KINDS or (isinstance(kind, int | float) and kind > 0)):
        raise InvalidInput(f"kind is one of {', '.join(KINDS)}, or a power p > 0, not {kind!r}.")
    how = {"batches": batches, "weights": weights, "draws": draws, "seed": seed}
    rate = lambda x: _rate(system.at(**{parameter: x}), at, kind, **how)  # noqa: E731
    if isinstance(system.parameters().get(parameter), int):
        return _whole_edge(rate, parameter, between, str(kind))
    values = np.linspace(float(between[0]), float(between[1]), LOOKS)
    rates = [rate(x) for x in values]
    low, high, several = _bracket(values, rates, f"the {kind} rate", parameter)
    rises = rates[int(np.searchsorted(values, low))].value < 0
    same = lambda x: (rate(x).value < 0) == rises  # noqa: E731
    exact = all(r.error == 0 for r in rates)
    left, right = bisect_on_host(same, low, high, 60 if exact else NOISY)
    middle = (left + right) / 2
    if exact and not abs(rate(right).value - rate(left).value) <= JUMP:
        raise ComputationFailed(
            f"the {kind} rate changes its sign at {parameter} = {middle:.10g} without passing 0, "
            f"from {rate(left)} to {rate(right)}: there another point is reached, or a kink."
        )
    error = (right - left) / 2 + _error(rate, middle, right - left, exact)
    text = f"the rate changes its sign {several} times between the ends; this is the first."
    warnings = (text,) if several > 1 else ()
    return Edge(parameter, middle, error, str(kind), rises, warnings)


def _whole_edge(rate: Callable, parameter: str, between: tuple[float, float], kind: str) -> Edge:
    """The same of a parameter that is a whole number: half way between two neighbours."""
    low, high = math.ceil(between[0]), math.floor(between[1])
    values = np.unique(np.linspace(low, max(low, high), LOOKS).round()).astype(int)
    rates = [rate(int(x)) for x in values]
    first, last, several = _bracket(values, rates, f"the {kind} rate", parameter)
    left, right = int(first), int(last)
    rises = rates[int(np.searchsorted(values, left))].value < 0
    while right - left > 1:
        middle = (left + right) // 2
        inside = rate(middle).value < 0
        left, right = (middle, right) if inside == rises else (left, middle)
    text = f"the rate changes its sign {several} times between the ends; this is the first."
    warnings = (text,) if several > 1 else ()
    return Edge(parameter, (left + right) / 2, 0.5, kind, rises, warnings)


def _error(rate: Callable, x: float, width: float, exact: bool) -> float:
    """That of x, from that of the rate there and its slope."""
    apart = max(width, 1e-6 * abs(x) if exact else 1e-2 * abs(x))
    ends = [rate(x - apart), rate(x + apart)]
    slope = abs(ends[1].value - ends[0].value) / (2 * apart)
    if not (math.isfinite(slope) and slope > 0):
        return math.inf
    return (ROUNDING if exact else max(r.error for r in ends)) / slope


def _bracket(
    values: np.ndarray, rates: list[Rate], what: str, parameter: str
) -> tuple[float, float, int]:
    signs = np.array([rate.value < 0 for rate in rates])
    known = [not math.isnan(rate.value) for rate in rates]
    if not all(known):
        raise ComputationFailed(
            f"{what} is not known at {parameter} = {values[known.index(False)]:g}."
        )
    changes = np.flatnonzero(signs[1:] != signs[:-1])
    if not changes.size:
        word = "negative" if signs[0] else "not negative"
        raise ComputationFailed(
            f"{what} is {word} at all of {parameter} = {values[0]:g} to {values[-1]:g} that were "
            f"asked: {rates[0]} and {rates[-1]} at the ends."
        )
    first = int(changes[0])
    return float(values[first]), float(values[first + 1]), len(changes)


def _rate(
    step: Any, at: Any, kind: str | float, batches: Any, weights: Any, draws: int, seed: int
) -> Rate:
    """One rate, and nothing else that `exponents` would compute."""
    w, up = point_of(at)
    if isinstance(batches, CurvatureMoments):
        mean, square, _ = squared_growth(step, w.size, batches)
        known = {"mean": mean, "mean-square": square, 2: square}
        return Rate(known.get(kind, math.nan), 0.0)
    params = jnp.asarray(w) if up is None else up(jnp.asarray(w))
    outcomes = outcomes_of(step, params, batches, weights, draws, seed)
    steps = AllSteps(step, outcomes, w.size, up)
    if steps.size > MOST_DENSE:
        raise InvalidInput(
            f"the edge of a state of {steps.size:,} numbers is not looked for: ask exponents at "
            "the values of interest."
        )
    return rate_of(kind, transverse(resting_of(step, steps, w))[None], outcomes, seed)
