"""How far a study is, and how long the rest takes."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from ...progress import Tell
from .grid import Cell


class Standing(NamedTuple):
    """How far a study is: cells done of total, fraction of the work, seconds left (or None)."""

    done: int
    total: int
    fraction: float
    seconds_left: float | None

    def __str__(self) -> str:
        return f"{self.done} of {self.total} cells"


class Clock:
    """Tells how far the study is, and how long the rest takes at this pace."""

    def __init__(self, cells: Sequence[Cell], tell: Tell | None):
        self.tell, self.total = tell, len(cells)
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
        if self.tell is None:
            return
        worked, seconds = self.worked + part, self.seconds + seconds
        rest = self.cost - self.finished - part
        left = seconds * rest / worked if worked > 0 else None
        now = Standing(self.done, self.total, 1 - rest / self.cost, left)
        self.tell(now.fraction, str(now), now, left)
