"""Where a field jumps it vanishes only if 0 lies between its values on the sides.

Bounds of a gradient over a box with an edge in it are those of all its sides together, coordinate
by coordinate: they may hold 0 all along the edge of a hinge. But 0 must lie in the convex hull of
the sides' values (the generalised gradient of Clarke; for a field, Filippov's solution that rests).
Each side is a smooth program, that in which the comparisons are decided; where one direction u has
⟨u, F⟩ > 0 on all of them, nothing rests in the box.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from ...programs.batch import OnPoints
from ...programs.decisions import Pair, decided, decisions, differences, on_edge
from ...programs.derivative import NoDerivative, with_jacobian
from ...programs.enclosing.boxes import Encloser, Enclosure
from ...programs.enclosing.interval_rules import NotEnclosed
from .system import System, Unprovable, Values

MOST_DECISIONS = 3  # in one box: of them all sides are looked at
MOST_KINDS = 64  # of boxes, by what is undecided in them, at once
ROUNDING = 8 * np.finfo(float).eps  # of a difference: what may be its sign
SLACK = 16 * np.finfo(float).eps  # of products and sums of d numbers


class SystemWithSides(System):
    """A system in whose jumps 0 must lie between the values of the sides."""

    def __init__(self, function: Callable, dim: int):
        super().__init__(function, dim)
        self._sides: dict[tuple, Encloser | None] = {}

    def values(self, low: np.ndarray, high: np.ndarray) -> Values:
        """As of any system; boxes are excluded also by looking at each side of an edge.

        Where an edge is the border of a box, its values there are those of one side alone: such a
        box is excluded by all of its sides, or not at all.
        """
        bounds = self._value(low, high, self.on_points.parameters)
        found = self._values(bounds)
        if self._gaps is None:
            return found
        unsure, gaps = self._open(self._gaps, low, high)
        lower, upper = (end[:, : unsure.shape[1]] for end in (gaps.low, gaps.high))
        margin = ROUNDING * np.maximum(-lower, upper)
        touches = np.any(unsure & ~((lower < -margin) & (upper > margin)), axis=1)
        barred = np.any(bounds.nowhere, axis=1) | np.any(bounds.low[:, self.dim + 1 :] >= 0, axis=1)
        excluded = np.where(touches, barred, found.excluded)
        clean = found.clean & ~touches
        rows = np.flatnonzero(~excluded & ~clean & np.any(unsure, axis=1))
        for which, some in self._kinds(unsure[rows], gaps, rows):
            excluded[some] = self._apart(which, low[some], high[some])
        return found._replace(excluded=excluded, clean=clean)

    @property
    def has_decisions(self) -> bool:
        """Whether there is anything to decide."""
        return bool(self._decisions)

    def opens_in(self, box: np.ndarray) -> bool:
        """Whether a decision is open in a box (d, 2)."""
        if not self._decisions:
            return False
        if self._gaps is None:
            return True
        return bool(np.any(self._open(self._gaps, box[None, :, 0], box[None, :, 1])[0]))

    @functools.cached_property
    def _decisions(self) -> list:
        return decisions(self._value.program)

    @functools.cached_property
    def _gaps(self) -> Encloser | None:
        """Of each decision (a, b) the bounds of a − b, and then those of its derivatives."""
        if not self._decisions:
            return None
        gaps = differences(self._value.program, self._decisions)
        try:
            return Encloser(with_jacobian(gaps, range(self.dim)))
        except (NoDerivative, NotEnclosed):
            return None

    def _open(
        self, gaps_in: Encloser, low: np.ndarray, high: np.ndarray
    ) -> tuple[np.ndarray, Enclosure]:
        """Which decisions are open in boxes (n, d), (n, decisions), and the bounds of `_gaps`."""
        gaps, count = gaps_in(low, high, self.on_points.parameters), len(self._decisions)
        return ~((gaps.low[:, :count] > 0) | (gaps.high[:, :count] < 0)), gaps

    def _kinds(
        self, unsure: np.ndarray, gaps: Enclosure, rows: np.ndarray
    ) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Which decisions are open, and the boxes of those `rows` in which they are.

        Each of them must be defined, and a = b on a thin set: where a − b rises or falls along
        some coordinate. Else there may be a region on neither side.
        """
        count = unsure.shape[1]
        shape = (-1, count, self.dim)
        slopes_low, slopes_high = (x[rows, count:].reshape(shape) for x in (gaps.low, gaps.high))
        thin = np.any((slopes_low > 0) | (slopes_high < 0), axis=2)
        undefined = gaps.undefined[rows]
        thin &= ~(undefined[:, :count] | np.any(undefined[:, count:].reshape(shape), axis=2))
        good = np.all(thin | ~unsure, axis=1)
        kinds, group = np.unique(unsure[good], axis=0, return_inverse=True)
        for number, kind in enumerate(kinds[:MOST_KINDS]):
            which = tuple(int(k) for k in np.flatnonzero(kind))
            if 0 < len(which) <= MOST_DECISIONS:
                yield which, rows[good][group.ravel() == number]

    def _apart(self, which: tuple[int, ...], low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """In which boxes (n, d) 0 lies outside of the hull of the sides for sure, (n,)."""
        bounds = []
        for above in itertools.product((True, False), repeat=len(which)):
            side = self._side(which, above)
            if side is None:
                return np.zeros(len(low), bool)
            bounds.append(side(low, high, self.on_points.parameters))
        wide = (high - low)[:, : self.dim]
        wide = np.where(wide > 0, wide, 1)  # what the loss gains across the box: no units
        equations = map(self._equations, bounds)
        sides = [(lower * wide, upper * wide) for lower, upper in equations]
        return _one_sided(sides) & np.all([self._is_smooth(one) for one in bounds], axis=0)

    def _side(self, which: tuple[int, ...], above: tuple[bool, ...]) -> Encloser | None:
        if (which, above) not in self._sides:
            known = [(self._decisions[k], a) for k, a in zip(which, above, strict=True)]
            try:
                side = Encloser(decided(self._value.program, known))
            except NotEnclosed:
                side = None
            self._sides[which, above] = side
        return self._sides[which, above]

    def edge(self, low: np.ndarray, high: np.ndarray) -> "EdgeSystem | None":
        """The equations of what rests on the one edge in a box (d,), (d,); None where there is
        none, or more, or where a side itself is not smooth, or may have a zero."""
        if self._gaps is None:
            return None
        unsure, gaps = self._open(self._gaps, low[None], high[None])
        kinds = list(self._kinds(unsure, gaps, np.arange(1)))
        if len(kinds) != 1 or len(kinds[0][0]) != 1:
            return None
        ((place,), _) = kinds[0]
        pairs = decisions(self.on_points.program) if self.on_points.program else []
        if len(pairs) != len(self._decisions):  # some are known where the loss is defined
            return None
        sides = [self._side((place,), (above,)) for above in (True, False)]
        for side in sides:
            if side is None:
                return None
            found = side(low[None], high[None], self.on_points.parameters)
            lower, upper = self._equations(found)
            if not (self._is_smooth(found)[0] and np.any((lower > 0) | (upper < 0))):
                return None
        return EdgeSystem(self.on_points, pairs[place], self.dim, sides)

    def _equations(self, found: Enclosure) -> tuple[np.ndarray, np.ndarray]:
        return found.low[:, : self.dim], found.high[:, : self.dim]

    def _is_smooth(self, found: Enclosure) -> np.ndarray:
        d = self.dim
        return ~np.any((found.undefined | found.kinked)[:, :d], axis=1)


class EdgeSystem(System):
    """(w, λ) ↦ (λF₊ + (1 − λ)F₋, a − b) for the two sides of an edge a = b.

    Its Jacobian is [[H, c], [n, 0]]: of F along the edge, of what it gains across, and the edge's
    normal n, which points to the side F₊. At a zero F₊ = (1 − λ)c and F₋ = −λc.
    """

    def __init__(self, on_points: OnPoints, pair: Pair, dim: int, sides: list):
        self._sides, self._parameters = sides, on_points.parameters
        if on_points.program is None:
            raise Unprovable(on_points.why)
        program = on_edge(on_points.program, pair, dim)
        self._prepare(OnPoints.of_program(program, on_points.parameters, dim + 1), dim + 1)

    def jumps(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Whether the loss of one side differs from that of the other, for sure, wherever both meet
        in a box of w, (d,), (d,)."""
        d = self.dim - 1
        one, other = (side(low[None], high[None], self._parameters) for side in self._sides)
        return bool(one.low[0, d] > other.high[0, d] or other.low[0, d] > one.high[0, d])


def _one_sided(sides: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Whether some direction has a positive product with all of the sides, bounds (n, d), (n,).

    Tried are those to the points nearest to 0 of the segments between two sides' middles: the
    nearest point of a polygon is one of them. Sides without bounds, as at a pole, have none.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # nan is above nothing
        middles = [low + (high - low) / 2 for low, high in sides]
        found = np.zeros(len(middles[0]), bool)
        for one, other in itertools.combinations(middles, 2):
            along = other - one
            length = np.sum(along**2, axis=1, keepdims=True)
            share = -np.sum(one * along, axis=1, keepdims=True) / np.where(length > 0, length, 1)
            u = one + np.clip(share, 0, 1) * along
            least = np.min([_least_product(u, *side) for side in sides], axis=0)
            found |= least > 0
        return found


def _least_product(u: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A lower bound of ⟨u, x⟩ for x between low and high, each (n, d), (n,)."""
    terms = np.minimum(u * low, u * high)
    return np.sum(terms, axis=1) - SLACK * np.sum(np.abs(u) * np.maximum(-low, high), axis=1)
