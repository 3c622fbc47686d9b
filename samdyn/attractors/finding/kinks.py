"""Where the gradient jumps over 0: minima, maxima and saddles that are kinks of the loss.

An ℓ1 penalty, a hinge, the maximum of two bowls have their minima where no gradient vanishes.
Branch and prune leaves a tiny box there, in which its bounds of the gradient, taken from both
sides, hold 0.
"""

import numpy as np

from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from ...programs.batch import OnPoints
from ..judging.sliding import unit_directions
from ..proving.system import smooth_in
from .point import FixedPoint

KINK = "kink"
DISTANCES = (
    1e-3,
    1e-4,
    1e-5,
    1e-6,
)  # of the box's size: where the loss is looked at


def kink_at(
    flow: AbstractODE, hull: np.ndarray, size: float, where: np.ndarray
) -> FixedPoint | None:
    """The kink in a tiny box (d, 2), at `where` (d,); None where the gradient does
    not jump, or the loss does."""
    loss = loss_of(flow)
    if loss is None or smooth_in(flow.critical(), hull) is not False or not smooth_in(loss, hull):
        return None
    value = OnPoints(loss, where.size).values
    here = float(value(where[None])[0])
    rises = np.concatenate([value(rows) - here for rows in around(where, size)])
    name = "minimum" if np.all(rises > 0) else "maximum" if np.all(rises < 0) else "saddle"
    nothing = np.full(where.size, np.nan)  # a kink has no Hessian
    return FixedPoint(where, here, np.nan, np.nan, KINK, name, nothing)


def around(where: np.ndarray, size: float) -> list[np.ndarray]:
    """Points (n, d) about `where`, at each of a few distances."""
    directions = unit_directions(np.eye(where.size))
    reach = np.array(DISTANCES) * size
    least = 1e3 * np.spacing(np.max(np.abs(where)))
    return [where + max(r, least) * directions for r in reach]
