"""How stability changes with ρ: every branch of fixed points, and where verdicts change.

Critical points stay where they are and change their verdict; hallucinated ones are found at a
few radii and followed from there, through folds and pitchforks. A closed loop of hallucinated
points that lives between two of these radii only can be missed.
"""

import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...arguments import of_system
from ...bisection import bisect_on_host
from ...checks import require_flat, require_one_value, told
from ...dynamics.parameters import path_of
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.step_map import StepMap
from ...dynamics.systems.system import AbstractSystem
from ...errors import InvalidInput
from ...losses.dimension import unread_warnings
from ...precision import in_double
from ...results.encoding import storable
from ...results.provenance import recorded
from ...results.result import Result, require_xarray
from ..finding.fixed_points import fixed_point_near, fixed_points
from ..finding.point import FixedPoint, as_box
from ..judging.jump import limit_at, undeclared
from ..judging.sliding import sliding_names
from ..judging.verdict import ZERO, flow_verdict_names
from .branches import (
    Branch,
    Stretch,
    at_fold,
    hallucinated_branch,
    isolated,
    on_grid,
    same_point,
    spectra,
    stretches_through,
    verdict_near,
)
from .crossings import Crossing, crossings_at_point, crossings_on
from .sweep_text import sweep_table

ANCHORS = 9  # radii at which hallucinated points are searched for
MEETING = 5e-3  # of a point's size: what counts as the same event
# The same, of the range of ρ. On a pitchfork's arm ρ changes with the square of the distance;
# where a curve only passes through, Newton is singular and its own crossing is located roughly.
MEETING_RHO = {"fold": 2.5e-5, "crossing": 1e-3}


@storable
class Bifurcation(NamedTuple):
    """At `rho` the fixed point at `w` (d,) changes from verdict `before` to `after`.

    `type`: "crossing" (a real eigenvalue), "hopf" (a complex pair), "pitchfork" or
    "transcritical" (a crossing where a hallucinated branch turns round or passes through),
    "fold" (two hallucinated branches meet; `before` and `after` are theirs), "sliding"
    (normalised SAM at a critical point). ρ is located to rounding, except for "sliding", where
    it is as good as the sampled directions.
    """

    rho: float
    w: np.ndarray
    before: str | None
    after: str | None
    type: str

    def to_dict(self) -> dict[str, Any]:
        """One bifurcation of `samdyn sweep --json`."""
        return {
            "rho": self.rho,
            "w": self.w.tolist(),
            "from": self.before,
            "to": self.after,
            "type": self.type,
        }


