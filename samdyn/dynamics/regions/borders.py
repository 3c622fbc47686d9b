"""Where a region ends, along rays from a point inside: by bisection on inside and outside alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...bisection import bisect_on_host

NEAR, FAR = 1e-12, 1e12  # from how near to how far a border is looked for
DEEP = 1e-3  # of the way to the border: where its number is asked
EVEN = (1.6, 2.4)  # twice as deep it is twice as large
SCAN, ROUNDS = 10_000, 50  # points of an interval at which holes are looked for, and how often


def find_border(region: Any, start: float, sign: int) -> float:
    """Where a region of one dimension ends on one side of `start`, by bisection; else infinity.

    A hole narrower than a ten-thousandth of the way to it could be overlooked.
    """
    inside, reach = _inside(region), _reach(region, np.array([start]), np.array([[sign]]))[0]
    for _ in range(ROUNDS if np.isfinite(reach) else 0):
        ways = np.linspace(0, reach, SCAN + 2)[:-1]
        out = ~np.asarray(inside(jnp.asarray(start + sign * ways[1:, None])))
        if not np.any(out):
            break
        first = int(np.argmax(out))
        ends = ways[first], ways[first + 1]
        reach = _bisected(inside, np.array([start]), np.array([sign]), *ends)
    return start + sign * reach


def nearest_border(region: Any, start: np.ndarray) -> float:
    """How far from `start` (d,) the border is, at least; along the axes and 64 other directions."""
    return float(np.min(_reach(region, start, _directions(start.size))))


def grows_evenly(region: Any, start: np.ndarray) -> bool:
    """Whether near the border the region's number grows in proportion to the distance from it.

    Asked along the axes and 64 other rays from `start` (d,), a thousandth of the way inside.
    """
    directions = _directions(start.size)
    reach = _reach(region, start, directions)
    met = np.isfinite(reach)
    numbers = jax.jit(jax.vmap(region.distance))
    near, far = (
        np.asarray(numbers(jnp.asarray(start + (share * reach[met])[:, None] * directions[met])))
        for share in (1 - DEEP, 1 - 2 * DEEP)
    )
    ratio = far / np.where(near > 0, near, np.nan)
    return bool(np.all((ratio > EVEN[0]) & (ratio < EVEN[1])))


def _directions(d: int) -> np.ndarray:
    extra = np.random.default_rng(0).normal(size=(64, d))
    directions = np.concatenate([np.eye(d), -np.eye(d), extra])
    return directions / np.linalg.norm(directions, axis=1)[:, None]


def _reach(region: Any, start: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far (k,) it is from `start` (d,) to the border along `directions` (k, d); else inf."""
    inside = _inside(region)
    spacing = np.spacing(np.max(np.abs(start), initial=1e-300))
    steps = np.geomspace(max(NEAR, 1e3 * spacing), FAR, 800)
    found = np.full(len(directions), np.inf)
    for number, direction in enumerate(directions):
        out = ~np.asarray(inside(jnp.asarray(start + steps[:, None] * direction)))
        if not np.any(out):
            continue
        first = int(np.argmax(out))
        low = steps[first - 1] if first else 0.0
        found[number] = _bisected(inside, start, direction, low, steps[first])
    return found


def _inside(region: Any) -> Callable:
    return jax.jit(jax.vmap(lambda w: region.distance(w) > 0))


def _bisected(inside: Callable, start, direction, low: float, high: float) -> float:
    """How far along `direction` the border between `low` (inside) and `high` (outside) is."""
    within = lambda way: inside(jnp.asarray(start + way * direction)[None])[0]  # noqa: E731
    return sum(bisect_on_host(within, low, high, 60 if start.size == 1 else 20)) / 2
