"""How stability changes with a parameter: every branch of fixed points, and where verdicts change.

A number of the step alone (a learning rate, a momentum) moves no point. A radius leaves critical
points where they are; hallucinated ones are found at a few radii and followed from there, through
folds and pitchforks. A number of the loss moves all. A closed loop of points that lives between
two of the values at which they are looked for only can be missed.
"""

import dataclasses
from typing import Any

import equinox as eqx
import numpy as np

from ...arguments import of_system
from ...checks import require_flat, require_one_value, require_whole
from ...dynamics.systems.system import AbstractSystem, loss_of
from ...errors import InvalidInput
from ...losses.dimension import unread_warnings
from ...precision import in_double
from ...results.provenance import recorded
from ..finding.point import as_box
from .follower import Follower
from .orbits import OrbitFollower, doublings, orbit_branches
from .sweep_result import Sweep
from .varied import Varied, varied


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
    period: int = 1,
    max_period: int = 2,
    seed: int = 0,
) -> Sweep:
    """Follow the fixed points of a system over `values` (n,) of a parameter, ascending, n ≥ 2.

    `parameter` is any number that a `Flow` or a `StepMap` has: "rho", "learning_rate",
    "momentum", a float field of the loss; its own value there does not matter. Give
    `box` for every branch in it, or `at` for the one fixed point that Newton reaches from there.
    Each branch of a `StepMap` also carries the step's verdicts and spectral radius. Nothing
    recompiles for other values of the same number.

    Of anyone's own `Map` the verdicts are those of the step.
    Of a step, orbits that are born where a multiplier passes −1 are followed as well, and those
    that are born of these, up to `max_period` steps (1: none). With a `period` of 2 to 8 it is
    orbits of that many steps that are looked for, in the box or from `at`, instead of fixed points.

    `InvalidInput` for a system without that parameter, and for one that has no fixed points of its
    own to follow.
    """
    if (box is None) == (at is None):
        raise InvalidInput("give either a box to search or a point to follow, not both or neither.")
    require_one_value(system)
    require_whole(period, "period", 1, 8)
    require_whole(max_period, "max_period", 1, 64)
    asked = varied(system, parameter)
    at = None if at is None else require_flat(at, "a point")
    grid = _grid(values, parameter)
    for end in (grid[0], grid[-1]):  # values out of range are refused here
        asked.flow_at(end) if asked.step is None else asked.step_at(end)
    asked = eqx.tree_at(lambda v: v.flow, asked, asked.flow_at(grid[-1]))
    if period > 1:
        return _of_orbits(asked, grid, box, at, (period, max_period), seed)
    loss = loss_of(asked.flow)
    warnings = () if loss is None else unread_warnings(loss, box, at)
    follower = Follower(asked, grid, warnings)
    found = follower.from_point(at) if at is not None else follower.in_box(as_box(box), seed)
    return _with_orbits(asked, found, box, max_period)


def _with_orbits(asked: Varied, found: Sweep, box: Any, most: int) -> Sweep:
    """A sweep with the orbits that are born of its fixed points."""
    born = [e for e in found.bifurcations if e.type == "period-doubling"]
    if asked.step is None or most < 2 or not born:
        return found
    follower = _orbit_follower(asked, found.values, born[0].w.size, box)
    rest = lambda e: follower.returns(e.value, 1).rest(e.w[None])[0]  # noqa: E731
    return _joined(found, *orbit_branches(follower, [(rest(e), e.value, 1) for e in born], most))


def _of_orbits(
    asked: Varied, grid: np.ndarray, box: Any, at: Any, periods: tuple[int, int], seed: int
) -> Sweep:
    """A sweep of the orbits of one period."""
    period, most = periods
    if asked.step is None:
        raise InvalidInput("orbits of a period belong to a step: give a StepMap or a Map.")
    box = None if box is None else as_box(box)
    dim = len(at) if box is None else len(box)
    follower = _orbit_follower(asked, grid, dim, box)
    found = follower.of_period(period, at, seed)
    warnings = tuple(found.warnings)
    if not found.branches:
        warnings += (f"no orbit of period {period} was found at the values that were looked at.",)
    events = tuple(event for event, _ in found.events)
    sweep = Sweep(grid, tuple(found.branches), events, warnings, asked.name)
    return _joined(sweep, *orbit_branches(follower, doublings(found, period), most))


def _orbit_follower(asked: Varied, grid: np.ndarray, dim: int, box: Any) -> OrbitFollower:
    return OrbitFollower(asked, dim, grid, None if box is None else as_box(box))


def _joined(found: Sweep, branches: list, events: list) -> Sweep:
    """A sweep with further branches and events."""
    merged = sorted((*found.bifurcations, *events), key=lambda event: event.value)
    changes = {"branches": (*found.branches, *branches), "bifurcations": tuple(merged)}
    return dataclasses.replace(found, **changes)


def _grid(values: Any, parameter: str) -> np.ndarray:
    grid = np.asarray(values, dtype=float)
    rho = parameter.split(".")[-1] == "rho"
    if grid.ndim != 1 or grid.size < 2 or not np.all(np.diff(grid) > 0):
        what = "radii" if rho else f"values of {parameter}"
        raise InvalidInput(f"a sweep needs two or more {what} in ascending order.")
    if (rho and grid[0] < 0) or not np.all(np.isfinite(grid)):
        least = " ≥ 0" if rho else ""
        raise InvalidInput(f"{parameter} must be a finite number{least}, not {grid[0]:g}.")
    return grid
