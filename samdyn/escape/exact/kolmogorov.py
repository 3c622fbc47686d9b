"""The mean time in which a planar diffusion leaves a region, by its backward Kolmogorov equation.

b·∇τ + ½ tr(s sᵀ Hess τ) = −1 inside, τ = 0 on the boundary, ∂τ/∂n = 0 on the sides of the box
that lie inside. Differences are taken along grid lines and diagonals; arms that leave the
region end where they cross its boundary (Shortley & Weller 1938), so that a curved boundary
costs no order. Second order; where |b|h > 2·½(s sᵀ)ᵢᵢ diffusion is raised to |b|h/2 (upwind).
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import MatrixRankWarning, spsolve

from ...checks import require_function
from ...errors import ComputationFailed, InvalidInput


class Solution(NamedTuple):
    """`value` is τ(start) extrapolated from three grids, `error` an estimate of its error.

    `grid` = (x, y), arrays of nodes, and `tau` (len(x), len(y)), 0 outside, on the finest grid.
    """

    value: float
    error: float
    grid: tuple[np.ndarray, np.ndarray]
    tau: np.ndarray


class _Grid(NamedTuple):
    axes: tuple[np.ndarray, np.ndarray]
    h: np.ndarray
    inside: np.ndarray  # (nx, ny)
    number: np.ndarray  # (nx, ny): the row of each inside node, −1 outside
    ij: np.ndarray  # (n, 2) indices of the inside nodes

    def points(self, ij: np.ndarray) -> np.ndarray:
        """Coordinates (n, 2) of nodes given by index."""
        return np.stack([self.axes[0][ij[:, 0]], self.axes[1][ij[:, 1]]], 1)


def mean_exit_time_2d(
    drift: Any, diffusion: Any, start: Any, region: Any, box: Any, cells: int
) -> Solution:
    """The mean time in which dX = drift(X) dt + diffusion(X) dW (Itô) leaves `region` from `start`.

    `drift` maps points (n, 2) to (n, 2), `diffusion` to matrices (n, 2, k) or one (2, k);
    `region` maps them to booleans or to numbers positive inside. `box`, shape (2, 2), rows
    (low, high), must hold the region; sides of it inside the region reflect. `cells` a side.
    """
    require_function(drift, "drift(points), (n, 2) to (n, 2),")
    require_function(diffusion, "diffusion(points), (n, 2) to a matrix such as np.eye(2),")
    require_function(region, "region(points), (n, 2) to truth values or numbers,")
    start, box = np.asarray(start, float), np.asarray(box, float)
    if box.shape != (2, 2) or start.shape != (2,) or not np.all(box[:, 0] < box[:, 1]):
        raise InvalidInput("start must have shape (2,) and box shape (2, 2), rows (low, high).")
    contains = _contains(region)
    if not (np.all((box[:, 0] <= start) & (start <= box[:, 1])) and contains(start[None])[0]):
        raise InvalidInput(f"start must lie inside the region and the box, not at {start}.")
    if cells < 16 or cells % 4:
        raise InvalidInput(f"cells must be a multiple of 4, 16 or more, not {cells}.")
    values = []
    for n in (cells // 4, cells // 2, cells):
        grid = _grid(contains, box, n)
        tau = _solve(grid, contains, drift, diffusion)
        values.append(_interpolated(grid, contains, tau, start))
    value, error = _extrapolated(*values)
    return Solution(value, error, grid.axes, tau)


def _contains(region: Callable) -> Callable:
    def contains(points: np.ndarray) -> np.ndarray:
        value = np.asarray(region(points))
        return value if value.dtype == bool else value > 0

    return contains


def _grid(contains: Callable, box: np.ndarray, cells: int) -> _Grid:
    axes = tuple(np.linspace(low, high, cells + 1) for low, high in box)
    shape = (cells + 1, cells + 1)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    inside = contains(points).reshape(shape)
    if inside.all():
        raise InvalidInput("the region fills the box, whose sides reflect: it is never left.")
    if not inside.any():
        raise InvalidInput("the region is too small for the grid; use more cells.")
    number = np.full(shape, -1)
    number[inside] = np.arange(inside.sum())
    return _Grid(axes, (box[:, 1] - box[:, 0]) / cells, inside, number, np.argwhere(inside))


def _arm(grid: _Grid, contains: Callable, offset: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The neighbour's row (−1 outside) and the length of the arm towards it, in (0, 1]."""
    top = np.array(grid.inside.shape) - 1
    to = grid.ij + np.array(offset)
    to = np.where(to < 0, -to, np.where(to > top, 2 * top - to, to))  # mirrored at the sides
    row = grid.number[to[:, 0], to[:, 1]]
    cut = row < 0
    here, there = grid.points(grid.ij[cut]), grid.points(to[cut])
    low, high = np.zeros(len(here)), np.ones(len(here))
    for _ in range(50):
        middle = (low + high) / 2
        within = contains(here + middle[:, None] * (there - here))
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    length = np.ones(len(row))
    length[cut] = np.maximum(high, 1e-9)
    return row, length


