"""Where paths end that never rest: periodic orbits, limit cycles, quasi-periodic and chaotic sets.

Some of the open paths are followed. Of a map those that repeat themselves are on an orbit; of a
flow Newton closes the loops that they make. Of the rest each leaves a trail on a fine grid, and
trails that share many of their cells are of one set (after the recurrences of Attractors.jl). Every
open path belongs to the orbit that it is next to, or to the set in whose cells it is found.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ...dynamics.systems.map import AbstractMap, State
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.returns import Return, require_steady
from ...errors import InvalidInput
from ...programs.tangents import BLOCKS, Runs, along_runs
from ..judging.recurrence import comes_back, period_of
from ..orbiting.cycles import attracting_cycles, distance_to_curve
from .arrivals import some_of
from .time_step import TimeStep, is_held, moved

KEPT = 2048  # points of a followed path
BLOCK = 64  # steps in each part of it, over which its exponent is measured
ROUNDS = 4  # of following some of the paths that nothing is known of
NEAR = 1e-3  # of the size: a path so near to an orbit is on it, at the end
BENDS = 0.1  # of the distance of a cycle's points: how far it may be from the lines through them
EARLY = 1e-4  # the same of a path that has not run for as long as it may
CELLS = (64, 32, 16, 8, 4)  # of the grid, along the longest side of what the paths fill
AGAIN = 0.6  # of its cells that half a path shares with its other half, on a grid that is not finer
SHARED = 0.3  # of the smaller trail: so many cells make two trails one set
FEW, SLOWING = 64, 0.9  # paths of a first look; of its first moves, later ones of a run at rest
VOTES = 32  # steps of a path that are looked at to tell on which set it is


class MovingSet(NamedTuple):
    """`kind` "period-K", "limit cycle", "quasi-periodic" or "chaotic"; some of its `points` (n, d),
    all of an orbit's in order, and the `period`, in steps or in time, where there is one."""

    kind: str
    points: np.ndarray
    period: float | None


def moving_sets(
    map_: AbstractMap,
    system: Any,
    states: State,
    size: float,
    known: list[MovingSet],
    closed: bool = False,
) -> tuple[list[MovingSet], np.ndarray]:
    """The sets on which paths are, those `known` first, and of each path (n,) the number of its
    set, −1 for none.

    With `closed` alone orbits and cycles are looked for, to which paths may have come early.
    `states` holds NumPy arrays of n rows; `system` is what the map moves along, or the map itself.
    """
    labels, found = np.full(len(states.w), -1), list(known)
    reach = (EARLY if closed else NEAR) * size
    with np.errstate(all="ignore"):
        fresh = found
        for _ in range(ROUNDS):
            for number in range(len(found) - len(fresh), len(found)):
                labels[(labels < 0) & _is_on(states.w, found[number], reach)] = number
            unknown = np.flatnonzero(labels < 0)
            if not unknown.size:
                return found, labels
            rows = unknown[some_of(np.arange(len(unknown)))]
            some = _closed_sets(map_, system, _take(states, rows), size)
            fresh = [one for one in some if not any(_same(one, old, size) for old in found)]
            if not fresh:
                break
            found += fresh
        unknown = np.flatnonzero(labels < 0)
        if not closed:
            sets, which = _trailing_sets(map_, _take(states, unknown))
            labels[unknown[which >= 0]] = len(found) + which[which >= 0]
            found += sets
    return found, labels


