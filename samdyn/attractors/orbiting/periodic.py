"""Periodic orbits of a map: the fixed points of several steps that are none of fewer.

A step that remembers nothing is searched like any flow, on `period` steps minus the identity, and
what can be proven is. One with memory is searched in the whole of its state, whose numbers beside w
are looked for where runs have taken them.
"""

from collections.abc import Sequence

import numpy as np

from ...dynamics.methods.gd import GD
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import AbstractMap, Displacement
from ...dynamics.systems.returns import Return, require_steady
from ...dynamics.systems.system import loss_of
from ...errors import InvalidInput
from ...growth.orbit import repeats
from ...programs.newton import newton
from ..finding.fixed_points import fixed_points
from ..finding.point import SAME, Completeness, FixedPoint, FixedPoints, describe
from ..finding.starts import EvenPoints
from ..judging.linear import multipliers, step_discs
from ..judging.spectrum import hessian_at
from ..judging.transverse import step_across
from ..judging.verdict import map_verdict
from .orbit import Orbit

RUNS = 512  # from which the reach of a memory is seen
LAPS = 32  # of them
STAYS = 1e-9  # of the size of what is near: a return that is none
NEAR = 64  # laps of a run from a point that is asked about, after each of which Newton starts


def orbits_in_box(
    step: AbstractMap, box: np.ndarray, period: int, seed: int
) -> tuple[list[Orbit], Completeness]:
    """The orbits of this period with a point in a box (d, 2), and how sure it is that these are
    all."""
    d = len(box)
    require_steady(step, d)
    back = Return(step, d, period)
    whole = box if back.rest(np.zeros((1, d))).shape[1] == d else _with_memory(back, box)
    flow = Displacement(back)
    found = fixed_points(flow, whole, seed=seed, check=not step.jumps)
    points = list(found.points)
    if step.jumps:
        points += _about_jumps(back, box)
    size = float(np.max(np.ptp(whole, axis=1)))
    return _grouped(back, points, size), _completeness(found, len(whole) > d, step.jumps)


def _about_jumps(back: Return, box: np.ndarray) -> list[FixedPoint]:
    """Fixed points of the steps near the critical points of the loss, at which a step that jumps
    never rests: from starts along the Hessian's axes there."""
    loss, rho = loss_of(back.step), getattr(getattr(back.step, "method", None), "radius", None)
    if loss is None:
        return []
    reach = float(rho or 0) or float(np.max(np.ptp(box, axis=1))) * 1e-2
    starts = []
    for point in fixed_points(Flow(loss, GD()), box, check=False).points:
        if point.continuum is None and point.kind == "critical":
            axes = np.linalg.eigh(hessian_at(loss, point.w))[1].T
            lengths = np.geomspace(1e-2, 4, 24) * reach
            starts.append(point.w + (lengths[:, None, None] * axes).reshape(-1, len(box)))
    if not starts:
        return []
    flow, size = Displacement(back), float(np.max(np.ptp(box, axis=1)))
    ends = newton(flow.velocity, back.rest(np.concatenate(starts)), 0.1 * size)
    ends = ends[np.all(np.isfinite(ends), axis=1)]
    inside = np.all((ends[:, : len(box)] >= box[:, 0]) & (ends[:, : len(box)] <= box[:, 1]), axis=1)
    gaps = np.linalg.norm(back.on_states().values(ends) - ends, axis=1)
    kept = _distinct(ends[inside & (gaps <= STAYS * size)], SAME * size)
    return [describe(flow, end) for end in kept]


def _completeness(found: FixedPoints, memory: bool, jumps: bool) -> Completeness:
    complete = found.complete
    if memory:
        reason = "of states whose memory lies where runs have taken it"
        return complete._replace(consistent=None, method=f"{complete.method}; {reason}")
    if jumps and complete.consistent:
        return complete._replace(consistent=None)
    return complete


def _with_memory(back: Return, box: np.ndarray) -> np.ndarray:
    """A box (n, 2) of the whole state: with the numbers that runs from the box remember, twice as
    far apart."""
    d = len(box)
    starts = box[:, 0] + EvenPoints(d, 0).take(RUNS) * np.ptp(box, axis=1)
    states, step = back.rest(starts), back.once.on_states()
    low, high = states.min(axis=0), states.max(axis=0)
    for _ in range(LAPS):
        with np.errstate(all="ignore"):
            states = step.values(states)
        w = states[:, :d]
        inside = np.all((w >= box[:, 0]) & (w <= box[:, 1]), axis=1)
        if not np.any(inside):
            break
        low = np.minimum(low, states[inside].min(axis=0))
        high = np.maximum(high, states[inside].max(axis=0))
    middle, half = (low + high) / 2, (high - low)
    half = np.where(half > 0, half, np.max(np.ptp(box, axis=1)))
    whole = np.stack([middle - half, middle + half], axis=1)
    whole[:d] = box
    return whole


