"""Curves in the plane that a figure draws: trajectories, and the manifolds of saddles."""

from collections.abc import Sequence
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics.integrate import integrate
from ..dynamics.iterate import iterate
from ..dynamics.plane import Plane
from ..dynamics.systems.map import AbstractMap
from ..dynamics.systems.ode import AbstractODE
from ..results.encoding import storable
from .judging.directions import eigenpairs
from .report import PointStability

BETWEEN = 4  # points on a curve for each step of the solver
RESOLUTION = 1e-3  # of the box's size: finer is not drawn
FASTEST = 1e4  # box sizes per unit of time: the speed at which curves are followed at most
FOREVER = 1e5  # time for a manifold to leave the box or come to rest
NUDGE = 1e-9  # of a side: how far inside the border a curve is started at least
ELSEWHERE = 1e4  # sizes of a plane's box: where a curve is given up in the other coordinates
OFFSET = 1e-4  # of the box's size: how far from a saddle its manifolds are started
MOST_STEPS = 4096
MOST_ITERATES = 3000  # that are drawn


@storable
class Manifold(NamedTuple):
    """One half of a manifold of the saddle `w` (2,): `stable`, `points` (n, 2) from w outwards."""

    w: np.ndarray
    stable: bool
    points: np.ndarray


class _Paced(eqx.Module):
    """The flow with its time in units of `pace`: τ from 0 to 1, backwards where pace < 0.

    Speeds level off at `fastest`. Without that a manifold followed back in time reaches
    infinity so soon that no floating-point time can tell its points apart.
    """

    flow: AbstractODE
    pace: jax.Array
    fastest: jax.Array

    def __call__(self, tau, w, args=None):
        velocity = self.flow.velocity(w)
        return self.pace / (1 + jnp.linalg.norm(velocity) / self.fastest) * velocity


def follow(
    flow: AbstractODE,
    starts: np.ndarray,
    times: np.ndarray,
    box: np.ndarray,
    plane: Plane | None = None,
) -> list[np.ndarray]:
    """The curve (n, d) of the flow from each of `starts` (k, d), until it leaves the box.

    `times` (k,) is how long each may take, negative to go back. A curve that reaches a point
    where the flow slides ends there. Starts outside the box give that one point. The box (2, 2)
    is that of `plane` where there is one.
    """
    if not len(starts):
        return []
    sides = box if plane is None else _around(plane, box)
    inside = np.all((starts >= sides[:, 0]) & (starts <= sides[:, 1]), axis=1)
    # on the border itself a curve would end at once, also where it goes inwards
    rim = NUDGE * (sides[:, 1] - sides[:, 0])
    safe = np.clip(starts, sides[:, 0] + rim, sides[:, 1] - rim)
    size = float(np.max(box[:, 1] - box[:, 0]))
    arrays = (jnp.asarray(a, float) for a in (safe, times, sides, FASTEST * size))
    points, cell = np.asarray(_follow_all(flow, *arrays)), RESOLUTION * size
    return [
        _thinned(curve, cell) if ok else start[None]
        for curve, ok, start in zip(points, inside, starts, strict=True)
    ]


def _around(plane: Plane, box: np.ndarray) -> np.ndarray:
    """A box (d, 2) with the plane's sides, and so wide otherwise that it stops nothing else."""
    far = ELSEWHERE * float(np.max(box[:, 1] - box[:, 0]))
    sides = np.stack([plane.at - far, plane.at + far], axis=1)
    sides[list(plane.axes)] = box
    return sides


@eqx.filter_jit
def _follow_all(flow, starts, times, box, fastest):
    def one(start, time):
        path = integrate(
            _Paced(flow, time, fastest),
            start,
            1.0,
            points=2,
            box=box,
            solver=diffrax.Kvaerno5(),  # valleys are stiff: explicit steps would be minute
            rtol=1e-6,
            atol=1e-8 * jnp.max(box[:, 1] - box[:, 0]),
            max_steps=MOST_STEPS,
        )
        # The solver's own steps follow the curve: speeds along it differ by powers of ten.
        steps = jnp.minimum(path.interpolation.ts, path.t)
        shares = jnp.linspace(0.0, 1.0, BETWEEN, endpoint=False, dtype=steps.dtype)
        inner = steps[:-1, None] + jnp.outer(jnp.diff(steps), shares)
        return jax.vmap(path.at)(jnp.concatenate([inner.reshape(-1), path.t[None]]))

    return jax.vmap(one)(starts, times)


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
    field jumps there. One call for both, because each compiles a solver.
    """
    seeds = [
        (item.point.w, value < 0, sign * vector)
        for item in points
        if item.flow is not None
        and item.flow.verdict == "saddle"
        and item.flow.eigenvalues is not None
        for value, vector in eigenpairs(flow, item.point.w)
        for sign in (1.0, -1.0)
    ]
    offset = OFFSET * float(np.max(box[:, 1] - box[:, 0]))
    begin = [w + offset * vector for w, _, vector in seeds] + list(starts)
    times = [-FOREVER if stable else FOREVER for _, stable, _ in seeds] + [duration] * len(starts)
    curves = follow(flow, np.array(begin), np.array(times), box, plane)
    manifolds = [
        Manifold(w, bool(stable), np.concatenate([w[None], curve]))
        for (w, stable, _), curve in zip(seeds, curves, strict=False)
    ]
    return manifolds, curves[len(seeds) :]


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
