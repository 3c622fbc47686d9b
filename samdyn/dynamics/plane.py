"""A plane through many dimensions: two coordinates vary, the others are a point's."""

import operator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import InvalidInput
from ..results.encoding import storable
from .systems.defined import where_defined
from .systems.ode import AbstractODE


@storable
class Plane(eqx.Module):
    """The points w (d,) whose coordinates are those of `at` but for `axes` (i, j), from 0."""

    at: Float[np.ndarray, " d"]
    axes: tuple[int, int] = eqx.field(static=True)

    def lift(self, points: Any) -> Float[np.ndarray, "n d"]:
        """The points (n, d) of the plane with these coordinates (n, 2)."""
        points = np.asarray(points, float)
        lifted = np.tile(self.at, (len(points), 1))
        lifted[:, self.axes] = points
        return lifted

    def project(self, w: Any) -> np.ndarray:
        """The plane's coordinates (…, 2) of any w (…, d)."""
        return np.asarray(w)[..., self.axes]

    def names(self) -> tuple[str, str]:
        """What the two axes are called."""
        i, j = self.axes
        return f"w[{i}]", f"w[{j}]"

    def to_dict(self) -> dict[str, Any]:
        """Its entry in a result object."""
        return {"axes": list(self.axes), "at": self.at.tolist()}


class OnPlane(eqx.Module):
    """A flow of d dimensions as seen on a plane: w (2,) is a point of the plane.

    `loss` is that of the point, `velocity` and `perturbed` are projected onto the plane: the flow
    itself leaves it.
    """

    flow: AbstractODE
    at: Float[Array, " d"]
    axes: tuple[int, int] = eqx.field(static=True)

    def __init__(self, flow: AbstractODE, plane: Plane):
        self.flow, self.at, self.axes = flow, jnp.asarray(plane.at), plane.axes

    def loss(self, w: Float[Array, " 2"]):
        """The loss at a point of the plane."""
        return self.flow.loss(self._lifted(w))  # pyright: ignore[reportAttributeAccessIssue]

    def velocity(self, w: Float[Array, " 2"]):
        """The velocity at a point of the plane, projected onto it; nan where there is no loss."""
        field = where_defined(self.flow, self.flow.velocity, ahead=True)
        return field(self._lifted(w))[jnp.asarray(self.axes)]

    def perturbed(self, w: Float[Array, " 2"]):
        """w^p of a point of the plane, projected onto it."""
        return self.flow.perturbed(self._lifted(w))[jnp.asarray(self.axes)]

    def _lifted(self, w):
        return self.at.at[jnp.asarray(self.axes)].set(w.astype(self.at.dtype))


def as_plane(plane: Any, at: Any) -> Plane | None:
    """The plane of two coordinates (i, j) through a point `at` (d,), or None without both.

    `InvalidInput` if one of the two is missing, or i and j are not two of the d coordinates.
    """
    if plane is None and at is None:
        return None
    if plane is None or at is None:
        raise InvalidInput(
            "a plane needs both: the two coordinates that vary (plane) and the point that has "
            "the others (at)."
        )
    point = np.asarray(at, float)
    if point.ndim != 1 or not np.all(np.isfinite(point)):
        raise InvalidInput(f"at is one finite number a coordinate, not {at!r}.")
    try:
        i, j = (operator.index(axis) for axis in plane)
    except (TypeError, ValueError):
        raise InvalidInput(f"a plane is two coordinates (i, j), not {plane!r}.") from None
    if i == j or not (0 <= i < point.size and 0 <= j < point.size):
        raise InvalidInput(
            f"a plane is two different coordinates from 0 to {point.size - 1}, not {i} and {j}."
        )
    return Plane(point, (i, j))


def plane_box(box: Any, plane: Plane) -> Any:
    """The two sides (2, 2) of the plane: `box` itself if it has two, else those of its axes."""
    if len(box) == 2:
        return box
    if len(box) != plane.at.size:
        raise InvalidInput(
            f"the box of a plane has 2 sides, or {plane.at.size} as the point has, not {len(box)}."
        )
    return [box[axis] for axis in plane.axes]
