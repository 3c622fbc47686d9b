"""A loss that knows its name, dimension, formula, source, default box and critical points."""

import functools
import importlib.resources
import json
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float


class CriticalPoint(NamedTuple):
    """A critical point known exactly (see `scripts/critical_points.py`).

    `w` has shape (dim,), `hessian_eigenvalues` shape (dim,), ascending.
    """

    w: np.ndarray
    critical_type: str
    hessian_eigenvalues: np.ndarray
    loss: float


class Loss(eqx.Module):
    """A loss on R^dim. Calling it with w of shape (dim,) returns a scalar.

    `box` is one (low, high) pair a coordinate. `continua` names, in words, the curves of
    critical points that a loss with a symmetry has; such points are never isolated.
    """

    function: Callable[[Array], Array]
    name: str = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    formula: str = eqx.field(static=True)
    source: str = eqx.field(static=True)
    box: tuple[tuple[float, float], ...] = eqx.field(static=True)
    continua: tuple[str, ...] = eqx.field(static=True, default=())

    def __call__(self, w: Float[Array, " dim"]) -> Float[Array, ""]:
        return self.function(w)

    @property
    def critical_points(self) -> tuple[CriticalPoint, ...] | None:
        """Every isolated critical point in the default box, or None where that is not known."""
        if self.name.startswith("quadratic"):
            return (self._origin_of_quadratic(),)
        return _exact_points().get(self.name)

    def _origin_of_quadratic(self) -> CriticalPoint:
        eigenvalues = np.linalg.eigvalsh(np.asarray(self.function.matrix))  # pyright: ignore
        return CriticalPoint(np.zeros(self.dim), type_of_eigenvalues(eigenvalues), eigenvalues, 0.0)


def type_of_eigenvalues(eigenvalues: np.ndarray) -> str:
    """The type by the signs of Hessian eigenvalues; "degenerate" if one is zero to rounding."""
    largest = np.max(np.abs(eigenvalues))
    if np.min(np.abs(eigenvalues)) <= eigenvalues.size * np.finfo(float).eps * largest:
        return "degenerate"
    if np.all(eigenvalues > 0):
        return "minimum"
    return "maximum" if np.all(eigenvalues < 0) else "saddle"


@functools.cache
def _exact_points() -> dict[str, tuple[CriticalPoint, ...]]:
    text = importlib.resources.files("samdyn.losses").joinpath("critical_points.json").read_text()
    return {
        name: tuple(
            CriticalPoint(
                np.array(point["w"]),
                point["type"],
                np.array(point["hessian_eigenvalues"]),
                point["loss"],
            )
            for point in points
        )
        for name, points in json.loads(text).items()
    }
