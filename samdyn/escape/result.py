"""What `escape_times` returns: every path's exit, and honest statistics of them."""

from functools import cached_property
from typing import Any

import jax
import numpy as np

from ..dynamics.regions.regions import AbstractRegion
from ..text import with_warnings
from .exact.contradiction import contradictions
from .statistics import ESCAPED, Exit, Summary, exit_shares, extrapolated, summarize

MOST_EXITS = 12


class EscapeTimes:
    """Exits of n paths.

    `times` (n,) at exit or at the end of observation, `status` (n,) as in
    `samdyn.escape.statistics`, `steps` (n,) taken, `points` (n, d) where each path was then: for
    an exit the first state found outside, or the last before a crossing within a step.
    `summary` holds the statistics, `exits` where the paths left. `theory` maps names to values that
    the caller added.
    `warnings` say what must be known before they are believed; so does a contradiction between
    simulation and an exact value of `theory`.
    """

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
        scheme: str | None,
        dt: float | None,
        asked: int,
        interrupted: bool,
        warnings: tuple[str, ...] = (),
        coarser: tuple[Summary, ...] = (),
        region: AbstractRegion | None = None,
        start: np.ndarray | None = None,
    ):
        self.times, self.status, self.steps, self.points = times, status, steps, points
        self.seconds, self.compile_seconds = seconds, compile_seconds
        self.lane_steps, self.scheme, self.dt = lane_steps, scheme, dt
        self.asked, self.interrupted = asked, interrupted
        self.noted, self.coarser = warnings, coarser
        self.region, self.start = region, start
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

    def plot(self, ax: Any = None) -> Any:
        """The share of paths still inside against time, with its 95 % band."""
        from ..plot.survival import draw_survival

        return draw_survival(self, ax)


def _exit_text(exit: Exit) -> str:
    low, high = exit.ci95
    return f"left at {exit.where}: {exit.share:.4g} [{low:.4g}, {high:.4g}]"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)
