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
STRAY = 1e-7  # of 1 + ‖w‖: a longer Newton step says that Newton has not converged quadratically
SAME = 1e-7  # of the box's size: what counts as one point (Newton ends far closer)


class FixedPoint(NamedTuple):
    """One fixed point, or one continuum of them.

    `w` (d,), `loss` l(w), `gradient_norm` ‖g(w)‖, `residual` the norm of the field there
    (‖g(w^p)‖), `kind` "critical" or "hallucinated", `critical_type` "minimum", "saddle",
    "maximum" or "degenerate" (None when hallucinated), `hessian_eigenvalues` (d,) ascending.
    `scale` is the largest curvature near w^p: what rates are compared with.
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
    scale: float = 0.0


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
    singular: np.ndarray  # the Hessian has an eigenvalue that counts as zero, or hides one
    field_singular: np.ndarray  # the field's Jacobian has


def facts_at(flow: Flow, points: np.ndarray) -> Facts:
    """The measurements at points (n, d).

    Near a zero of higher order the Jacobian is small without counting as zero; there the Newton
    step, which is a fraction of the distance to that zero, is what gives it away.
    """
    if not len(points):
        empty = np.empty(0)
        return Facts(empty, empty, empty, empty, empty.astype(bool), empty.astype(bool))
    rows = jnp.asarray(padded(points))
    values = jax.tree.map(lambda x: np.asarray(x)[: len(points)], _measure(flow, rows))
    _, gradient, field, curvature, ahead, hessian, jacobian = values
    defined = np.all(np.isfinite(hessian) & np.isfinite(jacobian), axis=(1, 2))
    hessian, jacobian = (np.where(defined[:, None, None], m, 0) for m in (hessian, jacobian))
    length = 1 + np.linalg.norm(points, axis=1)
    smallest, _, step = _newton_facts(hessian, gradient)
    singular = (smallest <= ZERO * curvature) | (step > STRAY * length)
    smallest, largest, step = _newton_facts(jacobian, field)
    largest = largest + ahead
    field_singular = (smallest <= ZERO * largest) | (step > STRAY * length)
    residual = np.where(defined, np.linalg.norm(field, axis=1), np.inf)
    return Facts(
        np.linalg.norm(gradient, axis=1),
        residual,
        curvature * length,
        largest * length,
        singular,
        field_singular,
    )


def _newton_facts(jacobian: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, ...]:
    """Smallest and largest singular value (n,) and the length (n,) of the Newton step."""
    left, stretches, _ = np.linalg.svd(jacobian)
    along = np.einsum("nij,ni->nj", left, np.where(np.isfinite(value), value, 0))
    tiny = np.finfo(stretches.dtype).tiny
    step = np.linalg.norm(along / np.maximum(stretches, tiny), axis=1)
    return stretches[:, -1], stretches[:, 0], step


def padded(points: np.ndarray) -> np.ndarray:
    """Rows repeated up to a power of two, so that few sizes are ever compiled."""
    rows = max(64, 1 << (len(points) - 1).bit_length())
    return points[np.minimum(np.arange(rows), len(points) - 1)]


@eqx.filter_jit
def _measure(flow: Flow, points):
    """Loss, gradient, field, curvature near w and near w^p, Hessian, Jacobian of the field.

    NumPy factorises the matrices: jaxlib 0.10.1 can stall for ever when a large batch holds
    more than one kind of LAPACK call.
    """
    gradient = jax.grad(flow.loss)
    hessian = jax.hessian(flow.loss)

    def curvature(w):
        reach = 1e-3 * (1 + jnp.linalg.norm(w))
        corners = reach * jnp.concatenate([jnp.eye(w.size), -jnp.eye(w.size)]).astype(w.dtype)
        nearby = jax.vmap(lambda shift: hessian(w + shift))(corners)
        return jnp.maximum(jnp.max(jnp.abs(nearby)), jnp.max(jnp.abs(hessian(w))))

    def at(w):
        return (
            flow.loss(w),
            gradient(w),
            flow.field(w),
            curvature(w),
            curvature(flow.perturbed(w)),
            hessian(w),
            jax.jacfwd(flow.field)(w),
        )

    return jax.vmap(at)(points)


def describe(flow: Flow, w: np.ndarray, kind: str | None = None) -> tuple[FixedPoint, float]:
    """The fixed point at w, and the size that its residual is to be compared with."""
    w = np.asarray(w)
    value, gradient, field, curvature, ahead, hessian, _ = (
        np.asarray(x)[0] for x in _measure(flow, jnp.asarray(w[None]))
    )
    eigenvalues, axes = np.linalg.eigh(hessian)
    gradient_norm, residual = np.linalg.norm(gradient), np.linalg.norm(field)
    length = 1 + np.linalg.norm(w)
    size = float(curvature * length)
    if kind is None:
        kind = "critical" if gradient_norm <= RESIDUAL * size else "hallucinated"
    critical_type = None
    if kind == "critical":
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.linalg.norm((axes.T @ gradient) / eigenvalues)
        hidden = bool(step > STRAY * length)
        critical_type = "degenerate" if hidden else _critical_type(eigenvalues, float(curvature))
    point = FixedPoint(
        np.asarray(w),
        float(value),
        float(gradient_norm),
        float(residual),
        kind,
        critical_type,
        eigenvalues,
        scale=float(ahead),
    )
    return point, size


def _critical_type(eigenvalues: np.ndarray, curvature: float) -> str:
    if np.min(np.abs(eigenvalues)) <= ZERO * curvature:
        return "degenerate"
    if np.all(eigenvalues > 0):
        return "minimum"
    return "maximum" if np.all(eigenvalues < 0) else "saddle"
