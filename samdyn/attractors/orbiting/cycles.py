"""Limit cycles of flows, by multiple shooting on diffrax.

Runs forwards in time come to attracting cycles and runs backwards to repelling ones. Where one
passes the place at which it was before, Newton closes it: a few points on the cycle and its period,
each point the end of the flow from the one before, on a plane across the flow. The derivatives of
these pieces come from the variational equation, and their product has Floquet's multipliers as its
eigenvalues; these are found from the pieces (`growth/product_spectrum.py`), so that one of e^{-100}
has digits.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...compiling import jit_for_few_runs
from ...dynamics.systems.ode import AbstractODE
from ...errors import InvalidInput
from ...growth.product_spectrum import eigenvalues_of_product
from ...lazily import diffrax
from ..finding.starts import EvenPoints
from ..judging.enclosed import Discs
from ..judging.verdict import Verdict, map_verdict
from .orbit import Orbit

STARTS = 16  # of runs, and rows of what is compiled
SAVED = 2049  # points of a run that are looked at
NODES, WITHIN = 16, 16  # points of a cycle that Newton moves; points that are shown from each on
DOUBLINGS = 14  # of the time that runs take
FAR = 10.0  # sizes of the box: farther away a run has left
RTOL, EXACT = 1e-7, 1e-12  # of steps of the solver, of runs and of shooting
FINE = 1e-11  # of how far runs may get: errors of a step that are allowed whatever its length
SEEN = 1e-7  # of that: a loop that is smaller is the solver's own jitter
BACK = 0.05  # of a run's extent: so near a run has been there before
MOST, SHORTEST = 15, 1e-2  # steps of Newton's, and the least share that one is cut to
MORE = 10.0  # times the gap may grow in a step
CLOSED = 1e-10  # of the cycle's size
SAME = 1e-6  # of a period
TRIES = 4  # loops of runs that close onto nothing that attracts, or not at all
KNOWN = 1e-8  # of the largest multiplier: errors of them
REST = 1e-7  # of the fastest speed: a run that slow rests
AROUND = 10.0  # times how far a flow moves in the time of its fastest rate
LONGEST = 30_000  # steps of the solver in a run


class Pieces(NamedTuple):
    """The flow from each of several points over one time: on the way (NODES, WITHIN + 1, d), and
    the derivative of its end by its start (NODES, d, d)."""

    paths: np.ndarray
    slopes: np.ndarray


def cycles_in_box(flow: AbstractODE, box: np.ndarray, seed: int) -> tuple[list[Orbit], list[str]]:
    """Cycles with a point in a box (d, 2), to which runs from it come; and warnings."""
    starts = box[:, 0] + EvenPoints(len(box), seed).take(STARTS) * np.ptp(box, axis=1)
    size, found, lost, families = float(np.max(np.ptp(box, axis=1))), [], 0, False
    for way in (1.0, -1.0):
        for loop in _loops(flow, starts, size, way):
            if _known(found, loop.points[0], size):
                continue
            orbit = _closed(flow, loop)
            if orbit is None:
                lost += 1
            elif _within(orbit.points, box) and not _same_as_one(found, orbit):
                family = orbit.verdict.verdict == "degenerate"
                if not (family and any(o.verdict.verdict == "degenerate" for o in found)):
                    found.append(orbit)
                families |= family
    warnings = []
    if lost and not found:
        warnings.append(
            f"{lost} runs keep moving and come back to where they were before, and Newton closes "
            "none of them: what they are on may not be periodic."
        )
    if families:
        warnings.append(
            "a cycle has a multiplier of 1 beside its own: cycles may fill a region there, of "
            "which one is listed."
        )
    found.sort(key=lambda orbit: (orbit.period, tuple(orbit.centre)))
    return found, warnings


def attracting_cycles(flow: AbstractODE, starts: np.ndarray, size: float) -> list[Orbit]:
    """The attracting cycles to which runs from starts (n, d), 16 at most, come.

    On a chaotic set loops close, too, onto unstable cycles: after a few of them no more are tried.
    """
    found: list[Orbit] = []
    for tried, loop in enumerate(_loops(flow, starts, size, 1.0)):
        if tried - len(found) >= TRIES:
            break
        if not _known(found, loop.points[0], size):
            orbit = _closed(flow, loop)
            if orbit is None or orbit.verdict.verdict != "attractor":
                continue
            if not _same_as_one(found, orbit):
                found.append(orbit)
    return found


def cycle_near(flow: AbstractODE, w: np.ndarray, period: float | None) -> Orbit:
    """The cycle that Newton reaches from a point (d,) and a guess of its period; without one, from
    where runs from there return."""
    size = _size_at(flow, w)
    loops = []
    if period is not None:
        path = _paths(flow, w[None], period, w, 100 * FAR * size)[0]
        loops.append(Loop(path[:: len(path) // NODES][:NODES], period))
    loops += [loop for way in (1.0, -1.0) for loop in _loops(flow, w[None], size, way)]
    for loop in loops:
        orbit = _closed(flow, loop) if np.all(np.isfinite(loop.points)) else None
        if orbit is not None:
            return orbit
    where = ", ".join(f"{x:g}" for x in w)
    raise InvalidInput(
        f"no cycle is reached from ({where}): a run from there comes to rest, leaves, or never "
        "closes; start on one, and give its period if it is of saddle type."
    )


def _size_at(flow: AbstractODE, w: np.ndarray) -> float:
    """How far things are from a point, from the field alone: how far it moves in the time of its
    own rates, and some."""
    speed = float(np.linalg.norm(_velocities(flow, w[None])[0]))
    rate = float(np.max(np.abs(_jacobian_at(flow, jnp.asarray(w)))))
    return AROUND * speed / rate if rate > 0 and speed > 0 else float(np.max(np.abs(w))) or 1.0


class Loop(NamedTuple):
    """A guess of a cycle: points (NODES, d) at equal times along it, and its period."""

    points: np.ndarray
    period: float


def _loops(flow: AbstractODE, starts: np.ndarray, size: float, way: float) -> list[Loop]:
    """Loops of runs, forwards or backwards in time, that keep moving in bounds."""
    found: list[Loop] = []
    if starts.shape[1] == 1:
        return found  # a flow on a line never comes back
    now, centre = starts.copy(), starts.mean(axis=0)
    speeds = np.linalg.norm(_velocities(flow, now), axis=1)
    fastest = float(np.max(speeds[np.isfinite(speeds)], initial=0.0))
    if not fastest > 0:
        return []
    time = size / fastest
    for _ in range(DOUBLINGS):
        paths = _paths(flow, now, way * time, centre, FAR * size)
        paths = paths[np.all(np.isfinite(paths), axis=(1, 2))]
        speed = np.linalg.norm(_velocities(flow, paths[:, -1]), axis=1)
        paths = paths[speed > REST * fastest]
        loops = [_loop(flow, path, way * time, SEEN * FAR * size) for path in paths]
        found += [loop for loop in loops if loop is not None]
        now = paths[[loop is None for loop in loops], -1]
        if not len(now):
            break
        time *= 2
    return found


def _loop(flow: AbstractODE, path: np.ndarray, time: float, least: float) -> Loop | None:
    """What a run (SAVED, d) did since it was at its end before, if it has been there three times.

    The plane across the velocity there is passed in the same sense each time.
    """
    end, last = path[-1], len(path) - 1
    velocity = _velocities(flow, end[None])[0] * np.sign(time)
    height = (path - end) @ velocity
    rising = np.flatnonzero((height[:-1] < 0) & (height[1:] >= 0))
    extent = float(np.max(np.ptp(path[len(path) // 2 :], axis=0)))
    near = [k for k in rising if np.linalg.norm(path[k + 1] - end) <= BACK * extent]
    near = [k for k in near if k < last - 1]
    if len(near) < 2 or not extent > least:
        return None
    begin = near[-1] + height[near[-1]] / (height[near[-1]] - height[near[-1] + 1])
    rows = np.linspace(begin, last, NODES + 1)
    points = np.stack([np.interp(rows, np.arange(len(path)), x) for x in path.T], axis=1)
    if time < 0:
        points = points[::-1]
    return Loop(points[:-1], float((last - begin) * abs(time) / last))


def _closed(flow: AbstractODE, loop: Loop) -> Orbit | None:
    """The cycle that Newton makes of a guess, judged; None where there is none."""
    nodes, period = loop
    pieces, share = _shoot(flow, nodes, period), 1.0
    for _ in range(MOST):
        size = float(np.max(np.ptp(nodes, axis=0)))
        if not np.all(np.isfinite(pieces.slopes)):
            return None
        if _gap(pieces, nodes) <= CLOSED * size:
            return _judged(flow, pieces, period)
        moved, change = _newton_step(flow, pieces, nodes)
        share = min(1.0, 2 * share, 0.3 * period / max(abs(change), 1e-300))
        while share > SHORTEST:
            trial = nodes + share * moved, period + share * change
            ahead = _shoot(flow, *trial)
            if _gap(ahead, trial[0]) <= MORE * _gap(pieces, nodes):
                break
            share /= 4
        else:
            return None
        (nodes, period), pieces = trial, ahead
        if not loop.period / 20 < period < 20 * loop.period:
            return None
    return None


def _gap(pieces: Pieces, nodes: np.ndarray) -> float:
    """How far the end of a piece is from the next node, at most; infinite where one is lost."""
    gap = float(np.max(np.abs(pieces.paths[:, -1] - np.roll(nodes, -1, axis=0))))
    return gap if np.isfinite(gap) else np.inf


def _newton_step(flow: AbstractODE, pieces: Pieces, nodes: np.ndarray) -> tuple[np.ndarray, float]:
    """How nodes (n, d) and period must change for the pieces to meet, to first order; the first
    node moves across the flow alone."""
    (count, d), ends = nodes.shape, pieces.paths[:, -1]
    gaps = ends - np.roll(nodes, -1, axis=0)
    matrix = np.zeros((count * d + 1, count * d + 1))
    for k in range(count):
        rows, after = slice(k * d, (k + 1) * d), (k + 1) % count
        matrix[rows, rows] += pieces.slopes[k]
        matrix[rows, after * d : (after + 1) * d] -= np.eye(d)
    speeds = _velocities(flow, np.concatenate([ends, nodes[:1]]))
    matrix[:-1, -1] = speeds[:-1].ravel() / count
    matrix[-1, :d] = speeds[-1] / np.linalg.norm(speeds[-1])
    change = np.linalg.lstsq(matrix, -np.append(gaps.ravel(), 0), rcond=None)[0]
    return change[:-1].reshape(count, d), float(change[-1])


def _judged(flow: AbstractODE, pieces: Pieces, period: float) -> Orbit | None:
    """None for what does not move: a fixed point closes after any time."""
    points = pieces.paths[:, :-1].reshape(-1, pieces.paths.shape[-1])
    speed = np.linalg.norm(_velocities(flow, points), axis=1)
    size = float(np.max(np.ptp(points, axis=0)))
    if size <= 1e4 * np.spacing(np.max(np.abs(points))) or np.min(speed) * period <= 1e-9 * size:
        return None
    for parts in (2, 4, 8):  # a loop that is passed several times
        turned = np.roll(points, -(len(points) // parts), axis=0)
        if np.max(np.abs(turned - points)) <= 1e-6 * size:
            once = points[: len(points) // parts]
            rows = np.linspace(0, len(once), NODES, endpoint=False).astype(int)
            return _closed(flow, Loop(once[rows], period / parts))
    values = eigenvalues_of_product(pieces.slopes)
    beside = np.delete(values, int(np.argmin(np.abs(values - 1))))
    verdict = Verdict("degenerate", "it fills all of space")
    if beside.size:  # of a multiplier nothing below the solver's own error is known
        errors = np.full(beside.size, KNOWN * max(1.0, float(np.max(np.abs(beside)))))
        verdict = map_verdict(beside, None, Discs(beside, errors))._replace(proven=False)
    words = verdict.why.replace("multipliers", "Floquet multipliers beside 1")
    return Orbit(
        points, float(period), values, verdict._replace(why=words, eigenvalues=values), points
    )


def _known(found: list[Orbit], x: np.ndarray, size: float, share: float = 0.02) -> bool:
    """Whether a point lies on a cycle already, to a `share` of the distance of its points there."""
    for orbit in found:
        points = orbit.points
        gaps = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
        nearest = int(np.argmin(np.linalg.norm(points - x, axis=1)))
        local = max(gaps[nearest], gaps[nearest - 1])
        if distance_to_curve(x[None], points)[0] <= 1e-4 * size + share * local:
            return True
    return False


def distance_to_curve(w: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far each of w (n, d) is from the closed line through points (m, d), (n,)."""
    gaps = np.full(len(w), np.inf)
    for begin, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        way, from_there = end - begin, w - begin
        length = float(way @ way)
        along = np.clip(from_there @ way / length, 0, 1) if length > 0 else np.zeros(len(w))
        gaps = np.minimum(gaps, np.linalg.norm(from_there - along[:, None] * way, axis=1))
    return gaps


