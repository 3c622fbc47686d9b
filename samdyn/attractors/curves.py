"""Curves in the plane that a figure draws: trajectories, and the manifolds of saddles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .. import kept
from ..bisection import bisect_rows
from ..dynamics.iterate import iterate
from ..dynamics.plane import Plane
from ..dynamics.stiff import FIRST, MOST_STEPS, Step, Tolerance, attempt, longer
from ..dynamics.systems.defined import where_defined
from ..dynamics.systems.map import AbstractMap
from ..dynamics.systems.ode import AbstractODE
from ..programs.batch import OnPoints
from ..results.encoding import storable
from .judging.directions import eigenpairs
from .stability_result import PointStability

SHARES = np.array([0.25, 0.5, 0.75, 1.0])  # of each step of the solver: points of the curve
RELATIVE, ABSOLUTE = 1e-6, 1e-8  # tolerances, the latter of the box's size
STUCK = 1e-9  # of the box's size: where a step that short is too long a curve ends
PATIENCE = 32  # steps in which a curve must move by what is seen, or have come to rest
RESOLUTION = 1e-3  # of the box's size: finer is not drawn
FASTEST = 1e4  # box sizes in the time of a saddle's fastest rate: so fast manifolds run at most
FOREVER = 1e5  # e-folds of a saddle's slower rate for a manifold to leave the box or come to rest
NUDGE = 1e-9  # of a side: how far inside the border a curve is started at least
ELSEWHERE = 1e4  # sizes of a plane's box: where a curve is given up in the other coordinates
OFFSET = 1e-4  # of the box's size: how far from a saddle its manifolds are started
MOST_ITERATES = 3000  # that are drawn


@storable
class Manifold(NamedTuple):
    """One half of a manifold of the saddle `w` (2,): `stable`, `points` (n, 2) from w outwards."""

    w: np.ndarray
    stable: bool
    points: np.ndarray


class _Levelled(eqx.Module):
    """The flow as seen from `origin`, whose speeds level off at `fastest`.

    Without an origin nearby a relative tolerance would be one of the distance to 0. And without a
    fastest speed a manifold followed back in time reaches infinity so soon that no floating-point
    time can tell its points apart.
    """

    flow: AbstractODE
    fastest: np.ndarray
    origin: np.ndarray

    def __call__(self, way):
        velocity = where_defined(self.flow, self.flow.velocity, ahead=True)(self.origin + way)
        return velocity / jnp.sqrt(1 + jnp.vdot(velocity, velocity) / self.fastest**2)


def follow(
    flow: AbstractODE,
    starts: np.ndarray,
    times: np.ndarray,
    box: np.ndarray,
    plane: Plane | None = None,
    fastest: float = np.inf,
) -> list[np.ndarray]:
    """The curve (n, d) of the flow from each of `starts` (k, d), until it leaves the box.

    `times` (k,) is how long each may take, negative to go back. A curve that reaches a point
    where the flow slides, or is not defined, ends there. Starts outside the box give that one
    point. The box (2, 2) is that of `plane` where there is one. Speeds above `fastest` count as
    that.
    """
    if not len(starts):
        return []
    sides = box if plane is None else _around(plane, box)
    inside = np.all((starts >= sides[:, 0]) & (starts <= sides[:, 1]), axis=1)
    # on the border itself a curve would end at once, also where it goes inwards
    rim = NUDGE * (sides[:, 1] - sides[:, 0])
    safe = np.clip(starts, sides[:, 0] + rim, sides[:, 1] - rim)
    size = float(np.max(box[:, 1] - box[:, 0]))
    curves = _Curves(flow, safe[inside], times[inside], sides, size, fastest).known()
    found, following = [start[None] for start in starts], iter(curves)
    for row in np.flatnonzero(inside):
        found[row] = _thinned(next(following), RESOLUTION * size)
    return found


def _around(plane: Plane, box: np.ndarray) -> np.ndarray:
    """A box (d, 2) with the plane's sides, and so wide otherwise that it stops nothing else."""
    far = ELSEWHERE * float(np.max(box[:, 1] - box[:, 0]))
    sides = np.stack([plane.at - far, plane.at + far], axis=1)
    sides[list(plane.axes)] = box
    return sides


