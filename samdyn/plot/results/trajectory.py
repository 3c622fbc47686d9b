"""A trajectory: in the plane where it has two coordinates, else each over steps or time."""

from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import BLUE, CYCLE, axis_name, looks, thick

MOST = 8  # coordinates that are drawn


@drawer("Trajectory", house=True)
@drawing()
def draw_trajectory(found: Any, ax: Axes, **style: Any) -> Key:
    """The checkpoints of a `Trajectory`, joined; `style` is that of the lines.

    With two coordinates the path in the plane, with a dot where it ends; else at most 8 coordinates
    over the steps or the time.
    """
    rows = np.asarray(jax.vmap(lambda w: ravel_pytree(w)[0])(found.w))
    dim = rows.shape[1]
    if dim == 2:
        look = looks({"color": BLUE, "lw": thick(1.2), "gid": "trajectory"}, style)
        ax.plot(*rows.T, **look)
        ax.plot(*rows[-1], "o", color=look["color"], ms=4, gid="end")
        ax.set_xlabel("x")
        ax.set_ylabel("y")
        return Key()
    for k in range(min(dim, MOST)):
        look = {"color": CYCLE[k % len(CYCLE)], "lw": thick(1.2), "label": axis_name(k, dim)}
        ax.plot(found.at, rows[:, k], **looks(look | {"gid": "coordinate"}, style))
    ax.set_xlabel("step" if found.of == "steps" else "time")
    ax.set_ylabel("w")
    return Key()
