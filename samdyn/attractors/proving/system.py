"""Equations whose zeros are enclosed, with conditions that a zero must meet."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...programs.batch import OnPoints
from ...programs.enclosing.assumptions import where_finite
from ...programs.enclosing.boxes import Encloser, Enclosure
from ...programs.enclosing.interval_rules import NotEnclosed
from ...programs.program import ById

Bounds = tuple[np.ndarray, np.ndarray]  # (low, high), each (n, …)


class Unprovable(Exception):
    """Nothing can be proven about a function, for the reason given."""


class Values(NamedTuple):
    """Over n boxes: bounds of the equations (n, d), whether they may be undefined or jump
    anywhere, whether no zero can be there (`excluded`), and whether its conditions are met for
    sure (`met`), each (n,)."""

    low: np.ndarray
    high: np.ndarray
    clean: np.ndarray
    excluded: np.ndarray
    met: np.ndarray


class System:
    """d equations in d unknowns: `function` (d + carried,) → (d equations, then conditions).

    The first condition is the loss, which must be defined; further ones must be below 0. What is
    carried beside the unknowns is known only between bounds, and never solved for.
    """

    def __init__(self, function: Callable, dim: int, carried: int = 0):
        self._prepare(OnPoints(function, dim + carried, along=dim), dim)

    def _prepare(self, on_points: OnPoints, dim: int) -> None:
        self.dim, self.on_points = dim, on_points
        if self.on_points.program is None:
            raise Unprovable(self.on_points.why)
        # of equations at a point where the loss is not defined nothing is asked
        self._value = _prepared(ById(self.on_points.program), dim)

    @functools.cached_property
    def _both(self) -> Encloser:
        if self.on_points.both is None:
            raise Unprovable("it has an operation whose derivative is not known")
        return _prepared(ById(self.on_points.both), self.dim)

    def text(self) -> Iterator[str | bytes]:
        """What there is to know about it, to tell it from others."""
        yield f"{type(self).__name__} of {self.dim} unknowns"
        yield from self.on_points.text()

    @property
    def operations(self) -> int:
        """How many operations its Jacobian takes."""
        return len(self._both.program.operations)

    def with_jacobians(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The equations (n, d) at points (n, d), and their Jacobian (n, d, d)."""
        value, slope = self.on_points.with_jacobians(points)
        return value[:, : self.dim], slope[:, : self.dim]

    def values(self, low: np.ndarray, high: np.ndarray) -> Values:
        """The bounds over boxes (n, d)."""
        return self._values(self._value(low, high, self.on_points.parameters))

    def slopes(self, low: np.ndarray, high: np.ndarray) -> Bounds:
        """Bounds of the Jacobian (n, d, d); infinite where there may be none."""
        found = self._both(low, high, self.on_points.parameters)
        rows, count = len(low), len(self._value.program.outputs)
        d = self.dim

        def square(column: np.ndarray) -> np.ndarray:
            return column[:, count:].reshape(rows, count, d)[:, :d]

        none = square(found.undefined)
        lower, upper = square(found.low), square(found.high)
        return np.where(none, -np.inf, lower), np.where(none, np.inf, upper)

    def _values(self, found: Enclosure) -> Values:
        d = self.dim
        low, high = found.low[:, :d], found.high[:, :d]
        outside = np.any((low > 0) | (high < 0), axis=1)
        excluded = (
            outside | np.any(found.nowhere, axis=1) | np.any(found.low[:, d + 1 :] >= 0, axis=1)
        )
        clean = ~np.any(found.undefined | found.kinked, axis=1)
        return Values(low, high, clean, excluded, np.all(found.high[:, d + 1 :] < 0, axis=1))


@functools.lru_cache(maxsize=256)
def _prepared(program: ById, loss: int) -> Encloser:
    try:
        return Encloser(where_finite(program.value, loss))
    except NotEnclosed as reason:
        raise Unprovable(str(reason)) from None


def joined(*parts: Any) -> Any:
    """Equations and conditions as one vector."""
    return jnp.concatenate([jnp.ravel(part) for part in parts])


def smooth_in(function: Callable, box: np.ndarray) -> bool | None:
    """Whether a function of w (d,) is defined everywhere in a box (d, 2) and jumps nowhere; None
    where that isn't known."""
    try:
        found = OnPoints(function, len(box)).on_boxes(box[None, :, 0], box[None, :, 1])
    except NotEnclosed:
        return None
    return not np.any(found.kinked | found.undefined)
