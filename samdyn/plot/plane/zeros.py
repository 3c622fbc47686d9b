"""Zero contours of a function of the plane, only where it really passes through zero.

A sign changes at a pole, at a jump and at a kink's edge as well. Every edge of the grid across
which it changes is therefore bisected down to the spacing of numbers: where the function is
continuous it has then no size left, at a jump it keeps the jump's, at a pole it grows.
"""

from collections.abc import Callable

import numpy as np

from ...bisection import bisect_rows
from ...programs.batch import OnPoints

BISECTIONS = 60  # an edge of the grid is then as short as two neighbouring numbers, or shorter
CONTINUOUS = 1e-3  # of the function's size at the ends of an edge: what counts as no jump


def zero_contours(
    field: Callable, component: int, x: np.ndarray, y: np.ndarray, values: np.ndarray
) -> list[np.ndarray]:
    """Curves (n, 2) on which a component of `field` (R² → R²) is 0, found on a grid.

    `values` (ny, nx) is that component at the grid's points, nan where it does not exist. The
    curves' points are zeros on the edges of the grid; a curve ends where the sign changes
    without a zero. Two sign changes between neighbours of the grid are not seen.
    """
    import contourpy  # comes with matplotlib

    # only signs: every contour then crosses its edges in their middles, which names the edge
    signs = np.ma.masked_where(np.isnan(values), np.where(values > 0, 1.0, -1.0))
    columns, rows = np.arange(float(len(x))), np.arange(float(len(y)))
    lines = contourpy.contour_generator(columns, rows, signs).lines(0.0)
    if not lines:
        return []
    zeros, real = _refined(field, component, x, y, values, np.concatenate(lines))  # pyright: ignore
    cuts = np.cumsum([len(line) for line in lines])[:-1]
    parts = zip(np.split(zeros, cuts), np.split(real, cuts), strict=True)
    return [piece for line, ok in parts for piece in _where(ok, line) if len(piece) > 1]


def _where(ok: np.ndarray, line: np.ndarray) -> list[np.ndarray]:
    """The stretches of `line` (n, 2) on which `ok` (n,) holds."""
    breaks = np.flatnonzero(np.diff(ok.astype(int))) + 1
    pieces = zip(np.split(line, breaks), np.split(ok, breaks), strict=True)
    return [piece for piece, good in pieces if good[0]]


def _refined(field, component, x, y, values, middles) -> tuple[np.ndarray, np.ndarray]:
    """(zeros (n, 2) on the edges with these middles (n, 2) in grid units, whether they are)."""
    first = np.floor(middles + 0.25).astype(int)
    last = np.ceil(middles - 0.25).astype(int)
    here, there = (np.stack([x[i], y[j]], axis=1) for i, j in (first.T, last.T))
    f_here, f_there = (values[j, i] for i, j in (first.T, last.T))
    positive = (f_here > 0)[:, None]
    low, high = np.where(positive, there, here), np.where(positive, here, there)
    left, size_left = _bisected(field, component, low, high)
    size = np.maximum(np.abs(f_here), np.abs(f_there))
    return left, size_left <= CONTINUOUS * size  # nan, where it is not defined, is no zero


def _bisected(field, component, low, high) -> tuple[np.ndarray, np.ndarray]:
    """(where (n, 2) the sign changes between `low`, not positive, and `high`, size (n,) there)."""
    values = OnPoints(field, 2).values

    def not_positive(w: np.ndarray) -> np.ndarray:
        return ~(values(w)[:, component] > 0)[:, None]

    low, high = bisect_rows(not_positive, low, high, BISECTIONS)
    sizes = [np.abs(values(end)[:, component]) for end in (low, high)]
    return low, np.maximum(*sizes)
