"""What is certain about the eigenvalues of every matrix between two bounds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...programs.batch import OnPoints
from ...programs.boxes import NotEnclosed

EPS = np.finfo(float).eps


class Discs(NamedTuple):
    """Complex `centres` (d,), by real parts, and `radii` (d,).

    Of each matrix meant, as many eigenvalues lie in a group of discs that meet as there are discs
    in the group (Gershgorin 1931).
    """

    centres: np.ndarray
    radii: np.ndarray


def jacobian_bounds(
    function: Callable, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bounds (m, d) of the Jacobian of `function` over the box low ≤ w ≤ high, each (d,).

    None where the function has no program, or may bend or be undefined in the box.
    """
    on_points, dim = OnPoints(function, len(low)), len(low)
    try:
        found = on_points.both_on_boxes(low[None], high[None])
    except NotEnclosed:
        return None
    rows = found.low.shape[1] // (dim + 1)
    if np.any(found.undefined) or np.any(found.kinked):
        return None
    lower, upper = (x[0, rows:].reshape(rows, dim) for x in (found.low, found.high))
    return (lower, upper) if np.all(np.isfinite(lower) & np.isfinite(upper)) else None


def discs(low: np.ndarray, high: np.ndarray) -> Discs:
    """Discs that hold the eigenvalues of every real matrix between low and high (d, d).

    T⁻¹AT, where the columns of T are eigenvectors of the middle, is nearly diagonal; its
    off-diagonal sums are the radii. The units of the coordinates are balanced first.
    """
    middle, spread = _middle(low, high)
    scale = _balance(middle)
    balanced, wide = middle * scale / scale[:, None], spread * scale / scale[:, None]
    values, vectors = np.linalg.eig(balanced)
    if np.linalg.cond(vectors) > 1e12:
        return Discs(values, np.full(len(values), np.inf))
    inverse = np.linalg.inv(vectors)
    size = np.abs(inverse) @ (np.abs(balanced) + wide) @ np.abs(vectors)
    off = np.abs(inverse @ balanced @ vectors - np.diag(values))
    # T⁻¹ is itself only near: T⁻¹AT is similar to A up to the factor I + E, ‖E‖ ≤ defect
    unit = np.abs(inverse) @ np.abs(vectors)
    defect = np.abs(inverse @ vectors - np.eye(len(values))) + 8 * len(values) * EPS * unit
    loose = np.abs(inverse) @ wide @ np.abs(vectors) + 8 * len(values) * EPS * size
    moved = _overestimate(defect) * np.max(np.sum(size, axis=1))
    radii = np.sum(off + loose, axis=1) + moved
    order = np.lexsort((np.imag(values), np.real(values)))
    return Discs(values[order], radii[order])


def _overestimate(defect: np.ndarray) -> float:
    """A bound of how much an inverse that is off by `defect` moves a product."""
    norm = float(np.max(np.sum(defect, axis=1)))
    return norm / (1 - norm) if norm < 1 else np.inf


def _middle(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = low / 2 + high / 2
    return middle, np.maximum(high - middle, middle - low) * (1 + 2 * EPS)


def _balance(matrix: np.ndarray) -> np.ndarray:
    """Powers of two (d,) that bring rows and columns to about one size."""
    scale, size = np.ones(len(matrix)), np.abs(matrix) - np.diag(np.abs(np.diag(matrix)))
    for _ in range(8):
        rows, columns = (np.sum(size * scale / scale[:, None], axis=k) for k in (1, 0))
        usable = (rows > 0) & (columns > 0)
        ratio = np.where(usable, rows, 1) / np.where(usable, columns, 1)
        scale = scale * 2.0 ** np.round(np.log2(ratio) / 2)
    return scale


def signs(low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """How many negative, then positive eigenvalues every symmetric matrix between the bounds has.

    As the signs (d,) ascending; None where that isn't certain. By Sylvester's law: CᵀAC has the
    signs of A, and with C made of eigenvectors of the middle it is diag(±1), nearly. Coordinates of
    other units change nothing, since A is brought to a unit diagonal first.
    """
    middle, spread = _middle(low, high)
    middle = (middle + middle.T) / 2
    spread = np.maximum(spread, spread.T) + np.abs(high - low) * EPS + np.abs(low - low.T)
    diagonal, largest = np.abs(np.diag(middle)), np.max(np.abs(middle), axis=1)
    unit = np.where(diagonal > 0, diagonal, np.where(largest > 0, largest, 1)) ** -0.5
    values, vectors = np.linalg.eigh(middle * unit * unit[:, None])
    if np.any(values == 0):
        return None
    change = unit[:, None] * vectors / np.sqrt(np.abs(values))
    size = np.abs(change).T @ (np.abs(middle) + spread) @ np.abs(change)
    off = np.abs(change.T @ middle @ change - np.diag(np.sign(values)))
    whole = off + np.abs(change).T @ spread @ np.abs(change) + 8 * len(values) * EPS * size
    return np.sign(values) if np.all(np.sum(whole, axis=1) < 1) else None
