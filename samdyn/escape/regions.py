"""Where a path counts as still inside: regions given by a function that is positive inside.

`distance(w)` is the signed distance to the boundary where that is known (`exact`), else any
function that is positive inside. A new region is one small class here:

    class MyRegion(AbstractRegion):
        def distance(self, w):
            return ...          # a scalar, > 0 inside
"""

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from ..attractors.basins import Basins
from ..dynamics import tree
from ..dynamics.step_map import AbstractStepMap
from ..errors import InvalidInput

FORMS = "ball:R, slab:AXIS:R, below:AXIS:C, above:AXIS:C or FILE.py:NAME"


class AbstractRegion(eqx.Module):
    """A set of parameters w (d,).

    `exact` tells that `distance` is the true distance to the boundary for w inside;
    `predicate` that it only tells inside from outside, so that nothing can be read off its size.
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

    @property
    def predicate(self) -> bool:
        return False


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

    def __str__(self):
        return f"ball of radius {_number(self.radius)} about {_point(self.centre)}"


class Slab(_ExactRegion):
    """|w[axis] − centre[axis]| < half_width; centre (d,)."""

    centre: jax.Array = eqx.field(converter=tree.as_array)
    axis: int = eqx.field(static=True)
    half_width: jax.Array = eqx.field(converter=_size)

    def distance(self, w):
        gap = jnp.abs(w[self.axis] - self.centre[self.axis].astype(w.dtype))
        return self.half_width.astype(w.dtype) - gap

    def __str__(self):
        middle, width = _number(self.centre[self.axis]), _number(self.half_width)
        return f"slab |w[{self.axis}] − {middle}| < {width}"


class Below(_ExactRegion):
    """w[axis] < level."""

    axis: int = eqx.field(static=True)
    level: jax.Array = eqx.field(converter=tree.as_array)

    def distance(self, w):
        return self.level.astype(w.dtype) - w[self.axis]

    def __str__(self):
        return f"half-space w[{self.axis}] < {_number(self.level)}"


class Above(_ExactRegion):
    """w[axis] > level."""

    axis: int = eqx.field(static=True)
    level: jax.Array = eqx.field(converter=tree.as_array)

    def distance(self, w):
        return w[self.axis] - self.level.astype(w.dtype)

    def __str__(self):
        return f"half-space w[{self.axis}] > {_number(self.level)}"


class Sublevel(AbstractRegion):
    """loss(w) < level. `distance` is level − loss(w), in the unit of the loss."""

    loss: Callable
    level: jax.Array = eqx.field(converter=tree.as_array)

    def distance(self, w):
        return self.level.astype(w.dtype) - self.loss(w)

    def __str__(self):
        return f"sublevel set loss < {_number(self.level)}"


class Predicate(AbstractRegion):
    """Anyone's function of w (d,): true inside, or a number that is positive inside.

    A truth value gives the distance ±1. Where the function returns a number that varies
    continuously, `Predicate(function, predicate=False)` says so.
    """

    function: Callable
    predicate: bool = eqx.field(static=True, default=True)  # pyright: ignore

    def distance(self, w):
        value = jnp.asarray(self.function(w))
        if value.dtype == jnp.bool_:
            return _sign(value, w)
        return value.astype(w.dtype)

    def __str__(self):
        return getattr(self.function, "__name__", "of a predicate")


class BasinOf(AbstractRegion):
    """Where `steps` noiseless steps of `step_map` end nearer to attractors[home] than to others.

    `attractors` (m, d). Exact up to paths that are still on their way, and dear: each evaluation
    costs `steps` steps. `BasinOnGrid` looks the answer up instead.
    """

    step_map: AbstractStepMap
    attractors: jax.Array = eqx.field(converter=tree.as_array)
    home: int = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=1000)

    @property
    def predicate(self):
        return True

    def distance(self, w):
        state = jax.lax.fori_loop(
            0, self.steps, lambda _, state: self.step_map(state), self.step_map.init(w)
        )
        gaps = jnp.sum((self.attractors.astype(w.dtype) - state.w[None]) ** 2, axis=1)
        finite = jnp.all(jnp.isfinite(gaps))
        return _sign(finite & (jnp.argmin(gaps) == self.home), w)

    def __str__(self):
        return f"basin of {_point(self.attractors[self.home])}"


class BasinOnGrid(AbstractRegion):
    """A basin from a computed image: +1 on its cells, −1 on others, linear in between.

    `box` (d, 2); `inside` (grid,)·d holds ±1 at the centres of the cells. Outside the box,
    nothing is inside.
    """

    box: jax.Array = eqx.field(converter=tree.as_array)
    inside: jax.Array = eqx.field(converter=tree.as_array)
    name: str = eqx.field(static=True, default="basin")

    def distance(self, w):
        box, values = self.box.astype(w.dtype), self.inside.astype(w.dtype)
        low, high = box[:, 0], box[:, 1]
        cell = (w - low) / (high - low) * jnp.asarray(values.shape, w.dtype) - 0.5
        value = map_coordinates(values, list(cell), order=1, mode="nearest")
        return jnp.where(jnp.all((w > low) & (w < high)), value, -1)

    def __str__(self):
        return self.name


def basin_region(basins: Basins, w: Any) -> BasinOnGrid:
    """The basin whose attractor is nearest to w (d,), from what `samdyn.basins` returned."""
    w = np.asarray(w, dtype=float)
    if not basins.attractors or w.shape != (len(basins.box),):
        raise InvalidInput(f"these basins have no attractor in dimension {w.size}.")
    home = min(basins.attractors, key=lambda item: float(np.linalg.norm(item.w - w)))
    inside = np.where(basins.labels == home.id, 1.0, -1.0)
    return BasinOnGrid(basins.box, inside, f"basin of {_point(home.w)}")


class Intersection(AbstractRegion):
    """Inside every one of `regions`; the distance is the smallest of theirs."""

    regions: tuple[AbstractRegion, ...] = eqx.field(converter=tuple)

    @property
    def exact(self):
        return all(region.exact for region in self.regions)

    @property
    def predicate(self):
        return any(region.predicate for region in self.regions)

    def distance(self, w):
        smallest = self.regions[0].distance(w)
        for region in self.regions[1:]:
            smallest = jnp.minimum(smallest, region.distance(w))
        return smallest

    def __str__(self):
        return " and ".join(str(region) for region in self.regions)


def parse_region(text: str, start: Any, load_function: Callable[[str], Any]) -> AbstractRegion:
    """The region that `text` names on the command line, about `start` (d,).

    Forms: `ball:R`, `slab:AXIS:R`, `below:AXIS:C`, `above:AXIS:C`, `FILE.py:NAME`; for the last
    `load_function(text)` gives the function, as `samdyn.get_loss` does. AXIS counts from 0.
    """
    start = np.asarray(start, dtype=float)
    kind, *rest = text.split(":")
    if kind == "ball" and len(rest) == 1:
        return Ball(start, _positive(text, rest[0]))
    if kind == "slab" and len(rest) == 2:
        return Slab(start, _axis(text, rest[0], start.size), _positive(text, rest[1]))
    if kind in ("below", "above") and len(rest) == 2:
        side = Below if kind == "below" else Above
        return side(_axis(text, rest[0], start.size), _finite(text, rest[1]))
    if ":" in text and (".py:" in text or "." in kind):
        return _from_function(text, load_function(text), start)
    raise InvalidInput(f"there is no region {text!r}: {FORMS} is accepted.")


def require_inside(region: AbstractRegion, start: Any) -> None:
    """`InvalidInput` unless `start` (d,) is inside."""
    start = np.asarray(start, dtype=float)
    if not bool(region.contains(jnp.asarray(start))):
        raise InvalidInput(f"start {_point(start)} is outside the region: {region}.")


def _from_function(text: str, function: Callable, start: np.ndarray) -> Predicate:
    try:
        value = jax.eval_shape(function, jnp.asarray(start))
        shape, boolean = value.shape, value.dtype == jnp.bool_
        real = boolean or not jnp.issubdtype(value.dtype, jnp.complexfloating)
    except Exception as error:
        brief = str(error).strip().split("\n")[0]
        raise InvalidInput(
            f"{text} cannot be evaluated by JAX at {_point(start)}: {type(error).__name__}: {brief}"
        ) from error
    if shape != () or not real:
        raise InvalidInput(f"{text} must return one truth value or real number, not {value}.")
    return Predicate(function, boolean)


def _sign(inside: Array, w: Array) -> Array:
    return jnp.where(inside, 1, -1).astype(w.dtype)


def _finite(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(f"region {text!r}: {part!r} is not a finite number.")
    return value


def _positive(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"region {text!r}: R must be a finite number > 0, not {part!r}.")
    return value


def _axis(text: str, part: str, dim: int) -> int:
    try:
        axis = int(part)
    except ValueError:
        axis = -1
    if not 0 <= axis < dim:
        accepted = "0" if dim == 1 else f"0 to {dim - 1}"
        raise InvalidInput(
            f"region {text!r}: AXIS must be {accepted} in dimension {dim}, not {part!r}."
        )
    return axis


def _number(value: Any) -> str:
    return f"{float(value):g}"


def _point(w: Any) -> str:
    return "(" + ", ".join(f"{float(x):g}" for x in np.asarray(w)) + ")"
