"""Were the steps small enough where the paths have been? Looked at after a run, on some of it.

A step is chosen from what pilot paths see near the start. Later paths come to places where the
drift varies faster; a step that is long against its rate overshoots there, is thrown back and
forth, and leaves a region that the process does not leave. The exits themselves give that away:
by the rate of the drift where they happened, or by how far beyond the border they landed.
Everything is computed in double precision, outside the compiled loop, on a fixed choice of paths.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...dynamics.tree import as_dtype
from ...programs.batch import OnPoints
from ..statistics import CENSORED, ESCAPED, FAILED

UNSTABLE = 1.0  # a longer step overshoots the point where the drift vanishes
FAR_OUT = 8  # standard deviations of a step's noise that an exit may lie beyond the border
EXITS, INSIDE = 256, 64  # paths looked at
ROWS = 1024  # states evaluated at once
ZERO = 1e-4  # of the largest noise on the way: noise below it counts as vanished
GRID, WAYS = 129, 32  # points on a straight way from the start to an exit, and how many of them


class Sight(NamedTuple):
    """At n states: drift (n, m), noise matrix per √time (n, m, draws), gap to the border (n,)."""

    drift: np.ndarray
    matrix: np.ndarray
    gap: np.ndarray

    @property
    def noise(self) -> np.ndarray:
        """Standard deviation of each component per √time, (n, m)."""
        return np.sqrt(np.sum(self.matrix**2, axis=2))


class Watch:
    """Looks at a stepper of an SDE in double precision."""

    def __init__(self, stepper: Any):
        with jax.enable_x64(True):
            self.stepper = as_dtype(stepper, jnp.float64)
            self.start = np.asarray(self.stepper.start)
            self._see = OnPoints(See(self.stepper), self.start.size)

    def see(self, y: np.ndarray) -> Sight:
        """Drift, noise and gap at states y (n, m)."""
        size = self.start.size
        with jax.enable_x64(True):
            parts = [self._see.values(y[k : k + ROWS]) for k in range(0, max(len(y), 1), ROWS)]
        found = np.concatenate(parts)
        matrix = found[:, size:-1].reshape(len(y), size, -1)
        return Sight(found[:, :size], matrix, found[:, -1])

    def states(self, points: np.ndarray) -> np.ndarray:
        """States at parameters `points` (n, d), at rest if there is momentum."""
        rest = np.zeros((len(points), self.start.size - points.shape[1]))
        return np.concatenate([points, rest], axis=1)

    def rates(self, points: np.ndarray, dt: float) -> np.ndarray:
        """How fast the drift varies at `points` (n, d), within the reach of a step: (n,) per time.

        The largest of the norm of its differences over the length of a step's noise, and of its
        change along the step that it takes itself. inf where it is not finite.
        """
        y = self.states(points)
        with np.errstate(all="ignore"):
            here = self.see(y)
            reach = np.maximum(here.noise * np.sqrt(dt), 1e-6 * (1 + np.abs(y)))
            # shifts[k, i] moves state k along component i
            shifts = reach[:, :, None] * np.eye(y.shape[1])[None]
            ahead, behind = (self._drift(y[:, None] + s * shifts) for s in (1, -1))
            jacobian = (ahead - behind) / (2 * reach[:, :, None])
            norm = _norms(jacobian)
            move = here.drift * dt
            change = np.linalg.norm(self.see(y + move).drift - here.drift, axis=1)
            length = np.linalg.norm(move, axis=1)
            along = np.where(length > 0, change / np.where(length > 0, length, 1), 0)
            return np.nan_to_num(np.maximum(norm, along), nan=np.inf, posinf=np.inf)

    def _drift(self, y: np.ndarray) -> np.ndarray:
        return self.see(y.reshape(-1, y.shape[-1])).drift.reshape(y.shape)

    def thrown(self, points: np.ndarray, dt: float) -> np.ndarray:
        """Which exits (n,) lie further out than noise and drift of a step can bring a path."""
        if not self.stepper.region.exact or self.stepper.diffusion.inertial:
            return np.zeros(len(points), bool)
        with np.errstate(all="ignore"):
            seen = self.see(points)
            noise = np.linalg.norm(seen.noise, axis=1) * np.sqrt(dt)
            usual = np.linalg.norm(self.see(self.start[None]).noise) * np.sqrt(dt)
            drift = np.linalg.norm(seen.drift, axis=1) * dt
        return ~(-seen.gap <= FAR_OUT * np.maximum(noise, usual) + 2 * drift)

    def suspects(self, points: np.ndarray, dt: float, limit: float) -> np.ndarray:
        """Which exits (n,) the process need not have made: the step was too long for the drift."""
        if not len(points):
            return np.zeros(0, bool)
        return (self.rates(points, dt) * dt > limit) | self.thrown(points, dt)

    def barred(self, points: np.ndarray) -> np.ndarray:
        """Which exits (n,) lie beyond a place that the process cannot cross.

        There, on the straight way from the start, the noise vanishes in a direction across which
        the drift points back.
        """
        parts = [points[k : k + WAYS] for k in range(0, len(points), WAYS)]
        return np.concatenate([np.zeros(0, bool), *(self._barred(part) for part in parts)])

    def _barred(self, points: np.ndarray) -> np.ndarray:
        ways = points[:, None] - self.start[None, None]
        low, high = np.zeros(len(ways)), np.ones(len(ways))
        largest = np.zeros(len(ways))
        for _ in range(4):  # each round looks GRID/2 times closer about the least noise
            t = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, GRID)[None]
            at = self.start + t[:, :, None] * ways
            matrix = self.see(at.reshape(-1, self.start.size)).matrix
            least = np.linalg.svd(matrix, compute_uv=False)[:, -1].reshape(t.shape)
            largest = np.maximum(largest, least.max(1))
            where = np.clip(np.argmin(least, axis=1), 1, GRID - 2)
            rows = np.arange(len(t))
            low, high = t[rows, where - 1], t[rows, where + 1]
        at = self.start + ((low + high) / 2)[:, None] * ways[:, 0]
        seen = self.see(at)
        left, size, _ = np.linalg.svd(seen.matrix)
        normal = left[:, :, -1]
        normal *= np.sign(-np.sum(normal * ways[:, 0], axis=1))[:, None]  # towards the start
        back = np.sum(normal * seen.drift, axis=1) > 0
        return (size[:, -1] <= ZERO * largest) & back & (largest > 0)


class See(eqx.Module):
    """Drift, noise matrix and gap at a state, one after another."""

    stepper: Any

    def __call__(self, y):
        draws = jnp.eye(self.stepper.draws, dtype=y.dtype)
        matrix = jax.vmap(lambda z: self.stepper.noise(y, z), 0, 1)(draws)
        parts = self.stepper.slope(y), matrix.ravel(), self.stepper.gap(y)[None]
        return jnp.concatenate(parts)


def _norms(matrices: np.ndarray) -> np.ndarray:
    finite = np.all(np.isfinite(matrices), axis=(1, 2))
    safe = np.where(finite[:, None, None], matrices, 0)
    return np.where(finite, np.linalg.norm(safe, 2, axis=(1, 2)), np.inf)


def some(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `rows`, evenly spaced: the same whoever ran the paths."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)]


class Finding(NamedTuple):
    """What a look at a run found.

    `rate` is the fastest rate where paths have been, `wrong` how many of the `looked` exits need
    not be the process's, `barred` whether some lie beyond where the process cannot come,
    `failed` how many paths are not finite.
    """

    rate: float
    wrong: int
    looked: int
    barred: bool
    failed: int


def look(watch: Watch, dt: float, limit: float, status: np.ndarray, points: np.ndarray) -> Finding:
    """What the ends of paths (n,), (n, d) say about the step `dt`."""
    exits = points[some(np.flatnonzero(status == ESCAPED), EXITS)]
    inside = points[some(np.flatnonzero(status == CENSORED), INSIDE)]
    suspects = watch.suspects(exits, dt, limit)
    seen = np.concatenate([exits, inside])
    rate = float(np.max(watch.rates(seen, dt), initial=0.0)) if len(seen) else 0.0
    if np.any(watch.thrown(exits, dt)) if len(exits) else False:
        rate = max(rate, 16 * limit / dt)  # it came from a steeper place
    barred = not watch.stepper.diffusion.additive and not watch.stepper.diffusion.inertial
    barred = bool(barred and len(exits) and np.any(watch.barred(exits[:WAYS])))
    failed = int(np.sum(status == FAILED))
    return Finding(rate, int(np.sum(suspects)), len(exits), barred, failed)
