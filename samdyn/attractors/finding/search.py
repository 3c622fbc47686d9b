"""The search for every fixed point in a box: rounds of starts, both kinds, continua, the check."""

from collections.abc import Callable, Sequence

import numpy as np

from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from ...programs.newton import newton
from .clusters import clusters, distinct, new_samples
from .completeness import completeness, degree_checks
from .point import SAME, Completeness, FixedPoint, describe, facts_at
from .preimages import preimages
from .starts import EvenPoints
from .winding import DegreeCheck

STARTS = 4096  # in a round; rounds go on until two bring nothing new
MOST_ROUNDS = 24
MOST_BOXES = 1024  # in which starts are made, where only some boxes are searched
SAME_DEGENERATE = 1e-4  # of the box's size: samples no farther apart are one degenerate point
MOST_SAMPLES = 4096  # of a continuum: plenty for curves; a plateau is not filled in further
LINK = 0.04  # of the box's size: samples of one continuum lie closer than this
NORM = {"critical": "gradient_norm", "hallucinated": "residual"}


class Search:
    """What has been found so far in one box."""

    def __init__(self, flow: AbstractODE, box: np.ndarray, seed: int):
        self.flow, self.box = flow, box
        self.dim, self.size = len(box), float(np.max(box[:, 1] - box[:, 0]))
        self.even = EvenPoints(self.dim, seed)
        self.critical: list[FixedPoint] = []
        self.hallucinated: list[FixedPoint] = []
        self.outside: list[np.ndarray] = []  # critical points beyond the box, where w^p may land
        self.degenerate = {kind: np.empty((0, self.dim)) for kind in NORM}  # samples

    def run_rounds(self) -> None:
        """Rounds of starts until two running bring nothing new."""
        idle = 0
        for _ in range(MOST_ROUNDS):
            idle = 0 if self._round(self._starts(self.box)) else idle + 1
            if idle == 2:
                return

    def run_within(self, proven: Sequence[FixedPoint], boxes: np.ndarray) -> None:
        """Only in these boxes (m, d, 2), beside points that are known already."""
        self.critical += [point for point in proven if point.kind != "hallucinated"]
        self.hallucinated += [point for point in proven if point.kind == "hallucinated"]
        # of too many from all over, since neighbours stand together and often are one curve
        rows = np.linspace(0, len(boxes) - 1, min(MOST_BOXES, len(boxes))).astype(int)
        low, high = boxes[rows, :, 0], boxes[rows, :, 1]
        each = max(1, STARTS // (4 * len(low)))
        share = self.even.take(each * len(low)).reshape(len(low), each, self.dim)
        starts = (low[:, None] + share * (high - low)[:, None]).reshape(-1, self.dim)
        starts = np.concatenate([(low + high) / 2, starts])
        fields = [("critical", self.flow.critical())]
        if self.flow.ascends:
            fields.append(("hallucinated", self.flow.velocity))
        for kind, field in fields:
            # of a thin valley the exact step finds the end, and then the usual one stays there
            ends = newton(field, starts, 0.1 * self.size, exact=True)
            ends = ends[np.all(np.isfinite(ends), axis=1)]
            self._add(field, np.concatenate([starts, ends]), kind)

    def _starts(self, box):
        return box[:, 0] + self.even.take(STARTS) * (box[:, 1] - box[:, 0])

    def _round(self, starts) -> bool:
        """One batch of starts; True if it brought a new isolated point."""
        gradient = self.flow.critical()
        if not self.flow.ascends:
            return self._add(gradient, starts, "critical")
        centre = self.box.mean(axis=1)
        beyond = centre + 2 * (starts - centre)
        new = self._add(gradient, np.concatenate([starts, beyond]), "critical")
        targets = [point.w for point in self.critical] + self.outside
        candidates = [preimages(self.flow, target, starts, self.size) for target in targets]  # pyright: ignore
        return (
            self._add(self.flow.velocity, np.concatenate([starts, *candidates]), "hallucinated")
            or new
        )

    def _add(self, field: Callable, starts: np.ndarray, kind: str) -> bool:
        ends, facts = self._zeros(field, starts, kind)
        singular = facts.singular if kind == "critical" else facts.field_singular
        self._keep_degenerate(field, ends[singular], kind)
        found = self.critical if kind == "critical" else self.hallucinated
        before = len(found)
        ends, residuals = ends[~singular], getattr(facts, NORM[kind])[~singular]
        for i in distinct(ends, residuals, SAME * self.size):
            if all(np.linalg.norm(ends[i] - old.w) > SAME * self.size for old in found):
                found.append(describe(self.flow, ends[i]))
        return len(found) > before

    def _zeros(self, field: Callable, starts: np.ndarray, kind: str):
        """Where Newton ends inside the box at a fixed point of this kind, with the facts there."""
        ends = newton(field, starts, 0.1 * self.size)
        ends = ends[np.all(np.isfinite(ends), axis=1)]
        inside = np.all((ends >= self.box[:, 0]) & (ends <= self.box[:, 1]), axis=1)
        if kind == "critical":
            self._keep_outside(ends[~inside])
        return self._accepted(ends[inside], kind)

    def _accepted(self, ends, kind):
        facts = facts_at(self.flow, ends)
        zero = facts.critical if kind == "critical" else facts.hallucinated
        return ends[zero], facts.take(zero)

    def _keep_outside(self, ends):
        """Isolated critical points up to half a box beyond the border."""
        far = 2 * np.abs(ends - self.box.mean(axis=1)) > 2 * (self.box[:, 1] - self.box[:, 0])
        ends, facts = self._accepted(ends[~np.any(far, axis=1)], "critical")
        ends, residuals = ends[~facts.singular], facts.gradient_norm[~facts.singular]
        for i in distinct(ends, residuals, SAME * self.size):
            if all(np.linalg.norm(ends[i] - old) > SAME * self.size for old in self.outside):
                self.outside.append(ends[i])

    def _keep_degenerate(self, field, points, kind):
        """Add samples, and follow a continuum along its null directions to the box's border."""
        spacing = LINK / 4 * self.size
        known = self.degenerate[kind]
        fresh = new_samples(known, points, spacing)
        while len(fresh) and len(known) < MOST_SAMPLES:
            known = np.concatenate([known, fresh])
            ahead = np.concatenate([fresh + shift for shift in _null_shifts(field, fresh, spacing)])
            ends, facts = self._zeros(field, ahead, kind)
            singular = facts.singular if kind == "critical" else facts.field_singular
            fresh = new_samples(known, ends[singular], spacing)
        self.degenerate[kind] = known

    def points(self) -> tuple[FixedPoint, ...]:
        """Everything found, ordered by coordinates."""
        found = [*self.critical, *self.hallucinated]
        for kind, samples in self.degenerate.items():
            for cluster in clusters(samples, LINK * self.size):
                if not self._is_known(cluster, kind):
                    found.append(self._describe_cluster(cluster, kind))
        scale = SAME * self.size
        return tuple(sorted(found, key=lambda point: tuple(np.round(point.w / scale))))

    def _is_known(self, cluster: np.ndarray, kind: str) -> bool:
        """Whether samples are all one isolated point, found singular only by rounding."""
        known = self.critical if kind == "critical" else self.hallucinated
        reach = SAME * self.size
        return any(np.max(np.linalg.norm(cluster - p.w, axis=1)) <= reach for p in known)

    def _describe_cluster(self, cluster, kind) -> FixedPoint:
        extent = float(np.max(np.ptp(cluster, axis=0)))
        facts = facts_at(self.flow, cluster)
        best = int(np.argmin(getattr(facts, NORM[kind])))
        name = "degenerate" if kind == "critical" else None
        if extent <= SAME_DEGENERATE * self.size:
            return describe(self.flow, cluster[best], kind)._replace(critical_type=name)
        middle = int(np.argmin(np.linalg.norm(cluster - np.median(cluster, axis=0), axis=1)))
        found = describe(self.flow, cluster[middle], kind)
        return found._replace(critical_type=name, continuum=cluster)

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
        curves = any(point.continuum is not None for point in self.points())
        return completeness(checks, self.dim, curves)

    def _checks(self) -> list[DegreeCheck]:
        return degree_checks(self.flow, self.box, self.points())


def _null_shifts(field, points: np.ndarray, length: float) -> list[np.ndarray]:
    """Displacements ±length along each null direction of the field's Jacobian; 0 along others."""
    jacobians = OnPoints(field, points.shape[1]).with_jacobians(points)[1]
    _, singular_values, axes = np.linalg.svd(jacobians)
    shifts = []
    for k in range(points.shape[1]):
        null = singular_values[:, k] <= 1e-6 * (
            singular_values[:, 0] + (singular_values[:, 0] == 0)
        )
        step = length * axes[:, k] * null[:, None]
        shifts += [step, -step]
    return shifts