class _Curves:
    """Curves on their way, each with its own time and step; valleys are stiff, so that explicit
    steps would be minute."""

    def __init__(self, flow: AbstractODE, starts, times, sides, size: float, fastest: float):
        self.origin = sides.mean(axis=1)
        levelled = _Levelled(flow, np.asarray(float(fastest)), self.origin)
        self.field = OnPoints(levelled, len(sides))
        self.sides, self.size = sides - self.origin[:, None], size
        starts = starts - self.origin
        self.w, self.left, self.sign = starts.copy(), np.abs(times), np.sign(times)
        self.h, self.mark = FIRST * self.left, np.full(starts.shape, np.inf)
        self.parts: list[list[np.ndarray]] = [[start[None]] for start in starts]

    def known(self) -> list[np.ndarray]:
        """The curves, which the command line keeps."""
        if self.field.program is None:
            return self.run()
        asked = self.w, self.left, self.sign, self.sides, np.array([self.size])
        key = *self.field.text(), *(array.tobytes() for array in asked)
        curves = kept.arrays(key, lambda: {f"{k}": c for k, c in enumerate(self.run())})
        return [curves[f"{k}"] for k in range(len(self.w))]

    def run(self) -> list[np.ndarray]:
        running, allowed = np.arange(len(self.w)), Tolerance(RELATIVE, ABSOLUTE * self.size)
        with np.errstate(all="ignore"):
            for count in range(MOST_STEPS):
                if count % PATIENCE == 0:
                    running = running[self._moves(running)]
                if not running.size:
                    break
                length = np.minimum(self.h[running], self.left[running])
                step = attempt(self.field, self.w[running], length, self.sign[running], allowed)
                running = running[self._taken(running, step, length)]
        return [self.origin + np.concatenate(parts) for parts in self.parts]

    def _moves(self, rows: np.ndarray) -> np.ndarray:
        """Which rows (n,) went somewhere since this was asked last, or take steps so long that
        their time is soon over: where a flow slides steps stay minute."""
        moved = np.max(np.abs(self.w[rows] - self.mark[rows]), axis=1) > RESOLUTION / 4 * self.size
        self.mark[rows] = self.w[rows]
        return moved | (self.h[rows] * 1e6 > self.left[rows])

    def _taken(self, rows: np.ndarray, step: Step, length: np.ndarray) -> np.ndarray:
        """What a step changes, and which rows (n,) go on."""
        good = (step.error <= 1) & np.all(np.isfinite(step.after), axis=1)
        self.h[rows] = longer(length, step.error)
        on = good | (length * np.linalg.norm(step.slope, axis=1) > STUCK * self.size)
        on &= self.h[rows] > 0
        if not np.any(good):
            return on
        made, taken = rows[good], step.take(good)
        path = taken.at(np.broadcast_to(SHARES, (len(made), len(SHARES))))
        first = np.where(self._inside(path), len(SHARES), np.arange(len(SHARES))).min(axis=1)
        for row, points, count in zip(made, path, first, strict=True):
            self.parts[row].append(points[:count])
        out = first < len(SHARES)
        if np.any(out):
            ends = self._exits(taken.take(out), first[out])
            for row, end in zip(made[out], ends, strict=True):
                self.parts[row].append(end[None])
        self.w[made] = taken.after
        self.left[made] -= length[good]
        on[good] = ~out & (self.left[made] > 0)
        return on

    def _exits(self, step: Step, first: np.ndarray) -> np.ndarray:
        """Where steps (n,) leave the box, before the share of the number `first` (n,)."""
        low = np.where(first > 0, SHARES[first - 1], 0.0)
        return step.at(bisect_rows(lambda s: self._inside(step.at(s)), low, SHARES[first])[1])

    def _inside(self, w: np.ndarray) -> np.ndarray:
        return np.all((w >= self.sides[:, 0]) & (w <= self.sides[:, 1]), axis=-1)


