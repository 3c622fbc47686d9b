"""Which starts end where: basins of attraction of a step map on a grid of starts.

Paths run in lockstep blocks. After each block those that are decided leave, so that time is
spent only on paths whose end is still open.
"""

import time as clock
from typing import Any

import jax
import numpy as np

from ...arguments import of_system
from ...dynamics.check import check_system, unread_by
from ...dynamics.plane import Plane, as_plane, plane_box
from ...dynamics.systems.map import AbstractMap, State
from ...dynamics.systems.stochastic_map import AbstractStochasticMap
from ...dynamics.systems.system import AbstractSystem, loss_of
from ...errors import InvalidInput
from ...interrupts import heed, heeded
from ...precision import in_double
from ...programs.batch import OnPoints
from ...progress import telling
from ...results.provenance import recorded
from ...shares import wilson_ci95
from ..finding.point import FixedPoint, as_box
from ..judge import parts_of
from ..report import stability
from ..stability_result import PointStability
from .arrivals import arrivals, ends_of_paths
from .basins_result import BasinAttractor, Basins
from .moves import Moves, as_moves, moved_by_noise, noiseless, towards
from .moving import MovingSet, going_round, moving_sets
from .time_step import moved
from .traps import Trap, traps

SETTLING = 20_000  # steps without noise that show in whose basin noise has left a path
UNDECIDED, DIVERGED, LEFT_BOX = -1, -2, -3
FIRST_BLOCK, LONGEST_BLOCK = 128, 2048  # steps
EARLY = (100, 500, 4000)  # steps after which it is asked whether paths are on orbits already
MOVING = 1 << 32  # from where on labels are of sets that move
FAR = 1e6  # of the box's size: beyond this a path has diverged
AT_REST = 1e-13  # of the box's size: a shorter step is rounding
MOST_STARTS = 1 << 24


@of_system("Flow(loss, method) or StepMap(loss, method, learning_rate)")
@recorded
@in_double
@np.errstate(over="ignore", invalid="ignore")  # diverging paths overflow, and are labelled so
def basins(
    system: AbstractSystem,
    box: Any,
    *,
    grid: int,
    steps: int = 20_000,
    time: float | None = None,
    seed: int = 0,
    progress: Any = None,
    plane: Any = None,
    at: Any = None,
) -> Basins:
    """Where a system takes the centres of a grid of `grid`^d cells of `box` (d pairs).

    A `Map`, `StepMap` or `OptaxStepMap` makes `steps` steps. An `ODE` or a `Flow` is solved for
    `time`, by default 1000 e-folding times of the slowest rate at its fixed points, by steps of
    Rodas4 with errors of 1e-7; along edges of its field it slides, to 1e-4 of the box. A path
    that slides or is stuck for more than 16,384 steps ends where it is then. Where the field of
    an `ODE` jumps it may rest at points that `stability` does not list: paths that end there are
    undecided. A `StochasticStepMap` makes `steps` steps with noise from `seed`, and the basin
    told is the one that its noiseless step leads to from there.

    A path is decided once it is inside the trap of an attracting fixed point at the ends of two
    blocks running, or at rest at a fixed point. Normalised SAM's period-2 and chaotic orbits
    belong to the critical point that they surround. Paths that still move at the end are asked
    whether they are on a periodic orbit, a limit cycle, a quasi-periodic or a chaotic set, which
    is then an attractor of its own. Ctrl-C ends the run early and labels what
    is open as undecided. `progress` is None, True for a line on stderr, or a function of a
    `Progress`.
    For maps all devices are used; the result does not depend on their number.

    With `plane` (i, j), counted from 0, and `at` (d,) the starts are a grid of that plane only:
    the other coordinates start at those of `at`, and then move as they must. `box` has the two
    sides of the plane, or d of which these are taken. Then the fixed points are those where
    paths end, wherever that is.

    `InvalidInput` for an SDE, for a grid of more than 2²⁴ cells, and for `time` of a map.
    """
    through = as_plane(plane, at)
    box = as_box(box if through is None else plane_box(box, through))
    starts = grid_of_starts(box, grid)
    if steps < 1:
        raise InvalidInput(f"the number of steps must be 1 or more, not {steps}.")
    settling = noiseless(system)
    if through is None:
        judged = stability(settling, box=box, seed=seed)
        points, warnings = judged.points, judged.warnings
    else:
        flow = parts_of(settling)[0]
        check_system(flow, through.at)
        points, warnings = (), unread_by(flow, None, through.at)
    lifted = starts if through is None else through.lift(starts)
    moves = as_moves(settling, points, box, time, lifted.mean(axis=0))
    began = clock.perf_counter()
    if isinstance(system, AbstractStochasticMap):
        lifted, steps = moved_by_noise(system, lifted, steps, seed), SETTLING
    many = moves.steps or steps
    if through is not None:
        with telling(progress, "basins") as tell:
            run, points, interrupted = _on_plane(moves, box, through, lifted, many, tell)
    else:
        run = _Run(moves, box, traps(moves.map, points, box), lifted)
        with telling(progress, "basins") as tell:
            interrupted = run.go(many, tell)
    if not interrupted:
        run.label_moving()
        run.label_outside()
    seconds = clock.perf_counter() - began
    ends = {i: _at_rest(item.point) for i, item in enumerate(points)}
    ends |= {MOVING + i: _moving(one) for i, one in enumerate(run.sets)}
    return _summary(run, ends, grid, seconds, interrupted, warnings)


