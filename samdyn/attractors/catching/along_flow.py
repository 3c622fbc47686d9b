"""Many states along a flow, each with its own step; also where the flow slides along an edge.

Rodas4 (`dynamics/stiff.py`) takes long steps where a flow is stiff, as that of normalised SAM is
in every valley. Where a field jumps, adaptive steps shrink without end: trajectories come to the
edge in finite time and then slide along it, or rest there (Filippov, Differential Equations with
Discontinuous Righthand Sides, 1988). Short steps of Euler, which cross the edge to and fro, follow
such a solution, and converge to it with their length. Between some of them a state leaps along
their mean velocity, farther where that is steady (projective integration, Gear & Kevrekidis, SIAM
J. Sci. Comput. 24, 2003).
"""

from typing import Any, NamedTuple

import numpy as np

from ...dynamics.stiff import Tolerance, attempt, longer
from ...interrupts import heed
from ...programs.batch import OnPoints

RELATIVE, ABSOLUTE = 1e-7, 1e-9  # of the distance from the middle, and of the size
FIRST = 1e-6  # of the time: the first step
PATIENCE = 64  # steps, after which it is asked whether a state gets on
STUCK = 1e-2  # of the size: one that has moved less, in steps too short to arrive, is looked at
ARRIVES = 1e4  # steps as long as the last one: with so many it would come to its end
AMPLITUDE = 1e-4  # of the size: a step of Euler along an edge
FINER, FINEST = 8, 64  # times shorter where a sliding state gets nowhere; at most in all
EDGE = 1e-7  # of the size: the same to tell an edge from a field that only turns quickly
HALVINGS = 50  # of such a step: down to neighbouring numbers
JUMP = 0.05  # of the velocity: where a step of Euler changes less, no edge is crossed
LEAP = 1e-2  # of the size: the longest leap along an edge
STEADY = 0.2  # of the mean velocity: so much it may change between two leaps
CAUGHT, HERE = 3.0, 1e-6  # amplitudes, and of the size: so near an attractor it has come to it
STILL = 64  # times `PATIENCE` steps: a sliding state that goes nowhere for so long rests
HOPELESS = 64  # the same of a stuck state, which is left where it is
MOST = 16_384  # steps of a state that slides or is stuck, in all
FAR = 1e7  # of the size: farther away nothing is followed

ROWS, NUMBERS = 16_384, 2_000_000  # that move at a time; of their Jacobians

SMOOTH, SLIDES, RESTS = 0.0, 1.0, 2.0


class Along(NamedTuple):
    """What is remembered of each of n states: how it moves, the length of its next step (0: not
    known yet), for how many looks it has gone nowhere, and how many steps it has taken while it
    slid or was stuck."""

    mode: np.ndarray
    step: np.ndarray
    still: np.ndarray
    taken: np.ndarray


class Where(NamedTuple):
    """A region: its `middle` (d,), its `size`, and the attractors `sinks` (k, d) there."""

    middle: np.ndarray
    size: float
    sinks: np.ndarray


