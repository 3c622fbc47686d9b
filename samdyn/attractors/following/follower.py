"""Follows the fixed points of one system over one grid of values, and notes what happens to them.

What the parameter moves (`varied.py`) decides how: points that stay are judged at every value,
others are followed as curves of point and value (`continuation.py`).
"""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...bisection import bisect_on_host
from ...errors import InvalidInput
from ..finding.fixed_points import fixed_point_near, fixed_points
from ..finding.point import FIXED, FixedPoint, describe
from ..finding.preimages import AbstractEquation
from ..judge import verdict_at
from ..judging.jump import limit_at, undeclared
from ..judging.sliding import sliding_names
from ..judging.verdict import ZERO, flow_verdict_names, map_verdict_names
from .branches import (
    Branch,
    Spectra,
    Stretch,
    at_fold,
    branch_on,
    equation_through,
    isolated,
    near_end,
    on_grid,
    same_point,
    spectra,
    stretches_through,
    verdict_near,
)
from .crossings import Crossing, Place, at_rest, flow_crossings, on, step_crossings
from .sweep_result import Bifurcation, Sweep
from .varied import LOSS, RADIUS, STEP, GradientVanishes, Varied, VelocityVanishes

ANCHORS = 9  # values at which points that move are searched for
AT_EVENT = 1e-6  # of the range of values: a value of the grid that is that of an event
MEETING = 5e-3  # of a point's size: what counts as the same event
# The same, of the range of values. On a pitchfork's arm ρ changes with the square of the distance;
# where a curve only passes through, Newton is singular and its own crossing is located roughly.
MEETING_RHO = {"fold": 2.5e-5, "crossing": 1e-3}


