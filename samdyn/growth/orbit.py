"""A periodic orbit of the mean step, in all that the step remembers, by Newton from its points."""

from typing import NamedTuple

import numpy as np

from ..errors import InvalidInput
from .invariant import NOISE, displacement, mean_jacobian, rounding_of
from .steps import AllSteps, Linearised

MOST = 50  # Newton's steps
SETTLES, LAPS = 1e-12, 10_000  # a memory has settled when a lap changes it by less; most laps
STANDS = 1e-14  # of the states' size: a step of Newton's that is rounding
SAME = 1e-7  # of the orbit's size: points that are one
KEPT = 0.1  # of the shortest step: farther from the points that were given is another orbit


class Visited(NamedTuple):
    """The states (period, size) of an orbit, and the step on each outcome at each of them."""

    states: np.ndarray
    there: list[Linearised]

    @property
    def jacobians(self) -> np.ndarray:
        """(period, n, size, size)."""
        return np.stack([one.jacobians for one in self.there])


def orbit_through(steps: AllSteps, points: np.ndarray) -> Visited:
    """The orbit of the mean step next to points (period, dim); `InvalidInput` if there is none."""
    states = _settled(steps, points)
    scale = float(np.max(np.ptp(points, axis=0)))
    there = [steps.at(state) for state in states]
    for _ in range(MOST):
        gaps = np.stack([displacement(steps, t, v) + v for t, v in zip(there, states, strict=True)])
        gaps -= np.roll(states, -1, axis=0)
        noise = [NOISE * rounding_of(steps, v, t) for v, t in zip(states, there, strict=True)]
        if np.all(np.abs(gaps) <= np.array(noise)):
            break
        if not np.all(np.isfinite(gaps)):
            _refuse(steps, points)
        change = _step(steps, there, gaps)
        states = states - change
        if np.max(np.abs(change)) <= STANDS * np.max(np.abs(states)):
            there = [steps.at(state) for state in states]
            break
        there = [steps.at(state) for state in states]
    else:
        _refuse(steps, points)
    moved = np.max(np.linalg.norm(states[:, : steps.dim] - points, axis=1))
    shortest = np.min(np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1))
    if moved > KEPT * shortest or repeats(states, SAME * scale):
        _refuse(steps, points)
    return Visited(states, there)


def _step(steps: AllSteps, there: list[Linearised], gaps: np.ndarray) -> np.ndarray:
    """Newton's step of all states (period, size) at once."""
    period, size = gaps.shape
    matrix = np.zeros((period * size, period * size))
    for k, one in enumerate(there):
        rows, after = slice(k * size, (k + 1) * size), (k + 1) % period
        matrix[rows, rows] += mean_jacobian(steps, one)
        matrix[rows, after * size : (after + 1) * size] -= np.eye(size)
    return np.linalg.lstsq(matrix, gaps.ravel(), rcond=1e-12)[0].reshape(gaps.shape)


def _settled(steps: AllSteps, points: np.ndarray) -> np.ndarray:
    """States (period, size) at the points, with the memory of a run that is kept on them."""
    d, state = steps.dim, steps.rest(points[0])
    states = np.repeat(state[None], len(points), axis=0)
    states[:, :d] = points
    if state.size == d:
        return states
    for _ in range(LAPS):
        before = states.copy()
        for k in range(len(points)):
            there, after = steps.at(states[k]), (k + 1) % len(points)
            states[after, d:] = (displacement(steps, there, states[k]) + states[k])[d:]
        change = np.max(np.abs(states - before))
        if not change > SETTLES * np.max(np.abs(states)):
            break
    return states


def repeats(states: np.ndarray, reach: float) -> bool:
    """Whether the orbit closes before its last point."""
    apart = np.linalg.norm(states[1:] - states[0], axis=1)
    return bool(np.any(apart <= reach))


def _refuse(steps: AllSteps, points: np.ndarray) -> None:
    states = _settled(steps, points)
    ends = [displacement(steps, steps.at(v), v) + v for v in states]
    gaps = np.linalg.norm(np.array(ends) - np.roll(states, -1, axis=0), axis=1)
    worst = int(np.argmax(np.where(np.isfinite(gaps), gaps, np.inf)))
    count = len(points)
    raise InvalidInput(
        f"these {count} points are not an orbit of the mean step, nor is one next to them: from "
        f"point {worst} it leads {gaps[worst]:.3g} beside point {(worst + 1) % count}."
    )
