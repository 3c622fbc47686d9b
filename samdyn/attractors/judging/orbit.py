"""What SAM's step map does near a critical point: it never rests there.

It locks on a period-2 orbit along a positive eigendirection, wanders chaotically in a bounded
set, or escapes. On a quadratic and without momentum closed forms decide (`thresholds`); they
are stated in the reason, but the verdict comes from the step map itself: many starts nearby are
iterated, and a period-2 orbit is refined by Newton and judged by the multipliers of two steps.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...dynamics.systems.map import StepOnState
from ...dynamics.systems.step_map import StepMap
from ...growth.rates import Rate
from ...programs.batch import OnPoints
from ...programs.loops import iterated
from ...programs.tangents import along_runs
from ..finding.neighbours import Neighbours
from .recurrence import period_of
from .sliding import unit_directions
from .spectrum import hessian_at
from .thresholds import period_two_amplitude, trap_threshold
from .verdict import Verdict

STARTS = 64
MIRRORED = 4  # axes
START_DISTANCE = 0.05  # of ρ
LONGEST = 400_000  # steps
PATIENT = 100_000  # further steps of runs that stay and do not repeat themselves
SETTLING = 40.0  # e-folds of the slowest direction that a run is given
TAIL = 64  # steps at the end of a run that are looked at
AT_CENTRE = 1e-9  # of the reach: a run that near to the point has come to it
RESTING = 1e-12  # of the reach: a shorter step is rounding
BLOCK = 64  # steps in each part of a run whose exponent is measured
KEPT, NEARLY_ALL = 4096, 0.99  # points that are kept of each, the share of them that is spoken of
ALTERNATES = 1e-2  # drift over two steps, relative to one, below which Newton looks for an orbit


class PeriodTwo(NamedTuple):
    """A period-2 orbit: `points` (2, d), its `amplitude` (half their distance), and the largest
    modulus among the multipliers of two steps (stable below 1)."""

    points: np.ndarray
    amplitude: float
    spectral_radius: float


class Runs(NamedTuple):
    """Where runs of the step map end: the last states (n, m), whose first d numbers are w, and the
    last `TAIL` values of w, (n, TAIL, d), oldest first; nan from where a run went too far."""

    states: np.ndarray
    tails: np.ndarray


def orbit_verdict(
    step_map: StepMap, c: Float[np.ndarray, " d"], rho: float, neighbours: Neighbours
) -> Verdict:
    """The verdict for the step map of a discontinuous perturbation at a nondegenerate critical c.

    Starts at 0.05ρ from c, in many directions, run until the slowest direction of the local
    linear part has had 40 e-folds (at most 400,000 steps). A run has escaped once it is farther
    from c than it could stay if it were held there, or ends at or around another fixed point, of
    those that `neighbours` knows.
    """
    c = np.asarray(c)
    found = _orbit_verdict(step_map, c, float(rho), neighbours)
    if c.size == 1 and found.verdict == "saddle":  # there is no direction that could stay
        return found._replace(verdict="repeller")
    return found


def _orbit_verdict(
    step_map: StepMap, c: Float[np.ndarray, " d"], rho: float, neighbours: Neighbours
) -> Verdict:
    eigenvalues, axes = np.linalg.eigh(hessian_at(step_map.loss, c))
    eta = float(step_map.learning_rate)
    reach = _reach(step_map, eigenvalues, max(rho, float(step_map.method.radius or 0)))
    starts = c + START_DISTANCE * rho * _directions(eigenvalues) @ axes.T
    runs = _run_starts(step_map, c, starts, eta * float(np.min(np.abs(eigenvalues))), reach)
    held = _held(np.asarray(c), runs.tails, reach, neighbours)
    if not all(period_of(tail, reach) for tail in runs.tails[held]):
        # what has not settled may leave yet, more slowly than by the slowest curvature
        runs = _run_on(step_map, c, runs.states, PATIENT, reach)
        held = _held(np.asarray(c), runs.tails, reach, neighbours)
    theory = _theory(step_map, eigenvalues, eta)
    share = float(np.mean(held))
    run = f"{np.sum(held)} of {held.size} starts at {START_DISTANCE}ρ stay within {reach:.4g}"
    if not np.any(held):
        edge = step_map.momentum.edge() / eta  # of the curvatures that a step contracts
        growing = (eigenvalues < 0) | (eigenvalues > edge)
        name = "repeller" if np.all(growing) else "saddle"
        return Verdict(name, f"escapes: {run}{theory}", orbit="escapes")
    if np.all(np.linalg.norm(runs.tails[held] - np.asarray(c), axis=-1) <= AT_CENTRE * reach):
        text = "comes to rest at the point, where the method jumps and its steps vanish"
        return Verdict("attractor", f"{text}; {run}{theory}")
    orbit = _refined_orbit(step_map, c, runs, held, reach)
    if orbit is not None and orbit.spectral_radius < 1:
        centre = orbit.points.mean(axis=0)
        off = float(np.linalg.norm(centre - np.asarray(c)))
        place = "the point" if off <= orbit.amplitude else f"a centre {off:.4g} from the point"
        text = (
            f"period-2: SAM alternates at ±{orbit.amplitude:.6g} about {place}, two steps "
            f"contract by {orbit.spectral_radius:.6g}; {run}{theory}"
        )
        return Verdict(
            "attractor",
            text,
            orbit="period-2",
            amplitude=orbit.amplitude,
            period=2,
            centre=centre,
        )
    if orbit is not None and share < 1:
        text = (
            f"escapes: the period-2 orbit at ±{orbit.amplitude:.6g} is unstable (two steps grow "
            f"by {orbit.spectral_radius:.6g}); {run}{theory}"
        )
        return Verdict("saddle", text, orbit="escapes")
    spread = float(np.max(np.linalg.norm(runs.tails[held] - np.asarray(c), axis=-1)))
    periods = {period_of(tail, reach) for tail in runs.tails[held]}
    period = periods.pop() or None if len(periods) == 1 else None
    word = "chaotic" if period is None else f"period-{period}"
    told = f"{word}: the orbit stays bounded, at the end up to {spread:.4g} away"
    if period is None:
        told, spread = _unsettled(step_map, c, runs.states[held])
    text = f"{told}; {run}{theory}"
    # a period of 2 that Newton did not confirm has no amplitude of its own
    orbit = word if period is not None and period > 2 else "chaotic"
    return Verdict("attractor", text, orbit=orbit, amplitude=spread, period=period)


def _unsettled(step_map: StepMap, c: np.ndarray, states: np.ndarray) -> tuple[str, float]:
    """(what runs do that do not repeat themselves, in words; how far they get from c (d,)).

    The farthest point of a chaotic set is the farther off the longer one looks, and says little of
    where runs are: so it is told within what distance nearly all of their points lie.
    """
    step = StepOnState(step_map, c.size).on_states()
    found = along_runs([step], states, burn=0, block=BLOCK, count=1, kept=KEPT, centre=c)
    steps = BLOCK * len(found.logs)
    each, errors = (x[:, 0] for x in found.rates(steps))
    apart = 2 * float(np.std(each)) / np.sqrt(len(each)) + 1 / steps
    rate = Rate(float(np.mean(each)), max(apart, float(np.mean(errors)) / np.sqrt(len(each))))
    distances = np.linalg.norm(found.path[..., : c.size] - c, axis=-1)
    within = float(np.quantile(distances, NEARLY_ALL))
    word = "chaotic" if rate.sign == 1 else "not periodic, and not seen to be chaotic"
    return (
        f"{word}: the largest exponent is {rate:3} a step; the orbit stays bounded, "
        f"{NEARLY_ALL:.0%} of its points within {within:.3g}, the farthest seen "
        f"{float(np.max(found.farthest)):.3g} away",
        within,
    )


def _held(c: np.ndarray, tails: np.ndarray, reach: float, neighbours: Neighbours) -> np.ndarray:
    """Which runs (n,) stayed about c: in reach, and nearest to c of all fixed points.

    SAM never rests at a critical point, so that a run at rest elsewhere has found a hallucinated
    one. A method whose steps shrink with the gradient comes to rest at c.
    """
    near = np.all(np.isfinite(tails[:, -1]), axis=1)
    if not np.any(near):
        return near
    moving = np.linalg.norm(tails[:, -1] - tails[:, -2], axis=1) > RESTING * reach
    others = neighbours.within(c, reach)
    others = others[np.linalg.norm(others - c, axis=1) > 1e-6 * reach]
    middle = tails.mean(axis=1)
    gaps = np.linalg.norm(middle[:, None] - others[None], axis=-1)
    nearest = np.linalg.norm(middle - c, axis=1) <= np.min(gaps, axis=1, initial=np.inf)
    at_c = np.linalg.norm(tails[:, -1] - c, axis=1) <= AT_CENTRE * reach
    return near & (moving | at_c) & nearest


def _reach(step_map: StepMap, eigenvalues: np.ndarray, rho: float) -> float:
    """A distance from c beyond which a run counts as escaped.

    Twice the sum of the perturbation's radius, the period-2 amplitude along the top direction,
    and the largest step that the momentum can make of gradients within the radius.
    """
    s = float(step_map.learning_rate) * float(np.max(np.abs(eigenvalues)))
    edge = step_map.momentum.edge()
    alternation = s / (edge - s) if s < edge else 0.0
    return 2 * rho * (1 + alternation + s * step_map.momentum.gain())


def _directions(eigenvalues: np.ndarray) -> np.ndarray:
    """Unit vectors (n, d) in the Hessian's own axes, up to `STARTS`, whose mirror images in the
    first few axes are among them: what is mirrored or turned is judged alike."""
    all_of_them = unit_directions(np.diag(eigenvalues))
    d = len(eigenvalues)
    mirrored = min(d, MIRRORED)
    count = min(STARTS >> mirrored, len(all_of_them))
    rng = np.random.default_rng(2)
    some = all_of_them[rng.choice(len(all_of_them), count, False)] if d > 1 else np.ones((1, 1))
    signs = np.ones((2**mirrored, d))
    signs[:, :mirrored] = 1 - 2 * (np.arange(2**mirrored)[:, None] >> np.arange(mirrored) & 1)
    return (signs[:, None] * some).reshape(-1, d)


def _run_starts(
    step_map: StepMap, c: np.ndarray, starts: np.ndarray, slowest: float, reach: float
) -> Runs:
    """Runs from starts (n, d) for 40 e-folds of the `slowest` direction, whose rate is per step."""
    steps = int(np.clip(SETTLING / slowest, 2000, LONGEST))
    return _run_on(step_map, c, StepOnState(step_map, c.size).rest(starts), steps, reach)


def _run_on(step_map: StepMap, c: np.ndarray, states: np.ndarray, steps: int, reach: float) -> Runs:
    """Runs from states (n, m)."""
    on_states = StepOnState(step_map, c.size).on_states()
    path = [iterated(on_states, states, steps - TAIL + 1, c, reach)]
    for _ in range(TAIL - 1):
        path.append(on_states.values(path[-1]))
    tails = np.stack(path, axis=1)[..., : c.size]
    outside = np.linalg.norm(tails - c, axis=-1) > reach
    tails = np.where(np.logical_or.accumulate(outside, axis=1)[..., None], np.nan, tails)
    return Runs(path[-1], tails)


def _refined_orbit(step_map, c, runs: Runs, held, reach) -> PeriodTwo | None:
    """The period-2 orbit near the held runs that alternate, if Newton confirms one."""
    tails = runs.tails
    one = np.linalg.norm(tails[:, 1:] - tails[:, :-1], axis=-1).min(axis=1)
    two = np.linalg.norm(tails[:, 2:] - tails[:, :-2], axis=-1).max(axis=1)
    alternating = np.flatnonzero(held & (two <= ALTERNATES * one) & (one > 0))
    if not alternating.size:
        return None
    row = alternating[0]
    step = StepOnState(step_map, c.size).on_states()
    v, other, jacobian = _newton_on_two_steps(step, runs.states[row])
    if not np.all(np.isfinite(jacobian)):
        return None
    points = np.stack([v[: c.size], other[: c.size]])
    amplitude = float(np.linalg.norm(points[0] - points[1])) / 2
    near = np.all(np.linalg.norm(points - np.asarray(c), axis=1) < reach)
    if not near or amplitude <= 1e-3 * float(one[row]):
        return None
    return PeriodTwo(points, amplitude, float(np.max(np.abs(np.linalg.eigvals(jacobian)))))


def _newton_on_two_steps(step: OnPoints, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """(a fixed point of two steps near the state v (n,), one step on, the Jacobian of the two)."""
    identity = np.eye(v.size)

    def twice(v: np.ndarray) -> tuple[np.ndarray, ...]:
        (one,), (slope,) = step.with_jacobians(v[None])
        (two,), (after,) = step.with_jacobians(one[None])
        return one, two, after @ slope

    for _ in range(12):
        _, two, jacobian = twice(v)
        if not np.all(np.isfinite(jacobian)) or np.linalg.matrix_rank(jacobian - identity) < v.size:
            break
        v = v - np.linalg.solve(jacobian - identity, two - v)
    one, _, jacobian = twice(v)
    return v, one, jacobian


def _theory(step_map: StepMap, eigenvalues: np.ndarray, eta: float) -> str:
    """What the quadratic's closed form says, where one exists."""
    top, negative = eigenvalues[-1], eigenvalues[eigenvalues < 0]
    if step_map.method.ascent != "unit":
        return ""
    if step_map.momentum.remembers or not 0 < eta * top < 2:
        return ""
    if negative.size == 0:
        unit = period_two_amplitude(top, 1.0, eta)
        return f" (quadratic: period-2 at ±{unit:.6g}ρ)"
    threshold, flattest = trap_threshold(top, eta), float(-negative[-1])
    word = "escapes, whatever ρ" if flattest < threshold else "trapped, whatever ρ"
    return f" (quadratic: μ = {flattest:.6g} against ηλ²/(2−ηλ) = {threshold:.6g}: {word})"
