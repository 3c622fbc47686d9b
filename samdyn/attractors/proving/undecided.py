"""Boxes that stayed undecided: fewer of them, and those that surround a single point."""

import numpy as np

from ..finding.clusters import linked

MOST_UNDECIDED = 2048  # boxes that are told, at most
CELLS = 1024  # of the box's side: undecided boxes in one of these cells are told as one
SMALL = 1e-4  # of the box's sides: what is undecided within that is one point


def merged(boxes: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Boxes (n, d, 2) as fewer: those whose middles lie in one small cell as their hull."""
    if not len(boxes):
        return boxes
    size = whole[:, 1] - whole[:, 0]
    cells = np.floor((boxes.mean(axis=2) - whole[:, 0]) / size * CELLS)
    while len(np.unique(cells, axis=0)) > MOST_UNDECIDED:
        cells = np.floor(cells / 2)
    _, group = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    first = np.flatnonzero(np.diff(group.ravel()[order], prepend=-1))
    low = np.minimum.reduceat(boxes[order, :, 0], first)
    high = np.maximum.reduceat(boxes[order, :, 1], first)
    return np.stack([low, high], axis=-1)


def isolated(boxes: np.ndarray, whole: np.ndarray) -> list[np.ndarray]:
    """The hulls (d, 2) of groups of undecided boxes that are tiny, as about a single point."""
    size = whole[:, 1] - whole[:, 0]
    groups = linked(boxes.mean(axis=2) / size, SMALL)
    hulls = [np.stack([boxes[g, :, 0].min(0), boxes[g, :, 1].max(0)], axis=1) for g in groups]
    return [hull for hull in hulls if np.all(hull[:, 1] - hull[:, 0] <= SMALL * size)]
