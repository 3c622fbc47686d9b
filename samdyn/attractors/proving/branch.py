"""All zeros of a system in a box, by branch and prune: enclosed, or the rest named.

A box in which the bounds of an equation leave out 0 holds no zero; one that interval Newton maps
into itself holds exactly one. Everything else is cut in two. Zeros that Newton finds beforehand are
enclosed first, each with the largest box in which it is the only one: what lies in that box needs
no cutting, though the zero lie on a border of boxes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import kept
from ...interrupts import heed
from ...programs.newton import newton_on
from ..finding.starts import EvenPoints
from .krawczyk import krawczyk
from .system import Bounds, System

STARTS = 128  # of Newton, before anything is cut
ITERATIONS = 25  # of Newton: what takes longer the boxes find
FEW = 64  # boxes: so few are worth a start of Newton each
WAIT = 4  # levels of cutting until that is worth trying again
MOST_WORK = 1.5e7  # operations on boxes: a few seconds
COARSE = 2.0**-12  # of the box's sides: a continuum is followed down to boxes of this size
MOST_COARSE = 1_000  # open boxes that small; where more go on growing zeros are not isolated
GROWTH, BEFORE = 1.5, 4  # times as many as so many levels before
SPLIT = 0.4876  # where a box is cut: not in the middle, where symmetric problems have their zeros
REFINEMENTS = 60
GAIN = 0.5  # of an enclosure's sides: as long as a step of interval Newton takes more it goes on
HALVINGS = 44  # of the size of the box, which are tried about a zero
VOLUME = 1e-14  # of the box: smaller ones are not cut any more
SAME = 1e-9  # of the box's sides: ends of Newton that are nearer are tried once


class Zeros(NamedTuple):
    """`low`, `high` (k, d) enclose one zero each; `unique_low`, `unique_high` (k, d) are boxes
    in which it is the only one. `open_low`, `open_high` (m, d) are what stayed undecided, for
    the reason `why`. `boxes` were looked at. Coordinates that are only carried come last."""

    low: np.ndarray
    high: np.ndarray
    unique_low: np.ndarray
    unique_high: np.ndarray
    open_low: np.ndarray
    open_high: np.ndarray
    boxes: int
    why: str = ""


def zeros_in(
    system: System,
    low: np.ndarray,
    high: np.ndarray,
    watch: Callable[[np.ndarray, np.ndarray], None] | None = None,
    most: float = MOST_WORK,
) -> Zeros:
    """The zeros of `system` in boxes (n, d) of one size. `Unprovable` where it has no rules.

    `watch(low, high)` sees the boxes (m, d) of each level before they are looked at; `most` is the
    number of operations after which what is left stays undecided.
    """
    if not system.dim:
        return _without_unknowns(system, low, high)

    def searched() -> Zeros:
        return _Branching(system, low, high, watch, most).run()

    if watch is not None:
        return searched()
    key = (*system.text(), low.tobytes(), high.tobytes(), most)
    return _as_zeros(kept.arrays(key, lambda: _as_arrays(searched())))


def cut(low: np.ndarray, high: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each box (n, …) in two, across that of its first d sides which is the longest as a share of
    `size` (d,)."""
    rows = np.arange(len(low))
    axis = np.argmax((high - low)[:, : len(size)] / size, axis=1)
    where = low[rows, axis] + SPLIT * (high - low)[rows, axis]
    upper, lower = high.copy(), low.copy()
    upper[rows, axis] = lower[rows, axis] = where
    return np.concatenate([low, lower]), np.concatenate([upper, high])


def _as_arrays(zeros: Zeros) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in zeros._asdict().items()}


def _as_zeros(arrays: dict[str, np.ndarray]) -> Zeros:
    found: dict[str, Any] = {name: arrays[name] for name in Zeros._fields}
    return Zeros(**found | {"boxes": int(found["boxes"]), "why": str(found["why"])})


def _without_unknowns(system: System, low: np.ndarray, high: np.ndarray) -> Zeros:
    """The boxes in which the conditions hold: nothing is to be solved."""
    values = system.values(low, high)
    sure = values.met & values.clean & ~values.excluded
    rest = ~values.excluded & ~sure
    known, unknown = (low[sure], high[sure]), (low[rest], high[rest])
    why = "a condition is too near to be told" if np.any(rest) else ""
    return Zeros(*known, *known, *unknown, len(low), why)


