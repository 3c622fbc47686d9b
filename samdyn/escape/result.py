"""What `escape_times` returns: every path's exit, and honest statistics of them."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import jax
import numpy as np

from .. import __version__
from ..dynamics.regions.regions import AbstractRegion
from ..results.provenance import Provenance
from ..results.result import Result
from ..results.store import MEANINGS, Meaning, Run, described, load
from ..text import with_warnings
from .exact.contradiction import contradictions
from .statistics import ESCAPED, Exit, Summary, exit_shares, extrapolated, summarize

MOST_EXITS = 12
COLUMNS = {**MEANINGS, "steps": Meaning("step", "steps taken until then")}


class EscapeTimes(Result):
    """Exits of n paths.

    `times` (n,) at exit or at the end of observation, `status` (n,) as in
    `samdyn.escape.statistics`, `steps` (n,) taken, `points` (n, d) where each path was then: for
    an exit the first state found outside, or the last before a crossing within a step.
    `summary` holds the statistics, `exits` where the paths left. `theory` maps names to values that
    the caller added. `back_end` names what ran the paths, "llvm" or "xla".
    `warnings` say what must be known before they are believed; so does a contradiction between
    simulation and an exact value of `theory`.
    As a mapping it gives its arrays by the names that a folder of results has: "index" (the
    number of each path), "time", "status", "steps" and "exit_point".
    """

    computed: ClassVar = ("exits",)

    def __init__(
        self,
        times: np.ndarray,
        status: np.ndarray,
        steps: np.ndarray,
        points: np.ndarray,
        *,
        seconds: float,
        compile_seconds: float,
        lane_steps: int,
        back_end: str | None = None,
        scheme: str | None,
        dt: float | None,
        asked: int,
        interrupted: bool,
        warnings: tuple[str, ...] = (),
        coarser: tuple[Summary, ...] = (),
        region: AbstractRegion | None = None,
        start: np.ndarray | None = None,
        index: np.ndarray | None = None,
    ):
        self.times, self.status, self.steps, self.points = times, status, steps, points
        self.seconds, self.compile_seconds = seconds, compile_seconds
        self.lane_steps, self.scheme, self.dt = lane_steps, scheme, dt
        self.back_end = back_end
        self.asked, self.interrupted = asked, interrupted
        self.noted, self.coarser = warnings, coarser
        self.region, self.start = region, start
        self.index = np.arange(len(times)) if index is None else index
        self.theory: dict[str, Any] = {}

    @cached_property
    def summary(self) -> Summary:
        found = summarize(self.times, self.status)
        return extrapolated(found, *self.coarser) if self.coarser else found

    @cached_property
    def exits(self) -> tuple[Exit, ...]:
        """Which share of the paths that escaped did so at which border, or into which basin."""
        out = self.status == ESCAPED
        if self.region is None or self.start is None or not np.any(out):
            return ()
        with jax.enable_x64(True):
            return exit_shares(*self.region.borders(self.points[out], self.start))

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*contradictions(self.summary, self.theory), *self.noted)

    @property
    def path_steps(self) -> int:
        """Steps of all paths that ended."""
        return int(np.sum(self.steps))

    @property
    def path_steps_per_second(self) -> float | None:
        return self.path_steps / self.seconds if self.seconds > 0 else None

    @property
    def useful_share(self) -> float | None:
        """Steps of paths that ended over steps of all lanes."""
        return self.path_steps / self.lane_steps if self.lane_steps else None

    def to_dict(self) -> dict[str, Any]:
        """The fields of the command's `result`."""
        return {
            **self.summary.to_dict(),
            "exits": [exit.to_dict() for exit in self.exits],
            "scheme": self.scheme,
            "dt": self.dt,
            "back_end": self.back_end,
            "path_steps": self.path_steps,
            "seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
            "path_steps_per_second": self.path_steps_per_second,
            "useful_share": self.useful_share,
            "interrupted": self.interrupted,
            "theory": self.theory,
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }

    def __str__(self) -> str:
        lines = [str(self.summary)]
        if self.interrupted:
            lines.insert(0, f"interrupted: {len(self.times)} of {self.asked} paths ended")
        lines += [_exit_text(exit) for exit in self.exits[:MOST_EXITS]]
        lines += [f"{name:<7} {_shown(value)}" for name, value in self.theory.items()]
        rate = self.path_steps_per_second
        if rate is not None:
            lines.append(f"{self.path_steps:.3g} path-steps in {self.seconds:.2f} s, {rate:.2g}/s")
        return with_warnings(self.warnings, "\n".join(lines))

    @classmethod
    def from_folder(cls, folder: Any) -> "EscapeTimes":
        """What a run that did not come to its end has left in its folder."""
        run = load(folder)
        made, points = {**run.config, **run.attempt}, run.data.get("exit_point", np.zeros((0, 1)))
        none = np.zeros(0, np.int64)
        found = cls(
            run.data.get("time", np.zeros(0)),
            run.data.get("status", none.astype(np.int8)),
            run.data.get("steps", none),
            points,
            seconds=0.0,
            compile_seconds=0.0,
            lane_steps=0,
            scheme=made.get("scheme"),
            dt=made.get("dt"),
            asked=len(points),
            interrupted=False,
            warnings=(f"{folder} holds the finished paths of a run that did not end.",),
            index=run.data.get("index", none),
        )
        found.record(Provenance("escape_times", "", {"samdyn": run.samdyn}, run.config, {}))
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, one row a path each."""
        arrays = (self.index, self.times, self.status, self.points, self.steps)
        return dict(zip(COLUMNS, arrays, strict=True))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def keys(self) -> list[str]:
        """The names of the arrays."""
        return list(COLUMNS)

    def _table(self) -> dict[str, np.ndarray]:
        """One row a path; the coordinates of its last point are columns of their own."""
        columns = self.arrays()
        points = columns.pop("exit_point")
        return columns | {f"exit_point[{i}]": column for i, column in enumerate(points.T)}

    def to_xarray(self) -> Any:
        """The arrays as an `xarray.Dataset` over the dimension `path`, with units."""
        data = self.arrays()
        about = {name: described(array, COLUMNS[name]) for name, array in data.items()}
        header = {"config": {}, "arrays": about, "samdyn": __version__}
        return Run(header, data).to_xarray().assign_attrs(self._attributes())


def _exit_text(exit: Exit) -> str:
    low, high = exit.ci95
    return f"left at {exit.where}: {exit.share:.4g} [{low:.4g}, {high:.4g}]"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)
