"""Branches: fixed points as functions of ρ, each followed over one grid of ρ with its verdict.

A critical point of the loss does not move with ρ; a hallucinated one follows a curve that
folds, or meets a critical point. Each stretch of such a curve on which ρ is monotone is a
branch.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...compiling import jit_for_few_runs
from ...dynamics.methods.gd import GD
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import state_jacobian
from ...programs.newton import newton_from
from ...results.encoding import storable
from ..finding.point import SAME, FixedPoint, describe
from ..finding.preimages import AbstractEquation, AtRadius, FieldIsZero, MapsTo, PointsTo
from ..judging.spectrum import eigenvalues, hessian_at
from ..judging.verdict import flow_verdict_names, map_verdict_names
from .continuation import Frame, folds, follow
from .varied import Varied


@storable
class Branch(NamedTuple):
    """A fixed point over a grid of n values, nan or None where it does not exist.

    `kind` "critical" or "hallucinated", and its `critical_type`, which of a point that moves is
    that of a third of the way along; `w` (n, d); `verdict` n names for the flow;
    `leading_real_part` (n,) of the flow's Jacobian, nan also where none exists (normalised SAM
    at a critical point); `spectral_radius` (n,) of the step map's Jacobian, None without a
    learning rate or where that has no Jacobian either, and `step_verdict` n names for the step.
    Of a periodic orbit of `period` steps, whose kind is "period-2" and so on, w is one of its
    points and `orbit` (period, n, d) all of them; its verdicts are the step's, the spectral radius
    that of `period` steps.
    """

    kind: str
    critical_type: str | None
    w: Float[np.ndarray, "n d"]
    verdict: tuple[str | None, ...]
    leading_real_part: Float[np.ndarray, " n"]
    spectral_radius: Float[np.ndarray, " n"] | None = None
    step_verdict: tuple[str | None, ...] | None = None
    period: int = 1
    orbit: Float[np.ndarray, "p n d"] | None = None

    def at(self, i: int) -> dict[str, Any]:
        """What is known of it at value number i, by column."""
        row = {"kind": self.kind, "critical_type": self.critical_type, "verdict": self.verdict[i]}
        row |= {f"w[{axis}]": float(x) for axis, x in enumerate(self.w[i])}
        row |= {"leading_real_part": float(self.leading_real_part[i])}
        if self.spectral_radius is not None:
            row |= {"spectral_radius": float(self.spectral_radius[i])}
        if self.step_verdict is not None:
            row |= {"step": self.step_verdict[i]}
        return row

    def to_dict(self) -> dict[str, Any]:
        """One branch of `samdyn sweep --json`."""
        result = {
            "kind": self.kind,
            "critical_type": self.critical_type,
            "w": [None if np.isnan(w).any() else w.tolist() for w in self.w],
            "verdict": list(self.verdict),
            "leading_real_part": _nullable(self.leading_real_part),
        }
        if self.spectral_radius is not None:
            result["spectral_radius"] = _nullable(self.spectral_radius)
        if self.orbit is not None:
            rows = np.moveaxis(self.orbit, 0, 1)
            result["period"] = self.period
            result["orbit"] = [None if np.isnan(one).any() else one.tolist() for one in rows]
        return result


def _nullable(values: np.ndarray) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in values]


class Stretch(NamedTuple):
    """A piece (m, n + 1) of a curve of (z, ρ), on which ρ ascends.

    `folds` are the radii of the ends at which the curve turns round.
    """

    equation: AbstractEquation
    points: np.ndarray
    folds: tuple[float, ...] = ()

    @property
    def dim(self) -> int:
        """The dimension of w; z may hold a multiplier as well."""
        return self.points.shape[1] - 1 - isinstance(self.equation, PointsTo)


def equation_through(flow: Flow, w: np.ndarray, rho: float) -> AbstractEquation:
    """The best conditioned equation that the hallucinated fixed point `w` at `rho` solves."""
    target = np.asarray(flow.at_radius(rho).perturbed(jnp.asarray(w)))
    there = describe(Flow(flow.loss, GD()), target)
    if there.kind != "critical" or there.critical_type == "degenerate":
        return FieldIsZero(flow)
    kind = PointsTo if flow.method.ascent == "unit" else MapsTo
    return kind(flow, jnp.asarray(target))


def frame_for(box: np.ndarray, rho: np.ndarray, equation: AbstractEquation) -> Frame:
    """Scales for continuation in this box over this range of ρ."""
    size = np.max(box[:, 1] - box[:, 0])
    scale = [size] * len(box)
    if isinstance(equation, PointsTo):  # the multiplier is a curvature
        scale.append(float(jnp.max(jnp.abs(hessian_at(equation.flow.loss, equation.c)))))
    scale.append(rho[-1] - rho[0])
    ends = jnp.asarray([rho[0], rho[-1]])
    return Frame(jnp.asarray(scale), jnp.asarray(box), ends)


def stretches_through(
    equation: AbstractEquation, w: np.ndarray, rho: float, box: np.ndarray, grid: np.ndarray
) -> tuple[list[Stretch], list[np.ndarray]]:
    """The solution curve through the point `w` at the value `rho`, cut at its folds.

    Returns the k + 1 stretches in order along the curve and the k folds (w, ρ) between them.
    """
    frame = frame_for(box, grid, equation)
    points = follow(equation, w, rho, frame)
    turns = folds(equation, points, frame)
    cuts = [0]
    for shift, fold in enumerate(turns):
        at = fold.index + shift
        at += int(_after(points, at, fold.x))
        points = np.insert(points, at, fold.x, axis=0)
        cuts.append(at)
    joints = [np.append(fold.x[: len(w)], fold.x[-1]) for fold in turns]
    pieces = []
    for i, (a, b) in enumerate(itertools.pairwise([*cuts, len(points) - 1])):
        piece = points[a : b + 1]
        at_folds = tuple(float(joint[-1]) for joint in joints[max(i - 1, 0) : i + 1])
        pieces.append(
            Stretch(equation, piece[:: 1 if piece[0, -1] < piece[-1, -1] else -1], at_folds)
        )
    return pieces, joints


def _after(points: np.ndarray, at: int, fold: np.ndarray) -> bool:
    """Whether the fold lies beyond points[at], seen along the chord of its neighbours."""
    chord = points[at + 1] - points[at - 1]
    return float(chord @ (fold - points[at])) > 0


def on_grid(stretch: Stretch, grid: np.ndarray, size: float) -> np.ndarray:
    """w (n, d) of a stretch at each ρ of the grid, polished by Newton; nan outside its range.

    A fold itself keeps the point found by continuation: Newton is singular there.
    """
    rho, dim = stretch.points[:, -1], stretch.dim
    guess = np.stack([np.interp(grid, rho, column) for column in stretch.points[:, :-1].T], axis=1)
    z = np.asarray(_polish(stretch.equation, jnp.asarray(guess), jnp.asarray(grid)))
    z = np.where(at_fold(stretch, grid)[:, None], guess, z)
    valid = np.asarray(_valid(stretch.equation, jnp.asarray(z)))
    scale = np.max(np.abs(stretch.points[:, -2])) if dim < z.shape[1] else 1.0
    strayed = np.linalg.norm(z[:, :dim] - guess[:, :dim], axis=1) > 0.01 * size
    absent = (grid < rho[0]) | (grid > rho[-1]) | (valid <= 1e-9 * scale)
    absent |= (grid == 0) & stretch.equation.needs_a_radius
    lost = absent | strayed | ~np.all(np.isfinite(z), axis=1)
    return np.where(lost[:, None], np.nan, z)[:, :dim]


def at_fold(stretch: Stretch, grid: np.ndarray) -> np.ndarray:
    """Which radii of the grid (n,) are a fold of the stretch, to rounding."""
    reach = stretch.points[-1, -1] - stretch.points[0, -1]
    hits = [np.abs(grid - rho) <= 1e-9 * (reach + abs(rho)) for rho in stretch.folds]
    return np.any(hits, axis=0) if hits else np.zeros(grid.shape, bool)


@jit_for_few_runs
def _valid(equation, z):
    return jax.vmap(equation.valid)(z)


@jit_for_few_runs
def _polish(equation, z, rho):
    longest = jnp.asarray(jnp.inf, z.dtype)
    return jax.vmap(lambda z, rho: newton_from(AtRadius(equation, rho), z, longest, 12))(z, rho)


class Spectra(NamedTuple):
    """Eigenvalues of the flow's Jacobian (n, d), multipliers of the step (n, m) or None."""

    eigenvalues: np.ndarray
    multipliers: np.ndarray | None

    @property
    def spectral_radius(self) -> np.ndarray | None:
        """(n,)."""
        return None if self.multipliers is None else np.max(np.abs(self.multipliers), axis=1)