class _Branching:
    """The search; every row of boxes has the coordinates that are solved for, then the others."""

    def __init__(self, system: System, low, high, watch: Callable | None, most: float):
        self.system, self.dim, self.watch = system, system.dim, watch
        self.most = int(most / max(system.operations, 1))
        self.begin = np.asarray(low, float), np.asarray(high, float)
        self.size = (self.begin[1] - self.begin[0])[0, : self.dim]
        none = np.empty((0, self.begin[0].shape[1]))
        self.found = Zeros(none, none, none, none, none, none, 0)
        self.counts: list[int] = []  # of open boxes, level by level

    def run(self) -> Zeros:
        low, high = self.begin
        each = max(STARTS // len(low), 8)
        even = EvenPoints(self.dim, 0).take(each * len(low))
        starts = np.repeat((low + high) / 2, each, axis=0)
        starts[:, : self.dim] = np.repeat(low[:, : self.dim], each, axis=0) + even * self.size
        self._enclose_from(starts)
        # and no smaller than what can still be cut where it lies
        spacing = np.spacing(np.maximum(np.abs(low), np.abs(high)).max(axis=0))[: self.dim]
        smallest = np.maximum(VOLUME ** (1 / self.dim) * self.size, 4 * spacing)
        wait, why = 0, ""
        while len(low):
            heed()
            if self.watch is not None:
                self.watch(low, high)
            low, high = self._pruned(low, high)
            sides = (high - low)[:, : self.dim]
            wide = np.any(sides > smallest, axis=1)
            self._leave_open(low[~wide], high[~wide])
            low, high = low[wide], high[wide]
            if 0 < len(low) <= FEW and wait <= 0:
                self._enclose_from((low + high) / 2)
                wait = WAIT
            wait -= 1
            why = self._given_up(sides[wide])
            if why:
                self._leave_open(low, high)
                break
            low, high = cut(low, high, self.size)
        return self.found._replace(why=why)

    def _given_up(self, sides: np.ndarray) -> str:
        """Why no box is cut any more; "" where they are."""
        coarse = np.all(sides <= COARSE * self.size, axis=1)
        self.counts.append(len(sides))
        grows = (
            len(sides) > GROWTH * self.counts[-1 - BEFORE] if len(self.counts) > BEFORE else False
        )
        if grows and len(sides) > MOST_COARSE and 2 * np.sum(coarse) > len(sides):
            return "zeros are not isolated there, or hardly"
        return f"{self.most:,d} boxes were looked at" if self.found.boxes > self.most else ""

    def _pruned(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What may still hold a zero that is not known, contracted by interval Newton."""
        low, high = self._unknown(low, high)
        self.found = self.found._replace(boxes=self.found.boxes + len(low))
        values = self.system.values(low, high)
        low, high = low[~values.excluded], high[~values.excluded]
        clean = values.clean[~values.excluded]
        rest = low[~clean], high[~clean]  # where the equations may jump Newton says nothing
        low, high = low[clean], high[clean]
        if len(low):
            low, high = self._contracted(low, high)
        return self._unknown(np.concatenate([low, rest[0]]), np.concatenate([high, rest[1]]))

    def _contracted(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = krawczyk(self.system, low, high)
        if np.any(step.inside):
            self._add_around((step.low[step.inside] + step.high[step.inside]) / 2)
            left = self._unknown(low[step.inside], high[step.inside])
            self._add(left, left)
        low, high = np.maximum(low, step.low), np.minimum(high, step.high)
        return low[~step.apart], high[~step.apart]

    def _unknown(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes that do not lie within a box of uniqueness."""
        known = self.found
        for under, over in zip(known.unique_low, known.unique_high, strict=True):
            on = ~(np.all(low >= under, axis=1) & np.all(high <= over, axis=1))
            low, high = low[on], high[on]
        return low, high

    def _leave_open(self, low: np.ndarray, high: np.ndarray) -> None:
        found = self.found
        self.found = found._replace(
            open_low=np.concatenate([found.open_low, low]),
            open_high=np.concatenate([found.open_high, high]),
        )

    def _enclose_from(self, starts: np.ndarray) -> None:
        """Zeros that Newton reaches from these starts, as far as they can be enclosed."""
        d, carried = self.dim, starts[:, self.dim :]
        solve = lambda x, rows: self.system.with_jacobians(  # noqa: E731
            np.concatenate([x, carried[rows]], axis=1)
        )
        ends = newton_on(solve, starts[:, :d], 0.1 * float(np.max(self.size)), True, ITERATIONS)
        ends = np.concatenate([ends, carried], axis=1)
        reach = self.begin[0].min(axis=0)[:d], self.begin[1].max(axis=0)[:d]
        margin = SAME * self.size
        near = (ends[:, :d] >= reach[0] - margin) & (ends[:, :d] <= reach[1] + margin)
        ends = ends[np.all(near, axis=1)]
        if len(ends):
            scale = np.concatenate([margin, np.ones(carried.shape[1])])
            cells = np.round(ends / scale * np.where(scale == 1, 2.0**40, 1))
            self._add_around(ends[np.unique(cells, axis=0, return_index=True)[1]])

    def _add_around(self, points: np.ndarray) -> None:
        """The zeros near points, with the largest boxes in which each is the only one."""
        known = self.found
        for under, over in zip(known.unique_low, known.unique_high, strict=True):
            points = points[~np.all((points >= under) & (points <= over), axis=1)]
        if not len(points):
            return
        d, halves = self.dim, 0.5 ** np.arange(1, HALVINGS)[:, None] * self.size
        low, high = (np.repeat(points[:, None], len(halves), axis=1) for _ in range(2))
        low[..., :d] -= halves
        high[..., :d] += halves
        self._restore_carried(low, high)
        flat = low.reshape(-1, low.shape[-1]), high.reshape(-1, high.shape[-1])
        good = krawczyk(self.system, *flat).inside & self.system.values(*flat).clean
        good = good.reshape(low.shape[:2])
        some = np.flatnonzero(np.any(good, axis=1))
        largest = some, np.argmax(good[some], axis=1)
        smallest = some, len(halves) - 1 - np.argmax(good[some, ::-1], axis=1)
        self._add((low[largest], high[largest]), (low[smallest], high[smallest]))

    def _restore_carried(self, low: np.ndarray, high: np.ndarray) -> None:
        """The bounds of what is carried, known from where the search began."""
        d, (begin_low, begin_high) = self.dim, self.begin
        if low.shape[-1] == d:
            return
        middle = ((begin_low + begin_high) / 2)[:, d:]
        gaps = np.linalg.norm(low[..., None, d:] - middle, axis=-1)
        nearest = np.argmin(gaps, axis=-1)
        low[..., d:], high[..., d:] = begin_low[nearest, d:], begin_high[nearest, d:]

    def _add(self, unique: Bounds, inside: Bounds) -> None:
        """One zero for each pair of boxes, which interval Newton maps into themselves: `unique`,
        and a smaller one to begin with."""
        low, high = inside
        if not len(low):
            return
        clean = self.system.values(*unique).clean
        unique_low, unique_high = unique[0][clean], unique[1][clean]
        low, high = self._refined(low[clean], high[clean])
        values = self.system.values(low, high)
        for row in np.flatnonzero(~values.excluded & values.met):
            heed()
            known, rows = self.found, slice(row, row + 1)
            same = np.all((low[row] >= known.unique_low) & (high[row] <= known.unique_high), axis=1)
            within = (known.low >= unique_low[row]) & (known.high <= unique_high[row])
            if np.any(same | np.all(within, axis=1)):
                continue
            self.found = known._replace(
                low=np.concatenate([known.low, low[rows]]),
                high=np.concatenate([known.high, high[rows]]),
                unique_low=np.concatenate([known.unique_low, unique_low[rows]]),
                unique_high=np.concatenate([known.unique_high, unique_high[rows]]),
            )

    def _refined(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval Newton until it gains nothing any more."""
        for _ in range(REFINEMENTS):
            step, wide = krawczyk(self.system, low, high), high - low
            low, high = np.maximum(low, step.low), np.minimum(high, step.high)
            if np.all(high - low >= GAIN * wide):
                break
        return low, high
