"""A stiff differential equation from many starts at once, each with its own step.

The Rosenbrock pair of orders 2 and 3 of Shampine & Reichelt (The MATLAB ODE suite, 1997): three
evaluations and one factorisation a step, and no equation to be solved by iteration.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ...programs.batch import OnPoints

RTOL, ATOL = 1e-4, 1e-6
MOST_STEPS = 4096
FIRST = 1e-8  # of the time: the first step, which grows fivefold while errors allow
_D = 1 / (2 + np.sqrt(2))
_E = 6 + np.sqrt(2)


def integrate(
    field: Callable, starts: Float[np.ndarray, "n m"], times: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n k m"]:
    """y at ascending `times` from y(0) = `starts` under dy/dt = field(y), nan where a row gave up.

    A row gives up after 4,096 steps.
    """
    on_points, count = OnPoints(field, starts.shape[1]), len(starts)
    found = np.full((count, len(times), starts.shape[1]), np.nan)
    y, t = starts.copy(), np.zeros(count)
    h, next_time = np.full(count, FIRST * times[-1]), np.zeros(count, int)
    running = np.arange(count)
    with np.errstate(all="ignore"):
        for _ in range(MOST_STEPS):
            if not running.size:
                break
            goal = times[next_time[running]]
            step = np.minimum(h[running], goal - t[running])
            after, error = _attempt(on_points, y[running], step)
            good = error <= 1
            rows = running[good]
            y[rows], landed = after[good], step[good] >= (goal - t[running])[good]
            t[rows] = np.where(landed, goal[good], t[rows] + step[good])
            at = rows[landed]
            found[at, next_time[at]] = y[at]
            next_time[at] += 1
            longer = step * np.clip(0.8 * (error + 1e-10) ** (-1 / 3), 0.2, 5)
            cut = good & (step < h[running])  # shortened to land on a time, not by its error
            h[running] = np.where(cut, np.maximum(h[running], longer), longer)
            running = running[next_time[running] < len(times)]
    return found


def _attempt(on_points: OnPoints, y: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(y after a step h (n,), its error (n,): at most 1 where it is good enough)."""
    value, jacobian = on_points.with_jacobians(y)
    matrix = np.eye(y.shape[1]) - h[:, None, None] * _D * jacobian
    sound = np.all(np.isfinite(matrix), axis=(1, 2))
    matrix = np.where(sound[:, None, None], matrix, np.eye(y.shape[1]))
    length = h[:, None]

    def solved(right: np.ndarray) -> np.ndarray:
        return np.linalg.solve(matrix, right[..., None])[..., 0]

    first = solved(value)
    middle = on_points.values(y + 0.5 * length * first)
    second = solved(middle - first) + first
    after = y + length * second
    last = on_points.values(after)
    third = solved(last - _E * (second - middle) - 2 * (first - value))
    scale = ATOL + RTOL * np.maximum(np.abs(y), np.abs(after))
    error = length / 6 * (first - 2 * second + third) / scale
    error = np.sqrt(np.mean(error**2, axis=1))
    return after, np.where(np.isfinite(error) & sound, error, 1e3)