def spectra(system: Varied, w: np.ndarray, values: np.ndarray) -> Spectra:
    """Linear stability at w (n, d) for each value (n,), in one compiled call."""
    found, multipliers = _spectra(system, jnp.asarray(w), jnp.asarray(values))
    return Spectra(np.asarray(found), None if multipliers is None else np.asarray(multipliers))


@jit_for_few_runs
def _spectra(system: Varied, w, values):
    def at(w, value):
        flow_values = eigenvalues(jax.jacfwd(system.flow_at(value).velocity)(w))
        if system.step is None:
            return flow_values, None
        return flow_values, eigenvalues(state_jacobian(system.step_at(value), w))

    return jax.vmap(at)(w, values)


def branch_on(
    system: Varied, stretch: Stretch, grid: np.ndarray, size: float, point: FixedPoint
) -> Branch:
    """A stretch on the grid with its linear verdicts, of the kind and scale of a `point` on it; a
    fold itself is degenerate, and all of it where the point is."""
    w = on_grid(stretch, grid, size)
    exists = np.logical_not(np.isnan(w).any(axis=1))
    some = w[exists][0] if np.any(exists) else np.zeros(w.shape[1])
    found = spectra(system, np.where(exists[:, None], w, some), grid)
    flat = at_fold(stretch, grid) | (point.critical_type == "degenerate")
    names = np.where(flat, "degenerate", main_names(system, found, point.scale))
    leading = np.where(exists, np.max(np.real(found.eigenvalues), axis=1), np.nan)
    if system.alone:
        leading = np.full(grid.size, np.nan)  # the displacement's, which are no rates
    radius, steps = found.spectral_radius, None
    if found.multipliers is not None and radius is not None:
        radius = np.where(exists, radius, np.nan)
        steps = np.where(flat, "degenerate", map_verdict_names(found.multipliers, w.shape[1]))
        steps = named(steps, exists)
    verdict = named(names, exists)
    return Branch(point.kind, point.critical_type, w, verdict, leading, radius, steps)