def _same_as_one(found: list[Orbit], orbit: Orbit) -> bool:
    """Whether a cycle has the period of another and lies on it."""
    return any(
        abs(o.period - orbit.period) <= SAME * orbit.period
        and all(_known([o], x, 0.0, 0.5) for x in orbit.points)
        for o in found
    )


def _within(points: np.ndarray, box: np.ndarray) -> bool:
    return bool(np.any(np.all((points >= box[:, 0]) & (points <= box[:, 1]), axis=1)))


def _velocities(flow: AbstractODE, points: np.ndarray) -> np.ndarray:
    return np.asarray(_velocity_at(flow, jnp.asarray(points)))


@jit_for_few_runs
def _velocity_at(flow: AbstractODE, points: Any) -> Any:
    return jax.vmap(flow.velocity)(points)


@jit_for_few_runs
def _jacobian_at(flow: AbstractODE, w: Any) -> Any:
    return jax.jacfwd(flow.velocity)(w)


class _WithVariation(eqx.Module):
    """The flow and its variational equation, of a displacement from a start and its derivative."""

    flow: AbstractODE
    start: Any

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        way, variation = y
        along = lambda v: jax.jvp(self.flow.velocity, (self.start + way,), (v,))[1]  # noqa: E731
        turned = jax.vmap(along, in_axes=1, out_axes=1)(variation)
        return self.flow.velocity(self.start + way), turned


