"""Which of many points are the same one, and which lie on one curve."""

import numpy as np


def distinct(points: np.ndarray, residuals: np.ndarray, radius: float) -> list[int]:
    """Indices of one representative a cluster, the one of smallest residual."""
    order = np.argsort(residuals, kind="stable")
    _, first = np.unique(np.round(points[order] / radius), axis=0, return_index=True)
    thinned = order[first]  # a cluster on a rounding border may still stand twice
    return [
        int(thinned[members[np.argmin(residuals[thinned[members]])]])
        for members in linked(points[thinned], radius)
    ]


def clusters(points: np.ndarray, radius: float) -> list[np.ndarray]:
    """Points (n, d) as groups (m, d) that are linked by steps of at most `radius`."""
    return [points[members] for members in linked(points, radius)]


def linked(points: np.ndarray, radius: float) -> list[np.ndarray]:
    """Member indices of the clusters whose points are linked by steps of at most `radius`."""
    left, found = np.arange(len(points)), []
    while left.size:
        reached, left = [left[:1]], left[1:]
        for group in reached:  # it grows while it is read
            for place in group:
                near = np.linalg.norm(points[left] - points[place], axis=1) <= radius
                if np.any(near):
                    reached.append(left[near])
                    left = left[~near]
        found.append(np.sort(np.concatenate(reached)))
    return found


def new_samples(known: np.ndarray, points: np.ndarray, spacing: float) -> np.ndarray:
    """Those of `points` at least half a spacing from `known`, thinned to that distance."""
    cells = np.round(points / (spacing / 2)).astype(np.int64)
    points = points[np.unique(cells, axis=0, return_index=True)[1]] if len(points) else points
    kept: list[np.ndarray] = []
    for point in points:
        near = np.concatenate([known, np.array(kept).reshape(-1, known.shape[1])])
        if np.all(np.linalg.norm(near - point, axis=1) > spacing / 2):
            kept.append(point)
    return np.array(kept).reshape(-1, known.shape[1])