def going_round(map_: AbstractMap, states: State) -> bool:
    """Whether some of these paths seem to go round: they move on without getting far, and do not
    slow down. A cheap look, so that runs on their way to rest are not asked for orbits."""
    some = _take(states, some_of(np.arange(len(states.w)))[:FEW])
    path = [some.w]
    for _ in range(VOTES):
        _, some = moved(map_, some, 1)
        path.append(some.w)
    with np.errstate(all="ignore"):
        moves = np.linalg.norm(np.diff(path, axis=0), axis=-1)
        net = np.linalg.norm(path[-1] - path[0], axis=-1)
        early, late = moves[: VOTES // 2].max(axis=0), moves[VOTES // 2 :].max(axis=0)
        return bool(np.any((net < moves.sum(axis=0) / 2) & (late > SLOWING * early)))


def _is_on(w: np.ndarray, one: MovingSet, reach: float) -> np.ndarray:
    """Which of w (n, d) are on a closed set: a cycle bends between the points that are known."""
    apart = np.linalg.norm(np.roll(one.points, -1, axis=0) - one.points, axis=1)
    bends = BENDS * float(np.max(apart)) if one.kind == "limit cycle" else 0.0
    return _distance(w, one) <= reach + bends


def _same(one: MovingSet, other: MovingSet, size: float) -> bool:
    return one.kind == other.kind and bool(np.all(_is_on(one.points, other, NEAR * size)))


def _take(states: State, rows: np.ndarray) -> State:
    return jax.tree.map(lambda leaf: leaf[rows], states)


def _closed_sets(map_: AbstractMap, system: Any, states: State, size: float) -> list[MovingSet]:
    """Orbits or cycles on which some of these paths are, each once."""
    if isinstance(system, AbstractODE):
        cycles = attracting_cycles(system, some_of(states.w)[:16], size)
        return [_begun(MovingSet("limit cycle", c.points, c.period)) for c in cycles]
    runs = _followed(map_, states)
    found: list[MovingSet] = []
    for path in [] if runs is None else runs.path[..., : states.w.shape[1]]:
        period = period_of(path, size) if np.all(np.isfinite(path)) else 0
        if period < 2 or any(_distance(path[-1:], one)[0] <= NEAR * size for one in found):
            continue
        found.append(_begun(MovingSet(f"period-{period}", path[-period:], float(period))))
    return sorted(found, key=lambda one: tuple(one.points[0]))


def _begun(one: MovingSet) -> MovingSet:
    """A closed set from its first point on, in the order of coordinates."""
    first = np.lexsort(one.points.T[::-1])[0]
    return one._replace(points=np.roll(one.points, -first, axis=0))


def _followed(map_: AbstractMap, states: State) -> Runs | None:
    """The next steps of paths; None of a step that counts."""
    d = states.w.shape[1]
    try:
        require_steady(map_, d)
    except InvalidInput:
        return None
    rows = np.asarray(jax.vmap(_flat)(states))
    step = Return(map_, d).on_states()
    return along_runs([step], rows, burn=0, block=BLOCK, count=1, kept=KEPT)


def _flat(state: State) -> Any:
    return ravel_pytree(eqx.filter(state, eqx.is_inexact_array))[0]


def _distance(w: np.ndarray, one: MovingSet) -> np.ndarray:
    """How far each of w (n, d) is from an orbit's points, or from the curve through a cycle's."""
    if one.kind == "limit cycle":
        return distance_to_curve(w, one.points)
    gaps = [np.linalg.norm(w - point, axis=1) for point in one.points]
    return np.min(gaps, axis=0)


def _trailing_sets(map_: AbstractMap, states: State) -> tuple[list[MovingSet], np.ndarray]:
    """Sets by the trails that paths leave, and of each path (n,) the number of its set or −1."""
    none: tuple[list[MovingSet], np.ndarray] = ([], np.full(len(states.w), -1))
    some = _take(states, some_of(np.arange(len(states.w))))
    if isinstance(map_, TimeStep):
        some = _take(some, _coming_back(map_, some))  # exponents of a flow take long
    if not len(some.w):
        return none
    runs = _followed(map_, some)
    if runs is None:
        return none
    paths = runs.path[..., : states.w.shape[1]]
    kept = np.all(np.isfinite(paths), axis=(1, 2))
    rates, errors = (x[kept, 0] for x in runs.rates(BLOCK * BLOCKS))
    paths = paths[kept]
    if not len(paths):
        return none
    trails, grid = _trails(paths)
    groups = _grouped(trails)
    sets, cells = [], []
    for members in groups:
        each = rates[members]
        error = 2 * float(np.std(each)) / np.sqrt(len(each)) + float(np.max(errors[members]))
        if np.mean(each) < -error or not any(comes_back(paths[i]) for i in members):
            continue  # on its way to something that attracts: not there yet
        kind = "chaotic" if np.mean(each) > error else "quasi-periodic"
        sets.append(MovingSet(kind, paths[members[0]], None))
        cells.append(set().union(*(trails[i] for i in members)))
    return sets, _by_votes(map_, states, grid, cells)


def _coming_back(step: TimeStep, states: State) -> np.ndarray:
    """Which paths along a flow come back to where they were, and are not at rest in the end."""
    some, path = states, []
    for _ in range(KEPT):
        _, some = moved(step, some, 1)
        path.append(some.w)
    paths = np.stack(path, axis=1)
    rows = np.flatnonzero(np.all(np.isfinite(paths), axis=(1, 2)) & ~is_held(some.memory))
    late = np.ptp(paths[rows, -(KEPT // 8) :], axis=1).max(axis=1)
    rows = rows[late > NEAR * float(step.size)]
    return rows[[comes_back(paths[row]) for row in rows]]


def _trails(paths: np.ndarray) -> tuple[list[set], tuple[np.ndarray, float]]:
    """The cells that paths (n, k, d) pass, and the grid, (its corner, a side): so fine that most
    paths still come back to their own cells."""
    low, high = np.min(paths, axis=(0, 1)), np.max(paths, axis=(0, 1))
    size, least = float(np.max(high - low)), float(np.spacing(np.max(np.abs(paths))))
    for count in CELLS:
        cell = max(size / count, least)
        places = np.floor((paths - low) / cell).astype(int)
        halves = [[{tuple(c) for c in part} for part in np.array_split(p, 2)] for p in places]
        again = [len(a & b) / min(len(a), len(b)) for a, b in halves]
        if np.median(again) >= AGAIN:
            break
    return [a | b for a, b in halves], (low, cell)


def _grouped(trails: list[set]) -> list[list[int]]:
    """Numbers of trails that share cells, directly or by way of others."""
    groups: list[list[int]] = []
    for number, trail in enumerate(trails):
        joined = [
            group
            for group in groups
            if any(
                len(trail & trails[i]) >= SHARED * min(len(trail), len(trails[i])) for i in group
            )
        ]
        groups = [group for group in groups if not any(group is one for one in joined)]
        groups.append([number, *(i for group in joined for i in group)])
    return sorted((sorted(group) for group in groups), key=lambda group: group[0])


def _by_votes(
    map_: AbstractMap, states: State, grid: tuple[np.ndarray, float], cells: list[set]
) -> np.ndarray:
    """Of each path the set in whose cells most of its next steps are, if more than half are."""
    votes = np.zeros((len(cells), len(states.w)), int)
    low, cell = grid
    for _ in range(VOTES if cells else 0):
        _, states = moved(map_, states, 1)
        inside = np.where(np.isfinite(states.w), states.w, np.inf)
        places = np.floor(np.clip((inside - low) / cell, -1e9, 1e9)).astype(int)
        for number, some in enumerate(cells):
            votes[number] += [tuple(place) in some for place in places.tolist()]
    if not cells:
        return np.full(len(states.w), -1)
    return np.where(np.max(votes, axis=0) > VOTES / 2, np.argmax(votes, axis=0), -1)
