"""Where the gradient jumps over 0, or bends at 0: minima, maxima and saddles that are kinks.

An ℓ1 penalty, a hinge, the maximum of two bowls have their minima where no gradient vanishes.
Branch and prune leaves a tiny box there, in which its bounds of the gradient, taken from both
sides, hold 0.
"""

from collections.abc import Callable

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


CONTINUOUS = 0.3  # of its change a thousand times as far away: of a jump nothing is lost


def sides_differ(flow: AbstractODE, hull: np.ndarray, size: float, where: np.ndarray) -> bool:
    """Whether the sides of what is no smooth box (d, 2) disagree about its middle, `where`.

    The gradient may tend to 0 from one side only: Newton then ends beside a kink, which is no
    critical point, since the other side leads away. Or it tends to 0 from all, and the signs of
    the Hessian differ: its value at the point, of one side or none, decides nothing.
    """
    if smooth_in(flow.critical(), hull) is not False:
        return False
    gradient = OnPoints(flow.critical(), where.size)
    rows = around(where, size)
    far = np.max(np.linalg.norm(gradient.values(rows[0]), axis=1))
    values, hessians = gradient.with_jacobians(rows[-1])
    if np.max(np.linalg.norm(values, axis=1)) > 0.1 * far > 0:
        return True
    sound = np.all(np.isfinite(hessians), axis=(1, 2))
    signs = np.sign(np.linalg.eigvalsh(hessians[sound]))
    return not np.all(sound) or bool(np.any(signs != signs[0]))


def kink_at(
    flow: AbstractODE, hull: np.ndarray, size: float, where: np.ndarray
) -> FixedPoint | None:
    """The kink in a tiny box (d, 2), at `where` (d,); None where gradient and Hessian are smooth,
    or the loss jumps."""
    loss = loss_of(flow)
    if loss is None or smooth_in(flow.critical(), hull) is not False:
        return None
    value = OnPoints(loss, where.size).values
    here = float(value(where[None])[0])
    with np.errstate(invalid="ignore"):
        changes = [value(rows) - here for rows in around(where, size)]
    far, near = np.max(np.abs(changes[0])), np.max(np.abs(changes[-1]))
    if not smooth_in(loss, hull) and not near <= CONTINUOUS * far:
        return None
    # less than the loss changes within the box says nothing of the point that is meant
    bounds = OnPoints(loss, where.size).on_boxes(hull[None, :, 0], hull[None, :, 1])
    slack = np.nan_to_num(bounds.high[0, 0] - bounds.low[0, 0])
    rises = np.concatenate(changes)
    climbs, falls = np.any(rises > slack), np.any(rises < -slack)
    name = "saddle" if climbs and falls else "maximum" if falls else "minimum"
    return kink(loss, where, name)


def kink(loss: Callable, where: np.ndarray, name: str) -> FixedPoint:
    """The fixed point of that type at `where` (d,), which has no gradient and no Hessian."""
    here = float(OnPoints(loss, where.size).values(where[None])[0])
    nothing = np.full(where.size, np.nan)
    return FixedPoint(where, here, np.nan, np.nan, KINK, name, nothing)


def around(where: np.ndarray, size: float) -> list[np.ndarray]:
    """Points (n, d) about `where`, at each of a few distances."""
    directions = unit_directions(np.eye(where.size))
    reach = np.array(DISTANCES) * size
    least = 1e3 * np.spacing(np.max(np.abs(where)))
    return [where + max(r, least) * directions for r in reach]
