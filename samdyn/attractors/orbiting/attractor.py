"""`attractor`: what a start settles on over a parameter, and how fast runs part there.

The orbit diagram: for every value of a parameter the last points of one long run, with the
exponents by which perturbations of it grow (Lyapunov's, `programs/tangents.py`). A positive one is
chaos, a largest one of 0 a quasi-periodic orbit or a bifurcation, a negative one a periodic orbit.
"""

from typing import Any

import equinox as eqx
import numpy as np

from ...arguments import of_system
from ...checks import require_flat, require_one_value, require_whole, told
from ...dynamics.systems.map import AbstractMap
from ...dynamics.systems.returns import Return, require_steady
from ...errors import InvalidInput
from ...growth.rates import Rate
from ...interrupts import heed, heeded
from ...precision import in_double
from ...programs.tangents import BLOCKS, Runs, along_runs
from ...progress import telling
from ...results.provenance import recorded
from ...results.result import Result
from ...text import MOST_ROWS, columns
from ..judging.recurrence import comes_back, period_of

LANES = 1024  # values that are run at once


class OrbitDiagram(Result, eqx.Module):
    """What `attractor` returns, over n `values` of a `parameter`.

    `points` (n, kept, d) are the last ones of each run, nan where it diverged; `period` (n,) whole
    numbers, 1 at rest, 0 where the run did not repeat itself, −1 where it diverged. `exponents`
    (n, k) are the growth rates per step of the k fastest directions, in the natural logarithm, and
    `errors` (n, k) twice their standard errors.
    """

    parameter: str
    values: np.ndarray
    points: np.ndarray
    period: np.ndarray
    exponents: np.ndarray
    errors: np.ndarray
    interrupted: bool = False

    @property
    def chaotic(self) -> np.ndarray:
        """Where the largest exponent is positive, beyond its error, and no period is seen, (n,)."""
        return (self.exponents[:, 0] > self.errors[:, 0]) & (self.period == 0)

    def rate(self, i: int, k: int = 0) -> Rate:
        """Exponent k at value number i, with its error."""
        return Rate(float(self.exponents[i, k]), float(self.errors[i, k]))

    def kind(self, i: int) -> str:
        """ "fixed point", "period-K", "chaotic", "quasi-periodic" (no growth is told from 0, no
        period up to a quarter of the points, and the run comes back), "undecided" or "diverged", at
        value number i."""
        period, rate = int(self.period[i]), self.rate(i)
        if period < 0:
            return "diverged"
        if period > 0:
            return "fixed point" if period == 1 else f"period-{period}"
        if self.chaotic[i]:
            return "chaotic"
        back = rate.sign is None and comes_back(self.points[i])
        return "quasi-periodic" if back else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        rows = [
            {
                "value": float(x),
                "kind": self.kind(i),
                "period": int(self.period[i]) if self.period[i] > 0 else None,
                "exponents": [self.rate(i, k).to_dict() for k in range(self.exponents.shape[1])],
            }
            for i, x in enumerate(self.values)
        ]
        return {"parameter": self.parameter, "runs": rows}

    def __str__(self) -> str:
        spans = self._spans()
        rows = [[self.parameter, "settles on", "largest exponent a step"]]
        for first, last in spans[:MOST_ROWS]:
            ends = f"{self.values[first]:.6g}–{self.values[last]:.6g}"
            where = f"{self.values[first]:.6g}" if first == last else ends
            low, high = (float(f(self.exponents[first : last + 1, 0])) for f in (np.min, np.max))
            rate = f"{self.rate(first)}" if first == last else f"{low:.4g} to {high:.4g}"
            rows.append([where, self.kind(first), rate])
        more = len(spans) - MOST_ROWS
        return columns(rows) + (f"\n… and {more} more stretches" if more > 0 else "")

    def _spans(self) -> list[tuple[int, int]]:
        """(first, last) of neighbouring values with one kind."""
        kinds = [self.kind(i) for i in range(len(self.values))]
        starts = [i for i in range(len(kinds)) if i == 0 or kinds[i] != kinds[i - 1]]
        return list(zip(starts, [*[i - 1 for i in starts[1:]], len(kinds) - 1], strict=True))

    def _table(self) -> list[dict[str, Any]]:
        """One row a value."""
        return [
            {self.parameter: float(x), "kind": self.kind(i), "period": int(self.period[i])}
            | {f"exponent[{k}]": float(e) for k, e in enumerate(self.exponents[i])}
            | {f"error[{k}]": float(e) for k, e in enumerate(self.errors[i])}
            for i, x in enumerate(self.values)
        ]


