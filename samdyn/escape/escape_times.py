"""How long until a path leaves a region? `escape_times` simulates many and says how sure it is."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..arguments import of_system
from ..checks import require_point
from ..dynamics.check import check_motion, check_paths
from ..dynamics.regions.region_distance import with_distance
from ..dynamics.regions.regions import AbstractRegion, as_region
from ..dynamics.systems.flat import flattened, is_vector, region_of_vectors
from ..dynamics.systems.system import AbstractSystem
from ..progress import Tell, telling
from ..results.provenance import recorded
from ..results.store import Store
from .engine.attempt import Attempt, Problem
from .engine.ended import Finished
from .engine.engine import Engine, name_of_back_end
from .engine.parts import going_on, part_of_back_end, parts_of
from .engine.patience import Patience, end_of_patience
from .engine.stepping.schemes import name_of
from .result import EscapeTimes
from .statistics import CENSORED, ESCAPED, Summary, relative_half_width, summarize

FIRST_STAGE = 2000  # paths before a relative error is looked at
WIDER = 5**0.5  # the interval of 2a − b over that of a
SAVE_EVERY = 0.5  # seconds between blocks in the results folder


class Standing(NamedTuple):
    """What is known while paths run: counts, time at risk so far, seconds since the start."""

    escaped: int
    at_risk: int
    censored: int
    time_at_risk: float
    seconds: float
    fraction: float

    def __str__(self) -> str:
        counts = f"{self.escaped} escaped, {self.at_risk} at risk, {self.censored} censored"
        if not self.escaped:
            return counts
        mean = self.time_at_risk / self.escaped
        return f"{counts}, mean about {mean:.4g} ± {1.96 * mean / self.escaped**0.5:.2g}"


@of_system("Diffusion(loss, method, learning_rate, noise), or SDE(drift, dispersion)")
@recorded
def escape_times(
    system: AbstractSystem,
    start: Any,
    region: AbstractRegion | Callable,
    *,
    paths: int,
    max_time: float | None = None,
    scheme: Any = None,
    dt: float | None = None,
    seed: int = 0,
    dtype: Any = jnp.float32,
    target_error: float | None = None,
    out: Any = None,
    resume: bool = False,
    block: int | None = None,
    workers: int | None = None,
    devices: list[Any] | None = None,
    back_end: str | None = None,
    distributed: bool = False,
    options: dict[str, Any] | None = None,
    progress: Any = None,
) -> EscapeTimes:
    """First exits from `region` of `paths` paths from `start` (d,).

    `system` is an `SDE`, a `Diffusion`, a `StochasticStepMap` or a `MinibatchStepMap`; time is
    learning rate times steps. `region` is a region, or a function of w as of `Predicate`. `scheme`
    is "euler", "euler-binomial", "heun" or a subclass of `AbstractScheme` (default: "heun" for
    additive noise, else "euler"), `dt` its step (default: from the drift's curvature, so that the
    mean is within 0.3 %). A step map has neither. Paths still inside at `max_time` are censored;
    without one, those that stay 10⁴ times longer than it took the first few to leave
    (`patience.py`).

    Where paths came to places that are too stiff for the default step, the run starts over with
    a shorter one; where that is too dear, or the step was given, `warnings` of the result say so.
    Where a step's noise is less than 100 spacings of `dtype`, a wider dtype is taken, and said.

    With `target_error` the run stops as soon as the 95 % interval of the mean is within that
    share of it, and `paths` is a limit. The numbers depend on `seed`, `dtype` and the dynamics
    alone, not on `block` (lanes of a worker), `workers`, `devices` or processes. `back_end` is
    "llvm", machine code of our own on CPUs, or "xla", which runs everything everywhere (default:
    the first that can run this); paths of the two agree to rounding, and a folder is of one.

    `out` is a folder where finished paths are stored as they come; `resume` goes on from there.
    It is refused if it was made of another problem, which is known by what it computes and not by
    its names (`engine/parts.py`); `options` tells people what it holds (default: a description of
    the arguments), and which of them differs.
    `progress` is None, True for a line on stderr, or a function of a `Progress` with a `Standing`.
    Ctrl-C returns what is known, marked as interrupted; paths then on their way are censored.

    `InvalidInput` for a system without noise, a start outside the region, a region that cannot be
    left, and a folder of another problem.
    """
    with jax.enable_x64(True):
        region = as_region(region)
        if not is_vector(require_point(start)):
            check_paths(system)
            system, start, up = flattened(system, start)
            region = region_of_vectors(region, up)
        check_motion(system, start)
        region = with_distance(region, start)
        problem = Problem(system, jnp.asarray(start), region, scheme, dt, dtype, max_time, paths)
        first = problem.first()
    writes = not distributed or jax.process_index() == 0  # two writers would collide
    back_end = going_on(back_end, out) if out is not None and resume else back_end
    store = None
    if out is not None and writes:
        counts = {"dtype": np.dtype(dtype).name, "max_time": max_time, "seed": seed}
        told = {**(options or _described(first)), **counts}
        told["problem"] = parts_of(problem, first) | part_of_back_end(
            out if resume else None, name_of_back_end(problem.stepper(first), back_end, devices)
        )
        store = Store(out, told, resume)
    attempt = first if store is None or not store.attempt else problem.again(store.attempt)
    how = target_error, seed, distributed, (block, workers, devices, back_end)
    with telling(progress, "escape") as tell:
        return _attempts(problem, attempt, store, how, tell)


def _attempts(
    problem: Problem, attempt: Attempt, store: Store | None, how: tuple, tell: Tell | None
) -> EscapeTimes:
    """Run, and again with a shorter step as long as paths tell that theirs was too long."""
    target_error, seed, distributed, machines = how
    max_time, paths = problem.max_time, problem.paths
    while True:
        with jax.enable_x64(True):
            stepper = problem.stepper(attempt)
        engine = Engine(stepper, seed, attempt.most_steps(max_time), *machines)
        run = _Run(engine, store, paths, tell, distributed)
        run.patience = Patience(paths, attempt.most) if max_time is None else None
        wanted = target_error
        if target_error is not None and problem.watched(attempt):
            wanted = target_error / WIDER  # what extrapolation makes of an interval
        finer = run.to_the_end(wanted, problem, attempt)
        if finer is None or run.interrupted:
            coarser = _coarser(problem, attempt, run, max_time, engine)
            return run.result(problem, attempt, coarser)
        attempt = finer
        if store is not None:
            store.restart(attempt.to_dict())


def _coarser(
    problem: Problem, attempt: Attempt, run: "_Run", max_time: float | None, engine: Engine
) -> tuple[Summary, ...]:
    """Where only yes or no is known of the region: as many paths with steps 4 and 16 times as long.

    Exits within a step can't be seen there, and the three together tell what they come to. They
    are not judged as the run is: that their steps are long is their purpose.
    """
    if run.interrupted or not problem.watched(attempt):
        return ()
    found, seed = [], [int(word) for word in engine.seed]
    for factor in (4, 16):
        assert attempt.dt is not None
        with jax.enable_x64(True):
            longer = attempt._replace(dt=attempt.dt * factor)
            stepper = problem.stepper(longer)
        limit = longer.most_steps(max_time) or max(1, int(engine.limit) // factor)
        other = Engine(stepper, _seed_of(seed, factor), limit, *engine.machines)
        part = _Run(other, None, run.paths, None, False)
        part.all_at_once()
        found.append(summarize(part.time, part.status))
        if part.interrupted or found[-1].mean is None:
            problem.warnings.append(
                "runs with longer steps, which tell what exits within a step come to, were not "
                "finished or left no path: the mean is uncorrected, and late."
            )
            return ()
    return tuple(found)


def _scheme_name(attempt: Attempt) -> str | None:
    return None if attempt.scheme is None else name_of(attempt.scheme)


def _seed_of(words: list[int], factor: int) -> int:
    """A seed of its own for each run of a set, from the words of the first."""
    return int(np.random.SeedSequence([*words, factor]).generate_state(1, np.uint64)[0] >> 1)


def _described(first: Attempt) -> dict[str, Any]:
    """The first attempt for people, as text where it is not a number."""
    return {
        "dynamics": eqx.tree_pformat(first.dynamics, short_arrays=False),
        "region": eqx.tree_pformat(first.region, short_arrays=False),
        "start": np.asarray(first.start, np.float64).tolist(),
        "scheme": _scheme_name(first),
        "dt": first.dt,
    }


class _Run:
    """Collects finished paths in stages, so that a stopping rule sees whole prefixes only.

    Stopping on what has finished first would prefer short paths.
    """

    def __init__(
        self, engine: Engine, store: Store | None, paths: int, tell: Tell | None, distributed: bool
    ):
        self.engine, self.store, self.paths, self.tell = engine, store, paths, tell
        self.processes = jax.process_count() if distributed else 1
        self.rank = jax.process_index() if distributed else 0
        self.time, self.status = np.zeros(0), np.zeros(0, np.int8)
        self.steps, self.point = np.zeros(0, np.int64), np.zeros((0, engine.dim))
        self.saved = np.zeros(0, bool)
        self.patience: Patience | None = None
        self.unsaved: list[Finished] = []
        self.unfinished: list[
            Finished
        ] = []  # at Ctrl-C: they count as censored, and are not stored
        self.began = self.saved_at = time.monotonic()
        self.seconds, self.stage, self.interrupted = 0.0, 0, False
        self.stored = _finished(store.read()) if store is not None and store.blocks else None

    def to_the_end(
        self, target_error: float | None, problem: Problem, attempt: Attempt
    ) -> Attempt | None:
        """Run all stages; or the attempt that must be made instead, as soon as that is clear."""
        last = 0
        while last < self.paths and not self.interrupted:
            first, last = last, self._next(last, target_error)
            self._grow(last)
            self._run(first, last)
            with jax.enable_x64(True):
                finer = problem.judge(attempt, self.status, self.point, self.processes == 1)
            if finer is not None:
                return finer
            if target_error is not None and self._error(last) <= target_error:
                self.paths = last
        return None

    def all_at_once(self) -> None:
        """Run all paths as one stage, unjudged."""
        self._grow(self.paths)
        self._run(0, self.paths)

    def _grow(self, count: int) -> None:
        """Room for `count` paths: as many as run, however many the limit allows."""
        before, more = len(self.time), count - len(self.time)
        for name in ("time", "status", "steps", "point", "saved"):
            rows = getattr(self, name)
            zeros = np.zeros((more, *rows.shape[1:]), rows.dtype)
            setattr(self, name, np.concatenate([rows, zeros]))
        if self.stored is not None:
            self._keep(self.stored)
        if self.processes > 1:
            self._exchange(before, count)
        self.saved = self.status > 0

    def _next(self, done: int, target_error: float | None) -> int:
        """The end of the next stage: as many paths as the error so far says are needed."""
        if target_error is None:
            return self.paths
        error = self._error(done) if done else np.inf
        if not np.isfinite(error):
            return min(self.paths, max(FIRST_STAGE, 2 * done))
        needed = 1.05 * done * (error / target_error) ** 2
        return int(min(self.paths, max(needed, 1.1 * done) + 1))

    def _error(self, count: int) -> float:
        return relative_half_width(self.time[:count], self.status[:count])

    def _run(self, first: int, last: int) -> None:
        began = time.monotonic()
        self.stage = last
        missing = first + np.flatnonzero(self.status[first:last] == 0)
        if self.patience is not None:
            self.engine.limit = np.int32(min(self.patience.limit, self.engine.most))
            if self.stored is not None:
                self._wait_no_longer(self.stored, [])
        mine = np.array_split(missing, self.processes)[self.rank]
        try:
            self.unfinished += self.engine.run(_ranges(mine), self._take)
        finally:
            self._save()
        self.seconds += time.monotonic() - began
        if self.processes > 1:
            self._exchange(first, last)
            self._save_from_others()
        self.interrupted = bool(np.any(self.status[first:last] == 0))

    def _take(self, finished: Finished, running: list[Finished]) -> None:
        self._keep(finished)
        self._wait_no_longer(finished, running)
        self.unsaved.append(finished)
        if time.monotonic() - self.saved_at > SAVE_EVERY:
            self._save()
        if self.tell is not None:
            survived = sum(float(np.sum(part.time)) for part in running)
            standing = self._standing(survived)
            self.tell(standing.fraction, str(standing), standing)

    def _wait_no_longer(self, finished: Finished, running: list[Finished]) -> None:
        patience = self.patience
        if patience is not None and not patience.known and self.processes == 1:
            patience.heed(finished, running)
            self.engine.limit = np.int32(min(patience.limit, self.engine.most))

    def _standing(self, survived: float) -> Standing:
        ended = self.status[: self.stage] > 0
        escaped = int(np.sum(self.status[: self.stage] == ESCAPED))
        count = int(np.sum(ended))
        risk = float(np.sum(self.time[: self.stage][ended])) + survived
        seconds = time.monotonic() - self.began
        return Standing(
            escaped, self.stage - count, count - escaped, risk, seconds, count / max(self.stage, 1)
        )

    def _keep(self, finished: Finished) -> None:
        rows = finished.index < len(self.time)
        index = finished.index[rows]
        self.time[index], self.status[index] = finished.time[rows], finished.status[rows]
        self.steps[index], self.point[index] = finished.steps[rows], finished.point[rows]

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        if self.store is None or not self.unsaved:
            return
        parts, self.unsaved = self.unsaved, []
        joined = Finished(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        if joined.index.size:
            self.store.append(joined.columns())
            self.saved[joined.index[joined.index < len(self.saved)]] = True

    def _save_from_others(self) -> None:
        index = np.flatnonzero((self.status > 0) & ~self.saved)
        if self.store is None or not index.size:
            return
        rows = (self.time[index], self.status[index], self.steps[index], self.point[index])
        self.store.append(Finished(index, *rows).columns())
        self.saved[index] = True

    def _exchange(self, first: int, last: int) -> None:
        """Every process gets the rows of all: each path was run by exactly one."""
        from jax.experimental import multihost_utils

        for name in ("time", "status", "steps", "point"):
            rows = getattr(self, name)[first:last]
            raw = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
            everyone = np.asarray(multihost_utils.process_allgather(raw))
            merged = np.bitwise_or.reduce(everyone, axis=0)
            getattr(self, name)[first:last] = merged.view(rows.dtype).reshape(rows.shape)

    def result(
        self, problem: Problem, attempt: Attempt, coarser: tuple[Summary, ...] = ()
    ) -> EscapeTimes:
        self._cut()
        ended = self.status[: self.paths] > 0
        columns = (self.time, self.status, self.steps, self.point)
        rows = [column[: self.paths][ended] for column in columns]
        index = np.concatenate([np.flatnonzero(ended), *(part.index for part in self.unfinished)])
        for part in self.unfinished:
            more = (part.time, part.status, part.steps, part.point)
            rows = [np.concatenate(pair) for pair in zip(rows, more, strict=True)]
        warnings = [*problem.warnings, *self._patience_ended(rows[0], rows[1])]
        return EscapeTimes(
            *rows,
            seconds=self.seconds,
            compile_seconds=self.engine.compile_seconds,
            lane_steps=self.engine.lane_steps,
            back_end=self.engine.back_end.name,
            scheme=_scheme_name(attempt),
            dt=attempt.dt,
            asked=self.paths,
            interrupted=self.interrupted,
            warnings=tuple(warnings),
            coarser=coarser,
            region=attempt.region,
            start=np.asarray(attempt.start, float),
            index=index,
        )

    def _cut(self) -> None:
        """Censor where patience ended those who had gone on before that was known."""
        if self.patience is None:
            return
        limit = int(self.engine.limit)
        late = self.steps > limit
        self.status[late], self.steps[late] = CENSORED, limit
        self.time[late] = limit * float(self.engine.stepper.dt)

    def _patience_ended(self, time: np.ndarray, status: np.ndarray) -> list[str]:
        censored = int(np.sum(status == CENSORED))
        if self.patience is None or not censored or self.interrupted:
            return []
        escaped = int(np.sum(status == ESCAPED))
        return [end_of_patience(float(np.max(time)), censored, len(status), escaped)]


def _finished(columns: dict[str, np.ndarray]) -> Finished:
    names = ("index", "time", "status", "steps", "exit_point")
    return Finished(*(columns[name] for name in names))


def _ranges(indices: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges that cover ascending `indices`."""
    if not indices.size:
        return []
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(indices, breaks)]