def _on_plane(
    moves: Moves, box, plane: Plane, lifted, steps: int, progress
) -> tuple["_Run", tuple[PointStability, ...], bool]:
    """Basins of starts on a plane: where some paths end tells what the others may reach."""
    size, map_ = float(np.max(np.ptp(box, axis=1))), moves.map
    points = arrivals(moves.system, lifted, ends_of_paths(map_, lifted, steps), size)
    moves = towards(moves, points)
    run = _Run(moves, box, traps(moves.map, points, box), lifted, plane)
    interrupted = run.go(steps, progress)
    while not interrupted and run.open.size:
        more = arrivals(moves.system, lifted, run.state.w, size, points)
        if len(more) == len(points):
            break
        points = more
        run.settle(traps(map_, points, box))
    return run, points, interrupted


def grid_of_starts(box: np.ndarray, grid: int) -> np.ndarray:
    """The centres (grid^d, d) of the cells of a box."""
    dim = len(box)
    if grid < 1 or grid**dim > MOST_STARTS:
        limit = int(MOST_STARTS ** (1 / dim))
        hint = " A plane through them takes more: --plane I,J --at P." if dim > 2 else ""
        raise InvalidInput(
            f"the grid must have 1 to {limit} cells a side in {dim} dimension{'s' * (dim != 1)}, "
            f"not {grid}.{hint}"
        )
    centres = (np.arange(grid) + 0.5) / grid
    axes = [low + (high - low) * centres for low, high in box]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)


