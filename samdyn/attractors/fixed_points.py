"""Every fixed point of a flow in a box: many starts, Newton, and a check that none is missing.

Two kinds: critical points of the loss (g = 0), and hallucinated ones, where the gradient at w
does not vanish but the one at w^p does, so that the method stops at a point that is not
critical. Points that are not isolated are kept as samples of a continuum.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats.qmc
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from ..dynamics.flow import Flow, Gradient
from ..dynamics.perturbation import GD
from ..errors import InvalidInput
from ..losses.check import check_loss
from .newton import newton
from .preimages import preimages
from .verdict import ZERO
from .winding import DegreeCheck, check_degree

STARTS = 4096  # in a round; rounds go on until two bring nothing new
MOST_ROUNDS = 24
RESIDUAL = 1e-11  # of the field's own scale nearby: what counts as zero
SAME = 1e-7  # of the box's size: what counts as one point (Newton ends far closer)
SAME_DEGENERATE = 1e-4
LINK = 0.04  # of the box's size: samples of one continuum lie closer than this


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


def fixed_points(flow: Flow, box: Any, *, seed: int = 0) -> FixedPoints:
    """Find every fixed point of `flow` in `box` (d pairs low, high).

    Rounds of quasi-random starts go through Newton until two rounds add nothing; in one and two
    dimensions the degree of the field on sub-boxes then tells whether points are missing, and
    more starts go where they are. The result depends on `seed` and the arguments alone.
    """
    box = as_box(box)
    check_loss(flow.loss, box.mean(axis=1))
    search = _Search(flow, box, seed)
    search.run_rounds()
    complete = search.check_and_refine()
    return FixedPoints(search.points(), complete)


def quick_fixed_points(flow: Flow, box: np.ndarray, *, seed: int = 0) -> tuple[FixedPoint, ...]:
    """The search of `fixed_points` without the check that none is missing."""
    check_loss(flow.loss, box.mean(axis=1))
    search = _Search(flow, box, seed)
    search.run_rounds()
    return search.points()


def fixed_point_near(flow: Flow, w: Any) -> FixedPoint:
    """The fixed point that Newton reaches from `w` (d,): w itself if it is one.

    Both kinds are tried, and the nearer of the two is returned. `InvalidInput` if neither
    iteration ends at a fixed point.
    """
    w = jnp.asarray(w, dtype=float)
    check_loss(flow.loss, w)
    longest = jnp.asarray(0.1 * (1 + float(jnp.linalg.norm(w))))
    fields = [Gradient(flow.loss), flow.field]
    ends = np.concatenate([newton(field, w[None], longest) for field in fields])
    if not np.all(np.isfinite(ends)):
        ends = ends[np.all(np.isfinite(ends), axis=1)]
    described = [_describe(flow, end) for end in [np.asarray(w), *ends]]
    reached = [point for point, size in described if point.residual <= RESIDUAL * size]
    if not reached:
        where = ", ".join(f"{x:g}" for x in np.asarray(w))
        raise InvalidInput(f"Newton reaches no fixed point from ({where}); start nearer to one.")
    near = min(reached, key=lambda point: float(np.linalg.norm(point.w - np.asarray(w))))
    same = [
        p for p in reached if np.linalg.norm(p.w - near.w) <= SAME * (1 + np.linalg.norm(near.w))
    ]
    return min(same, key=lambda point: point.residual)


def nearest_fixed_point(flow: Flow, w: Any) -> FixedPoint | None:
    """The fixed point nearest to `w` (d,) among those that Newton reaches from around it.

    Starts lie within 0.03, 0.3 and 3 times 1 + ‖w‖; None if no start leads to a fixed point.
    """
    w = np.asarray(w, dtype=float)
    reach = 1 + float(np.linalg.norm(w))
    found = zeros_around(flow, w, [0.03 * reach, 0.3 * reach, 3 * reach])
    if not len(found):
        return None
    return _describe(flow, found[np.argmin(np.linalg.norm(found - w, axis=1))])[0]


def zeros_around(flow: Flow, w: np.ndarray, reaches: list[float]) -> np.ndarray:
    """Fixed points (n, d), some more than once, by Newton from cubes of these half-widths at w."""
    cloud = scipy.stats.qmc.Sobol(w.size, scramble=True, rng=np.random.default_rng(0)).random(256)
    starts = np.concatenate([w[None], *(w + reach * (2 * cloud - 1) for reach in reaches)])
    fields: list[Callable] = [Gradient(flow.loss)]
    if not isinstance(flow.perturbation, GD):
        fields.append(flow.field)
    longest = jnp.asarray(0.1 * reaches[-1])
    found = [np.asarray(newton(field, jnp.asarray(_pad(starts)), longest)) for field in fields]
    ends = np.concatenate([w[None], *found])
    ends = ends[np.all(np.isfinite(ends), axis=1)]
    facts = _facts(flow, ends)
    zero = facts.gradient_norm <= RESIDUAL * facts.size
    return ends[zero | (facts.residual <= RESIDUAL * facts.field_size)]


class _Search:
    """What has been found so far in one box."""

    def __init__(self, flow: Flow, box: np.ndarray, seed: int):
        self.flow, self.box = flow, box
        self.dim, self.size = len(box), float(np.max(box[:, 1] - box[:, 0]))
        self.sobol = scipy.stats.qmc.Sobol(self.dim, scramble=True, rng=np.random.default_rng(seed))
        self.critical: list[FixedPoint] = []
        self.hallucinated: list[FixedPoint] = []
        self.outside: list[np.ndarray] = []  # critical points beyond the box, where w^p may land
        self.degenerate = {kind: np.empty((0, self.dim)) for kind in _NORM}  # samples

    def run_rounds(self):
        idle = 0
        for _ in range(MOST_ROUNDS):
            idle = 0 if self._round(self._starts(self.box)) else idle + 1
            if idle == 2:
                return

    def _starts(self, box):
        return box[:, 0] + self.sobol.random(STARTS) * (box[:, 1] - box[:, 0])

    def _round(self, starts) -> bool:
        """One batch of starts; True if it brought a new isolated point."""
        gradient = Gradient(self.flow.loss)
        if isinstance(self.flow.perturbation, GD):
            return self._add(gradient, starts, "critical")
        centre = self.box.mean(axis=1)
        beyond = centre + 2 * (starts - centre)
        new = self._add(gradient, np.concatenate([starts, beyond]), "critical")
        targets = [point.w for point in self.critical] + self.outside
        candidates = [preimages(self.flow, target, starts, self.size) for target in targets]
        return (
            self._add(self.flow.field, np.concatenate([starts, *candidates]), "hallucinated") or new
        )

    def _add(self, field: Callable, starts: np.ndarray, kind: str) -> bool:
        ends, facts = self._zeros(field, starts, kind)
        singular = facts.singular if kind == "critical" else facts.field_singular
        self._keep_degenerate(field, ends[singular], kind)
        found = self.critical if kind == "critical" else self.hallucinated
        before = len(found)
        ends, residuals = ends[~singular], getattr(facts, _NORM[kind])[~singular]
        for i in _distinct(ends, residuals, SAME * self.size):
            if all(np.linalg.norm(ends[i] - old.w) > SAME * self.size for old in found):
                found.append(_describe(self.flow, ends[i])[0])
        return len(found) > before

    def _zeros(self, field: Callable, starts: np.ndarray, kind: str):
        """Where Newton ends inside the box at a fixed point of this kind, with the facts there."""
        longest = jnp.asarray(0.1 * self.size)
        ends = np.asarray(newton(field, jnp.asarray(_pad(starts)), longest))
        ends = ends[np.all(np.isfinite(ends), axis=1)]
        inside = np.all((ends >= self.box[:, 0]) & (ends <= self.box[:, 1]), axis=1)
        if kind == "critical":
            self._keep_outside(ends[~inside])
        return self._accepted(ends[inside], kind)

    def _accepted(self, ends, kind):
        facts = _facts(self.flow, ends)
        if kind == "critical":
            zero = facts.gradient_norm <= RESIDUAL * facts.size
        else:
            zero = facts.residual <= RESIDUAL * facts.field_size
            zero &= facts.gradient_norm > np.sqrt(RESIDUAL) * facts.size
        return ends[zero], _Facts(*(column[zero] for column in facts))

    def _keep_outside(self, ends):
        """Isolated critical points up to half a box beyond the border."""
        far = 2 * np.abs(ends - self.box.mean(axis=1)) > 2 * (self.box[:, 1] - self.box[:, 0])
        ends, facts = self._accepted(ends[~np.any(far, axis=1)], "critical")
        ends, residuals = ends[~facts.singular], facts.gradient_norm[~facts.singular]
        for i in _distinct(ends, residuals, SAME * self.size):
            if all(np.linalg.norm(ends[i] - old) > SAME * self.size for old in self.outside):
                self.outside.append(ends[i])

    def _keep_degenerate(self, field, points, kind):
        """Add samples, and follow a continuum along its null directions to the box's border."""
        spacing = LINK / 4 * self.size
        known = self.degenerate[kind]
        fresh = _new_samples(known, points, spacing)
        while len(fresh):
            known = np.concatenate([known, fresh])
            ahead = np.concatenate([fresh + shift for shift in _null_shifts(field, fresh, spacing)])
            ends, facts = self._zeros(field, ahead, kind)
            singular = facts.singular if kind == "critical" else facts.field_singular
            fresh = _new_samples(known, ends[singular], spacing)
        self.degenerate[kind] = known

    def points(self) -> tuple[FixedPoint, ...]:
        """Everything found, ordered by coordinates."""
        found = [*self.critical, *self.hallucinated]
        for kind, samples in self.degenerate.items():
            for cluster in _clusters(samples, LINK * self.size):
                found.append(self._describe_cluster(cluster, kind))
        scale = SAME * self.size
        return tuple(sorted(found, key=lambda point: tuple(np.round(point.w / scale))))

    def _describe_cluster(self, cluster, kind) -> FixedPoint:
        extent = float(np.max(np.ptp(cluster, axis=0)))
        facts = _facts(self.flow, cluster)
        best = int(np.argmin(getattr(facts, _NORM[kind])))
        if extent <= SAME_DEGENERATE * self.size:
            return _describe(self.flow, cluster[best], kind)[0]
        middle = int(np.argmin(np.linalg.norm(cluster - np.median(cluster, axis=0), axis=1)))
        return _describe(self.flow, cluster[middle], kind)[0]._replace(continuum=cluster)

    def check_and_refine(self) -> Completeness:
        """Compare degrees; where they differ, search there again, up to three times."""
        if self.dim > 2:
            return Completeness(
                False, f"not checked: no degree test in {self.dim} dimensions", None
            )
        checks = self._checks()
        for _ in range(3):
            mismatches = [m for check in checks for m in check.mismatches]
            if not mismatches:
                break
            for mismatch in mismatches[:16]:
                self._round(self._starts(mismatch.box))
            checks = self._checks()
        return completeness(checks, self.dim)

    def _checks(self) -> list[DegreeCheck]:
        return degree_checks(self.flow, self.box, self.points())


