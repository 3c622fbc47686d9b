"""Branches of periodic orbits over a parameter: those that are born of others, and any period's.

An orbit of period p is a fixed point of p steps, on the whole state of the map, and is followed as
such. Where a multiplier of a branch passes −1 an orbit of twice the period is born: Newton finds
it beside that place, along the eigenvector. Towards its birth such a curve runs into the branch
that it is born of, where it is cut.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ...dynamics.systems.map import AbstractMap, Displacement
from ...dynamics.systems.returns import Return, require_steady
from ...errors import InvalidInput
from ...growth.orbit import repeats
from ...programs.newton import newton
from ..finding.point import describe
from ..orbiting.periodic import orbit_near, orbits_in_box, path
from .branches import Branch
from .follower import Follower
from .sweep_result import Bifurcation
from .varied import Varied, varied

ANCHORS = 5  # values at which orbits of a given period are looked for
BESIDE = (1e-5, 1e-4, 1e-3, 1e-2)  # of the range: how far beside its birth an orbit is looked for
LENGTHS = np.geomspace(1e-8, 1.0, 64)  # of the size of things: how far along the eigenvector
ROOM = 40.0  # of the size of a point: how far an orbit is followed that no box confines
SAME = 1e-5  # of the size: points that are one
SMALL = 1e-6  # of the size: the amplitude below which an orbit is what it is born of
NEAR = 1e-3  # of the size, of a birth: an orbit that was born there passes so near


class Followed(NamedTuple):
    """Branches of orbits, and what happens on them, with the states at which it does."""

    branches: list[Branch]
    events: list[tuple[Bifurcation, np.ndarray]]
    warnings: list[str]


class OrbitFollower:
    """Follows the orbits of one step over one grid of values of a parameter."""

    def __init__(self, asked: Varied, dim: int, grid: np.ndarray, box: np.ndarray | None):
        self.asked, self.dim, self.grid, self.box = asked, dim, grid, box
        self.whole = asked.step_at(float(grid[-1]))  # a plain step that is given a momentum has one
        require_steady(self.whole, dim)

    def step_at(self, value: float) -> AbstractMap:
        """The step at a value."""
        return self.asked.step_at(value)

    def returns(self, value: float, period: int) -> Return:
        """So many steps at a value."""
        return Return(self.step_at(value), self.dim, period)

    def of_period(self, period: int, at: np.ndarray | None, seed: int) -> Followed:
        """All orbits of a period: of several values those in the box, or that near a point."""
        if at is not None:
            return self._from(at, period)
        assert self.box is not None
        seeds = []
        for value in np.linspace(self.grid[0], self.grid[-1], ANCHORS):
            found, _ = orbits_in_box(self.step_at(float(value)), self.box, period, seed)
            seeds += [(orbit.states[0], float(value)) for orbit in found]
        return self.through(seeds, period)

    def _from(self, at: np.ndarray, period: int) -> Followed:
        """The branch near a point, at the first value where Newton reaches an orbit from it."""
        try:
            value = float(self.grid[0])
            orbit = orbit_near(self.step_at(value), at, period)
        except InvalidInput:
            value = float(self.grid[-1])
            orbit = orbit_near(self.step_at(value), at, period)
        return self.through([(orbit.states[0], value)], period)

    def born(self, w: np.ndarray, value: float, period: int) -> Followed:
        """The orbit of twice the period that is born at a state, where a multiplier is −1."""
        reach, size = self.grid[-1] - self.grid[0], self._size(w)
        for share in BESIDE:
            for side in (1, -1):
                there = value + side * share * reach
                if not self.grid[0] <= there <= self.grid[-1]:
                    continue
                seed = self._beside(w, there, period, size)
                if seed is not None:
                    return self.through([(seed, there)], 2 * period)
        return Followed([], [], [])

    def _beside(self, w: np.ndarray, value: float, period: int, size: float) -> np.ndarray | None:
        """A state of an orbit of twice the period next to one of `period`."""
        single, double = self.returns(value, period), self.returns(value, 2 * period)
        (centre,) = newton(Displacement(single).velocity, w[None], 0.1 * size)
        if not np.linalg.norm(centre - w) <= 0.1 * size:
            return None
        slope = single.on_states().with_jacobians(centre[None])[1][0]
        values, vectors = np.linalg.eig(slope)
        along = np.real(vectors[:, np.argmin(np.abs(values + 1))])
        starts = centre + np.concatenate([LENGTHS, -LENGTHS])[:, None] * size * along
        ends = newton(Displacement(double).velocity, starts, 0.1 * size)
        ends = ends[np.all(np.isfinite(ends), axis=1)]
        gaps = np.linalg.norm(ends - centre, axis=1)
        for end in ends[np.argsort(gaps, kind="stable")]:
            states, closed = path(double, end), double.on_states().values(end[None])[0] - end
            if np.linalg.norm(closed) > 1e-9 * size or repeats(states, SMALL * size):
                continue
            return end
        return None

    def through(self, seeds: list[tuple[np.ndarray, float]], period: int) -> Followed:
        """The branches through states at values."""
        if not seeds:
            return Followed([], [], [])
        states = np.array([state for state, _ in seeds])
        box = self._room(states)
        size = float(np.max(np.ptp(box, axis=1)))
        back = varied(Return(self.whole, self.dim, period), self.asked.name)
        follower = Follower(back, self.grid, ())
        for state, value in seeds:
            orbit = path(self.returns(value, period), state)
            if not any(follower.knows(v, value, size) for v in orbit):
                follower.add_curve(describe(back.flow_at(value), state), value, box)
        found = follower.result()
        branches: list[Branch] = []
        for branch in found.branches:
            whole = self._whole(branch, period, size)
            if whole is not None and not any(_same(whole, known, size) for known in branches):
                branches.append(whole)
        events = self._events(found.bifurcations, period, size)
        return Followed(branches, events, list(found.warnings))

    def _size(self, states: np.ndarray) -> float:
        """That of the box, or of the numbers themselves."""
        if self.box is not None:
            return float(np.max(np.ptp(self.box, axis=1)))
        return float(np.max(np.abs(states))) or 1.0

    def _room(self, states: np.ndarray) -> np.ndarray:
        """A box (n, 2) of states in which orbits are followed."""
        low, high = states.min(axis=0), states.max(axis=0)
        room = ROOM * self._size(states) * np.ones(states.shape[1])
        box = np.stack([low - room, high + room], axis=1)
        if self.box is not None:
            box[: self.dim] = self.box
        return box

    def _whole(self, branch: Branch, period: int, size: float) -> Branch | None:
        """A branch with all points of its orbits, where they have this period and no shorter."""
        orbit = np.full((period, *branch.w.shape), np.nan)
        for i in np.flatnonzero(np.all(np.isfinite(branch.w), axis=1)):
            states = path(self.returns(float(self.grid[i]), period), branch.w[i])
            if not repeats(states, SMALL * size):
                orbit[:, i] = states
        exists = np.all(np.isfinite(orbit), axis=(0, 2))
        if not np.any(exists):
            return None
        told = lambda names: tuple(n if e else None for n, e in zip(names, exists, strict=True))  # noqa: E731
        radius = np.where(exists, np.asarray(branch.spectral_radius), np.nan)
        return Branch(
            f"period-{period}",
            None,
            orbit[0, :, : self.dim],
            told(branch.verdict),
            branch.leading_real_part,
            radius,
            told(branch.step_verdict or branch.verdict),
            period,
            orbit[:, :, : self.dim],
        )

    def _events(self, found: Any, period: int, size: float) -> list[tuple[Bifurcation, np.ndarray]]:
        """Events on orbits of this period, each once, and not their births."""
        events: list[tuple[Bifurcation, np.ndarray]] = []
        passed: list[np.ndarray] = []
        for event in found:
            if not np.all(np.isfinite(event.w)):
                continue
            states = path(self.returns(event.value, period), event.w)
            if repeats(states, NEAR * size) or any(
                event.type == other.type
                and math.isclose(event.value, other.value, rel_tol=1e-6)
                and np.min(np.linalg.norm(visited - event.w, axis=1)) <= SAME * size
                for (other, _), visited in zip(events, passed, strict=True)
            ):
                continue
            passed.append(states)
            step = event._replace(w=event.w[: self.dim], of="step", period=period)
            events.append((step, event.w))
        return events


def _same(one: Branch, other: Branch, size: float) -> bool:
    """Whether two branches are of one orbit, seen from different points of it."""
    assert other.orbit is not None
    both = np.all(np.isfinite(one.w), axis=1) & np.all(np.isfinite(other.w), axis=1)
    if not np.any(both):
        return False
    gaps = np.linalg.norm(other.orbit[:, both] - one.w[both], axis=-1)
    return bool(np.max(np.min(gaps, axis=0)) <= SAME * size)


def orbit_branches(
    follower: OrbitFollower, born: list[tuple[np.ndarray, float, int]], most: int
) -> tuple[list[Branch], list[Bifurcation]]:
    """Branches and events of the orbits born at (state, value, period), and of those born of them,
    up to period `most`."""
    branches, events, waiting = [], [], list(born)
    while waiting:
        w, value, period = waiting.pop(0)
        if 2 * period > most:
            continue
        found = follower.born(w, value, period)
        branches += found.branches
        events += [event for event, _ in found.events]
        waiting += doublings(found, 2 * period)
    return branches, events


def doublings(found: Followed, period: int) -> list[tuple[np.ndarray, float, int]]:
    """(state, value, period) of the births on followed orbits."""
    return [
        (state, event.value, period)
        for event, state in found.events
        if event.type == "period-doubling"
    ]