def _coefficients(
    grid: _Grid, drift: Callable, diffusion: Callable
) -> tuple[np.ndarray, np.ndarray]:
    """b (n, 2) and ½ s sᵀ (n, 2, 2) at the inside nodes."""
    points = grid.points(grid.ij)
    b = np.broadcast_to(np.asarray(drift(points), float), points.shape)
    s = np.asarray(diffusion(points), float)
    s = np.broadcast_to(s, (len(points), *s.shape[-2:]))
    if not (np.isfinite(b).all() and np.isfinite(s).all()):
        raise InvalidInput("drift and diffusion must be finite everywhere in the region.")
    if not s.any():
        raise InvalidInput("the diffusion is 0: without noise there is no mean exit time.")
    return b, s @ np.swapaxes(s, 1, 2) / 2


def _lines(grid: _Grid, b: np.ndarray, a: np.ndarray) -> list[tuple]:
    """(offset, drift, diffusion) along each grid line, lengths in units of the arm.

    2·a₁₂ ∂²/∂x∂y is written with the diagonal of its own sign, which keeps the weights positive
    as long as a dominates |a₁₂| (Kushner).
    """
    cross = a[:, 0, 1] / (grid.h[0] * grid.h[1])
    lines = []
    for i, offset in enumerate(((1, 0), (0, 1))):
        speed = b[:, i] / grid.h[i]
        spread = a[:, i, i] / grid.h[i] ** 2
        lines.append((offset, speed, np.maximum(spread, np.abs(speed) / 2) - np.abs(cross)))
    if np.any(cross):
        still = np.zeros_like(cross)
        lines += [((1, 1), still, np.maximum(cross, 0)), ((1, -1), still, np.maximum(-cross, 0))]
    return lines


def _solve(grid: _Grid, contains: Callable, drift: Callable, diffusion: Callable) -> np.ndarray:
    """τ on the grid (nx, ny)."""
    n = len(grid.ij)
    rows, columns, entries, centre = [], [], [], np.zeros(n)
    for offset, speed, spread in _lines(grid, *_coefficients(grid, drift, diffusion)):
        ahead, p = _arm(grid, contains, offset)
        behind, q = _arm(grid, contains, (-offset[0], -offset[1]))
        for row, weight in (
            (ahead, (2 * spread + speed * q) / (p * (p + q))),
            (behind, (2 * spread - speed * p) / (q * (p + q))),
        ):
            centre -= weight
            kept = row >= 0
            rows.append(np.flatnonzero(kept))
            columns.append(row[kept])
            entries.append(weight[kept])
    rows, columns = np.concatenate([*rows, np.arange(n)]), np.concatenate([*columns, np.arange(n)])
    matrix = coo_array((np.concatenate([*entries, centre]), (rows, columns)), shape=(n, n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixRankWarning)
        solution = cast(np.ndarray, spsolve(matrix.tocsc(), -np.ones(n)))
    if not (np.isfinite(solution).all() and solution.min() > -1e-6 * abs(solution).max()):
        raise ComputationFailed("the mean exit time did not come out: can the region be left?")
    tau = np.zeros(grid.inside.shape)
    tau[grid.inside] = solution
    return tau


def _interpolated(grid: _Grid, contains: Callable, tau: np.ndarray, start: np.ndarray) -> float:
    """τ(start) from the cubic that fits the nearest nodes, and zeros of the boundary, best."""
    distance = np.abs((grid.points(grid.ij) - start) / grid.h).max(1)
    if distance.min() < 1e-9:
        return float(tau[grid.inside][distance.argmin()])
    near = distance <= 2.01
    few = grid._replace(ij=grid.ij[near])
    points, values = [few.points(few.ij)], [tau[grid.inside][near]]
    for offset in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        row, length = _arm(few, contains, offset)
        ends = points[0] + length[:, None] * np.array(offset) * grid.h
        points.append(ends[row < 0])
        values.append(np.zeros((row < 0).sum()))
    x, y = ((np.concatenate(points) - start) / grid.h).T
    basis = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], 1)
    weight = np.exp(-(x**2 + y**2) / 2)
    fit = np.linalg.lstsq(basis * weight[:, None], np.concatenate(values) * weight, rcond=None)
    return float(fit[0][0])


def _extrapolated(coarse: float, middle: float, fine: float) -> tuple[float, float]:
    """Richardson for second order, if the three values look like it; else the finest."""
    first, second = middle - coarse, fine - middle
    value = fine + second / 3
    if abs(second) < 1e-13 * abs(fine):
        return fine, 1e-12 * abs(fine)
    if 2.5 < first / second < 7:
        return value, max(abs(value - (middle + first / 3)), 1e-12 * abs(fine))
    return fine, max(abs(first), abs(second))