def degree_checks(flow: Flow, box: np.ndarray, points: tuple[FixedPoint, ...]) -> list[DegreeCheck]:
    """The degree test of the gradient with the critical points, and of the field with all."""
    curves = [point.continuum for point in points if point.continuum is not None]
    isolated = [point for point in points if point.continuum is None]
    critical = [point for point in isolated if point.kind == "critical"]

    def check(field, some):
        return check_degree(field, box, np.array([p.w for p in some]).reshape(-1, len(box)), curves)

    checks = [check(Gradient(flow.loss), critical)]
    if not isinstance(flow.perturbation, GD):
        checks.append(check(flow.field, isolated))
    return checks


def completeness(checks: list[DegreeCheck], dim: int) -> Completeness:
    """The verdict on a set of points from its degree tests."""
    skipped = max(check.skipped for check in checks)
    compared = min(check.compared for check in checks)
    name = "winding number of the field on" if dim == 2 else "sign changes of the field on"
    text = f"{name} {compared} sub-boxes"
    if skipped:
        text += f" ({skipped} more not checked: a point or a curve of them on their border)"
    mismatches = tuple(m for check in checks for m in check.mismatches)
    if mismatches:
        worst = mismatches[0]
        sides = " × ".join(f"[{low:.4g}, {high:.4g}]" for low, high in worst.box)
        text += (
            f"; differs in {len(mismatches)}, first in {sides}: "
            f"degree {worst.degree}, points found account for {worst.found}"
        )
    return Completeness(True, text, None if compared == 0 else not mismatches, mismatches)


