"""Fixed points found where paths end: for starts whose paths no box holds."""

from typing import Any

import jax
import numpy as np

from ...dynamics.systems.map import AbstractMap
from ...dynamics.systems.ode import AbstractODE
from ...programs.newton import newton
from ..finding.clusters import clusters, distinct
from ..finding.point import SAME, FixedPoint, describe, facts_at
from ..judge import parts_of
from ..report import judge_all
from ..stability_result import PointStability
from .time_step import moved

SCOUTS = 256  # paths that are run to find where paths end
GOLDEN = 0.6180339887498949  # its multiples are spread evenly, and resonate with no row length
BLOCK = 2048  # steps
FAR = 1e6  # of the size: beyond this a path has diverged
LINK = 0.1  # of the size: degenerate points nearer than this are one continuum


def zeros_from(flow: AbstractODE, starts: np.ndarray, size: float) -> tuple[FixedPoint, ...]:
    """The fixed points of `flow` that Newton reaches from `starts` (n, d), each once.

    `size` is a length of the region: points nearer than 1e-7 of it are one. Points that are not
    isolated stand together as a continuum. The order is that of the coordinates.
    """
    if not len(starts):
        return ()
    fields = [flow.critical()]
    if flow.ascends:
        fields.append(flow.velocity)  # pyright: ignore
    ends = np.concatenate([newton(field, starts, 0.1 * size) for field in fields])
    ends = np.unique(ends[_is_near(ends, starts.mean(axis=0), size)], axis=0)
    if not len(ends):
        return ()
    facts = facts_at(flow, ends)
    singular = np.where(facts.critical, facts.singular, facts.field_singular)
    found = []
    for kind, accepted, norm in (
        ("critical", facts.critical, facts.gradient_norm),
        ("hallucinated", facts.hallucinated, facts.residual),
    ):
        isolated, loose = accepted & ~singular, accepted & singular
        at = ends[isolated]
        found += [describe(flow, at[i], kind) for i in distinct(at, norm[isolated], SAME * size)]
        for group in clusters(ends[loose], LINK * size):
            found.append(_continuum(flow, group, kind, size))
    scale = SAME * size
    return tuple(sorted(found, key=lambda point: tuple(np.round(point.w / scale))))


def _continuum(flow: AbstractODE, group: np.ndarray, kind: str, size: float) -> FixedPoint:
    point = describe(flow, group[len(group) // 2], kind)
    name = "degenerate" if kind == "critical" else None
    single = float(np.max(np.ptp(group, axis=0))) <= 0.01 * LINK * size
    return point._replace(critical_type=name, continuum=None if single else group)


def ends_of_paths(step_map: AbstractMap, starts: np.ndarray, steps: int) -> np.ndarray:
    """Where `steps` steps take some of `starts` (n, d), spread over them."""
    state = jax.tree.map(np.asarray, jax.vmap(step_map.init)(some_of(starts)))
    done = 0
    while done < steps:
        count = min(BLOCK, steps - done)
        before, state = moved(step_map, state, count)
        done += count
        if np.array_equal(before, state.w, equal_nan=True):
            break
    return state.w


def some_of(points: np.ndarray) -> np.ndarray:
    """At most 256 of the points (n, d), spread over their order without its stripes."""
    if len(points) <= SCOUTS:
        return points
    share = np.arange(SCOUTS) * GOLDEN % 1
    return points[np.unique((share * len(points)).astype(int))]


def _is_near(points: np.ndarray, middle: np.ndarray, size: float) -> Any:
    """Whether each of the points (n, d) is finite and no farther off than what has diverged."""
    with np.errstate(all="ignore"):
        return np.max(np.abs(points - middle), axis=1) <= FAR * size


def arrivals(
    system: Any, starts, ends: np.ndarray, size: float, known: tuple = ()
) -> tuple[PointStability, ...]:
    """`known`, and the fixed points of a flow or a map to which the `ends` (n, d) of paths from
    `starts` lead."""
    ends = some_of(ends[_is_near(ends, starts.mean(axis=0), size)])
    fresh = [
        point
        for point in zeros_from(parts_of(system)[0], ends, size)
        if not any(_same(point, old.point, size) for old in known)
    ]
    return (*known, *judge_all(system, tuple(fresh), ends))


def _same(new: FixedPoint, old: FixedPoint, size: float) -> bool:
    samples = old.w[None] if old.continuum is None else old.continuum
    near = LINK if old.continuum is not None else SAME
    return float(np.min(np.linalg.norm(samples - new.w, axis=1))) <= near * size
