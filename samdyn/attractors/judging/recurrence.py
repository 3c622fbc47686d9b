"""Whether a run repeats itself, and after how many steps."""

import numpy as np

CLOSE = 1e-6  # of the shortest step of a run: a return
AT_REST = 1e-10  # of the size of a point: a run that moves less rests


def period_of(path: np.ndarray) -> int:
    """The period, up to a quarter of the points (n, d), with which a run repeats itself: 1 at rest,
    0 if it does not."""
    moves = np.linalg.norm(np.diff(path, axis=0), axis=1)
    if np.max(moves) <= AT_REST * (1e-300 + np.max(np.abs(path))):
        return 1
    close = CLOSE * float(np.min(moves))
    back = np.linalg.norm(path[-1] - path[::-1][1 : len(path) // 4 + 1], axis=1)
    for period in 1 + np.flatnonzero(back <= close):
        if np.max(np.linalg.norm(path[period:] - path[:-period], axis=1)) <= close:
            return int(period)
    return 0
