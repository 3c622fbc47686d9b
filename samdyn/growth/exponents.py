"""`exponents`: how fast a perturbation of a fixed point grows, step by step, batch by batch.

The step is linearised on every outcome that it may have, the directions along which fixed points
lie next to each other are taken out, and products of the Jacobians are asked how fast they grow
(`products.py`). Momentum, and whatever an optimizer remembers, belongs to the state.
"""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..arguments import of_system
from ..checks import is_real, require_one_value, require_point, told
from ..dynamics.systems.flat import flattened, is_vector
from ..errors import InvalidInput
from ..precision import in_double
from ..results.provenance import recorded
from ..results.result import Result
from .exponents_text import table
from .invariant import Resting, displacement, mean_jacobian, resting_near, transverse
from .large import large_growth, moves_at
from .moments import CurvatureMoments, squared_growth
from .orbit import orbit_through
from .product_spectrum import eigenvalues_of_product
from .products import almost_sure, moment, moment_rate
from .rates import UNKNOWN, Growth, Rate
from .stationary import stationary_covariance
from .steps import AllSteps, Linearised, Outcomes, outcomes_of

KINDS = ("mean", "mean-square", "almost-sure")
MOST_DENSE = 300  # numbers in a state whose Jacobians are written down
STILL = 1e-9  # of how far a step moves what is near: one that moves nothing
SCATTERED = (
    "the point is fixed by the mean step only: runs are scattered about it, and the rates "
    "are those of the distance between two runs with the same batches."
)
JACKKNIFE = 16  # groups of draws, each left out once