class Follower:
    """Branches and events of one system over one grid of values."""

    def __init__(self, system: Varied, grid: np.ndarray, warnings):
        self.warnings: list[str] = list(warnings)
        self.system, self.grid = system, grid
        self.flow: Any = system.flow
        self.moves = system.of == LOSS  # critical points as well
        self.branches: list[Branch] = []
        self.events: list[Bifurcation] = []
        self.stretches: list[Stretch] = []

    def from_point(self, at: np.ndarray) -> Sweep:
        point, value = self._point_near(at)
        if point.kind == "critical" and not self.moves:
            self._add_critical(point)
        elif self.system.of == STEP:
            self._add_still(point)
        else:
            size = 4 * (1 + float(np.max(np.abs(point.w))))
            box = np.stack([point.w - size / 2, point.w + size / 2], axis=1)
            self.add_curve(point, value, box)
        return self.result()

    def _point_near(self, at) -> tuple[FixedPoint, float]:
        """The fixed point nearest to `at` at the first value where Newton reaches one."""
        for value in (self.grid[0], self.grid[-1]):
            try:
                return fixed_point_near(self.system.flow_at(value), at), float(value)
            except InvalidInput as error:
                reason = error
        raise reason

    def in_box(self, box: np.ndarray, seed: int) -> Sweep:
        size, doubtful = float(np.max(box[:, 1] - box[:, 0])), []
        for value in self._anchors():
            points = fixed_points(self.system.flow_at(value), box, seed=seed, check=False).points
            for point in points:
                still = point.kind == "critical" and not self.moves
                if still and not self._known_critical(point, size):
                    self._add_critical(point)
            kinds = ("critical", "hallucinated", FIXED) if self.moves else ("hallucinated",)
            for point in (p for kind in kinds for p in isolated(points, kind)):
                if point.doubt:
                    doubtful.append((point, value))
                elif self.system.of == STEP:
                    self._add_still(point)
                elif not self.knows(point.w, value, size):
                    self.add_curve(point, value, box)
        for point, value in doubtful:
            if not self.knows(point.w, value, size):  # where a curve turns round, it is
                self._warn_of(point, value)
        if not self.branches and not self.warnings:
            self.warnings.append(
                "no fixed point was found, and one may be in this box: whether the list of "
                "points is complete is not checked in a sweep."
            )
        return self.result()

    def _anchors(self) -> list[float]:
        """The values at which points are looked for."""
        anchors = np.linspace(self.grid[0], self.grid[-1], ANCHORS)
        if self.system.of == RADIUS:
            anchors = anchors[anchors > 0]
        still = self.system.of == STEP or not (self.moves or self.flow.ascends)
        return [float(value) for value in (anchors[:1] if still else anchors)]

    def _warn_of(self, point: FixedPoint, rho: float) -> None:
        """Of one point a curve that no verdict can be given on is told once."""
        if not any("not followed" in warning for warning in self.warnings):
            where = ", ".join(f"{x:.6g}" for x in point.w)
            name = "ρ" if self.system.of == RADIUS else self.system.name
            kind = "" if self.moves else "hallucinated "
            self.warnings.append(
                f"a {kind}fixed point, at {name} = {rho:g} at ({where}), is not followed: "
                f"{point.doubt}."
            )

    def _known_critical(self, point: FixedPoint, size: float) -> bool:
        critical = [b for b in self.branches if b.kind == "critical"]
        if point.continuum is not None:
            known = [b.w[0] for b in critical if b.critical_type == "degenerate"]
            reach = np.asarray(point.continuum)
            return any(np.min(np.linalg.norm(reach - w, axis=1)) < 0.05 * size for w in known)
        return any(same_point(b.w[0], point.w, size) for b in critical)

    def knows(self, w: np.ndarray, rho: float, size: float) -> bool:
        """Whether a stretch that was followed already passes through (w, ρ)."""
        for stretch in self.stretches:
            there = on_grid(stretch, np.array([rho]), size)[0]
            if np.linalg.norm(there - w) <= 1e-5 * size:
                return True
        return False

    def _add_critical(self, point: FixedPoint) -> None:
        ws = np.broadcast_to(point.w, (self.grid.size, point.w.size))
        limit = limit_at(self.flow, point.w)
        self.warnings += undeclared(self.flow, limit)
        if limit.jump:
            self._add_sliding(point, ws)
        elif limit.bent:
            self._add_bent(point, ws)
        else:
            self._add_linear(point, ws)

    def _add_bent(self, point: FixedPoint, ws: np.ndarray) -> None:
        """No Jacobian and no jump: nothing is known but gradient descent at ρ = 0."""
        rates = -point.hessian_eigenvalues[None].astype(complex)
        ascends = (self.grid > 0) | (self.system.of != RADIUS)
        names = np.where(ascends, "unknown", flow_verdict_names(rates, point.scale)[0])
        leading = np.where(ascends, np.nan, -point.hessian_eigenvalues[0])
        self._add(point, ws, names, leading, None)

    def _add(self, point, ws, names, leading, radius, steps=None) -> None:
        names = tuple(str(name) for name in names)
        kind, steps = point.kind, None if steps is None else tuple(str(name) for name in steps)
        branch = Branch(kind, point.critical_type, ws, names, leading, radius, steps)
        self.branches.append(branch)

    def _add_still(self, point: FixedPoint) -> None:
        """A hallucinated point that the parameter does not move."""
        self._add_linear(point, np.broadcast_to(point.w, (self.grid.size, point.w.size)))

    def _add_linear(self, point: FixedPoint, ws: np.ndarray) -> None:
        found = spectra(self.system, ws, self.grid)
        scale = 0.0
        if point.kind == "critical":
            scale = float(np.max(np.abs(point.hessian_eigenvalues)))
        names = flow_verdict_names(found.eigenvalues, scale)
        real = -np.sort(-np.real(found.eigenvalues), axis=1)
        degenerate = point.critical_type == "degenerate"
        if degenerate:
            names = np.full(self.grid.size, "degenerate")
            real = np.where(np.abs(real) <= ZERO * point.scale, 0, real)
        steps = self._step_names(found, names)
        self._add(point, ws, names, real[:, 0], found.spectral_radius, steps)
        if degenerate:
            return
        if self.system.of != STEP:
            place = at_rest(point.w)
            for crossing in flow_crossings(self.system, place, self.grid, found.eigenvalues):
                self._record(crossing, self.grid, names, "critical")
        self._step_events(at_rest(point.w), self.grid, found, steps)

    def _step_names(self, found: Spectra, names: np.ndarray) -> np.ndarray | None:
        if found.multipliers is None:
            return None
        dim = found.eigenvalues.shape[1]
        steps = map_verdict_names(found.multipliers, dim)
        return np.where(names == "degenerate", "degenerate", steps)

    def _step_events(self, place: Place, grid, found: Spectra, names) -> None:
        if found.multipliers is None:
            return
        for crossing in step_crossings(self.system, place, grid, found.multipliers):
            self._record(crossing, grid, names, crossing.type, "step")

    def _record(self, crossing: Crossing, grid, names, kind: str, of: str = "flow") -> None:
        before, after = _around(grid, crossing.value, names)
        w, turn = np.asarray(crossing.w), crossing.rotation
        self.events.append(Bifurcation(crossing.value, w, before, after, kind, of, turn))

    def _add_sliding(self, point: FixedPoint, ws: np.ndarray) -> None:
        """Normalised SAM: no eigenvalues for ρ > 0; at ρ = 0 it is gradient descent."""
        slides = (self.grid > 0) | (self.system.of != RADIUS)
        names = np.full(self.grid.size, "degenerate", dtype=object)
        if point.critical_type != "degenerate":
            names[slides] = self._sliding_names(point.w, self.grid[slides])
        leading = np.where(slides, np.nan, -point.hessian_eigenvalues[0])
        rates = -point.hessian_eigenvalues[None].astype(complex)
        names[~slides] = flow_verdict_names(rates, point.scale)[0]
        self._add(point, ws, names, leading, None)
        self._sliding_events(at_rest(point.w), slides, names)

    def _sliding_names(self, w: np.ndarray, values: np.ndarray) -> np.ndarray:
        if self.system.of == RADIUS:
            return sliding_names(self.flow, jnp.asarray(w), values)
        found = [verdict_at(self.system.flow_at(value), w) for value in values]
        return np.array(found, dtype=object)

    def _sliding_events(self, place: Place, slides: np.ndarray, names: np.ndarray) -> None:
        known = np.flatnonzero(slides & [name not in ("unknown", None) for name in names])
        begins = self.system.of == RADIUS and not slides[0]
        if begins and known.size and names[0] != names[known[0]]:
            # the field is continuous at ρ = 0 and at no other
            ends = str(names[0]), str(names[known[0]])
            self.events.append(Bifurcation(0.0, np.asarray(place(0.0)), *ends, "sliding"))
        for i, j in itertools.pairwise(known):
            if names[i] != names[j]:
                change = self._sliding_change(place, int(i), int(j), names)
                self._record(change, self.grid, names, "sliding")

    def _sliding_change(self, place: Place, i: int, j: int, names) -> Crossing:
        """Bisection on the verdict itself between two values of the grid."""
        same = lambda x: self._sliding_names(place(x), np.array([x]))[0] == names[i]  # noqa: E731
        low, high = bisect_on_host(same, float(self.grid[i]), float(self.grid[j]), 40)
        middle = (low + high) / 2
        return Crossing(middle, np.asarray(place(middle)), "sliding")

    def add_curve(self, point: FixedPoint, value: float, box: np.ndarray) -> None:
        """Follow the curve through a point at a value, both ways, within a box."""
        size = float(np.max(box[:, 1] - box[:, 0]))
        equation = self._equation(point, value)
        pieces, joints = stretches_through(equation, point.w, value, box, self.grid)
        jumps = point.kind == "critical" and bool(
            limit_at(self.system.flow_at(value), point.w).jump
        )
        for piece in pieces:
            self.stretches.append(piece)
            here = self._described(piece, point.kind)
            if jumps:
                self._add_sliding_curve(piece, size, here.critical_type)
                continue
            branch = branch_on(self.system, piece, self.grid, size, here)
            seen = len(self.events)
            self._stretch_crossings(piece, branch)
            if any(name is not None for name in branch.verdict):
                self.branches.append(self._undecided_at(branch, self.events[seen:]))
        for joint, first, second in zip(joints, pieces[:-1], pieces[1:], strict=True):
            at = float(joint[-1])
            near = self._sliding_near if jumps else verdict_near
            before, after = (near(self.system, piece, at) for piece in (first, second))
            self.events.append(Bifurcation(at, joint[:-1], before, after, "fold"))

    def _undecided_at(self, branch: Branch, events: list[Bifurcation]) -> Branch:
        """No verdict at a value of the grid at which the branch changes it, where Newton, too, is
        less sharp."""
        reach = self.grid[-1] - self.grid[0]
        places = np.array([event.value for event in events if event.of == "flow"])
        if not places.size:
            return branch
        close = np.min(np.abs(self.grid[:, None] - places), axis=1) <= AT_EVENT * reach
        changed = [
            None
            if given is None
            else tuple(
                "degenerate" if here and name is not None else name
                for name, here in zip(given, close, strict=True)
            )
            for given in (branch.verdict, branch.step_verdict)
        ]
        return branch._replace(verdict=changed[0], step_verdict=changed[1])

    def _described(self, piece: Stretch, kind: str) -> FixedPoint:
        """The point a third of the way along, of its kind: the ends may be folds."""
        row = piece.points[len(piece.points) // 3]
        return describe(self.system.flow_at(row[-1]), row[: piece.dim], kind)

    def _sliding_near(self, system: Varied, piece: Stretch, value: float) -> str:
        row = near_end(piece, value)
        return verdict_at(system.flow_at(row[-1]), row[: piece.dim])

    def _equation(self, point: FixedPoint, value: float) -> AbstractEquation:
        if self.system.of == RADIUS:
            return equation_through(self.flow, point.w, value)
        if point.kind == "critical":
            return GradientVanishes(self.system)
        return VelocityVanishes(self.system)

    def _add_sliding_curve(self, piece: Stretch, size: float, critical_type) -> None:
        """A critical point that moves, under a method that jumps there."""
        ws = on_grid(piece, self.grid, size)
        exists = np.logical_not(np.isnan(ws).any(axis=1)) & ~at_fold(piece, self.grid)
        names = np.full(self.grid.size, None, dtype=object)
        for i in np.flatnonzero(exists):
            names[i] = verdict_at(self.system.flow_at(self.grid[i]), ws[i])
        nothing = np.full(self.grid.size, np.nan)
        if np.any(exists):
            self.branches.append(Branch("critical", critical_type, ws, tuple(names), nothing))
            self._sliding_events(on(piece), exists, names)

    def _stretch_crossings(self, piece: Stretch, branch: Branch) -> None:
        """Interior changes of an eigenvalue's sign, and multipliers that pass the unit circle."""
        usable = ~np.isnan(branch.w).any(axis=1) & ~at_fold(piece, self.grid)
        if np.sum(usable) < 2:
            return
        ws, grid = branch.w[usable], self.grid[usable]
        found = spectra(self.system, ws, grid)
        names = np.array(branch.verdict, dtype=object)[usable]
        for crossing in flow_crossings(self.system, on(piece), grid, found.eigenvalues):
            if self.system.alone and crossing.type == "hopf":
                continue  # of a displacement it means nothing
            still = branch.kind == "hallucinated" or crossing.type != "crossing"
            moving = self.moves and not still
            self._record(crossing, grid, names, "critical" if moving else crossing.type)
        if branch.step_verdict is not None:
            steps = np.array(branch.step_verdict, dtype=object)[usable]
            self._step_events(on(piece), grid, found, steps)

    def result(self) -> Sweep:
        """What has been found so far."""
        events = sorted(self.events, key=lambda event: event.value)
        reach = self.grid[-1] - self.grid[0]
        warnings = tuple(dict.fromkeys(self.warnings))
        merged = tuple(_merged(events, reach))
        name = "rho" if self.system.of == RADIUS else self.system.name
        return Sweep(self.grid, tuple(self.branches), merged, warnings, name)


def _merged(events: list[Bifurcation], reach: float) -> list[Bifurcation]:
    """One event where a curve meets a critical point, named for how it does.

    If the curve turns round there it is a pitchfork, if it passes through, transcritical.
    """
    merged: list[Bifurcation] = []
    critical = [event for event in events if event.type == "critical"]
    others = [event for event in events if event.type != "critical"]
    while critical:
        event, *critical = critical
        here = [other for other in others if _coincide(event, other, reach)]
        twins = [c for c in critical if _coincide(event, c._replace(type="crossing"), reach)]
        others = [other for other in others if not any(other is one for one in here)]
        critical = [c for c in critical if not any(c is one for one in twins)]
        kinds = {other.type for other in here} | ({"crossing"} if twins else set())
        name = "pitchfork" if "fold" in kinds else "transcritical" if kinds else "crossing"
        merged.append(event._replace(type=name))
    return sorted(merged + others, key=lambda event: event.value)


def _coincide(one: Bifurcation, other: Bifurcation, reach: float) -> bool:
    near = np.linalg.norm(one.w - other.w) <= MEETING * (1 + np.linalg.norm(one.w))
    return bool(near and abs(one.value - other.value) <= MEETING_RHO.get(other.type, 0) * reach)


def _around(grid: np.ndarray, value: float, names) -> tuple[str | None, str | None]:
    """The verdicts on either side of a value, which itself may lie on the grid."""
    margin = 1e-9 * (grid[-1] - grid[0])
    before = max(int(np.searchsorted(grid, value - margin)) - 1, 0)
    after = min(int(np.searchsorted(grid, value + margin)), grid.size - 1)
    told = lambda name: None if name is None else str(name)  # noqa: E731
    return told(names[before]), told(names[after])