_NORM = {"critical": "gradient_norm", "hallucinated": "residual"}


class _Facts(NamedTuple):
    """Batched measurements at candidate points, each (n,)."""

    gradient_norm: np.ndarray
    residual: np.ndarray
    size: np.ndarray  # of the gradient nearby: what its norm is compared with
    field_size: np.ndarray  # of the field nearby
    singular: np.ndarray  # the Hessian has an eigenvalue that counts as zero
    field_singular: np.ndarray  # the field's Jacobian has


def _facts(flow: Flow, points: np.ndarray) -> _Facts:
    if not len(points):
        empty = np.empty(0)
        return _Facts(empty, empty, empty, empty, empty.astype(bool), empty.astype(bool))
    padded = _pad(points)
    values = jax.tree.map(
        lambda x: np.asarray(x)[: len(points)], _measure(flow, jnp.asarray(padded))
    )
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
    return _Facts(gradient_norm, residual, size, field_size, singular, field_singular)


def _pad(points: np.ndarray) -> np.ndarray:
    """Rows repeated up to a power of two, so that few sizes are ever compiled."""
    rows = max(64, 1 << (len(points) - 1).bit_length())
    return points[np.minimum(np.arange(rows), len(points) - 1)]


def _new_samples(known: np.ndarray, points: np.ndarray, spacing: float) -> np.ndarray:
    """Those of `points` at least half a spacing from `known`, thinned to that distance."""
    cells = np.round(points / (spacing / 2)).astype(np.int64)
    points = points[np.unique(cells, axis=0, return_index=True)[1]] if len(points) else points
    kept: list[np.ndarray] = []
    for point in points:
        near = np.concatenate([known, np.array(kept).reshape(-1, known.shape[1])])
        if np.all(np.linalg.norm(near - point, axis=1) > spacing / 2):
            kept.append(point)
    return np.array(kept).reshape(-1, known.shape[1])


