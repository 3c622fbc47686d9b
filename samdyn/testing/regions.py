"""Regions: is the distance positive inside, and a distance where it is declared to be one?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import require_flat
from ..dynamics.regions.regions import AbstractRegion, as_region
from .asking import attempt, require, require_compiled, require_like

RAYS, FARTHEST = 24, 1e3


def check_region(region: Any, at: Any) -> None:
    """`InvalidInput`, one sentence, unless a region is what `AbstractRegion` asks.

    `at` (d,) is a point inside. Borders are looked for along rays from there.
    """
    region = as_region(region)
    with jax.enable_x64(True):
        name, w = type(region).__name__, jnp.asarray(require_flat(at, "a point inside"))
        _form(region, name, w)
        rays = np.random.default_rng(0).normal(size=(RAYS, w.size))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        inside = jax.jit(jax.vmap(lambda v: region.distance(v) > 0))
        reach = _borders(inside, np.asarray(w), rays)
        ends = np.asarray(w) + np.where(np.isfinite(reach), reach, 1)[:, None] * rays
        points = np.asarray(w) + 0.6 * (ends - np.asarray(w))
        points = points[np.asarray(inside(jnp.asarray(points)))]
        if len(points):
            _declared(region, name, jnp.asarray(points), inside, rays)
        _names(region, name, ends, np.asarray(w))


def _form(region: AbstractRegion, name: str, w) -> None:
    for dtype in (jnp.float64, jnp.float32):
        value = attempt(f"distance of {name}", region.distance, w.astype(dtype))
        require_like(value, jnp.zeros((), dtype), f"distance of {name} at w of {np.dtype(dtype)}")
    at = ", ".join(f"{x:g}" for x in np.asarray(w))
    require(region.distance(w) > 0, f"distance of {name} is not positive at ({at}), inside.")
    require(region.contains(w), f"contains of {name} is not True at ({at}), inside.")
    nowhere = jnp.full_like(w, jnp.nan)
    require(not bool(region.contains(nowhere)), f"{name} contains a point that is not a number.")
    points = jnp.stack([w, w + 0.01])
    require_compiled(region.distance, points, f"distance of {name}")
    told = region.is_predicate(w)
    require(isinstance(told, bool), f"is_predicate of {name} is True or False, not {told!r}.")
    require(
        not (told and region.exact), f"{name} declares both exact and is_predicate: one or neither."
    )


def _borders(inside, w: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """How far it is to the first point outside, along each ray; inf where there is none."""
    sizes = np.geomspace(1e-3, FARTHEST, 400)
    grid = w + sizes[:, None, None] * rays[None]
    out = ~np.asarray(inside(jnp.asarray(grid.reshape(-1, w.size)))).reshape(len(sizes), -1)
    first = np.argmax(out, axis=0)
    high, low = sizes[first], np.where(first > 0, sizes[first - 1], 0.0)
    for _ in range(50):
        middle = (low + high) / 2
        stays = np.asarray(inside(jnp.asarray(w + middle[:, None] * rays)))
        low, high = np.where(stays, middle, low), np.where(stays, high, middle)
    return np.where(np.any(out, axis=0), high, np.inf)


def _declared(region: AbstractRegion, name: str, points, inside, rays: np.ndarray) -> None:
    gaps = np.asarray(jax.vmap(region.distance)(points))
    slopes = np.asarray(jax.vmap(jax.grad(region.distance))(points))
    if not region.is_predicate(points[0]):
        require(
            np.any(slopes != 0) or len(points) < 2,
            f"distance of {name} is the same everywhere inside: declare is_predicate.",
        )
    if not region.exact:
        return
    require(
        np.abs(np.linalg.norm(slopes, axis=1) - 1) < 1e-6,
        f"{name} declares exact, but its distance does not change by 1 for each unit of w.",
    )
    rows = np.asarray(points)
    for factor, side in ((1 - 1e-6, True), (1 + 1e-6, False)):
        ends = rows - (factor * gaps)[:, None] * slopes
        require(
            np.asarray(inside(jnp.asarray(ends))) == side,
            f"{name} declares exact, but the border is not as far as its distance says.",
        )
    for point, gap in zip(rows, gaps, strict=True):
        ball = point + 0.999 * gap * rays
        require(
            inside(jnp.asarray(ball)),
            f"{name} declares exact, but its border is nearer than its distance says.",
        )


def _names(region: AbstractRegion, name: str, ends: np.ndarray, start: np.ndarray) -> None:
    names, where = attempt(f"borders of {name}", region.borders, ends, start)
    known = np.shape(where) == (len(ends),) and np.all(
        (where >= 0) & (np.asarray(where) < len(names))
    )
    require(known, f"borders of {name} must number each exit point among the names of its borders.")