class Sweep(Result, eqx.Module):
    """What `sweep` returns: `rho` (n,), the branches over it, and the bifurcations by ρ."""

    rho: Float[np.ndarray, " n"]
    branches: tuple[Branch, ...]
    bifurcations: tuple[Bifurcation, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn sweep --json`."""
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        return result | {
            "rho": self.rho.tolist(),
            "branches": [branch.to_dict() for branch in self.branches],
            "bifurcations": [event.to_dict() for event in self.bifurcations],
        }

    def __str__(self) -> str:
        return sweep_table(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row for each branch and radius at which it exists."""
        rows = (
            {"branch": number, "rho": float(self.rho[i]), **branch.at(i)}
            for number, branch in enumerate(self.branches)
            for i in range(self.rho.size)
        )
        return [row for row in rows if row["verdict"] is not None]

    def to_xarray(self) -> Any:
        """The branches as an `xarray.Dataset` over branch, rho and coordinate."""
        xarray = require_xarray()
        over, none = ("branch", "rho"), np.full(self.rho.size, np.nan)
        kinds = [branch.critical_type or branch.kind for branch in self.branches]
        radii = [none if b.spectral_radius is None else b.spectral_radius for b in self.branches]
        names = [[name or "" for name in branch.verdict] for branch in self.branches]
        values = {
            "w": ((*over, "coordinate"), [branch.w for branch in self.branches]),
            "verdict": (over, names),
            "leading_real_part": (over, [branch.leading_real_part for branch in self.branches]),
            "spectral_radius": (over, radii),
        }
        if not self.branches:
            values = {}
        coordinates = {"rho": self.rho, "kind": ("branch", kinds)}
        return xarray.Dataset(values, coordinates, self._attributes())


@of_system("Flow(loss, method) or StepMap(loss, method, learning_rate)")
@recorded
@in_double
def sweep(
    system: AbstractSystem,
    parameter: str,
    values: Any,
    *,
    box: Any = None,
    at: Any = None,
    seed: int = 0,
) -> Sweep:
    """Follow the fixed points of a system over `values` (n,) of a parameter, ascending, n ≥ 2.

    The parameter is "rho", of a `Flow` or a `StepMap`; its own value there does not matter. Give
    `box` for every branch in it, or `at` for the one fixed point that Newton reaches from there.
    Each branch of a `StepMap` also carries the step's spectral radius. Nothing recompiles for other
    values of the same number.

    `InvalidInput` for a system without that parameter or without a flow.
    """
    if (box is None) == (at is None):
        raise InvalidInput("give either a box to search or a point to follow, not both or neither.")
    require_one_value(system)
    flow, step_map = _followed(system, parameter)
    at = None if at is None else require_flat(at, "a point")
    grid = _radii(values)
    follower = _Follower(
        flow.at_radius(grid[-1]), step_map, grid, unread_warnings(flow.loss, box, at)
    )
    if at is not None:
        return follower.from_point(at)
    return follower.in_box(as_box(box), seed)


def _followed(system: Any, parameter: str) -> tuple[Flow, StepMap | None]:
    """(the flow whose points are followed, the step that is judged beside it or None)."""
    flow = system if isinstance(system, Flow) else getattr(system, "flow", None)
    step_map = system if isinstance(system, StepMap) else None
    if step_map is not None and flow is None:
        raise InvalidInput(
            f"sweep follows the fixed points of a flow, and {type(step_map.method).__name__} has "
            "none, since it remembers something: judge its step at each value by stability."
        )
    if not isinstance(flow, Flow) or (step_map is None and flow is not system):
        raise InvalidInput(f"sweep follows a Flow or a StepMap with a flow, not {told(system)}.")
    if not flow.ascends and parameter.split(".")[-1] == "rho":
        return flow, step_map  # gradient descent, whatever ρ
    if path_of(flow, parameter)[-1] != "rho":
        raise InvalidInput(f"sweep follows points over rho, not over {parameter}.")
    return flow, step_map


def _radii(rho: Any) -> np.ndarray:
    grid = np.asarray(rho, dtype=float)
    if grid.ndim != 1 or grid.size < 2 or not np.all(np.diff(grid) > 0):
        raise InvalidInput("a sweep needs two or more radii in ascending order.")
    if grid[0] < 0 or not np.all(np.isfinite(grid)):
        raise InvalidInput(f"rho must be a finite number ≥ 0, not {grid[0]:g}.")
    return grid


class _Follower:
    """Branches and events of one flow over one grid of radii."""

    def __init__(self, flow: Flow, step_map: StepMap | None, grid: np.ndarray, warnings):
        self.warnings: list[str] = list(warnings)
        self.flow, self.step_map, self.grid = flow, step_map, grid
        self.branches: list[Branch] = []
        self.events: list[Bifurcation] = []
        self.stretches: list[Stretch] = []

    def from_point(self, at: np.ndarray) -> Sweep:
        point, rho = self._point_near(at)
        if point.kind == "critical":
            self._add_critical(point)
            return self._result()
        size = 4 * (1 + float(np.max(np.abs(point.w))))
        box = np.stack([point.w - size / 2, point.w + size / 2], axis=1)
        self._add_curve(point.w, rho, box)
        return self._result()

    def _point_near(self, at) -> tuple[FixedPoint, float]:
        """The fixed point nearest to `at` at the first radius where Newton reaches one."""
        for rho in (self.grid[0], self.grid[-1]):
            try:
                return fixed_point_near(self.flow.at_radius(rho), at), float(rho)
            except InvalidInput as error:
                reason = error
        raise reason

    def in_box(self, box: np.ndarray, seed: int) -> Sweep:
        size = float(np.max(box[:, 1] - box[:, 0]))
        anchors = np.linspace(self.grid[0], self.grid[-1], ANCHORS)
        anchors = anchors[anchors > 0]
        if not self.flow.ascends:
            anchors = anchors[:1]
        for rho in anchors:
            points = fixed_points(self.flow.at_radius(rho), box, seed=seed, check=False).points
            for point in points:
                if point.kind == "critical" and not self._known_critical(point, size):
                    self._add_critical(point)
            for point in isolated(points, "hallucinated"):
                if point.doubt:
                    self._warn_of(point, float(rho))
                elif not self._known(point.w, float(rho), size):
                    self._add_curve(point.w, float(rho), box)
        if not self.branches and not self.warnings:
            self.warnings.append(
                "no fixed point was found, and one may be in this box: whether the list of "
                "points is complete is not checked in a sweep."
            )
        return self._result()

    def _warn_of(self, point: FixedPoint, rho: float) -> None:
        """Of one point a curve that no verdict can be given on is told once."""
        if not any("not followed" in warning for warning in self.warnings):
            where = ", ".join(f"{x:.6g}" for x in point.w)
            self.warnings.append(
                f"a hallucinated fixed point, at ρ = {rho:g} at ({where}), is not followed: "
                f"{point.doubt}."
            )

    def _known_critical(self, point: FixedPoint, size: float) -> bool:
        critical = [b for b in self.branches if b.kind == "critical"]
        if point.continuum is not None:
            known = [b.w[0] for b in critical if b.critical_type == "degenerate"]
            reach = np.asarray(point.continuum)
            return any(np.min(np.linalg.norm(reach - w, axis=1)) < 0.05 * size for w in known)
        return any(same_point(b.w[0], point.w, size) for b in critical)

    def _known(self, w: np.ndarray, rho: float, size: float) -> bool:
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
        names = np.where(self.grid > 0, "unknown", flow_verdict_names(rates, point.scale)[0])
        leading = np.where(self.grid > 0, np.nan, -point.hessian_eigenvalues[0])
        self._add(point, ws, names, leading, None)

    def _add(self, point, ws, names, leading, radius) -> None:
        names = tuple(str(name) for name in names)
        self.branches.append(Branch("critical", point.critical_type, ws, names, leading, radius))

    def _add_linear(self, point: FixedPoint, ws: np.ndarray) -> None:
        found = spectra(self.flow, self.step_map, ws, self.grid)
        scale = float(np.max(np.abs(point.hessian_eigenvalues)))
        names = flow_verdict_names(found.eigenvalues, scale)
        real = -np.sort(-np.real(found.eigenvalues), axis=1)
        if point.critical_type == "degenerate":
            names = np.full(self.grid.size, "degenerate")
            real = np.where(np.abs(real) <= ZERO * point.scale, 0, real)
        self._add(point, ws, names, real[:, 0], found.spectral_radius)
        if point.critical_type == "degenerate":
            return
        for crossing in crossings_at_point(self.flow, point.w, self.grid, real):
            self._record(crossing, self.grid, names, "critical")

    def _record(self, crossing: Crossing, grid, names, kind: str) -> None:
        before, after = _around(grid, crossing.rho, names)
        event = Bifurcation(crossing.rho, np.asarray(crossing.w), before, after, kind)
        self.events.append(event)

    def _add_sliding(self, point: FixedPoint, ws: np.ndarray) -> None:
        """Normalised SAM: no eigenvalues for ρ > 0; at ρ = 0 it is gradient descent."""
        slides = self.grid > 0
        w = jnp.asarray(point.w)
        names = np.full(self.grid.size, "degenerate", dtype=object)
        if point.critical_type != "degenerate":
            names[slides] = sliding_names(self.flow, w, self.grid[slides])
        leading = np.where(slides, np.nan, -point.hessian_eigenvalues[0])
        rates = -point.hessian_eigenvalues[None].astype(complex)
        names[~slides] = flow_verdict_names(rates, point.scale)[0]
        self._add(point, ws, names, leading, None)
        known = np.flatnonzero(slides & (names != "unknown"))
        for i, j in itertools.pairwise(known):
            if names[i] != names[j]:
                change = self._sliding_change(w, int(i), int(j), names)
                self._record(change, self.grid, names, "sliding")

    def _sliding_change(self, w, i: int, j: int, names) -> Crossing:
        """Bisection on the verdict itself between two radii of the grid."""

        def same(rho):
            return sliding_names(self.flow, w, np.array([rho]))[0] == names[i]

        low, high = bisect_on_host(same, float(self.grid[i]), float(self.grid[j]), 40)
        return Crossing((low + high) / 2, np.asarray(w), "sliding")

    def _add_curve(self, w: np.ndarray, rho: float, box: np.ndarray) -> None:
        size = float(np.max(box[:, 1] - box[:, 0]))
        pieces, joints = stretches_through(self.flow, w, rho, box, self.grid)
        mine = [
            hallucinated_branch(self.flow, self.step_map, piece, self.grid, size)
            for piece in pieces
        ]
        for piece, branch in zip(pieces, mine, strict=True):
            self.stretches.append(piece)
            self._stretch_crossings(piece, branch)
            if any(name is not None for name in branch.verdict):
                self.branches.append(branch)
        for joint, first, second in zip(joints, pieces[:-1], pieces[1:], strict=True):
            rho = float(joint[-1])
            before, after = (verdict_near(self.flow, piece, rho) for piece in (first, second))
            self.events.append(Bifurcation(rho, joint[:-1], before, after, "fold"))

    def _stretch_crossings(self, piece: Stretch, branch: Branch) -> None:
        """Interior changes of an eigenvalue's sign."""
        usable = ~np.isnan(branch.w).any(axis=1) & ~at_fold(piece, self.grid)
        if np.sum(usable) < 2:
            return
        ws, grid = branch.w[usable], self.grid[usable]
        real = -np.sort(-np.real(spectra(self.flow, None, ws, grid).eigenvalues), axis=1)
        names = np.array(branch.verdict, dtype=object)[usable]
        for crossing in crossings_on(self.flow, piece, grid, real):
            self._record(crossing, grid, names, crossing.type)

    def _result(self) -> Sweep:
        events = sorted(self.events, key=lambda event: event.rho)
        reach = self.grid[-1] - self.grid[0]
        warnings = tuple(dict.fromkeys(self.warnings))
        return Sweep(self.grid, tuple(self.branches), tuple(_merged(events, reach)), warnings)


def _merged(events: list[Bifurcation], reach: float) -> list[Bifurcation]:
    """One event where a hallucinated curve meets a critical point, named for how it does.

    If the curve turns round there it is a pitchfork, if it passes through, transcritical.
    """
    merged = []
    critical = [event for event in events if event.type == "critical"]
    others = [event for event in events if event.type != "critical"]
    for event in critical:
        here = [other for other in others if _coincide(event, other, reach)]
        others = [other for other in others if not any(other is one for one in here)]
        kinds = {other.type for other in here}
        name = "pitchfork" if "fold" in kinds else "transcritical" if here else "crossing"
        merged.append(event._replace(type=name))
    return sorted(merged + others, key=lambda event: event.rho)


def _coincide(one: Bifurcation, other: Bifurcation, reach: float) -> bool:
    near = np.linalg.norm(one.w - other.w) <= MEETING * (1 + np.linalg.norm(one.w))
    return bool(near and abs(one.rho - other.rho) <= MEETING_RHO.get(other.type, 0) * reach)


def _around(grid: np.ndarray, rho: float, names) -> tuple[str, str]:
    """The verdicts at the radii on either side of `rho`, which itself may lie on the grid."""
    margin = 1e-9 * (grid[-1] - grid[0])
    before = max(int(np.searchsorted(grid, rho - margin)) - 1, 0)
    after = min(int(np.searchsorted(grid, rho + margin)), grid.size - 1)
    return str(names[before]), str(names[after])