def _paths(
    flow: AbstractODE, starts: np.ndarray, time: float, centre: np.ndarray, far: float
) -> np.ndarray:
    """Runs (n, SAVED, d) at equal times; not finite where one gets farther than `far`."""
    padded = starts[np.minimum(np.arange(STARTS), len(starts) - 1)]
    given = (padded, float(time), centre, float(far))
    return np.asarray(_run(flow, *map(jnp.asarray, given)))[: len(starts)]


@jit_for_few_runs
def _run(flow: AbstractODE, starts: Any, time: Any, centre: Any, far: Any) -> Any:
    gone = lambda t, y, args, **_: jnp.max(jnp.abs(y - centre)) > far  # noqa: E731

    def one(start):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: flow.velocity(y)),
            diffrax.Tsit5(),
            0.0,
            time,
            None,
            start,
            saveat=diffrax.SaveAt(ts=jnp.linspace(0, time, SAVED)),
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=FINE * far),
            event=diffrax.Event(gone),
            max_steps=LONGEST,
            throw=False,
        ).ys

    return jax.vmap(one)(starts)


def _shoot(flow: AbstractODE, nodes: np.ndarray, period: float) -> Pieces:
    size = float(np.max(np.ptp(nodes, axis=0)))
    given = nodes, period / len(nodes), size
    return Pieces(*(np.asarray(x) for x in _shot(flow, *map(jnp.asarray, given))))


@jit_for_few_runs
def _shot(flow: AbstractODE, nodes: Any, time: Any, size: Any) -> Any:
    def one(x):
        # of the displacement, so that tolerances do not know where the origin is
        way = jnp.zeros_like(x), jnp.eye(x.size, dtype=x.dtype)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(_WithVariation(flow, x)),
            diffrax.Dopri8(),
            0.0,
            time,
            None,
            way,
            saveat=diffrax.SaveAt(ts=jnp.linspace(0, time, WITHIN + 1)),
            stepsize_controller=diffrax.PIDController(rtol=EXACT, atol=EXACT * size),
            max_steps=LONGEST,
            throw=False,
        )
        assert solution.ys is not None
        paths, slopes = solution.ys
        return x[None] + paths, slopes[-1]

    return jax.vmap(one)(nodes)