def _grouped(back: Return, points: Sequence[FixedPoint], size: float) -> list[Orbit]:
    """Fixed points of several steps as orbits of exactly that period, each once."""
    orbits: list[Orbit] = []
    for point in points:
        states = path(back, point.w)
        if repeats(states, SAME * size):
            continue
        gaps = [np.linalg.norm(o.states - states[0], axis=1).min() for o in orbits]
        if all(gap > SAME * size for gap in gaps):
            orbits.append(orbit_of(back, point, states))
    return orbits


def path(back: Return, state: np.ndarray) -> np.ndarray:
    """The states (period, n) that are passed from one on."""
    step, states = back.once.on_states(), [np.asarray(state, float)]
    for _ in range(back.times - 1):
        states.append(step.values(states[-1][None])[0])
    return np.array(states)


def orbit_of(back: Return, point: FixedPoint, states: np.ndarray) -> Orbit:
    """The orbit through a fixed point of several steps, judged."""
    d, values = back.dim, multipliers(back, point.w)
    verdict = map_verdict(values, d, step_discs(back, point))
    verdict = step_across(back, point, verdict)
    return Orbit(states[:, :d], len(states), values, verdict, states, point.proven)


def orbit_near(step: AbstractMap, w: np.ndarray, period: int) -> Orbit:
    """The orbit of this period that Newton reaches from a point (d,), or from where a run from
    there has come; of several the nearest. `InvalidInput` if there is none."""
    d = w.size
    require_steady(step, d)
    back = Return(step, d, period)
    states = [back.rest(w[None])]
    for _ in range(NEAR):
        with np.errstate(all="ignore"):
            states.append(back.on_states().values(states[-1]))
    starts = np.concatenate(states)
    starts = starts[np.all(np.isfinite(starts), axis=1)]
    orbit = orbit_from(back, starts, w)
    if orbit is None:
        where = ", ".join(f"{x:g}" for x in w)
        raise InvalidInput(
            f"Newton reaches no orbit of period {period} from ({where}), nor from where a run from "
            "there comes; start nearer to one."
        )
    return orbit


def orbit_from(back: Return, starts: np.ndarray, w: np.ndarray) -> Orbit | None:
    """The orbit nearest to w (d,) that Newton reaches from states (n, m)."""
    flow, size = Displacement(back), _size_of(back, starts)
    ends = newton(flow.velocity, starts, size)
    ends = ends[np.all(np.isfinite(ends), axis=1)]
    best: tuple[float, np.ndarray] | None = None
    for end in _distinct(ends, SAME * size):
        states = path(back, end)
        closed = back.on_states().values(end[None])[0] - end
        if not np.linalg.norm(closed) <= STAYS * size or repeats(states, SAME * size):
            continue
        gap = float(np.min(np.linalg.norm(states[:, : back.dim] - w, axis=1)))
        if best is None or gap < best[0] - SAME * size:
            best = gap, states
    if best is None:
        return None
    states = best[1]
    states = np.roll(states, -int(np.argmin(np.linalg.norm(states[:, : back.dim] - w, axis=1))), 0)
    return orbit_of(back, describe(flow, states[0]), states)


def _size_of(back: Return, starts: np.ndarray) -> float:
    """How far things are from states (n, m): how far apart these are, or a step leads, in the
    middle; nothing is known of where the origin is."""
    with np.errstate(all="ignore"):
        moved = np.linalg.norm(back.once.on_states().values(starts) - starts, axis=1)
    apart = np.linalg.norm(starts - starts[0], axis=1)
    finite = lambda x: x[np.isfinite(x) & (x > 0)]  # noqa: E731
    sizes = [float(np.median(some)) for some in (finite(moved), finite(apart)) if len(some)]
    return max([*sizes, 1e3 * float(np.spacing(np.max(np.abs(starts[0]))))])


def _distinct(ends: np.ndarray, reach: float) -> Sequence[np.ndarray]:
    kept: list[np.ndarray] = []
    for end in ends:
        if all(np.linalg.norm(end - known) > reach for known in kept):
            kept.append(end)
    return kept
