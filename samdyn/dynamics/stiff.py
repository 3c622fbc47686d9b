"""A stiff differential equation from many starts at once, each with its own step.

Rodas4, the Rosenbrock method of orders 4 and 3 of Hairer & Wanner (Solving Ordinary Differential
Equations II, 1996, section IV.7): six evaluations and one factorisation a step, no equation that is
solved by iteration, and nothing to compile. Stiffly accurate, with an output of order 3 between the
ends of a step. diffrax follows single paths and what must be differentiated (`integrate.py`).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .. import kept
from ..programs.batch import OnPoints

MOST_STEPS = 4096
TINY = np.finfo(float).tiny
FIRST = 1e-8  # of the time: the first step, which grows fivefold while errors allow

_GAMMA = 0.25
# of the stages before: what is added to y, and what to the right-hand side, times 1/h
_A = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
)
_C = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136,
     -6.058818238834054),
)  # fmt: skip
_BETWEEN = (
    (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823,
     1.025137723295662),
    (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386,
     -6.594389125716872),
)  # fmt: skip


class Step(NamedTuple):
    """One step of n rows: y before and `after` it (n, m), dy/dt before it, two polynomial terms
    `bends` (2, n, m) for what lies between, and its `error` (n,), at most 1 where it is good."""

    before: np.ndarray
    after: np.ndarray
    slope: np.ndarray
    bends: np.ndarray
    error: np.ndarray

    def at(self, share: np.ndarray) -> np.ndarray:
        """y after a `share` (n,), or (n, k), of the step: (n, m), or (n, k, m)."""
        s = np.asarray(share)[..., None]
        before, after, one, two = (
            x if s.ndim == 2 else x[:, None] for x in (self.before, self.after, *self.bends)
        )
        return (1 - s) * before + s * (after + (1 - s) * (one + s * two))

    def take(self, rows: np.ndarray) -> "Step":
        """Some of the rows."""
        before, after, slope, bends, error = self
        return Step(before[rows], after[rows], slope[rows], bends[:, rows], error[rows])


class Tolerance(NamedTuple):
    """A step's error may be `absolute` + `relative`·|y| in each coordinate."""

    relative: float
    absolute: float


LOOSE = Tolerance(1e-4, 1e-6)


def attempt(
    field: OnPoints, y: np.ndarray, h: np.ndarray, scale: np.ndarray | float, allowed: Tolerance
) -> Step:
    """A step of length h (n,) from y (n, m) under dy/dt = scale·field(y); `scale` (n,) or one."""
    scale = np.broadcast_to(scale, h.shape)[:, None]
    value, jacobian = field.with_jacobians(y)
    matrix = np.eye(y.shape[1]) / (_GAMMA * h)[:, None, None] - scale[..., None] * jacobian
    sound = np.all(np.isfinite(matrix), axis=(1, 2))
    inverse = np.linalg.inv(np.where(sound[:, None, None], matrix, np.eye(y.shape[1])))
    stages: list[np.ndarray] = []

    def stage(at: np.ndarray, right: np.ndarray) -> None:
        for factor, earlier in zip(_C[len(stages)], stages, strict=True):
            right = right + (factor / h)[:, None] * earlier
        stages.append((inverse @ right[..., None])[..., 0])

    stage(y, scale * value)
    for shifts in _A[1:]:
        at = y + sum(a * k for a, k in zip(shifts, stages, strict=True))
        stage(at, scale * field.values(at))
    at = at + stages[-1]
    stage(at, scale * field.values(at))
    after, error = at + stages[-1], stages[-1]
    size = allowed.absolute + allowed.relative * np.maximum(np.abs(y), np.abs(after))
    error = np.sqrt(np.mean((error / size) ** 2, axis=1))
    error = np.where(np.isfinite(error) & sound, error, 1e3)
    bends = np.stack([sum(b * k for b, k in zip(row, stages, strict=False)) for row in _BETWEEN])
    return Step(y, after, scale * value, bends, error)


def longer(step: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The length of the next step (n,), from that of the last and its error."""
    return step * np.clip(0.9 * (error + 1e-10) ** (-1 / 4), 0.2, 5)


def integrate(
    field: Callable,
    starts: Float[np.ndarray, "n m"],
    times: Float[np.ndarray, " k"],
    allowed: Tolerance = LOOSE,
) -> Float[np.ndarray, "n k m"]:
    """y at ascending `times` from y(0) = `starts` under dy/dt = field(y), nan where a row gave up.

    A row gives up after 4,096 steps.
    """
    on_points = OnPoints(field, starts.shape[1])
    made = functools.partial(_integrated, on_points, starts, times, allowed)
    if on_points.program is None:
        return made()
    key = *on_points.text(), starts.tobytes(), times.tobytes(), allowed
    return kept.arrays(key, lambda: {"y": made()})["y"]


def _integrated(on_points: OnPoints, starts, times, allowed: Tolerance) -> np.ndarray:
    count = len(starts)
    found = np.full((count, len(times), starts.shape[1]), np.nan)
    y, t = starts.copy(), np.zeros(count)
    rates = np.abs(on_points.with_jacobians(starts)[1]).sum(axis=2).max(axis=1)
    h = np.fmax(FIRST * times[-1], np.fmin(0.1 / np.maximum(rates, TINY), times[0]))
    next_time = np.zeros(count, int)
    running = np.arange(count)
    with np.errstate(all="ignore"):
        for _ in range(MOST_STEPS):
            if not running.size:
                break
            goal = times[next_time[running]]
            length = np.minimum(h[running], goal - t[running])
            step = attempt(on_points, y[running], length, 1.0, allowed)
            good = step.error <= 1
            rows = running[good]
            y[rows], landed = step.after[good], length[good] >= (goal - t[running])[good]
            t[rows] = np.where(landed, goal[good], t[rows] + length[good])
            at = rows[landed]
            found[at, next_time[at]] = y[at]
            next_time[at] += 1
            after = longer(length, step.error)
            cut = good & (length < h[running])  # shortened to land on a time, not by its error
            h[running] = np.where(cut, np.maximum(h[running], after), after)
            running = running[next_time[running] < len(times)]
    return found