@of_system("StepMap(loss, method, learning_rate)")
@recorded
@in_double
def attractor(
    system: Any,
    parameter: str,
    values: Any,
    start: Any,
    *,
    steps: int = 16_384,
    burn: int = 4096,
    kept: int = 256,
    exponents: int = 1,
    progress: Any = None,
) -> OrbitDiagram:
    """What a map takes `start` (d,) to, for each of `values` (n,) of a parameter.

    Each run makes `burn` steps, then `steps` over which the largest `exponents` Lyapunov exponents
    are measured, then `kept` whose points are returned; a period of up to a quarter of these is
    seen. All values are run at once, and nothing recompiles for others. What another start settles
    on may differ. Ctrl-C ends it early with the values that have been run (`interrupted`).

    `InvalidInput` for a flow (take its step), a random map, a step that counts, and a parameter
    that the system does not have.
    """
    require_one_value(system)
    if not isinstance(system, AbstractMap):
        raise InvalidInput(
            f"attractor follows the steps of a map that is not random, not {told(system)}."
        )
    grid = np.asarray(values, float).ravel()
    if not grid.size or not np.all(np.isfinite(grid)):
        raise InvalidInput(f"{parameter} needs one finite value or more.")
    for number, name, least in ((steps, "steps", BLOCKS), (burn, "burn", 0), (kept, "kept", 4)):
        require_whole(number, name, least)
    start = require_flat(start, "a start")
    # of one form for all values: a momentum of 0 is a momentum
    system = system.at(**{parameter: grid[np.argmax(np.abs(grid))]})
    systems = [system.at(**{parameter: value}) for value in grid]
    require_steady(systems[0], start.size)
    returns = [Return(each, start.size) for each in systems]
    require_whole(exponents, "exponents", 1, returns[0].rest(start[None]).shape[1])
    lengths = burn, -(-steps // BLOCKS), exponents, kept
    runs, interrupted = _runs(returns, start, lengths, progress)
    points = np.concatenate([found.path[..., : start.size] for found in runs])
    lost = ~np.all(np.isfinite(points), axis=(1, 2))
    lost |= np.concatenate([found.escaping for found in runs])
    points[lost] = np.nan
    far = np.concatenate([np.max(found.farthest, axis=0) for found in runs])
    measured = [found.rates(steps) for found in runs]
    rates, errors = (np.concatenate(each) for each in zip(*measured, strict=True))
    period = [
        -1 if gone else period_of(path, scale)
        for path, scale, gone in zip(points, far, lost, strict=True)
    ]
    done = grid[: len(points)]
    return OrbitDiagram(parameter, done, points, np.array(period), rates, errors, interrupted)


def _runs(
    returns: list[Return], start: np.ndarray, lengths: tuple[int, int, int, int], progress: Any
) -> tuple[list[Runs], bool]:
    """Runs at all values, and whether they were ended early."""
    found: list[Runs] = []
    burn, block, count, kept = lengths
    with telling(progress, "attractor") as tell:
        try:
            with heeded():
                for first in range(0, len(returns), LANES):
                    some = returns[first : first + LANES]
                    begin = np.concatenate([one.rest(start[None]) for one in some])
                    steps = [one.on_states() for one in some]
                    run = along_runs(
                        steps, begin, burn=burn, block=block, count=count, kept=kept, centre=start
                    )
                    found.append(run)
                    heed()
                    if tell is not None:
                        tell(min(1.0, (first + LANES) / len(returns)))
        except KeyboardInterrupt:
            if not found:
                raise
            return found, sum(len(one.path) for one in found) < len(returns)
    return found, False
