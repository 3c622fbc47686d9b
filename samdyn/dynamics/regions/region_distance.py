"""Which distance to the border of a region can be believed, for exits within a step."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import tree
from .borders import find_border, grows_evenly
from .regions import AbstractRegion, sign_of

BEYOND = 1e-6  # of the way to a border: where it is asked what lies beyond


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


class Interval(AbstractRegion):
    """Another region of one dimension as the interval (low, high) about the start.

    An end may be infinite. Where a path has left is said by the other region, of a point beyond
    the end.
    """

    region: AbstractRegion
    low: jax.Array = eqx.field(converter=tree.as_array)
    high: jax.Array = eqx.field(converter=tree.as_array)

    @property
    def exact(self):
        return True

    def distance(self, w):
        return jnp.minimum(w[0] - self.low.astype(w.dtype), self.high.astype(w.dtype) - w[0])

    def borders(self, points, start):
        ends, start = np.array([float(self.low), float(self.high)]), np.asarray(start, float)
        beyond = BEYOND * np.where(np.isfinite(ends), np.abs(ends - start), 0)
        places = np.where(np.isfinite(ends), ends, start) + beyond * [-1, 1]
        names, which = self.region.borders(places[:, None], start)
        return names, np.asarray(which)[(points[:, 0] > start).astype(int)]

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
    return Interval(region, low, high) if np.any(np.isfinite([low, high])) else region
