"""One step of interval Newton on many boxes, in Krawczyk's form.

With Y near the inverse of the Jacobian in the middle m of a box X, every zero in X lies in
K = m − Y F(m) + (I − Y J(X))(X − m). Where K lies inside X there is exactly one (Krawczyk 1969,
Moore 1977); where they do not meet there is none. What this arithmetic itself rounds is bounded and
added: a product of d terms errs by less than (d + 2) eps of the sum of their sizes.
"""

from typing import NamedTuple

import numpy as np

from .system import Bounds, System, Values

EPS = np.finfo(float).eps
TINY = np.finfo(float).tiny


class Step(NamedTuple):
    """`low`, `high` (n, d) of K; `regular` (n,): whether K could be computed; `inside` and
    `apart`: whether K lies inside the box, and whether they do not meet."""

    low: np.ndarray
    high: np.ndarray
    regular: np.ndarray
    inside: np.ndarray
    apart: np.ndarray


def krawczyk(system: System, low: np.ndarray, high: np.ndarray) -> Step:
    """The step on boxes (n, d); what they carry beside the unknowns stays as it is."""
    d, carried = system.dim, (low[:, system.dim :], high[:, system.dim :])
    slope_low, slope_high = system.slopes(low, high)
    low, high = low[:, :d], high[:, :d]
    middle = low + (high - low) / 2
    radius = np.maximum(high - middle, middle - low) * (1 + 2 * EPS) + TINY
    value = system.values(*(np.concatenate([middle, end], axis=1) for end in carried))
    sound = np.all(np.isfinite(slope_low) & np.isfinite(slope_high), axis=(1, 2))
    sound &= np.all(np.isfinite(value.low) & np.isfinite(value.high), axis=1)
    with np.errstate(invalid="ignore"):
        slope = np.where(sound[:, None, None], slope_low / 2 + slope_high / 2, np.eye(d))
    inverse, regular = _inverse(slope)
    regular &= sound
    with np.errstate(all="ignore"):
        change, kept = _image(
            inverse, slope, (slope_low, slope_high), value.low, value.high, radius
        )
        k_low, k_high = _outwards(middle - change - kept, middle - change + kept)
    good = regular & np.all(np.isfinite(k_low) & np.isfinite(k_high), axis=1)
    inside = good & np.all((k_low > low) & (k_high < high), axis=1)
    apart = good & np.any((k_low > high) | (k_high < low), axis=1)
    apart |= _by_mean_values(value, (slope_low, slope_high), radius)
    k_low = np.where(good[:, None], k_low, -np.inf)
    k_high = np.where(good[:, None], k_high, np.inf)
    k_low, k_high = (
        np.concatenate(ends, axis=1) for ends in zip((k_low, k_high), carried, strict=True)
    )
    return Step(k_low, k_high, good, inside, apart)


def _by_mean_values(value: Values, slopes: Bounds, radius: np.ndarray) -> np.ndarray:
    """Where F(m) + J(X)(X − m) leaves out 0 in some equation, (n,)."""
    with np.errstate(all="ignore"):
        steepest = np.maximum(np.abs(slopes[0]), np.abs(slopes[1]))
        reach = _times(steepest, radius) * (1 + (radius.shape[1] + 2) * EPS) + TINY
        return np.any((value.low > reach) | (value.high < -reach), axis=1)


def _image(inverse, slope, slopes: Bounds, value_low, value_high, radius):
    """(Y F(m), the largest deviation from it), each (n, d)."""
    d = radius.shape[1]
    error = (d + 2) * EPS
    spread = np.maximum(slopes[1] - slope, slope - slopes[0]) * (1 + 2 * EPS)
    size = np.abs(inverse)
    value = value_low / 2 + value_high / 2
    value_spread = np.maximum(value_high - value, value - value_low) * (1 + 2 * EPS) + TINY
    defect = np.abs(np.eye(d) - inverse @ slope) + error * (np.eye(d) + size @ np.abs(slope))
    defect = defect + size @ spread
    kept = _times(defect, radius) + _times(size, value_spread + error * np.abs(value))
    return _times(inverse, value), kept * (1 + 4 * error) + TINY


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]


def _outwards(low: np.ndarray, high: np.ndarray) -> Bounds:
    """Two places further out: for a sum of three terms."""
    return low - 3 * EPS * np.abs(low) - TINY, high + 3 * EPS * np.abs(high) + TINY


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(an inverse, anyhow exact, of each (n, d, d); which are regular to rounding).

    Rows and columns are brought to one size first: coordinates of other units invert as well.
    """
    rows = np.max(np.abs(matrix), axis=2, keepdims=True)
    rows = np.where(rows > TINY, rows, 1)
    columns = np.max(np.abs(matrix / rows), axis=1, keepdims=True)
    columns = np.where(columns > TINY, columns, 1)
    scaled = matrix / rows / columns
    sizes = np.linalg.svd(scaled, compute_uv=False)
    regular = sizes[:, -1] > 1e-13 * sizes[:, 0]
    usable = np.where(regular[:, None, None], scaled, np.eye(matrix.shape[1]))
    with np.errstate(over="ignore"):  # then K is not finite, and says nothing
        inverse = np.linalg.inv(usable) / columns.transpose(0, 2, 1) / rows.transpose(0, 2, 1)
    return inverse, regular
