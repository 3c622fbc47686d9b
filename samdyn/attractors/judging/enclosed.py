"""What is certain about the eigenvalues of every matrix between two bounds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...programs.batch import OnPoints
from ...programs.enclosing.interval_rules import NotEnclosed

EPS = np.finfo(float).eps
TINY = 1e-200  # of the largest entry: a diagonal one that scales nothing


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
    """Discs that hold the eigenvalues of every real matrix between low and high (d, d)."""
    found = [basis.rows(low, high) for basis in bases_of(low / 2 + high / 2)]
    if not found:
        values = np.linalg.eigvals(low / 2 + high / 2)
        return Discs(values, np.full(len(values), np.inf))
    centres, radii = min(found, key=lambda rows: float(np.max(rows[1])))
    order = np.lexsort((np.imag(centres), np.real(centres)))
    return Discs(centres[order], radii[order])


class Basis(NamedTuple):
    """Columns `into` (d, d), complex, in which a matrix is nearly diagonal; their inverse `out`.

    ‖out·x‖∞ is the norm that goes with it.
    """

    into: np.ndarray
    out: np.ndarray

    @property
    def inverse_defect(self) -> float:
        """By how much, relatively, `into` may be off from the inverse of `out`."""
        d = len(self.into)
        unit = np.abs(self.out) @ np.abs(self.into)
        return _overestimate(np.abs(self.out @ self.into - np.eye(d)) + 8 * d * EPS * unit)

    def rows(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(centres (…, d), radii (…, d)) of the rows of out·A·out⁻¹, for every real A between
        `low` and `high` (…, d, d): its diagonal, and how far that may be off plus all else there.

        Gershgorin's discs; where their real parts are below 0 the flow shrinks the norm, and where
        they lie inside the unit circle a step does.
        """
        middle, spread = _middle(low, high)
        d, sizes = middle.shape[-1], (np.abs(self.out), np.abs(self.into))
        size = sizes[0] @ (np.abs(middle) + spread) @ sizes[1]
        turned = self.out @ middle @ self.into
        centres = np.diagonal(turned, axis1=-2, axis2=-1)
        off = np.abs(turned - centres[..., None] * np.eye(d))
        loose = sizes[0] @ spread @ sizes[1] + 8 * d * EPS * size
        # `out` is only near the inverse of `into`
        moved = self.inverse_defect * np.max(np.sum(size, axis=-1), axis=-1)
        return centres, np.sum(off + loose, axis=-1) + moved[..., None]


def bases_of(matrix: np.ndarray) -> list[Basis]:
    """Bases in which a matrix (d, d) is nearly diagonal: its eigenvectors, after its units have
    been balanced.

    Where these are nearly dependent, as at critical damping, Schur's vectors, too, each shorter by
    10⁵ than the one before, in which a triangular matrix is nearly diagonal. None where all fail.
    """
    scale = _balance(matrix)
    balanced = matrix * scale / scale[:, None]
    several = [np.linalg.eig(balanced)[1]]
    if np.linalg.cond(several[0]) > 1e6:
        import scipy.linalg

        unitary = scipy.linalg.schur(balanced, output="complex")[1]
        several.append(unitary * 1e-5 ** np.arange(len(matrix)))
    good = [vectors for vectors in several if np.linalg.cond(vectors) < 1e12]
    return [Basis(scale[:, None] * v, np.linalg.inv(v) / scale) for v in good]


def eigenvalue_bounds(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Bounds (d, 2), ascending, of the eigenvalues of every symmetric matrix between two (d, d).

    With columns X near eigenvectors and θ near eigenvalues of the middle M each eigenvalue lies
    within ‖MX − Xθ‖/σ_min(X) of its θ (Cao, Xie & Li 1996), and within ‖A − M‖ more.
    """
    middle, spread = _middle(low, high)
    middle = (middle + middle.T) / 2
    spread = np.maximum(spread, spread.T) + np.abs(low - low.T) + EPS * np.abs(middle)
    values, vectors = np.linalg.eigh(middle)
    d, size = len(values), np.abs(vectors)
    residual = np.abs(middle @ vectors - vectors * values)
    residual = residual + 8 * d * EPS * (np.abs(middle) @ size + size * np.abs(values))
    defect = np.abs(vectors.T @ vectors - np.eye(d)) + 8 * d * EPS * (size.T @ size)
    least = 1 - float(np.linalg.norm(defect))  # of the squares of σ(X), and so of σ(X) too
    reach = float(np.linalg.norm(residual)) / least if least > 0 else np.inf
    reach = reach + float(np.linalg.norm(spread))
    reach = reach * (1 + 64 * d * EPS)
    slack = reach + 2 * EPS * np.abs(values)
    return np.stack([values - slack, values + slack], axis=1)


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
    told = diagonal > TINY * largest  # less is rounding
    unit = np.where(told, diagonal, np.where(largest > 0, largest, 1)) ** -0.5
    values, vectors = np.linalg.eigh(middle * unit * unit[:, None])
    if np.any(values == 0):
        return None
    change = unit[:, None] * vectors / np.sqrt(np.abs(values))
    size = np.abs(change).T @ (np.abs(middle) + spread) @ np.abs(change)
    off = np.abs(change.T @ middle @ change - np.diag(np.sign(values)))
    whole = off + np.abs(change).T @ spread @ np.abs(change) + 8 * len(values) * EPS * size
    return np.sign(values) if np.all(np.sum(whole, axis=1) < 1) else None
