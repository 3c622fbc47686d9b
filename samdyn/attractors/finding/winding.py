"""Are all fixed points found? In one and two dimensions the degree of the field tells.

The winding number of a planar field around a box equals the sum of the indices of the zeros
inside (Poincaré–Hopf); in 1-D half the change of sign does. Each sub-box is compared with the
points found in it. What a match cannot see: two missed points of opposite index in one sub-box.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...programs.batch import OnPoints

CELLS = {1: 1024, 2: 24}  # sub-boxes along each axis
SMOOTH_TURN = 1.0  # radians between neighbours: an edge is refined until no turn exceeds it
FIRST_SPLIT, SPLIT, DEEPEST = 512, 16, 10  # pieces of an edge, of a piece, and refinements
MOST_PIECES = 1 << 16  # open at once; with more the field is too wild to follow


class Mismatch(NamedTuple):
    """A sub-box (d, 2) in which the points found do not account for the degree of the field."""

    box: np.ndarray
    degree: int
    found: int


class DegreeCheck(NamedTuple):
    """`mismatches` and how many sub-boxes were compared and could not be."""

    mismatches: list[Mismatch]
    compared: int
    skipped: int


def check_degree(
    field: Callable, box: np.ndarray, points: np.ndarray, curves: Sequence[np.ndarray] = ()
) -> DegreeCheck:
    """Compare the degree of `field` on sub-boxes of `box` (d, 2), d ≤ 2, with `points` (n, d).

    Sub-boxes that hold a point of `curves` (each (m, d)), or on whose edge the field vanishes
    or jumps, cannot be compared and count as skipped.
    """
    dim = len(box)
    lines = [
        _cut_lines(low, high, points[:, axis], CELLS[dim]) for axis, (low, high) in enumerate(box)
    ]
    degrees = _degrees_1d(field, lines[0]) if dim == 1 else _degrees_2d(field, *lines)
    found = np.zeros(degrees.shape)
    for point, index in zip(points, point_indices(field, points, box), strict=True):
        found[_cell_of(point, lines)] += index
    comparable = np.isfinite(degrees) & np.isfinite(found)
    for curve in curves:
        for point in curve:
            comparable[_cell_of(point, lines)] = False
    wrong = np.argwhere(comparable & (degrees != found))
    mismatches = [
        Mismatch(
            np.array([lines[axis][[i, i + 1]] for axis, i in enumerate(cell)]),
            int(degrees[tuple(cell)]),
            int(found[tuple(cell)]),
        )
        for cell in wrong
    ]
    compared = int(np.sum(comparable))
    return DegreeCheck(mismatches, compared, degrees.size - compared)


def point_indices(field: Callable, points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The index of each isolated zero (or jump) of `field`, nan where it cannot be resolved."""
    size = float(np.max(box[:, 1] - box[:, 0]))
    indices = np.empty(len(points))
    for i, point in enumerate(points):
        others = np.linalg.norm(np.delete(points, i, axis=0) - point, axis=1)
        radius = min(1e-4 * size, 0.3 * float(np.min(others, initial=np.inf)))
        indices[i] = _index(field, point, radius)
    return indices


def _index(field, point, radius) -> float:
    if point.size == 1:
        low, high = _values(field, np.array([point - radius, point + radius]))
        return float((np.sign(high) - np.sign(low))[0] / 2)
    corners = point + radius * np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    turn = np.sum(_edge_turns(field, corners, np.roll(corners, -1, axis=0)))
    return float(np.round(turn / (2 * np.pi)))


def _cut_lines(low: float, high: float, coordinates: np.ndarray, cells: int) -> np.ndarray:
    """Cell borders from low to high, the inner ones shifted to keep away from `coordinates`."""
    inner = np.linspace(low, high, cells + 1)[1:-1]
    width = (high - low) / cells
    # irrational start: the middle of a box is where symmetric losses have their points
    shifts = width * (np.linspace(-0.4, 0.4, 41) + 0.01 * (np.sqrt(2) - 1))
    gaps = [
        np.min(np.abs(inner[None] + shift - coordinates[:, None]), initial=np.inf)
        for shift in shifts
    ]
    return np.concatenate([[low], inner + shifts[int(np.argmax(gaps))], [high]])


def _cell_of(point: np.ndarray, lines: list[np.ndarray]) -> tuple[int, ...]:
    return tuple(
        int(np.clip(np.searchsorted(line, x, side="right") - 1, 0, len(line) - 2))
        for line, x in zip(lines, point, strict=True)
    )


def _values(field: Callable, points: np.ndarray) -> np.ndarray:
    """`field` at points (n, d)."""
    return OnPoints(field, points.shape[1]).values(points)


def _turns(values: np.ndarray) -> np.ndarray:
    """Signed angles between successive planar vectors along axis −2; nan at a zero vector."""
    usable = np.all(np.isfinite(values), axis=-1) & np.any(values != 0, axis=-1)
    angle = np.arctan2(values[..., 1], values[..., 0])
    turn = np.remainder(np.diff(angle, axis=-1) + np.pi, 2 * np.pi) - np.pi
    return np.where(usable[..., 1:] & usable[..., :-1], turn, np.nan)


def _degrees_1d(field, line) -> np.ndarray:
    signs = np.sign(_values(field, line[:, None])[:, 0])
    degrees = np.diff(signs) / 2
    return np.where((signs[1:] != 0) & (signs[:-1] != 0), degrees, np.nan)


def _degrees_2d(field, xs, ys) -> np.ndarray:
    """Winding numbers around the cells, shape (len(xs)−1, len(ys)−1); nan where unresolved."""
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1)
    along_x = _edge_turns(field, grid[:-1], grid[1:])  # (nx−1, ny)
    along_y = _edge_turns(field, grid[:, :-1], grid[:, 1:])  # (nx, ny−1)
    around = along_x[:, :-1] + along_y[1:] - along_x[:, 1:] - along_y[:-1]
    return np.round(around / (2 * np.pi))


def _edge_turns(field, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Total turn of the field from each `start` to each `end`, nan where it stays abrupt.

    Only the pieces of an edge in which the field still turns abruptly are cut finer: a narrow
    valley turns it by π within a millionth of the edge.
    """
    starts, ends = start.reshape(-1, 2), end.reshape(-1, 2)
    total = np.zeros(len(starts))
    edge = np.arange(len(starts))
    low, high = np.zeros(len(starts)), np.ones(len(starts))
    for depth in range(DEEPEST):
        if not edge.size or (depth and edge.size > MOST_PIECES):
            break
        cuts = np.linspace(0, 1, (SPLIT if depth else FIRST_SPLIT) + 1)
        fraction = low[:, None] * (1 - cuts) + high[:, None] * cuts
        points = (
            starts[edge, None] * (1 - fraction[..., None]) + ends[edge, None] * fraction[..., None]
        )
        turns = _turns(_values(field, points.reshape(-1, 2)).reshape(points.shape))
        smooth = np.abs(turns) < SMOOTH_TURN
        np.add.at(total, edge, np.sum(np.where(smooth, turns, 0), axis=1))
        rows, pieces = np.nonzero(~smooth)
        low, high, edge = fraction[rows, pieces], fraction[rows, pieces + 1], edge[rows]
    total[edge] = np.nan
    return total.reshape(start.shape[:-1])
