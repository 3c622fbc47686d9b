"""How long until a path leaves a region? `escape_times` simulates many and says how sure it is."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics.diffusion import AbstractDiffusion, Diffusion
from ..dynamics.minibatch import MinibatchStepMap
from ..dynamics.tree import as_dtype
from ..errors import InvalidInput
from .engine import Engine, Finished
from .regions import AbstractRegion, require_inside
from .result import EscapeTimes
from .schemes import SCHEMES, MapStepper, sde_stepper
from .statistics import ESCAPED, relative_half_width
from .step_size import default_dt
from .store import Store

FIRST_STAGE = 2000  # paths before a relative error is looked at
SAVE_EVERY = 0.5  # seconds between blocks in the results folder
FAR = 1e8  # how far away a border is looked for


class Standing(NamedTuple):
    """What is known while paths run: counts, time at risk so far, seconds since the start."""

    escaped: int
    at_risk: int
    censored: int
    time_at_risk: float
    seconds: float
    fraction: float


def escape_times(
    dynamics: Any,
    start: Any,
    region: AbstractRegion,
    *,
    paths: int,
    max_time: float | None = None,
    scheme: str | None = None,
    dt: float | None = None,
    seed: int = 0,
    dtype: Any = jnp.float32,
    target_error: float | None = None,
    out: Any = None,
    resume: bool = False,
    block: int | None = None,
    workers: int | None = None,
    devices: list[Any] | None = None,
    distributed: bool = False,
    options: dict[str, Any] | None = None,
    progress: Callable[[Standing], None] | None = None,
) -> EscapeTimes:
    """First exits from `region` of `paths` paths from `start` (d,).

    `dynamics` is a `Diffusion`, or a `StochasticStepMap` or `MinibatchStepMap`; time is learning
    rate times steps. `scheme` is "euler", "euler-binomial" or "heun" (default: "heun" for additive
    noise, else "euler"), `dt` its step (default: from the drift's curvature, so that the mean is
    within 0.3 %). A step map has neither. Paths still inside at `max_time` are censored.

    With `target_error` the run stops as soon as the 95 % interval of the mean is within that
    share of it, and `paths` is a limit. The numbers depend on `seed`, `dtype` and the dynamics
    alone, not on `block` (lanes of a worker), `workers`, `devices` or processes.

    `out` is a folder where finished paths are stored as they come; `resume` goes on from there.
    It is refused if it was made with other options: `options` names them for people (default: a
    description of all arguments that the numbers depend on).
    Ctrl-C returns what is known, marked as interrupted; paths then on their way are censored.
    """
    _check(paths, max_time, target_error)
    with jax.enable_x64(True):
        dynamics, region, start = as_dtype((dynamics, region, jnp.asarray(start)), dtype)
        require_inside(region, start)
        _require_border(region, np.asarray(start, np.float64))
        _require_noise(dynamics, start)
        stepper, used = _stepper(dynamics, region, start, scheme, dt)
    first = not distributed or jax.process_index() == 0  # two writers would collide
    known = options or {**_described(dynamics, region, start, max_time, seed), **used}
    store = Store(out, known, resume) if out is not None and first else None
    limit = None if max_time is None else int(np.ceil(max_time / float(stepper.dt) * (1 - 1e-6)))
    engine = Engine(stepper, seed, limit, block, workers, devices)
    run = _Run(engine, store, paths, progress, distributed)
    run.to_the_end(target_error)
    return run.result(used)


def _check(paths: int, max_time: float | None, target_error: float | None) -> None:
    if paths < 1 or paths >= 2**32:
        raise InvalidInput(f"paths must be in 1 … 2^32 − 1, not {paths}.")
    if max_time is not None and not (np.isfinite(max_time) and max_time > 0):
        raise InvalidInput(f"max_time must be a finite number > 0, not {max_time:g}.")
    if target_error is not None and not 0 < target_error < 1:
        raise InvalidInput(f"target_error must lie in (0, 1), not {target_error:g}.")


def _require_border(region: AbstractRegion, start: np.ndarray) -> None:
    """Refuse a region that contains every point tried in all directions."""
    directions = np.concatenate([np.eye(start.size), -np.eye(start.size)])
    extra = np.random.default_rng(0).normal(size=(64, start.size))
    directions = np.concatenate([directions, extra / np.linalg.norm(extra, axis=1)[:, None]])
    reach = np.geomspace(1e-3, FAR, 45)
    points = start + reach[:, None, None] * directions
    distance = jax.vmap(region.distance)(jnp.asarray(points.reshape(-1, start.size)))
    if np.all(np.asarray(distance) > 0):
        raise InvalidInput(
            f"the region {region} can't be left: no border was found around {start}."
        )


def _require_noise(dynamics: Any, start: Any) -> None:
    """Refuse a system whose noise vanishes at and about the start: every path would be the same."""
    if isinstance(dynamics, MinibatchStepMap):
        return
    rng, size = np.random.default_rng(0), np.shape(start)
    z = jnp.asarray(rng.normal(size=dynamics.draws(start)), start.dtype)
    shifts = rng.normal(size=(8, *size)) * 0.1
    for shift in (np.zeros(size), *shifts):
        y = dynamics.init(start + jnp.asarray(shift, start.dtype))
        if isinstance(dynamics, AbstractDiffusion):
            moved = dynamics.disperse(y, z)
        else:
            one, other = dynamics.step(y, z), dynamics.step(y, -z)
            moved = jax.tree.map(jnp.subtract, one, other)
        if any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(moved)):
            return
    raise InvalidInput("the noise is 0: every path would be the same; follow one by trajectory.")


def _stepper(dynamics, region, start, scheme, dt):
    if not isinstance(dynamics, AbstractDiffusion):
        if scheme is not None or dt is not None:
            raise InvalidInput("a step map takes the optimizer's own steps: no scheme, no dt.")
        return MapStepper(dynamics, region, start), {"scheme": None, "dt": None}
    if not isinstance(dynamics, Diffusion):
        raise InvalidInput("paths are simulated in Itô form: give the Diffusion itself.")
    scheme = scheme or ("heun" if dynamics.additive else "euler")
    if scheme not in SCHEMES:
        raise InvalidInput(f"scheme {scheme} is unknown: take one of {', '.join(SCHEMES)}.")
    if scheme == "heun" and not dynamics.additive:
        raise InvalidInput("scheme heun needs additive noise: take euler.")
    if dt is None:
        dt = default_dt(scheme, dynamics, region, start)
    if not (np.isfinite(dt) and dt > 0):
        raise InvalidInput(f"dt must be a finite number > 0, not {dt:g}.")
    return sde_stepper(scheme, dynamics, region, start, dt), {"scheme": scheme, "dt": float(dt)}


def _described(dynamics, region, start, max_time, seed) -> dict[str, Any]:
    """Everything else that the numbers depend on, as text where it is not a number."""
    return {
        "dynamics": eqx.tree_pformat(dynamics, short_arrays=False),
        "region": eqx.tree_pformat(region, short_arrays=False),
        "start": np.asarray(start, np.float64).tolist(),
        "dtype": str(start.dtype),
        "max_time": max_time,
        "seed": seed,
    }


class _Run:
    """Collects finished paths in stages, so that a stopping rule sees whole prefixes only.

    Stopping on what has finished first would prefer short paths.
    """

    def __init__(
        self, engine: Engine, store: Store | None, paths: int, progress, distributed: bool
    ):
        self.engine, self.store, self.paths, self.progress = engine, store, paths, progress
        self.processes = jax.process_count() if distributed else 1
        self.rank = jax.process_index() if distributed else 0
        dim = engine.dim
        self.time, self.status = np.zeros(paths), np.zeros(paths, np.int8)
        self.steps, self.point = np.zeros(paths, np.int64), np.zeros((paths, dim))
        self.unsaved: list[Finished] = []
        self.unfinished: list[
            Finished
        ] = []  # at Ctrl-C: they count as censored, and are not stored
        self.began = self.saved_at = time.monotonic()
        self.seconds, self.stage, self.interrupted = 0.0, 0, False
        if store is not None and store.blocks:
            self._keep(_finished(store.read()))
        if self.processes > 1:
            self._exchange(0, paths)
        self.saved = self.status > 0

    def to_the_end(self, target_error: float | None) -> None:
        last = 0
        while last < self.paths and not self.interrupted:
            first, last = last, self._next(last, target_error)
            self._run(first, last)
            if target_error is not None and self._error(last) <= target_error:
                self.paths = last

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

    def _take(self, finished: Finished, survived: float) -> None:
        self._keep(finished)
        self.unsaved.append(finished)
        if time.monotonic() - self.saved_at > SAVE_EVERY:
            self._save()
        if self.progress is not None:
            self.progress(self._standing(survived))

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

    def result(self, used: dict[str, Any]) -> EscapeTimes:
        ended = self.status[: self.paths] > 0
        columns = (self.time, self.status, self.steps, self.point)
        rows = [column[: self.paths][ended] for column in columns]
        for part in self.unfinished:
            more = (part.time, part.status, part.steps, part.point)
            rows = [np.concatenate(pair) for pair in zip(rows, more, strict=True)]
        return EscapeTimes(
            *rows,
            seconds=self.seconds,
            compile_seconds=self.engine.compile_seconds,
            lane_steps=self.engine.lane_steps,
            scheme=used["scheme"],
            dt=used["dt"],
            asked=self.paths,
            interrupted=self.interrupted,
        )


def _finished(columns: dict[str, np.ndarray]) -> Finished:
    names = ("index", "time", "status", "steps", "exit_point")
    return Finished(*(columns[name] for name in names))


def _ranges(indices: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges that cover ascending `indices`."""
    if not indices.size:
        return []
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(indices, breaks)]
