"""A trajectory: in the plane where it has two coordinates, else each over steps or time."""

from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..style import BLUE, CYCLE, axes_legend, axis_name, new_axes, styled

MOST = 8  # coordinates that are drawn


@drawer("Trajectory", house=True)
@styled
def draw_trajectory(found: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The checkpoints of a `Trajectory`, joined; `style` is that of the lines.

    With two coordinates the path in the plane, with a dot where it ends; else at most 8 coordinates
    over the steps or the time.
    """
    ax = new_axes() if ax is None else ax
    rows = np.asarray(jax.vmap(lambda w: ravel_pytree(w)[0])(found.w))
    dim = rows.shape[1]
    if dim == 2:
        (line,) = ax.plot(*rows.T, **({"color": BLUE, "lw": 1.2} | style))
        ax.plot(*rows[-1], "o", color=line.get_color(), ms=4)
        ax.set_xlabel("x")
        ax.set_ylabel("y")
        return ax
    for k in range(min(dim, MOST)):
        look = {"color": CYCLE[k % len(CYCLE)], "lw": 1.2, "label": axis_name(k, dim)}
        ax.plot(found.at, rows[:, k], **(look | style))
    ax.set_xlabel("step" if found.of == "steps" else "time")
    ax.set_ylabel("w")
    axes_legend(ax)
    return ax