def main_names(system: Varied, found: Spectra, scale: float = 0.0) -> np.ndarray:
    """The verdicts (n,) of the flow; of anyone's own map, which has none, those of the step."""
    if system.alone and found.multipliers is not None:
        return map_verdict_names(found.multipliers, found.eigenvalues.shape[1])
    return flow_verdict_names(found.eigenvalues, scale)


def named(names: np.ndarray, exists: np.ndarray) -> tuple[str | None, ...]:
    """Verdicts, None where there is nothing."""
    return tuple(str(name) if there else None for name, there in zip(names, exists, strict=True))


def verdict_near(system: Varied, stretch: Stretch, value: float) -> str:
    """The verdict on a stretch just off its end at `value`."""
    point = near_end(stretch, value)
    found = spectra(system, point[None, : stretch.dim], point[None, -1])
    return str(main_names(system, found)[0])


def near_end(stretch: Stretch, rho: float) -> np.ndarray:
    """The point (n + 1,) of a stretch a few steps of continuation away from its end at `rho`."""
    away = min(3, len(stretch.points) // 2)
    first = abs(stretch.points[0, -1] - rho) < abs(stretch.points[-1, -1] - rho)
    return stretch.points[away if first else -1 - away]


def same_point(a: np.ndarray, b: np.ndarray, size: float) -> bool:
    """Whether two points count as one in a box of this size."""
    return bool(np.linalg.norm(a - b) <= SAME * size)


def isolated(points: tuple[FixedPoint, ...], kind: str) -> list[FixedPoint]:
    """Those of one kind that are not samples of a continuum."""
    return [p for p in points if p.kind == kind and p.continuum is None]
