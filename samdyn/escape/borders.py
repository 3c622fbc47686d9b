"""Where a region ends, along rays from a point inside: by bisection on inside and outside alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FAR = 1e6  # how far away a border is looked for


def find_border(region: Any, start: float, sign: int) -> float:
    """Where a region of one dimension ends on one side of `start`, by bisection; else infinity."""
    return start + sign * _reach(region, np.array([start]), np.array([[sign]]))[0]


def nearest_border(region: Any, start: np.ndarray) -> float:
    """How far from `start` (d,) the border is, at least; along the axes and 64 other directions."""
    extra = np.random.default_rng(0).normal(size=(64, start.size))
    directions = np.concatenate([np.eye(start.size), -np.eye(start.size), extra])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    return float(np.min(_reach(region, start, directions)))


def _reach(region: Any, start: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far (k,) it is from `start` (d,) to the border along `directions` (k, d); else inf."""
    inside = jax.jit(jax.vmap(lambda w: region.distance(w) > 0))
    spacing = np.spacing(np.max(np.abs(start), initial=1.0))
    steps = np.geomspace(max(1e-6, 1e3 * spacing), FAR, 400)
    found = np.full(len(directions), np.inf)
    for number, direction in enumerate(directions):
        out = ~np.asarray(inside(jnp.asarray(start + steps[:, None] * direction)))
        if not np.any(out):
            continue
        first = int(np.argmax(out))
        low, high = (steps[first - 1] if first else 0.0), steps[first]
        for _ in range(60 if start.size == 1 else 20):
            middle = (low + high) / 2
            within = bool(inside(jnp.asarray(start + middle * direction)[None])[0])
            low, high = (middle, high) if within else (low, middle)
        found[number] = (low + high) / 2
    return found
