"""`ensemble`: any function of the state, averaged over runs and over time, with intervals.

Runs are independent of each other; the values along one are not. So errors come from the spread of
the runs' own averages, and of a single run, or a few, from those of long parts of it.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

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
from ..progress import telling
from ..results.provenance import recorded
from ..results.result import Result
from ..text import columns

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
    values, interrupted = _values(
        (move, observable, start), (left_out, part), (paths, seed), progress
    )
    unit = "step" if length == 1 else "time"
    ends = (left_out + part * np.arange(1, PARTS + 1)) * length
    return _summary(values, ends, part, unit, interrupted)


class _Step(eqx.Module):
    """One step of a system as a function of its state and a key."""

    system: Any
    dt: Any = None

    def init(self, w: PyTree) -> PyTree:
        return self.system.init(w)

    def position(self, state: PyTree) -> PyTree:
        """w."""
        return self.system.position(state) if isinstance(self.system, AbstractSDE) else state.w

    def __call__(self, state: PyTree, key: Any) -> PyTree:
        if isinstance(self.system, AbstractStochasticMap):
            return self.system(state, key)
        if isinstance(self.system, AbstractMap):
            return self.system(state)
        z = jax.random.normal(key, (self.system.draws(self.position(state)),))
        drift, noise = self.system.drift(state), self.system.disperse(state, z)
        root = jnp.sqrt(self.dt)
        return jax.tree.map(lambda y, b, s: y + self.dt * b + root * s, state, drift, noise)


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
    (paths, seed), found = which, []
    rows = min(paths, LANES)
    with telling(progress, "ensemble") as tell:
        try:
            with heeded():
                for first in range(0, paths, rows):
                    numbers = jnp.arange(first, first + rows, dtype=jnp.uint32)
                    counts = tuple(jnp.asarray(n) for n in lengths)
                    part = _run(what, counts, jax.random.key(seed), numbers)
                    found.append(np.asarray(part)[: paths - first])
                    heed()
                    if tell is not None:
                        tell(min(1.0, (first + rows) / paths))
        except KeyboardInterrupt:
            if not found:
                raise
    values = np.concatenate(found)
    return values, len(values) < paths


@eqx.filter_jit
def _run(what: tuple, counts: Any, key: Any, numbers: Array) -> Any:
    """Averages (n, PARTS, *S) over each part of the runs of these numbers (n,)."""
    (step, observable, start), (left_out, part) = what, counts

    def one(number):
        own = jax.random.fold_in(key, number)
        shape = jax.eval_shape(lambda w: jnp.asarray(observable(w), float), start)

        def go(i, carry):
            state, total = carry
            state = step(state, jax.random.fold_in(own, i))
            seen = jnp.asarray(observable(step.position(state)), float)
            return state, total + seen

        nothing = jnp.zeros(shape.shape, shape.dtype)
        still = lambda i, state: step(state, jax.random.fold_in(own, i))  # noqa: E731
        state = jax.lax.fori_loop(0, left_out, still, step.init(start))

        def over(state, k):
            first = left_out + k * part
            state, total = jax.lax.fori_loop(first, first + part, go, (state, nothing))
            return state, total / part.astype(total.dtype)

        return jax.lax.scan(over, state, jnp.arange(PARTS))[1]

    return jax.vmap(one)(numbers)


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
