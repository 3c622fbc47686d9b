"""A fixed point, and the measurements by which a candidate is accepted as one."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..dynamics.flow import Flow
from ..errors import InvalidInput
from .verdict import ZERO

RESIDUAL = 1e-11  # of the field's own scale nearby: what counts as zero
SAME = 1e-7  # of the box's size: what counts as one point (Newton ends far closer)


class FixedPoint(NamedTuple):
    """One fixed point, or one continuum of them.

    `w` (d,), `loss` l(w), `gradient_norm` ‖g(w)‖, `residual` the norm of the field there
    (‖g(w^p)‖), `kind` "critical" or "hallucinated", `critical_type` "minimum", "saddle",
    "maximum" or "degenerate" (None when hallucinated), `hessian_eigenvalues` (d,) ascending.
    `continuum` holds samples (n, d) of a curve or surface of fixed points through w, else None.
    """

    w: np.ndarray
    loss: float
    gradient_norm: float
    residual: float
    kind: str
    critical_type: str | None
    hessian_eigenvalues: np.ndarray
    continuum: np.ndarray | None = None


class Completeness(NamedTuple):
    """Whether the set found was checked, how, and whether it was consistent (None: unknown)."""

    checked: bool
    method: str
    consistent: bool | None
    mismatches: tuple = ()


class FixedPoints(NamedTuple):
    """The fixed points in a box, ordered by coordinates, and the completeness check."""

    points: tuple[FixedPoint, ...]
    complete: Completeness


def as_box(box: Any) -> Float[np.ndarray, "d 2"]:
    """A box as an array (d, 2) of low < high, or `InvalidInput`."""
    array = np.asarray(box, dtype=float)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise InvalidInput(f"a box is one (low, high) pair a coordinate, not {box!r}.")
    for axis, (low, high) in enumerate(array):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InvalidInput(
                f"side {axis + 1} of the box runs from {low:g} to {high:g}; low < high is needed."
            )
    return array


class Facts(NamedTuple):
    """Batched measurements at candidate points, each (n,)."""

    gradient_norm: np.ndarray
    residual: np.ndarray
    size: np.ndarray  # of the gradient nearby: what its norm is compared with
    field_size: np.ndarray  # of the field nearby
    singular: np.ndarray  # the Hessian has an eigenvalue that counts as zero
    field_singular: np.ndarray  # the field's Jacobian has


def facts_at(flow: Flow, points: np.ndarray) -> Facts:
    if not len(points):
        empty = np.empty(0)
        return Facts(empty, empty, empty, empty, empty.astype(bool), empty.astype(bool))
    rows = jnp.asarray(padded(points))
    values = jax.tree.map(lambda x: np.asarray(x)[: len(points)], _measure(flow, rows))
    _, gradient_norm, residual, curvature, hessian, jacobian = values
    defined = np.all(np.isfinite(hessian) & np.isfinite(jacobian), axis=(1, 2))
    hessian, jacobian = (np.where(defined[:, None, None], m, 0) for m in (hessian, jacobian))
    residual = np.where(defined, residual, np.inf)
    length = 1 + np.linalg.norm(points, axis=1)
    singular = np.min(np.abs(np.linalg.eigvalsh(hessian)), axis=1) <= ZERO * curvature
    stretches = np.linalg.svd(jacobian, compute_uv=False)
    largest = stretches[:, 0] + curvature
    field_singular = stretches[:, -1] <= ZERO * largest
    size, field_size = curvature * length, largest * length
    return Facts(gradient_norm, residual, size, field_size, singular, field_singular)


def padded(points: np.ndarray) -> np.ndarray:
    """Rows repeated up to a power of two, so that few sizes are ever compiled."""
    rows = max(64, 1 << (len(points) - 1).bit_length())
    return points[np.minimum(np.arange(rows), len(points) - 1)]


@eqx.filter_jit
def _measure(flow: Flow, points):
    """Loss, gradient norm, field norm, curvature scale, Hessian, Jacobian of the field.

    NumPy factorises the matrices: jaxlib 0.10.1 can stall for ever when a large batch holds
    more than one kind of LAPACK call.
    """
    gradient = jax.grad(flow.loss)
    hessian = jax.hessian(flow.loss)

    def at(w):
        reach = 1e-3 * (1 + jnp.linalg.norm(w))
        corners = reach * jnp.concatenate([jnp.eye(w.size), -jnp.eye(w.size)]).astype(w.dtype)
        nearby = jax.vmap(lambda shift: hessian(w + shift))(corners)
        here = hessian(w)
        curvature = jnp.maximum(jnp.max(jnp.abs(nearby)), jnp.max(jnp.abs(here)))
        return (
            flow.loss(w),
            jnp.linalg.norm(gradient(w)),
            jnp.linalg.norm(flow.field(w)),
            curvature,
            here,
            jax.jacfwd(flow.field)(w),
        )

    return jax.vmap(at)(points)


def describe(flow: Flow, w: np.ndarray, kind: str | None = None) -> tuple[FixedPoint, float]:
    """The fixed point at w, and the size that its residual is to be compared with."""
    w = np.asarray(w)
    value, gradient_norm, residual, curvature, hessian, _ = (
        np.asarray(x)[0] for x in _measure(flow, jnp.asarray(w[None]))
    )
    eigenvalues = np.linalg.eigvalsh(hessian)
    size = float(curvature * (1 + np.linalg.norm(w)))
    if kind is None:
        kind = "critical" if gradient_norm <= RESIDUAL * size else "hallucinated"
    critical_type = _critical_type(eigenvalues, float(curvature)) if kind == "critical" else None
    point = FixedPoint(
        np.asarray(w),
        float(value),
        float(gradient_norm),
        float(residual),
        kind,
        critical_type,
        eigenvalues,
    )
    return point, size


def _critical_type(eigenvalues: np.ndarray, curvature: float) -> str:
    if np.min(np.abs(eigenvalues)) <= ZERO * curvature:
        return "degenerate"
    if np.all(eigenvalues > 0):
        return "minimum"
    return "maximum" if np.all(eigenvalues < 0) else "saddle"
