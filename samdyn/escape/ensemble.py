"""`ensemble`: any function of the state, averaged over runs and over time, with intervals.

Runs are independent of each other; the values along one are not. So errors come from the spread of
the runs' own averages, and of a single run, or a few, from those of long parts of it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..arguments import of_system
from ..checks import (
    require_function,
    require_numbers,
    require_one_value,
    require_point,
    require_whole,
    told,
)
from ..dynamics.systems.flat import is_vector
from ..dynamics.systems.map import AbstractMap
from ..dynamics.systems.sde import AbstractSDE
from ..dynamics.systems.stochastic_map import AbstractStochasticMap
from ..errors import InvalidInput
from ..interrupts import heed, heeded
from ..precision import in_double
from ..programs.lanes import LANES as FULL
from ..programs.lanes import advanced
from ..progress import telling
from ..results.provenance import recorded
from ..results.result import Result
from ..text import columns
from .engine.stepping import bridge, generator

PARTS = 32  # of the time over which is averaged
FEW = 16  # runs: of fewer the parts of each tell the error
LANES = 1024  # runs side by side


class Ensemble(Result, eqx.Module):
    """What `ensemble` returns, of an observable of shape S.

    `mean` S is its average over all `runs` that stayed finite and over the time from `burn` on,
    `error` S two standard errors of it. `times` (n,) are the ends of as many equal parts of that
    time, in steps or in time, `series` (n, *S) the averages over runs within each, `series_errors`
    (n, *S) theirs. `correlation_steps` S is how many steps apart values are about independent; it
    can't be told below the length of a part. `failed` runs left the range of numbers and are in no
    average. `interrupted`: fewer runs than asked for were made.
    """

    mean: np.ndarray
    error: np.ndarray
    times: np.ndarray
    series: np.ndarray
    series_errors: np.ndarray
    correlation_steps: np.ndarray
    runs: int
    failed: int
    unit: str
    interrupted: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def ci95(self) -> np.ndarray:
        """(2, *S): the interval of the mean."""
        return np.stack([self.mean - self.error, self.mean + self.error])

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        found: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        return found | {
            "mean": self.mean.tolist(),
            "ci95": self.ci95.tolist(),
            "times": self.times.tolist(),
            "series": self.series.tolist(),
            "series_errors": self.series_errors.tolist(),
            "runs": self.runs,
            "failed": self.failed,
            "unit": self.unit,
            "interrupted": self.interrupted,
        }

    def __str__(self) -> str:
        rows = [["", "mean", "±"]]
        for index in np.ndindex(self.mean.shape):
            name = ", ".join(map(str, index)) or "observable"
            rows.append([name, f"{self.mean[index]:.6g}", f"{self.error[index]:.2g}"])
        shown = rows[:25] + ([["…", "", ""]] if len(rows) > 25 else [])
        lines = [f"warning: {warning}" for warning in self.warnings]
        lines += [columns(shown), f"{self.runs} runs to {self.unit} {self.times[-1]:.6g}"]
        lines += [f"{self.failed} more left the range of numbers"] * bool(self.failed)
        return "\n".join(lines)

    def _table(self) -> list[dict[str, Any]]:
        """One row a part of the time."""
        flat = self.series.reshape(len(self.times), -1)
        errors = self.series_errors.reshape(flat.shape)
        return [
            {self.unit: float(t)}
            | {f"mean[{k}]": float(x) for k, x in enumerate(values)}
            | {f"error[{k}]": float(x) for k, x in enumerate(own)}
            for t, values, own in zip(self.times, flat, errors, strict=True)
        ]


@of_system("StochasticStepMap(loss, method, learning_rate, noise)")
@recorded
@in_double
def ensemble(
    system: Any,
    start: PyTree,
    observable: Callable[[PyTree], Any],
    *,
    steps: int | None = None,
    time: float | None = None,
    dt: float | None = None,
    paths: int = 1024,
    burn: float = 0.0,
    seed: int = 0,
    progress: Any = None,
) -> Ensemble:
    """Averages of `observable(w)`, an array or a number, over `paths` runs from `start` and over
    their time.

    A random map, or a map without noise, makes `steps` steps. An SDE runs for `time` by steps of
    `dt` (a `Diffusion`'s learning rate by default) of Euler–Maruyama, whose bias in dt is no part
    of the error. `burn` is the share of the steps that is left out at the beginning. The numbers
    depend on `seed` and the arguments alone. Ctrl-C returns the runs made so far.

    `InvalidInput` for a flow (take `trajectory`), and for steps of an SDE or time of a map.
    """
    require_one_value(system)
    require_function(observable, "observable(w)")
    require_whole(paths, "paths", 1)
    require_numbers(burn, "burn must be a share of the steps", lambda x: (x >= 0) & (x < 1))
    move, count, length = _moves(system, steps, time, dt)
    if is_vector(require_point(start, "a start")):
        start = np.asarray(start, float)
    start = jax.tree.map(lambda x: jnp.asarray(x, float), start)
    left_out = int(burn * count)
    part = (count - left_out) // PARTS
    if part < 1:
        raise InvalidInput(f"{count} steps are too few: {PARTS} or more beyond burn are needed.")
    left_out = count - part * PARTS
    if count * (move.draws(move.init(start)) // 2 + 1) >= 2**32:
        raise InvalidInput(f"{count} steps are too many: a run has 2³² pairs of random numbers.")
    values, interrupted = _values(
        (move, observable, start), (left_out, part), (paths, seed), progress
    )
    unit = "step" if length == 1 else "time"
    ends = (left_out + part * np.arange(1, PARTS + 1)) * length
    return _summary(values, ends, part, unit, interrupted)


class _Step(eqx.Module):
    """One step of a system as a function of its state and its draws."""

    system: Any
    dt: Any = None

    def init(self, w: PyTree) -> PyTree:
        return self.system.init(w)

    def position(self, state: PyTree) -> PyTree:
        """w."""
        return self.system.position(state) if isinstance(self.system, AbstractSDE) else state.w

    def draws(self, state: PyTree) -> int:
        """How many numbers a step draws."""
        if isinstance(self.system, AbstractStochasticMap | AbstractSDE):
            return self.system.draws(self.position(state))
        return 0

    @property
    def law(self) -> str:
        return getattr(self.system, "law", "normal")

    def __call__(self, state: PyTree, z: Any) -> PyTree:
        if isinstance(self.system, AbstractStochasticMap):
            return self.system.step(state, z)
        if isinstance(self.system, AbstractMap):
            return self.system(state)
        drift, noise = self.system.drift(state), self.system.disperse(state, z)
        root = jnp.sqrt(self.dt)
        return jax.tree.map(lambda y, b, s: y + self.dt * b + root * s, state, drift, noise)


class _Lane(NamedTuple):
    """A run on its way: its state, its key, the number of its next step, and the sum of what was
    seen."""

    state: PyTree
    key: generator.Key
    step: Any
    total: Any


class _Observed(eqx.Module):
    """A step of a run, and a look at where it has come."""

    move: _Step
    observable: Callable

    def __call__(self, lane: _Lane) -> _Lane:
        count = self.move.draws(lane.state)
        z = bridge.draws_at(lane.key, lane.step, count, self.move.law, jnp.zeros(()).dtype)
        state = self.move(lane.state, z)
        seen = jnp.asarray(self.observable(self.move.position(state)), float)
        return _Lane(state, lane.key, lane.step + np.uint32(1), lane.total + seen)


def _moves(system: Any, steps: Any, time: Any, dt: Any) -> tuple[_Step, int, float]:
    """(the step, how many, the time of one)."""
    if isinstance(system, AbstractSDE):
        rate = getattr(system, "learning_rate", None)
        dt = rate if dt is None else dt
        if steps is not None or time is None or dt is None:
            raise InvalidInput("an SDE runs for a time, by steps of dt: give time and dt.")
        if not (float(time) > 0 and float(dt) > 0):
            raise InvalidInput(f"time and dt must be numbers > 0, not {time:g} and {dt:g}.")
        count = max(1, math.ceil(float(time) / float(dt) - 1e-9))
        return _Step(system, jnp.asarray(float(time) / count)), count, float(time) / count
    if not isinstance(system, AbstractStochasticMap | AbstractMap):
        raise InvalidInput(f"ensemble runs a map or an SDE, not {told(system)}.")
    if steps is None or time is not None or dt is not None:
        raise InvalidInput("a map makes steps: give steps, not time or dt.")
    require_whole(steps, "steps", 1)
    return _Step(system), int(steps), 1.0


def _values(
    what: tuple, lengths: tuple[int, int], which: tuple[int, int], progress: Any
) -> tuple[np.ndarray, bool]:
    """Averages (runs, PARTS, *S) of the observable over each part of each run."""
    (move, observable, start), (paths, seed), found = what, which, []
    step, begin = _Observed(move, observable), _beginning(move, observable, start, seed)
    with telling(progress, "ensemble") as tell:
        try:
            with heeded():
                for first in range(0, paths, LANES):
                    numbers = np.arange(first, min(first + LANES, paths), dtype=np.uint32)
                    share = functools.partial(_share_done, first, paths)
                    told = None if tell is None else lambda part, share=share: tell(share(part))
                    found.append(_parts(step, begin(numbers), lengths, told))
        except KeyboardInterrupt:
            if not found:
                raise
    values = np.concatenate(found)
    return values, len(values) < paths


def _share_done(first: int, paths: int, part: int) -> float:
    """Of all the work, when `part` parts of the runs from `first` on are done."""
    return min(1.0, (first + LANES * part / PARTS) / paths)


def _beginning(move: _Step, observable: Callable, start: PyTree, seed: int) -> Callable:
    """The function that gives the lanes of runs (n,) as they begin."""
    words = jnp.asarray(generator.seed_words(seed))
    shape = jax.eval_shape(lambda w: jnp.asarray(observable(w), float), start).shape

    def begin(numbers: np.ndarray) -> _Lane:
        rows = len(numbers)
        state = jax.tree.map(
            lambda x: np.repeat(np.asarray(x)[None], rows, axis=0), move.init(start)
        )
        key = jax.tree.map(np.asarray, generator.path_key(words, jnp.asarray(numbers)))
        return _Lane(state, key, np.zeros(rows, np.uint32), np.zeros((rows, *shape)))

    return begin


def _parts(
    step: _Observed, lanes: _Lane, lengths: tuple[int, int], tell: Callable | None
) -> np.ndarray:
    """Averages (n, PARTS, *S) over each part of the runs of these lanes."""
    (left_out, part), rows = lengths, len(lanes.step)
    least = min(FULL, 1 << (rows - 1).bit_length())  # a single run may be long
    lanes, found = advanced(step, lanes, left_out, least), []
    for number in range(PARTS):
        lanes = advanced(step, lanes._replace(total=np.zeros_like(lanes.total)), part, least)
        found.append(lanes.total / part)
        heed()
        if tell is not None:
            tell(number + 1)
    return np.stack(found, axis=1)


def _summary(
    values: np.ndarray, ends: np.ndarray, part: int, unit: str, interrupted: bool
) -> Ensemble:
    finite = np.all(np.isfinite(values.reshape(len(values), -1)), axis=1)
    kept = values[finite]
    warnings = []
    if not len(kept):
        raise InvalidInput("every run left the range of numbers: there is nothing to average.")
    if len(kept) < len(values):
        warnings.append(
            f"{len(values) - len(kept)} of {len(values)} runs left the range of numbers: the "
            "averages are of those that did not."
        )
    each = kept.mean(axis=1)
    by_parts = _error(kept.reshape(-1, *kept.shape[2:]), len(kept) * PARTS)
    error = _error(each, len(each)) if len(each) >= FEW else by_parts
    if len(each) < FEW:
        warnings.append(
            f"of {len(each)} runs the error comes from {PARTS} parts of each: it is too small if "
            f"values are correlated over {part} steps or more."
        )
    many = np.full((PARTS, *error.shape), np.nan)
    if len(kept) > 1:
        many = np.stack([_error(kept[:, k], len(kept)) for k in range(PARTS)])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(by_parts > 0, part * (error / by_parts) ** 2, 0.0)
    return Ensemble(
        each.mean(axis=0),
        error,
        ends,
        kept.mean(axis=0),
        many,
        apart,
        len(kept),
        len(values) - len(kept),
        unit,
        interrupted,
        tuple(warnings),
    )


def _error(values: np.ndarray, count: int) -> np.ndarray:
    """Twice the standard error of the mean over the first axis, by Student's t."""
    import scipy.stats

    if count < 2:
        return np.full(values.shape[1:], np.inf)
    quantile = float(scipy.stats.t.ppf(0.975, count - 1))
    return quantile * np.std(values, axis=0, ddof=1) / math.sqrt(count)
