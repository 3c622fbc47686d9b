"""The fixed points about a place, for whoever must tell one from another."""

import numpy as np

from ...dynamics.systems.ode import AbstractODE
from .fixed_points import zeros_around
from .point import FixedPoints

NEAREST = 0.1  # of the reach: starts of Newton lie within this, too


class Neighbours:
    """Of a flow; from the list of a box in which it is proven to be whole, else by Newton."""

    def __init__(
        self,
        flow: AbstractODE,
        found: FixedPoints | None = None,
        box: np.ndarray | None = None,
    ):
        self.flow, self._box, self._known = flow, None, np.empty((0, 0))
        if found is not None and box is not None and found.complete.proven:
            self._box, self._known = box, np.array([point.w for point in found.points])

    def within(self, w: np.ndarray, reach: float) -> np.ndarray:
        """Fixed points (n, d), some more than once, about w (d,): all of those that are known."""
        box = self._box
        if box is not None and np.all((w - reach >= box[:, 0]) & (w + reach <= box[:, 1])):
            return self._known.reshape(-1, w.size)
        return zeros_around(self.flow, w, [NEAREST * reach, reach])