def _thinned(curve: np.ndarray, cell: float) -> np.ndarray:
    """The curve without points that lie in the same cell of a fine grid as the one before.

    The very last point stays.
    """
    curve = curve[np.all(np.isfinite(curve), axis=1)]
    cells = np.round(curve / cell)
    moved = np.any(cells[1:] != cells[:-1], axis=1)
    keep = np.concatenate([[True], moved])
    keep[-1] = True
    return curve[keep]


def flow_curves(
    flow: AbstractODE,
    points: Sequence[PointStability],
    box: np.ndarray,
    starts: Sequence[np.ndarray] = (),
    duration: float = 1.0,
    plane: Plane | None = None,
) -> tuple[list[Manifold], list[np.ndarray]]:
    """(manifolds of the flow's saddles among `points`, a trajectory (n, d) from each start).

    Four halves a saddle; none where no Jacobian exists, at a critical point of a method whose
    field jumps there.
    """
    durations = np.full(len(starts), float(duration))
    trajectories = follow(flow, np.array(list(starts)), durations, box, plane)
    saddles = [
        (item.point.w, pairs)
        for item in points
        if item.flow is not None
        and item.flow.verdict == "saddle"
        and item.flow.eigenvalues is not None
        and (pairs := eigenpairs(flow, item.point.w))
    ]
    return _manifolds(flow, saddles, box), trajectories


def _manifolds(flow: AbstractODE, saddles: list[Any], box: np.ndarray) -> list[Manifold]:
    """Four halves of each saddle, in the time of its own rates."""
    if not saddles:
        return []
    size = float(np.max(box[:, 1] - box[:, 0]))
    seeds, times, rates = [], [], []
    for w, pairs in saddles:
        own = np.abs([value for value, _ in pairs])
        rates.append(np.max(own))
        for value, vector in pairs:
            seeds += [(w, value < 0, sign * vector) for sign in (1.0, -1.0)]
            times += [np.copysign(FOREVER / np.min(own), value)] * 2
    begin = np.array([w + OFFSET * size * vector for w, _, vector in seeds])
    fastest = FASTEST * size * float(np.max(rates))
    curves = follow(flow, begin, np.array(times), box, fastest=fastest)
    joined = (np.concatenate([seed[0][None], c]) for seed, c in zip(seeds, curves, strict=True))
    return [Manifold(w, bool(stable), c) for (w, stable, _), c in zip(seeds, joined, strict=True)]


def sparse_steps(steps: int, most: int) -> list[int]:
    """All steps from 0 to `steps`, or about `most` of them: ever sparser late ones, in pairs of
    neighbours, so that an alternation stays visible."""
    if steps <= most:
        return list(range(steps + 1))
    late = np.geomspace(1, steps - 1, most // 2).astype(int)
    return np.unique(np.concatenate([[0], late, late + 1])).tolist()


def iterates(step_map: AbstractMap, start: np.ndarray, steps: int) -> np.ndarray:
    """w (n, d) along the steps of the optimizer: all of them, or ever sparser late ones.

    Late ones are kept in pairs of neighbours, so that an alternation stays visible. A run that
    diverges ends in one row of nan.
    """
    kept = sparse_steps(steps, MOST_ITERATES)
    run = iterate(step_map, jnp.asarray(start), steps, at_steps=kept)
    path = np.asarray(run.checkpoints)
    lost = np.flatnonzero(~np.all(np.isfinite(path), axis=1))
    return np.where(np.isfinite(path), path, np.nan)[: lost[0] + 1] if len(lost) else path
