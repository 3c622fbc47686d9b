"""How stability changes with a parameter: every branch of fixed points, and where verdicts change.

A number of the step alone (a learning rate, a momentum) moves no point. A radius leaves critical
points where they are; hallucinated ones are found at a few radii and followed from there, through
folds and pitchforks. A number of the loss moves all. A closed loop of points that lives between
two of the values at which they are looked for only can be missed.
"""

from typing import Any

import equinox as eqx
import numpy as np

from ...arguments import of_system
from ...checks import require_flat, require_one_value
from ...dynamics.systems.system import AbstractSystem, loss_of
from ...errors import InvalidInput
from ...losses.dimension import unread_warnings
from ...precision import in_double
from ...results.provenance import recorded
from ..finding.point import as_box
from .follower import Follower
from .sweep_result import Sweep
from .varied import varied


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

    `parameter` is any number that a `Flow` or a `StepMap` has: "rho", "learning_rate",
    "momentum", a float field of the loss; its own value there does not matter. Give
    `box` for every branch in it, or `at` for the one fixed point that Newton reaches from there.
    Each branch of a `StepMap` also carries the step's verdicts and spectral radius. Nothing
    recompiles for other values of the same number.

    Of anyone's own `Map` the verdicts are those of the step.

    `InvalidInput` for a system without that parameter, and for one that has no fixed points of its
    own to follow.
    """
    if (box is None) == (at is None):
        raise InvalidInput("give either a box to search or a point to follow, not both or neither.")
    require_one_value(system)
    asked = varied(system, parameter)
    at = None if at is None else require_flat(at, "a point")
    grid = _grid(values, parameter)
    for end in (grid[0], grid[-1]):  # values out of range are refused here
        asked.flow_at(end) if asked.step is None else asked.step_at(end)
    asked = eqx.tree_at(lambda v: v.flow, asked, asked.flow_at(grid[-1]))
    loss = loss_of(asked.flow)
    warnings = () if loss is None else unread_warnings(loss, box, at)
    follower = Follower(asked, grid, warnings)
    if at is not None:
        return follower.from_point(at)
    return follower.in_box(as_box(box), seed)


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