class Exponents(Result, eqx.Module):
    """Growth per step (natural logarithm of ‖displacement‖) of a perturbation of `points`.

    `points` (period, d) is the set it is of, `mean`, `mean_square` and `almost_sure` are its rates,
    `moments` those of E‖δ‖ᵖ for each p that was asked for, as rates of ‖δ‖. `multipliers` (n,)
    are the eigenvalues of the mean step's Jacobian over one period, on all of the state; None under
    given moments. `along` (d, k): directions in which fixed points lie next to each other, taken
    out of the rates. `drift` (d,) is how far the mean step moves the point along these. `scatter`
    (d,) is the standard deviation of a step at the point, 0 where every batch leaves it where it
    is; `covariance` (d, d) of w is what that settles to, to first order; None where it does not.
    `outcomes` says of what.
    """

    points: np.ndarray
    mean: Rate
    mean_square: Rate
    almost_sure: Rate
    moments: dict[float, Rate]
    multipliers: np.ndarray | None
    along: np.ndarray
    drift: np.ndarray
    scatter: np.ndarray
    covariance: np.ndarray | None
    outcomes: str
    warnings: tuple[str, ...] = ()

    @property
    def period(self) -> int:
        """How many points the orbit has, 1 for a fixed point."""
        return len(self.points)

    @property
    def tangent_dim(self) -> int:
        """The dimension of the set of fixed points."""
        return self.along.shape[1]

    @property
    def growth(self) -> Growth:
        """The three rates."""
        return Growth(self.mean, self.mean_square, self.almost_sure)

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn exponents --json`."""
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        pairs = None
        if self.multipliers is not None:
            pairs = [[float(z.real), float(z.imag)] for z in self.multipliers]
        p = next(iter(self.moments), None)
        return result | {
            "period": self.period,
            "tangent_dim": self.tangent_dim,
            "mean": self.mean.to_dict(),
            "mean_square": self.mean_square.to_dict(),
            "almost_sure": self.almost_sure.to_dict(),
            "moment": None if p is None else {"p": p, **self.moments[p].to_dict()},
            "multipliers": pairs,
        }

    def __str__(self) -> str:
        return table(self)


@of_system("StepMap(loss, method, learning_rate)")
@recorded
@in_double
def exponents(
    step: Any,
    *,
    at: PyTree = None,
    orbit: Any = None,
    batches: Any = None,
    weights: Any = None,
    moments: Sequence[float] = (2,),
    draws: int = 16_384,
    rtol: float = 1e-3,
    max_products: int = 2000,
    seed: int = 0,
) -> Exponents:
    """How fast a perturbation of the fixed point near `at`, or of an `orbit`, grows per step.

    `step` is a `StepMap`, an `OptaxStepMap` or a `Map`, deterministic; or, with `batches`, one of a
    data loss `loss(params, batch)` (of a `Map`: `step(w, batch)`) that draws one of them at every
    step, with equal probabilities or `weights`. `batches` may also be a function of a JAX key, of
    which `draws` batches are drawn, or `CurvatureMoments`, exact moments of the Hessian. A
    `MinibatchStepMap` has its own minibatches: all of them are looked at where there are 5,000 or
    fewer, else `draws`. `at` (d,) or a pytree like the parameters; the point is the one that Newton
    reaches from there. Instead of it, `orbit` are the points (period, d) of a periodic orbit of the
    mean step in their order, as `orbits` finds them; Newton makes them exact. `moments` are powers
    p > 0.

    Where the state has more than 300 numbers no Jacobian is written down: there the point is `at`
    itself, moments other than the second are unknown, and rates are found to `rtol` (of 1e-3 at
    least) in about three times `max_products` products with the Jacobian of one batch.

    Rates are exact (error 0) but for almost sure ones of matrices that do not commute, odd
    moments, and draws. `InvalidInput` for what is no fixed point of the mean step, has no Jacobian
    there (normalised SAM at a critical point), or is no such system or list.
    """
    require_one_value(step)
    if (at is None) == (orbit is None):
        raise InvalidInput("give either a point or an orbit, not both or neither.")
    powers = tuple(float(p) for p in np.atleast_1d(moments))
    if orbit is not None:
        how = batches, weights, draws
        return _of_orbit(step, _points_of(orbit), how, powers, seed)
    at, up = point_of(at)
    if isinstance(batches, CurvatureMoments):
        return _of_moments(step, at, batches, powers)
    params = jnp.asarray(at) if up is None else up(jnp.asarray(at))
    outcomes = outcomes_of(step, params, batches, weights, draws, seed)
    steps = AllSteps(step, outcomes, at.size, up)
    if steps.size > MOST_DENSE:
        return _of_large(step, steps, at, powers, rtol, max_products, seed)
    return _found(steps, resting_of(step, steps, at), powers, seed)


def _points_of(orbit: Any) -> np.ndarray:
    """The points (period, d) that were given, or those of a found orbit."""
    given = getattr(orbit, "points", orbit)
    points = np.asarray(given, float) if is_real(given) else np.zeros(0)
    if points.ndim != 2 or len(points) < 2 or not np.all(np.isfinite(points)):
        raise InvalidInput(
            f"an orbit is an array (period, d) of two points or more, not {told(orbit)}; of a "
            "single point give it as at."
        )
    return points


def _of_orbit(
    step: Any, points: np.ndarray, how: tuple, powers: tuple[float, ...], seed: int
) -> Exponents:
    batches, weights, draws = how
    if isinstance(batches, CurvatureMoments):
        raise InvalidInput("moments of a curvature are of one point: an orbit has several.")
    outcomes = outcomes_of(step, jnp.asarray(points[0]), batches, weights, draws, seed)
    steps, d = AllSteps(step, outcomes, points.shape[1]), points.shape[1]
    if steps.size > MOST_DENSE:
        raise InvalidInput(f"orbits are of small states: this has {steps.size:,} numbers.")
    visited = orbit_through(steps, points)
    for state, there in zip(visited.states, visited.there, strict=True):
        away = _elsewhere(state, d)
        _require_jacobian(step, there.after - state, steps.at(away).after - away)
    growth, found = _rates(visited.jacobians, outcomes, powers, seed)
    spreads = [_spread(steps, there, v) for v, there in zip(*visited, strict=True)]
    scatter = np.max(spreads, axis=0)
    return Exponents(
        points=visited.states[:, :d],
        mean=growth.mean,
        mean_square=growth.mean_square,
        almost_sure=growth.almost_sure,
        moments=found,
        multipliers=eigenvalues_of_product(np.stack([mean_jacobian(steps, t) for t in visited[1]])),
        along=np.zeros((d, 0)),
        drift=np.zeros(d),
        scatter=scatter[:d],
        covariance=None,
        outcomes=outcomes.told,
        warnings=(SCATTERED,) if np.any(scatter) else (),
    )


def _spread(steps: AllSteps, there: Linearised, state: np.ndarray) -> np.ndarray:
    """The standard deviation (size,) of a step from a state; 0 where it is rounding."""
    moves = there.after - state
    spread = np.sqrt(steps.outcomes.weights @ (moves - displacement(steps, there, state)) ** 2)
    return np.where(spread > 64 * np.finfo(float).eps * (1 + np.abs(state)), spread, 0.0)


def point_of(at: PyTree) -> tuple[np.ndarray, Any]:
    """(the point as a vector, how a pytree is made of it or None)."""
    if is_vector(require_point(at, "a point")):
        return np.asarray(at, float), None
    flat = flattened(None, at)
    return np.asarray(flat.start, float), flat.unravel


def _require_jacobian(step: Any, moves: np.ndarray, away: np.ndarray) -> None:
    """`InvalidInput` where a method that jumps is asked where it does: with no gradient.

    `moves` (n, size) are those of the step on each outcome here, `away` some way from here.
    """
    method = getattr(step, "method", None)
    if not getattr(method, "discontinuous", False):
        return
    sizes, usual = np.linalg.norm(moves, axis=1), np.linalg.norm(away, axis=1)
    if np.any(sizes <= STILL * usual):
        where = "some batch" if len(moves) > 1 else "this loss"
        raise InvalidInput(
            f"{type(method).__name__} jumps where the gradient vanishes, as it does here on "
            f"{where}: there is no Jacobian; stability judges the point by sliding, and the orbit "
            "about it."
        )


def resting_of(step: Any, steps: AllSteps, at: np.ndarray) -> Resting:
    """The fixed point near `at`, where the step has a Jacobian."""
    try:
        resting = resting_near(steps, at)
    except InvalidInput as reason:
        if not getattr(getattr(step, "method", None), "discontinuous", False):
            raise
        raise InvalidInput(
            f"{reason} A method that jumps where the gradient vanishes never rests there: "
            "stability judges such a point by sliding."
        ) from reason
    away = _elsewhere(resting.state, steps.dim)
    _require_jacobian(step, resting.there.after - resting.state, steps.at(away).after - away)
    return resting


def _elsewhere(state: np.ndarray, dim: int) -> np.ndarray:
    """A state some way from this one."""
    away = state.copy()
    away[:dim] += 1e-3 * (1 + np.max(np.abs(state)))
    return away


def _found(steps: AllSteps, resting: Resting, powers: tuple[float, ...], seed: int) -> Exponents:
    there, state, outcomes = resting.there, resting.state, steps.outcomes
    matrices = transverse(resting)[None]
    d = steps.dim
    moves = there.after - state
    mean_move = displacement(steps, there, state)
    spread = _spread(steps, there, state)
    growth, found = _rates(matrices, outcomes, powers, seed)
    along = np.linalg.qr(resting.along[:d])[0] if resting.along.size else np.zeros((d, 0))
    scattered = bool(np.any(spread))
    covariance = None
    if scattered and not resting.along.size and growth.mean_square.sign == -1:
        covariance = stationary_covariance(there.jacobians, outcomes.weights, moves - mean_move)
    values = np.linalg.eigvals(mean_jacobian(steps, there))
    return Exponents(
        points=state[None, :d],
        mean=growth.mean,
        mean_square=growth.mean_square,
        almost_sure=growth.almost_sure,
        moments=found,
        multipliers=values[np.lexsort((values.imag, values.real))],
        along=along,
        drift=along @ (along.T @ mean_move[:d]),
        scatter=spread[:d],
        covariance=None if covariance is None else covariance[:d, :d],
        outcomes=outcomes.told,
        warnings=_warnings(resting, scattered),
    )


def _warnings(resting: Resting, scattered: bool) -> tuple[str, ...]:
    found = []
    if resting.unsure:
        found.append("whether this point lies on a line of fixed points could not be told.")
    if scattered:
        found.append(SCATTERED)
    return tuple(found)


def _rates(
    matrices: np.ndarray, outcomes: Outcomes, powers: tuple[float, ...], seed: int
) -> tuple[Growth, dict[float, Rate]]:
    mean, square, runs = (rate_of(kind, matrices, outcomes, seed) for kind in KINDS)
    rates = {p: square if p == 2 else rate_of(p, matrices, outcomes, seed) for p in powers}
    return Growth(mean, square, runs), rates


def rate_of(kind: str | float, matrices: np.ndarray, outcomes: Outcomes, seed: int) -> Rate:
    """The rate of one kind, of `KINDS` or a power p, of matrices (1, n, k, k)."""
    weights, sampled = outcomes.weights, outcomes.sampled
    if not matrices.shape[-1]:
        return UNKNOWN
    if kind == "almost-sure":
        found = almost_sure(matrices, weights, seed)
        return _jackknifed_runs(matrices, found, seed) if sampled else found
    if isinstance(kind, str):
        p = 1 + (kind == "mean-square")
        exact = lambda m, w: moment(m, w, p)  # noqa: E731
        return _jackknifed(matrices, exact) if sampled else Rate(exact(matrices, weights), 0.0)
    whole = lambda m, w: moment_rate(m, w, kind, seed)  # noqa: E731
    return (
        _jackknifed(matrices, lambda m, w: whole(m, w).value)
        if sampled
        else whole(matrices, weights)
    )


def _jackknifed(matrices: np.ndarray, value: Any) -> Rate:
    """A value of draws (1, n, k, k), corrected for its bias, with 2 standard errors."""
    count = matrices.shape[1]
    even = lambda n: np.full(n, 1 / n)  # noqa: E731
    whole = value(matrices, even(count))
    groups = np.array_split(np.arange(count), JACKKNIFE)
    parts = [np.delete(matrices, group, axis=1) for group in groups]
    without = np.array([value(part, even(part.shape[1])) for part in parts])
    variance = (JACKKNIFE - 1) * float(np.mean((without - np.mean(without)) ** 2))
    corrected = JACKKNIFE * whole - (JACKKNIFE - 1) * float(np.mean(without))
    # Student's t for 15 degrees of freedom
    return Rate(float(corrected), 2.13 * math.sqrt(variance)) if math.isfinite(whole) else UNKNOWN


def _jackknifed_runs(matrices: np.ndarray, whole: Rate, seed: int) -> Rate:
    """The almost sure rate of draws: its own error, and that of having drawn so few."""
    parts = np.array_split(matrices, 8, axis=1)
    each = [almost_sure(p, np.full(p.shape[1], 1 / p.shape[1]), seed) for p in parts]
    values = np.array([rate.value for rate in each])
    if not np.all(np.isfinite(values)):
        return UNKNOWN
    drawn = 2.37 * float(np.std(values, ddof=1)) / math.sqrt(len(parts))
    return Rate(whole.value, math.hypot(drawn, whole.error))


def _of_large(
    step: Any,
    steps: AllSteps,
    at: np.ndarray,
    powers: tuple[float, ...],
    rtol: float,
    most: int,
    seed: int,
) -> Exponents:
    state = steps.rest(at)
    away = _elsewhere(state, steps.dim)
    _require_jacobian(step, moves_at(steps, state), moves_at(steps, away))
    found = large_growth(steps, at, rtol, most, seed)
    d, outcomes = steps.dim, steps.outcomes
    mean_move = outcomes.weights @ found.moves
    spread = np.sqrt(outcomes.weights @ (found.moves - mean_move) ** 2)
    told = (
        f"the mean step moves this point by {np.linalg.norm(mean_move[:d]):.3g}: the rates are of "
        "displacements larger than that."
    )
    return Exponents(
        points=at[None],
        mean=found.growth.mean,
        mean_square=found.growth.mean_square,
        almost_sure=found.growth.almost_sure,
        moments=_second_alone(powers, found.growth.mean_square),
        multipliers=None,
        along=np.zeros((d, 0)),
        drift=mean_move[:d],
        scatter=spread[:d],
        covariance=None,
        outcomes=f"{outcomes.told}; {found.products:,} products",
        warnings=tuple(filter(None, [found.warning, told if np.any(mean_move) else ""])),
    )


def _second_alone(powers: tuple[float, ...], square: Rate) -> dict[float, Rate]:
    """The moments asked for, where no other than the second is known."""
    return {p: square if p == 2 else UNKNOWN for p in powers}


def _of_moments(
    step: Any, at: np.ndarray, batches: CurvatureMoments, powers: tuple[float, ...]
) -> Exponents:
    mean, square, covariance = squared_growth(step, at.size, batches)
    scattered = batches.gradient_noise is not None
    return Exponents(
        points=at[None],
        mean=Rate(mean, 0.0),
        mean_square=Rate(square, 0.0),
        almost_sure=UNKNOWN,
        moments=_second_alone(powers, Rate(square, 0.0)),
        multipliers=None,
        along=np.zeros((at.size, 0)),
        drift=np.zeros(at.size),
        scatter=np.zeros(at.size),
        covariance=covariance if scattered else None,
        outcomes="moments as given: what almost every run does is not known from two of them",
    )
