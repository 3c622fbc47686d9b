"""Which distance to the border of a region can be believed, for exits within a step."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .borders import find_border, grows_evenly
from .regions import Above, AbstractRegion, Below, Intersection, sign_of


class YesOrNo(AbstractRegion):
    """Another region, of whose number only the sign is believed."""

    region: AbstractRegion

    def is_predicate(self, w):
        return True

    def distance(self, w):
        return sign_of(self.region.contains(w), w)

    def borders(self, points, start):
        return self.region.borders(points, start)

    def __str__(self):
        return str(self.region)


def with_distance(region: AbstractRegion, start: Any) -> AbstractRegion:
    """The region, with a distance to its border that can be believed, if any.

    In one dimension the interval about `start`: a path leaves the region where it leaves that,
    and bisection finds its ends. In several, where the number at the border does not grow in
    proportion to the distance from it, as w³ does not, only its sign is used.
    """
    start = np.asarray(start, float)
    if region.exact:
        return region
    if start.size > 1:
        known = region.is_predicate(jnp.asarray(start)) or grows_evenly(region, start)
        return region if known else YesOrNo(region)
    low, high = (find_border(region, float(start[0]), side) for side in (-1, 1))
    sides = [Above(0, low)] * bool(np.isfinite(low)) + [Below(0, high)] * bool(np.isfinite(high))
    return Intersection(sides) if len(sides) > 1 else sides[0] if sides else region