def along(
    flow: Any, w: np.ndarray, memory: Along, time: float, where: Where
) -> tuple[np.ndarray, Along]:
    """Where the flow takes each w (n, d) in `time`, and what is remembered of it then.

    A state that slides to one of the `sinks` (k, d) rests there; so does one that goes nowhere,
    or has slid or been stuck for `MOST` steps, wherever it is.
    """
    rows = int(np.clip(NUMBERS // w.shape[1] ** 2, 1, ROWS))
    parts = []
    for begin in range(0, len(w), rows):
        part = slice(begin, begin + rows)
        run = _Run(flow, w[part], Along(*(x[part] for x in memory)), time, where)
        with np.errstate(all="ignore"):
            run.go()
        parts.append((run.middle + run.w, run.mode, run.step, run.still, run.taken))
    w, *after = (np.concatenate(each) for each in zip(*parts, strict=True))
    return w, Along(*after)


class _Run:
    def __init__(self, flow: Any, w: np.ndarray, memory: Along, time: float, where: Where):
        self.middle, self.size, sinks = where
        self.field = OnPoints(_Shifted(flow, self.middle), w.shape[1])
        self.w, self.sinks = w - self.middle, sinks - self.middle
        self.mode, self.step, self.still, self.taken = (np.array(x, float) for x in memory)
        self.step[self.step == 0] = FIRST * time
        self.left = np.full(len(w), time)
        self.amplitude = np.full(len(w), AMPLITUDE * self.size)
        self.mark, self.anchor = self.w.copy(), self.w.copy()
        # since the last look: the fastest, the velocity before, whether it jumped
        self.speed, self.before = np.zeros(len(w)), np.full(w.shape, np.nan)
        self.jumped = np.zeros(len(w), bool)
        # of sliding states: places and times of the last two quarters of `PATIENCE` steps, the
        # mean velocity before and what was left when it was found, how long the next leap is
        self.places, self.times = np.zeros((2, *w.shape)), np.zeros((2, len(w)))
        self.drift, self.told = np.zeros(w.shape), np.full(len(w), np.inf)
        self.leap = np.zeros(len(w))
        self.allowed = Tolerance(RELATIVE, ABSOLUTE * self.size)

    def go(self) -> None:
        count = 0
        while True:
            moving = (self.mode != RESTS) & (self.left > 0)
            if not np.any(moving):
                return
            heed()
            self._smooth(np.flatnonzero(moving & (self.mode == SMOOTH)))
            quarter = 4 * (count % PATIENCE) // PATIENCE - 2
            self._slide(np.flatnonzero(moving & (self.mode == SLIDES)), quarter)
            count += 1
            if count % PATIENCE == 0:
                self._look(np.flatnonzero(moving))

    def _smooth(self, rows: np.ndarray) -> None:
        if not rows.size:
            return
        length = np.minimum(self.step[rows], self.left[rows])
        step = attempt(self.field, self.w[rows], length, 1.0, self.allowed)
        good = (step.error <= 1) & np.all(np.isfinite(step.after), axis=1)
        after = longer(length, step.error)
        cut = good & (length < self.step[rows])  # shortened to end in time, not by its error
        self.step[rows] = np.where(cut, np.maximum(self.step[rows], after), after)
        made = rows[good]
        self._take(made, step.after[good], length[good], np.linalg.norm(step.slope, axis=1)[good])
        ends = ~(self.step[rows] > 0) | ~np.all(np.isfinite(step.slope), axis=1)
        self.mode[rows[ends & ~good]] = RESTS

    def _slide(self, rows: np.ndarray, quarter: int) -> None:
        if not rows.size:
            return
        velocity = self.field.values(self.w[rows])
        speed = np.linalg.norm(velocity, axis=1)
        self.jumped[rows] |= _jump(self.before[rows], velocity)
        self.before[rows] = velocity
        length = np.minimum(self.amplitude[rows] / speed, self.left[rows])
        way = np.where(speed > 0, length, 0)[:, None] * velocity
        ends = ~np.all(np.isfinite(way), axis=1)
        self._take(rows, self.w[rows] + np.where(ends[:, None], 0, way), length, speed)
        self.mode[rows[ends]] = RESTS
        if quarter >= 0:
            self.places[quarter, rows] += self.w[rows]
            self.times[quarter, rows] -= self.left[rows]

    def _take(self, rows, after, length, speed) -> None:
        self.w[rows] = after
        self.left[rows] -= length
        self.speed[rows] = np.fmax(self.speed[rows], speed)
        far = ~(np.max(np.abs(after), axis=1) < FAR * self.size)
        self.mode[rows[far | ~(speed > 0)]] = RESTS

    def _look(self, rows: np.ndarray) -> None:
        """Which states slide, no longer do, or have come to rest."""
        moved = np.linalg.norm(self.w[rows] - self.mark[rows], axis=1)
        slides = self.mode[rows] == SLIDES
        stuck = ~slides & (moved < STUCK * self.size)
        stuck &= self.step[rows] * ARRIVES < self.left[rows]
        self._judge_stuck(rows[stuck], moved[stuck])
        leaves = slides & ~self.jumped[rows]
        self.mode[rows[leaves]] = SMOOTH
        self.step[rows[leaves]] = self.amplitude[rows[leaves]] / self.speed[rows[leaves]]
        self._rest(rows[slides & ~leaves], moved[slides & ~leaves])
        self._leap(rows[slides])
        self.places[:], self.times[:] = 0, 0
        self.taken[rows] += PATIENCE * (slides | stuck)
        self.mode[rows[self.taken[rows] >= MOST]] = RESTS
        self.mark[rows], self.speed[rows] = self.w[rows], 0
        self.before[rows], self.jumped[rows] = np.nan, False

    def _rest(self, rows: np.ndarray, moved: np.ndarray) -> None:
        """Sliding states that have come to an attractor rest; those that get nowhere go to and
        fro less far, and rest in the end."""
        away, amplitude = self._to_sinks(rows), self.amplitude[rows]
        on = np.linalg.norm(self.w[rows] - self.anchor[rows], axis=1) > 2 * amplitude
        self.anchor[rows[on]] = self.w[rows[on]]
        self.still[rows] = np.where(on, 0, self.still[rows] + 1)
        near = CAUGHT * AMPLITUDE * self.size
        over = self.still[rows] > STILL
        last = amplitude * FINEST < 1.01 * AMPLITUDE * self.size
        self.mode[rows[(away < near) & (moved < near) | over & last]] = RESTS
        finer = rows[over & ~last]
        self.amplitude[finer] /= FINER
        self.still[finer] = 0

    def _to_sinks(self, rows: np.ndarray) -> np.ndarray:
        """The distance to the nearest attractor."""
        return np.linalg.norm(self.w[rows][:, None] - self.sinks, axis=2).min(axis=1)

    def _leap(self, rows: np.ndarray) -> None:
        """Move sliding states along the mean velocity, which going to and fro leaves."""
        rows = rows[(self.mode[rows] == SLIDES) & (self.left[rows] > 0)]
        time = self.times[1, rows] - self.times[0, rows]
        drift = (self.places[1, rows] - self.places[0, rows]) / time[:, None]
        change = np.linalg.norm(drift - self.drift[rows], axis=1)
        speed = np.linalg.norm(drift, axis=1)
        steady = change < STEADY * speed
        farthest = np.fmin(LEAP * self.size, self._to_sinks(rows) / 2)  # and not past an attractor
        longest = np.fmin(farthest / speed, self.left[rows])
        usual = np.where(self.leap[rows] > 0, self.leap[rows], time / PATIENCE)
        self.leap[rows] = np.fmin(np.where(steady, 2 * usual, usual / 4), longest)
        turn = (drift - self.drift[rows]) / (self.told[rows] - self.left[rows])[:, None]
        self.drift[rows], self.told[rows] = drift, self.left[rows]
        made, length = rows[steady], self.leap[rows[steady]][:, None]
        self.w[made] += length * (drift[steady] + length / 2 * turn[steady])
        self.left[made] -= length[:, 0]

    def _judge_stuck(self, rows: np.ndarray, moved: np.ndarray) -> None:
        """States whose steps stay too short slide, rest, or are given up after a while."""
        if not rows.size:
            return
        jumps = self._jumps(rows)
        self.mode[rows[jumps]] = SLIDES
        nowhere = ~jumps & (moved < AMPLITUDE * self.size)
        self.still[rows] = np.where(nowhere, self.still[rows] + 1, 0)
        ends = (self._to_sinks(rows) < HERE * self.size) | (self.still[rows] > HOPELESS)
        self.mode[rows[ends]] = RESTS

    def _jumps(self, rows: np.ndarray) -> np.ndarray:
        """Whether the velocity jumps beside a state, and is no faster beyond: that is an edge.

        Very short steps of Euler find where it changes, bisection whether it does so at once.
        Where it is only quick to turn, as in the valleys of normalised SAM, what goes to and fro
        across would not move as the flow does.
        """
        low = self.w[rows]
        slow = self.field.values(low)
        first, found = np.linalg.norm(slow, axis=1), np.zeros(len(rows), bool)
        high, fast = low.copy(), slow.copy()
        for _ in range(PATIENCE):
            speed = np.linalg.norm(fast, axis=1)
            ahead = high + (EDGE * self.size / speed)[:, None] * fast
            velocity = self.field.values(ahead)
            now = ~found & _jump(fast, velocity)
            low[~found], slow[~found] = high[~found], fast[~found]
            high[~found], fast[~found] = ahead[~found], velocity[~found]
            found |= now
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            velocity = self.field.values(middle)
            lower = np.linalg.norm(velocity - slow, axis=1) > np.linalg.norm(
                fast - velocity, axis=1
            )
            high[lower], fast[lower] = middle[lower], velocity[lower]
            low[~lower], slow[~lower] = middle[~lower], velocity[~lower]
        return found & _jump(slow, fast) & (np.linalg.norm(fast, axis=1) < np.inf) & (first > 0)


def _jump(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where a velocity (n, d) is another than before; nowhere where that is not known."""
    change = np.linalg.norm(after - before, axis=1)
    return change > JUMP * np.maximum(*(np.linalg.norm(v, axis=1) for v in (before, after)))


class _Shifted(NamedTuple):
    """The velocity by the distance from a point: what is small there is not lost beside it."""

    flow: Any
    middle: np.ndarray

    def __call__(self, away):
        return self.flow.velocity(self.middle + away)
