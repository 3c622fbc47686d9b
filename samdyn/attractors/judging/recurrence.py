"""Whether a run repeats itself, and after how many steps."""

import numpy as np

CLOSE = 1e-6  # of the shortest step of a run: a return
AT_REST = 1e-10  # of how far the run went: one that moves less rests
LATE, NEAR = 16, 0.2  # points that are asked for; of a run's extent, what is near
ROUNDING = 8.0  # spacings of the numbers: a move that is none


def period_of(path: np.ndarray, scale: float) -> int:
    """The period, up to a quarter of the points (n, d), with which a run repeats itself: 1 at rest,
    0 if it does not. `scale` is how far the whole run went."""
    with np.errstate(over="ignore", invalid="ignore"):
        moves = np.linalg.norm(np.diff(path, axis=0), axis=1)
        noise = ROUNDING * float(np.spacing(np.max(np.abs(path))))
        if not np.all(np.isfinite(moves)):
            return 0
        if np.max(moves) <= AT_REST * scale + noise:
            return 1
        close = CLOSE * float(np.min(moves)) + noise
        back = np.linalg.norm(path[-1] - path[::-1][1 : len(path) // 4 + 1], axis=1)
        periods = 1 + np.flatnonzero(back <= close)
        begins = np.linalg.norm(path[periods] - path[0], axis=1) <= close  # most fail there
        for period in periods[begins]:
            if np.max(np.linalg.norm(path[period:] - path[:-period], axis=1)) <= close:
                return int(period)
    return 0


def comes_back(path: np.ndarray) -> bool:
    """Whether late points of a run (n, d) are near to where it was in its first half: what drifts
    on, however slowly, is not."""
    half = len(path) // 2
    extent = float(np.max(np.ptp(path[half:], axis=0)))
    late = path[np.linspace(half, len(path) - 1, LATE).astype(int)]
    gaps = np.linalg.norm(late[:, None] - path[None, :half], axis=-1).min(axis=1)
    return bool(np.median(gaps) <= NEAR * extent)