def _null_shifts(field, points: np.ndarray, length: float) -> list[np.ndarray]:
    """Displacements ±length along each null direction of the field's Jacobian; 0 along others."""
    padded = jnp.asarray(_pad(points))
    jacobians = np.asarray(_jacobians(field, padded))[: len(points)]
    _, singular_values, rows = np.linalg.svd(jacobians)
    shifts = []
    for k in range(points.shape[1]):
        null = singular_values[:, k] <= 1e-6 * (
            singular_values[:, 0] + (singular_values[:, 0] == 0)
        )
        step = length * rows[:, k] * null[:, None]
        shifts += [step, -step]
    return shifts


@eqx.filter_jit
def _jacobians(field, points):
    return jax.vmap(jax.jacfwd(field))(points)


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


def _describe(flow: Flow, w: np.ndarray, kind: str | None = None) -> tuple[FixedPoint, float]:
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


def _distinct(points: np.ndarray, residuals: np.ndarray, radius: float) -> list[int]:
    """Indices of one representative a cluster, the one of smallest residual."""
    order = np.argsort(residuals, kind="stable")
    _, first = np.unique(np.round(points[order] / radius), axis=0, return_index=True)
    thinned = order[first]  # a cluster on a rounding border may still stand twice
    return [
        int(thinned[members[np.argmin(residuals[thinned[members]])]])
        for members in _linked(points[thinned], radius)
    ]


def _clusters(points: np.ndarray, radius: float) -> list[np.ndarray]:
    return [points[members] for members in _linked(points, radius)]


def _linked(points: np.ndarray, radius: float) -> list[np.ndarray]:
    """Member indices of the clusters whose points are linked by steps of at most `radius`."""
    if not len(points):
        return []
    pairs = KDTree(points).query_pairs(radius, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(points),) * 2)
    count, labels = connected_components(graph, directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]
