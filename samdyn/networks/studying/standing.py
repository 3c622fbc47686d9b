"""How far a study is, and how long the rest takes."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .grid import Cell


class Standing(NamedTuple):
    """How far a study is: cells done of total, fraction of the work, seconds left (or None)."""

    done: int
    total: int
    fraction: float
    seconds_left: float | None


class Clock:
    """Tells `progress` how far the study is, and how long the rest takes at this pace."""

    def __init__(self, cells: Sequence[Cell], progress: Callable[[Standing], None] | None):
        self.progress, self.total = progress, len(cells)
        self.cost = sum(cell.cost for cell in cells)
        self.done, self.finished, self.worked, self.seconds = 0, 0.0, 0.0, 0.0
        self.cell, self.began = None, 0.0

    def begin(self, cell: Cell) -> None:
        self.cell, self.began = cell, time.monotonic()

    def within(self, fraction: float) -> None:
        assert self.cell is not None
        self._tell(fraction * self.cell.cost, time.monotonic() - self.began)

    def end(self, cell: Cell) -> None:
        if self.cell is cell:
            self.worked += cell.cost
            self.seconds += time.monotonic() - self.began
        self.finished, self.done = self.finished + cell.cost, self.done + 1
        self._tell(0.0, 0.0)

    def _tell(self, part: float, seconds: float) -> None:
        if self.progress is None:
            return
        worked, seconds = self.worked + part, self.seconds + seconds
        rest = self.cost - self.finished - part
        left = seconds * rest / worked if worked > 0 else None
        self.progress(Standing(self.done, self.total, 1 - rest / self.cost, left))
