"""Variances along the Hessian's eigenvectors: simulated with intervals, exact, and published."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import BLACK, BLUE, GREEN, PREDICTION, looks, thick

if TYPE_CHECKING:
    from ...escape.spread_result import Spread

MARKS = {
    "step map": ("o", BLUE),
    "SDE": ("s", GREEN),
    "Theorem 2": ("x", PREDICTION),
    "Theorem 3": ("+", PREDICTION),
}


@drawer("Spread", house=True)
@drawing()
def draw_spread(result: "Spread", ax: Axes, **style: Any) -> Key:
    """Mean squared displacement against eigenvalue, on a logarithmic scale where it can be.

    `style` is that of the simulated points; its `color` holds for their intervals as well.
    """
    look = looks({"color": BLACK, "ms": 4, "marker": ".", "ls": ""}, style)
    look = {"label": "simulated, 95 %", **look}
    low, high = np.abs(result.ci95.T - result.variance)
    for name, values in result.columns().items():
        marker, colour = MARKS[name]
        known: dict[str, Any] = {"color": colour, "ms": 7, "mfc": "none", "gid": "expected"}
        ax.plot(result.eigenvalues, values, marker, label=name, **known)
    errors = {"fmt": "none", "ecolor": look["color"], "elinewidth": thick(1), "capsize": 2.5}
    ax.errorbar(result.eigenvalues, result.variance, np.stack([low, high]), **errors)
    ax.plot(result.eigenvalues, result.variance, **{"gid": "simulated", **look})
    if np.all(result.variance > 0):
        ax.set_yscale("log")
    ax.margins(0.15)
    ax.set_xlabel("eigenvalue of the Hessian")
    ax.set_ylabel("mean squared displacement")
    ax.set_title(f"time {result.time:g}, {result.steps} steps, {result.paths} paths")
    return Key()
