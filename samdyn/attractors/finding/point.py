"""A fixed point, and the measurements by which a candidate is accepted as one."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ...checks import is_real, told
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from ...errors import InvalidInput
from ...losses.loss import type_of_eigenvalues
from ...programs.batch import OnPoints
from ..judging.verdict import ZERO

RESIDUAL = 1e-11  # of the field's own scale nearby: what counts as zero
STRAY = 1e-7  # a longer Newton step says that Newton has not converged quadratically
FAR = 2e-3  # of ‖w‖: by so much rounding far from 0 lengthens the unit of length
FIXED = "fixed point"  # the kind of one where there is no loss
SAME = 1e-7  # of the box's size: what counts as one point (Newton ends far closer)


class FixedPoint(NamedTuple):
    """One fixed point, or one continuum of them.

    `w` (d,), `loss` l(w), `gradient_norm` ‖g(w)‖, `residual` the norm of the field there,
    ‖g(w^p)‖ (for normalised SAM at a critical point w^p is w), `kind` "critical" or
    "hallucinated" ("fixed point" and nan for what is the loss's, where there is none),
    `critical_type` "minimum", "saddle", "maximum" or "degenerate" (None when
    hallucinated), `hessian_eigenvalues` (d,) ascending.
    `scale` is the largest curvature near w^p: what rates are compared with; `orientation` the
    sign of the determinant of the field's Jacobian.
    `continuum` holds samples (n, d) of a curve or surface of fixed points through w, else None.
    `doubt` says why no verdict can be trusted here, where that is so.
    `enclosure` (d, 2) holds exactly one fixed point, proven; None where that isn't known.
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
    doubt: str | None = None
    orientation: float = 0.0
    enclosure: np.ndarray | None = None

    @property
    def proven(self) -> bool:
        """Whether it exists, and is the only one in its enclosure, for sure."""
        return self.enclosure is not None


class Undecided(NamedTuple):
    """A box (d, 2) of which it isn't known whether it holds fixed points, and why."""

    box: np.ndarray
    why: str


class Completeness(NamedTuple):
    """Whether the set found was checked, how, and whether it was consistent (None: unknown).

    `proven`: every point is enclosed and the rest of the box proven empty, but for the boxes that
    are `undecided`.
    """

    checked: bool
    method: str
    consistent: bool | None
    mismatches: tuple = ()
    proven: bool = False
    undecided: tuple[Undecided, ...] = ()


class FixedPoints(NamedTuple):
    """The fixed points in a box, ordered by coordinates, and the completeness check."""

    points: tuple[FixedPoint, ...]
    complete: Completeness


def as_box(box: Any) -> Float[np.ndarray, "d 2"]:
    """A box as an array (d, 2) of low < high, or `InvalidInput`."""
    array = np.asarray(box, dtype=float) if is_real(box) else np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise InvalidInput(f"a box is one (low, high) pair a coordinate, not {told(box)}.")
    for axis, (low, high) in enumerate(array):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InvalidInput(
                f"side {axis + 1} of the box runs from {low:g} to {high:g}; low < high is needed."
            )
    size, farthest = float(np.max(np.ptp(array, axis=1))), float(np.max(np.abs(array)))
    if SAME * size < np.spacing(farthest):
        raise InvalidInput(
            f"the box is {size:g} wide at {farthest:g} from 0, {size / np.spacing(farthest):.2g} "
            "spacings of double precision, too few to tell its points apart: give the loss in "
            "coordinates about the middle of the box."
        )
    return array


class Facts(NamedTuple):
    """Measurements at n candidate points. Each is an array (n,) but for the eigenvalues (n, d)."""

    loss: np.ndarray
    gradient_norm: np.ndarray
    residual: np.ndarray
    size: np.ndarray  # of the gradient nearby: what its norm is compared with
    field_size: np.ndarray  # of the field nearby
    singular: np.ndarray  # the Hessian has an eigenvalue that counts as zero, or hides one
    field_singular: np.ndarray  # the field's Jacobian has
    hessian_eigenvalues: np.ndarray
    scale: np.ndarray  # the largest curvature near w^p
    defined: np.ndarray  # the loss is finite at w and at w^p: elsewhere nothing rests
    orientation: np.ndarray  # sign of det of the field's Jacobian

    @property
    def critical(self) -> np.ndarray:
        """Where the gradient vanishes, (n,)."""
        known = self.defined & np.isfinite(self.size)  # nothing is small beside an infinite size
        return (self.gradient_norm <= RESIDUAL * self.size) & known

    @property
    def hallucinated(self) -> np.ndarray:
        """Where the field vanishes and the gradient clearly does not, (n,)."""
        not_critical = self.gradient_norm > np.sqrt(RESIDUAL) * self.size
        known = self.defined & np.isfinite(self.field_size)
        return (self.residual <= RESIDUAL * self.field_size) & not_critical & known

    def take(self, rows: np.ndarray) -> "Facts":
        """The measurements at some of the points."""
        return Facts(*(column[rows] for column in self))


def facts_at(flow: AbstractODE, points: np.ndarray) -> Facts:
    """The measurements at points (n, d), n ≥ 0.

    Near a zero of higher order the Jacobian is small without counting as zero; there the Newton
    step, which is a fraction of the distance to that zero, is what gives it away.
    """
    # far out fields overflow, and no zero is there; a singular matrix has a determinant of 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _facts(flow, points)


def _facts(flow: AbstractODE, points: np.ndarray) -> Facts:
    loss, loss_ahead, gradient, field, curvature, ahead, hessian, jacobian = _measure(flow, points)
    # each by itself: normalised SAM's Jacobian overflows beside a point whose Hessian is sound
    sound = [np.all(np.isfinite(m), axis=(1, 2)) for m in (hessian, jacobian)]
    hessian, jacobian = (
        np.where(good[:, None, None], m, 0)
        for good, m in zip(sound, (hessian, jacobian), strict=True)
    )
    length = 1 + FAR * np.linalg.norm(points, axis=1)
    smallest, _, step = _newton_facts(hessian, gradient)
    singular = (smallest <= ZERO * curvature) | (step > STRAY * length)
    smallest, largest, step = _newton_facts(jacobian, field)
    largest = largest + ahead
    return Facts(
        loss,
        np.linalg.norm(gradient, axis=1),
        np.where(sound[1], np.linalg.norm(field, axis=1), np.inf),
        curvature * length,
        largest * length,
        singular,
        (smallest <= ZERO * largest) | (step > STRAY * length),
        _curvatures(flow, hessian),
        ahead,
        np.isfinite(loss) & np.isfinite(loss_ahead),
        np.linalg.slogdet(jacobian)[0],
    )


def _curvatures(flow: AbstractODE, hessian: np.ndarray) -> np.ndarray:
    """Eigenvalues (n, d) of Hessians (n, d, d), ascending; nan where there is no loss."""
    if loss_of(flow) is None:
        return np.full(hessian.shape[:2], np.nan)
    return np.linalg.eigvalsh(hessian)


def _newton_facts(jacobian: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, ...]:
    """Smallest and largest singular value (n,); largest component (n,) of the Newton step."""
    left, stretches, _ = np.linalg.svd(jacobian)
    along = np.einsum("nij,ni->nj", left, np.where(np.isfinite(value), value, 0))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # 0/0: already there
        step = np.max(np.where(along == 0, 0, np.abs(along) / stretches), axis=1)
    return stretches[:, -1], stretches[:, 0], step


def _measure(flow: AbstractODE, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Loss at w and w^p, gradient, field, curvature near both, Hessian, the field's Jacobian."""
    dim = points.shape[1]
    value, gradient = loss_of(flow), OnPoints(flow.critical(), dim)
    loss = (lambda w: np.zeros(len(w))) if value is None else OnPoints(value, dim).values
    ahead = OnPoints(flow.perturbed, dim).values(points) if flow.ascends else points

    def curvature(points: np.ndarray) -> np.ndarray:
        """The largest entry of the Hessian at points and beside them, (n,)."""
        reach = 1e-3 * (1 + FAR * np.linalg.norm(points, axis=1))
        corners = np.concatenate([np.eye(dim), -np.eye(dim), np.zeros((1, dim))])
        nearby = points[:, None] + reach[:, None, None] * corners
        hessian = gradient.with_jacobians(nearby.reshape(-1, dim))[1]
        each = np.abs(hessian).reshape(len(points), len(corners) * dim * dim)
        return np.max(each, axis=1, initial=0)

    slope, hessian = gradient.with_jacobians(points)
    near = curvature(points)
    if flow.ascends or value is None:
        field, jacobian = OnPoints(flow.velocity, dim).with_jacobians(points)
    else:
        field, jacobian = -slope, -hessian
    there = curvature(ahead) if flow.ascends else near
    return loss(points), loss(ahead), slope, field, near, there, hessian, jacobian


def describe(flow: AbstractODE, w: np.ndarray, kind: str | None = None) -> FixedPoint:
    """The fixed point at w (d,); its kind by the gradient, unless it is given."""
    w = np.asarray(w)
    facts = facts_at(flow, w[None])
    if loss_of(flow) is None:
        return _without_loss(w, facts)
    if kind is None:
        kind = "critical" if facts.critical[0] else "hallucinated"
    critical_type, residual = None, facts.residual[0]
    if kind == "critical":
        eigenvalues = facts.hessian_eigenvalues[0]
        critical_type = "degenerate" if facts.singular[0] else type_of_eigenvalues(eigenvalues)
        if flow.jumps:  # g/‖g‖ is 0 at g = 0, not the sign of rounding
            residual = facts.gradient_norm[0]
    return FixedPoint(
        w,
        float(facts.loss[0]),
        float(facts.gradient_norm[0]),
        float(residual),
        kind,
        critical_type,
        facts.hessian_eigenvalues[0],
        scale=float(facts.scale[0]),
        orientation=float(facts.orientation[0]),
    )


def _without_loss(w: np.ndarray, facts: Facts) -> FixedPoint:
    """A fixed point of a system that descends nothing."""
    return FixedPoint(
        w,
        np.nan,
        np.nan,
        float(facts.residual[0]),
        FIXED,
        None,
        facts.hessian_eigenvalues[0],
        scale=float(facts.scale[0]),
        orientation=float(facts.orientation[0]),
    )