class _Run:
    """The paths, which of them are open, and the labels of the rest."""

    def __init__(self, moves: Moves, box, places: tuple[Trap, ...], starts, plane=None):
        self.step_map, self.system = moves.map, moves.system
        self.box, self.places, self.plane = box, places, plane
        self.sets: list[MovingSet] = []
        step_map = self.step_map
        self.size = float(np.max(box[:, 1] - box[:, 0]))
        self.middle = starts.mean(axis=0)
        self.state: State = jax.tree.map(np.asarray, jax.vmap(step_map.init)(starts))
        self.labels = np.full(len(starts), UNDECIDED, np.int64)
        # where the loss is not finite nothing starts
        self.open = np.flatnonzero(_is_defined(step_map, starts))
        self.undefined = len(starts) - len(self.open)
        self.state = jax.tree.map(lambda leaf: leaf[self.open], self.state)
        self.rests = np.zeros(len(self.open), bool)
        self.inside = np.full(len(self.open), UNDECIDED)  # trap at the end of the block before
        self.path_steps = 0

    def go(self, steps: int, progress) -> bool:
        """Run all open paths for `steps` steps; True if interrupted."""
        done, block = 0, min(FIRST_BLOCK, max(1, steps // 2))  # two decide
        try:
            with heeded():
                while done < steps and self.open.size:
                    count = min(block, steps - done)
                    self._block(count)
                    before, done = done, done + count
                    block = min(2 * block, LONGEST_BLOCK)
                    if (
                        any(before < early <= done < steps for early in EARLY)
                        and self.plane is None
                    ):
                        self.label_moving(closed=True)
                    if progress is not None:
                        progress(done / steps if self.open.size else 1.0)
                    heed()
        except KeyboardInterrupt:
            return True
        return False

    def _block(self, count: int) -> None:
        before, state = moved(self.step_map, self.state, count)
        self.path_steps += count * self.open.size
        w, last = state.w, np.linalg.norm(state.w - before, axis=1)
        inside = self._trap_of(w)
        label = np.where((inside == self.inside) & (inside >= 0), inside, UNDECIDED)
        resting = (label == UNDECIDED) & (last <= AT_REST * self.size)
        label[resting] = self._rest_at(w[resting])
        finite = np.all(np.isfinite(w), axis=1)
        away = np.max(np.abs(np.where(finite[:, None], w - self.middle, 0)), axis=1)
        far = ~finite | (away > FAR * self.size)
        label[far] = DIVERGED
        self.labels[self.open] = label
        stay = label == UNDECIDED
        self.open, self.inside = self.open[stay], inside[stay]
        self.rests = (last <= AT_REST * self.size)[stay]
        self.state = jax.tree.map(lambda leaf: leaf[stay], state)

    def settle(self, places: tuple[Trap, ...]) -> None:
        """Label the paths that the last step left in one of `places`, with no step more."""
        self.places = places
        w = self.state.w
        label = self._trap_of(w)
        resting = (label == UNDECIDED) & self.rests
        label[resting] = self._rest_at(w[resting])
        self.labels[self.open] = label
        stay = label == UNDECIDED
        self.open, self.inside, self.rests = self.open[stay], self.inside[stay], self.rests[stay]
        self.state = jax.tree.map(lambda leaf: leaf[stay], self.state)

    def _trap_of(self, w: np.ndarray) -> np.ndarray:
        """The index of the attracting trap that holds each w, else −1."""
        found = np.full(len(w), UNDECIDED)
        for i, place in enumerate(self.places):
            if place.attracts:
                found[np.linalg.norm(w - place.w, axis=1) <= place.radius] = i
        return found

    def _rest_at(self, w: np.ndarray) -> np.ndarray:
        """The fixed point, of any verdict, at which each w rests, else −1."""
        found = np.full(len(w), UNDECIDED)
        for i, place in enumerate(self.places):
            gaps = np.linalg.norm(w[:, None] - place.samples[None], axis=-1)
            found[np.min(gaps, axis=1) <= place.resting] = i
        return found

    def warnings(self, count: int) -> tuple[str, ...]:
        """What must be known of the `count` starts."""
        if not self.undefined:
            return ()
        return (
            f"the loss is not finite at {self.undefined} of {count} starts: they belong to no "
            "basin and count as undecided.",
        )

    def label_moving(self, closed: bool = False) -> None:
        """Label the open paths that are on a set that moves, by numbers from MOVING on.

        Those within a trap are left to it: what moves there belongs to its fixed point. Those
        that move no more are on no such set.
        """
        rows = np.flatnonzero((self.inside == UNDECIDED) & ~self.rests)
        if not rows.size:
            return
        states = jax.tree.map(lambda leaf: leaf[rows], self.state)
        if closed and not going_round(self.step_map, states):
            return
        given = self.step_map, self.system, states, self.size
        self.sets, which = moving_sets(*given, self.sets, closed)
        rows, which = rows[which >= 0], which[which >= 0]
        self.labels[self.open[rows]] = MOVING + which
        stay = np.ones(len(self.open), bool)
        stay[rows] = False
        self.open, self.inside, self.rests = self.open[stay], self.inside[stay], self.rests[stay]
        self.state = jax.tree.map(lambda leaf: leaf[stay], self.state)

    def label_outside(self) -> None:
        """Label the open paths that are outside the box."""
        w = self.state.w if self.plane is None else self.plane.project(self.state.w)
        outside = np.any((w < self.box[:, 0]) | (w > self.box[:, 1]), axis=1)
        self.labels[self.open[outside]] = LEFT_BOX


def _at_rest(point: FixedPoint) -> dict[str, Any]:
    return {"w": point.w, "kind": point.kind, "critical_type": point.critical_type}


def _moving(one: MovingSet) -> dict[str, Any]:
    found = {"w": one.points[0], "kind": one.kind, "critical_type": None}
    return found | {"points": one.points, "period": one.period}


def _summary(
    run: _Run, ends: dict[int, dict[str, Any]], grid, seconds, interrupted, warnings
) -> Basins:
    """Ids in the order of the ends, for those that any path came to."""
    count = len(run.labels)
    reached = [i for i in ends if np.any(run.labels == i)]
    labels = np.where(run.labels < 0, run.labels, UNDECIDED)
    attractors = []
    for new, i in enumerate(reached):
        hits = run.labels == i
        labels[hits] = new
        share = int(np.sum(hits))
        interval = wilson_ci95(share, count)
        attractors.append(BasinAttractor(id=new, fraction=share / count, ci95=interval, **ends[i]))
    return Basins(
        run.box,
        labels.reshape((grid,) * len(run.box)),
        tuple(attractors),
        undecided=float(np.mean(labels == UNDECIDED)),
        diverged=float(np.mean(labels == DIVERGED)),
        left_box=float(np.mean(labels == LEFT_BOX)),
        path_steps=run.path_steps,
        seconds=seconds,
        interrupted=interrupted,
        plane=run.plane,
        warnings=(*warnings, *run.warnings(count)),
    )


def _is_defined(map_: AbstractMap, points: np.ndarray) -> np.ndarray:
    """Where the loss of points (n, d) is finite, (n,); without a loss, wherever they are."""
    loss = loss_of(map_)
    if loss is None:
        return np.all(np.isfinite(points), axis=1)
    return np.isfinite(OnPoints(loss, points.shape[1]).values(points))
