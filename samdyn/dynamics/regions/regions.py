"""Where a path counts as still inside: regions given by a function that is positive inside.

`distance(w)` is the signed distance to the boundary where that is known (`exact`), else any
function that is positive inside. A new region is one small class here:

    class MyRegion(AbstractRegion):
        def distance(self, w):
            return ...          # a scalar, > 0 inside
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from ...checks import told
from ...errors import InvalidInput
from ...programs.batch import OnPoints
from ...text import number_text, point_text
from .. import tree
from ..reading import is_used
from ..systems.map import AbstractMap
from .borders import find_border


class AbstractRegion(eqx.Module):
    """A set of parameters w (d,).

    `exact` tells that `distance` is the true distance to the boundary for w inside;
    `is_predicate` that it only tells inside from outside, so that nothing can be read off its size.
    Never both. `samdyn.testing.check_region` compares what is declared with what is computed.
    """

    @abc.abstractmethod
    def distance(self, w: Float[Array, " d"]) -> Float[Array, ""]:
        """A scalar, > 0 inside and < 0 outside, in the unit of w where `exact`."""

    def contains(self, w: Float[Array, " d"]) -> Any:
        """Whether w is inside; nan is not."""
        return self.distance(w) > 0

    @property
    def exact(self) -> bool:
        return False

    def is_predicate(self, w: Float[Array, " d"]) -> bool:
        """Whether `distance` only tells inside from outside; w is asked for its shape alone."""
        del w
        return False

    def borders(self, points: np.ndarray, start: np.ndarray) -> tuple[list[str], np.ndarray]:
        """(names of the borders (k,), which of them each exit point (n, d) is at (n,)).

        By default the two ends in one dimension, and in several the axis along which the point is
        farthest from the start, with its sign.
        """
        return _by_axis(self, points, start)


class _ExactRegion(AbstractRegion):
    @property
    def exact(self):
        return True


def _size(value: Any) -> Any:
    value = tree.as_array(value)
    if not isinstance(value, jax.core.Tracer):
        values = np.asarray(value)
        if not (np.all(np.isfinite(values)) and np.all(values > 0)):
            raise InvalidInput(f"the size of a region must be a finite number > 0, not {values}.")
    return value


class Ball(_ExactRegion):
    """‖w − centre‖ < radius; centre (d,). The derivative at the centre is taken as 0."""

    centre: jax.Array = eqx.field(converter=tree.as_array)
    radius: jax.Array = eqx.field(converter=_size)

    def distance(self, w):
        square = jnp.sum((w - self.centre.astype(w.dtype)) ** 2)
        apart = square != 0  # true of nan, which is then passed on
        norm = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), 0)
        return self.radius.astype(w.dtype) - norm

    def borders(self, points, start):
        return _by_axis(self, points, np.asarray(self.centre, float))

    def __str__(self):
        return f"ball of radius {number_text(self.radius)} about {point_text(self.centre)}"


class Slab(_ExactRegion):
    """|w[axis] − centre[axis]| < half_width; centre (d,)."""

    centre: jax.Array = eqx.field(converter=tree.as_array)
    axis: int = eqx.field(static=True)
    half_width: jax.Array = eqx.field(converter=_size)

    def distance(self, w):
        gap = jnp.abs(w[self.axis] - self.centre[self.axis].astype(w.dtype))
        return self.half_width.astype(w.dtype) - gap

    def borders(self, points, start):
        middle, width = float(self.centre[self.axis]), float(self.half_width)
        names = [f"w[{self.axis}] = {number_text(middle + side * width)}" for side in (-1, 1)]
        return names, (points[:, self.axis] > middle).astype(int)

    def __str__(self):
        middle, width = number_text(self.centre[self.axis]), number_text(self.half_width)
        return f"slab |w[{self.axis}] − {middle}| < {width}"


class Below(_ExactRegion):
    """w[axis] < level."""

    axis: int = eqx.field(static=True)
    level: jax.Array = eqx.field(converter=tree.as_array)

    def distance(self, w):
        return self.level.astype(w.dtype) - w[self.axis]

    def borders(self, points, start):
        return [f"w[{self.axis}] = {number_text(self.level)}"], np.zeros(len(points), int)

    def __str__(self):
        return f"half-space w[{self.axis}] < {number_text(self.level)}"


class Above(_ExactRegion):
    """w[axis] > level."""

    axis: int = eqx.field(static=True)
    level: jax.Array = eqx.field(converter=tree.as_array)

    def distance(self, w):
        return w[self.axis] - self.level.astype(w.dtype)

    def borders(self, points, start):
        return [f"w[{self.axis}] = {number_text(self.level)}"], np.zeros(len(points), int)

    def __str__(self):
        return f"half-space w[{self.axis}] > {number_text(self.level)}"


class Sublevel(AbstractRegion):
    """loss(w) < level. `distance` is level − loss(w), in the unit of the loss."""

    loss: Callable
    level: jax.Array = eqx.field(converter=tree.as_array)

    def distance(self, w):
        return self.level.astype(w.dtype) - self.loss(w)

    def __str__(self):
        return f"sublevel set loss < {number_text(self.level)}"


class Predicate(AbstractRegion):
    """Anyone's function of w (d,): a truth value, true inside, or a number that is positive inside.

    A truth value gives the distance ±1, and so, as to what is known, does a number without a
    derivative, such as an integer, a sign or one that is only ever 1. or 0. Any other is taken to
    vary continuously, so that exits within a step can be found from it;
    `Predicate(function, predicate=True)` says that it does not.
    """

    function: Callable
    predicate: bool | None = eqx.field(static=True, default=None)

    def distance(self, w):
        value = jnp.asarray(self.function(w))
        if value.ndim:
            raise InvalidInput(
                f"the region {self} gives an array of shape {value.shape}, not one number that is "
                "positive inside, or one truth value."
            )
        if value.dtype == jnp.bool_:
            return sign_of(value, w)
        return value.astype(w.dtype)

    def is_predicate(self, w):
        if self.predicate is not None:
            return self.predicate
        return not _has_derivative(self.function, w)

    def __str__(self):
        return getattr(self.function, "__name__", "of a predicate")


def as_region(given: Any) -> AbstractRegion:
    """A region as it is, a function of w as `Predicate`; `InvalidInput` for anything else."""
    if isinstance(given, AbstractRegion):
        return given
    if callable(given) and not isinstance(given, type | eqx.Module):
        return Predicate(given)
    raise InvalidInput(
        f"a region such as samdyn.Ball(centre, radius), or a function of w, is needed, not "
        f"{told(given)}."
    )


def _has_derivative(function: Callable, w: Any) -> bool:
    """Whether a function of w is a number whose derivative is not 0 by its construction."""
    value = lambda v: jnp.asarray(function(v))  # noqa: E731
    like = jax.ShapeDtypeStruct(jnp.shape(w), jnp.result_type(w))
    if not jnp.issubdtype(jax.eval_shape(value, like).dtype, jnp.floating):
        return False
    traced = jax.make_jaxpr(lambda v, t: jax.jvp(value, (v,), (t,))[1])(like, like).jaxpr
    return is_used(traced, traced.invars[1:])


class BasinOf(AbstractRegion):
    """Where `steps` noiseless steps of `step_map` end nearer to attractors[home] than to others.

    `attractors` (m, d). Exact up to paths that are still on their way, and dear: each evaluation
    costs `steps` steps. `BasinOnGrid` looks the answer up instead.
    """

    step_map: AbstractMap
    attractors: jax.Array = eqx.field(converter=tree.as_array)
    home: int = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=1000)

    def is_predicate(self, w):
        return True

    def distance(self, w):
        return sign_of(self._end(w) == self.home, w)

    def _end(self, w) -> Array:
        """The number of the attractor where w ends, or how many there are if it diverges."""
        state = jax.lax.fori_loop(
            0, self.steps, lambda _, state: self.step_map(state), self.step_map.init(w)
        )
        gaps = jnp.sum((self.attractors.astype(w.dtype) - state.w[None]) ** 2, axis=1)
        finite = jnp.all(jnp.isfinite(gaps))
        return jnp.where(finite, jnp.argmin(gaps), len(self.attractors))

    def borders(self, points, start):
        """By the basin that a path has come to."""
        ends = np.asarray(jax.jit(jax.vmap(self._end))(jnp.asarray(points, self.attractors.dtype)))
        names = [f"basin of {point_text(w)}" for w in self.attractors]
        return [*names, "no basin"], ends

    def __str__(self):
        return f"basin of {point_text(self.attractors[self.home])}"


class BasinOnGrid(AbstractRegion):
    """A basin from a computed image: +1 on its cells, −1 on others, linear in between.

    `box` (d, 2); `inside` (grid,)·d holds ±1 at the centres of the cells. Outside the box,
    nothing is inside. `labels`, of the same shape, and
    `names` tell into which basin a path has left.
    """

    box: jax.Array = eqx.field(converter=tree.as_array)
    inside: jax.Array = eqx.field(converter=tree.as_array)
    name: str = eqx.field(static=True, default="basin")
    labels: jax.Array | None = None
    names: tuple[str, ...] = eqx.field(static=True, default=())

    def distance(self, w):
        box, values = self.box.astype(w.dtype), self.inside.astype(w.dtype)
        low, high = box[:, 0], box[:, 1]
        cell = (w - low) / (high - low) * jnp.asarray(values.shape, w.dtype) - 0.5
        value = map_coordinates(values, list(cell), order=1, mode="nearest")
        return jnp.where(jnp.all((w > low) & (w < high)), value, -1)

    def borders(self, points, start):
        """By the cell of the image where a path has come to."""
        if self.labels is None:
            return super().borders(points, start)
        box, labels = np.asarray(self.box), np.asarray(self.labels)
        share = (points - box[:, 0]) / (box[:, 1] - box[:, 0])
        outside = np.any((share < 0) | (share >= 1), axis=1)
        cells = np.clip((share * labels.shape).astype(int), 0, np.array(labels.shape) - 1)
        found = labels[tuple(cells.T)]
        return [*self.names, "out of the box"], np.where(outside, len(self.names), found)

    def __str__(self):
        return self.name


class Intersection(AbstractRegion):
    """Inside every one of `regions`; the distance is the smallest of theirs."""

    regions: tuple[AbstractRegion, ...] = eqx.field(converter=tuple)

    @property
    def exact(self):
        return all(region.exact for region in self.regions)

    def is_predicate(self, w):
        return any(region.is_predicate(w) for region in self.regions)

    def borders(self, points, start):
        """Those of the part that each point is farthest out of, or nearest to the border of."""
        rows = jnp.asarray(points)
        gaps = np.array([np.asarray(jax.vmap(part.distance)(rows)) for part in self.regions])
        chosen = np.argmin(gaps, axis=0) if len(points) else np.zeros(0, int)
        names, where = [], np.zeros(len(points), int)
        for number, part in enumerate(self.regions):
            mine = chosen == number
            inner, places = part.borders(points[mine], start)
            where[mine] = places + len(names)
            names += inner
        return names, where

    def distance(self, w):
        smallest = self.regions[0].distance(w)
        for region in self.regions[1:]:
            smallest = jnp.minimum(smallest, region.distance(w))
        return smallest

    def __str__(self):
        return " and ".join(str(region) for region in self.regions)


def require_inside(region: AbstractRegion, start: Any) -> None:
    """`InvalidInput` unless `start` (d,) is inside."""
    start = np.asarray(start, dtype=float)
    if not np.all(OnPoints(region.contains, start.size).values(start[None])):
        raise InvalidInput(f"start {point_text(start)} is outside the region: {region}.")


def _by_axis(
    region: AbstractRegion, points: np.ndarray, centre: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """By the axis, and its sign, along which points (n, d) are farthest from `centre` (d,)."""
    away = points - centre
    axis = np.argmax(np.abs(away), axis=1) if len(points) else np.zeros(0, int)
    positive = np.take_along_axis(away, axis[:, None], 1)[:, 0] > 0
    if centre.size == 1:
        ends = [find_border(region, float(centre[0]), side) for side in (-1, 1)]
        return [f"w[0] = {number_text(end)}" for end in ends], positive.astype(int)
    names = [f"{sign}w[{k}] side" for k in range(centre.size) for sign in "−+"]
    return names, 2 * axis + positive


def sign_of(inside: Array, w: Array) -> Array:
    """1 inside and −1 outside, in the dtype of w."""
    return jnp.where(inside, 1, -1).astype(w.dtype)
