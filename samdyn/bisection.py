"""Bisection on a yes or no: of numbers, of rows, and inside compiled code."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def bisect_on_host(
    like_low: Callable[[float], Any], low: float, high: float, halvings: int = 60
) -> tuple[float, float]:
    """The ends between which the answer of `like_low` changes from yes, at `low`, to no.

    It ends early where no number lies between them.
    """
    for _ in range(halvings):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if like_low(middle) else (low, middle)
    return low, high


def bisect_rows(
    like_low: Callable, low: np.ndarray, high: np.ndarray, halvings: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """The same for NumPy's arrays `low` and `high`, each row on its own."""
    for _ in range(halvings):
        middle = (low + high) / 2
        same = like_low(middle)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low, high


def bisect_traced(like_low: Callable, low, high, halvings: int = 60) -> tuple[Any, Any]:
    """The same inside compiled code."""

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        same = like_low(middle)
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    return jax.lax.fori_loop(0, halvings, halve, (low, high))
