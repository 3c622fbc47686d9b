"""Periodic orbits as linked rings, limit cycles as closed curves."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..style import BELOW, CYCLE, axis_name, looks, new_figure, styled

STYLES: dict[str, Any] = {"attractor": "-", "saddle": (0, (5, 1.6)), "repeller": (0, (1, 1.3))}


@drawer("Orbits", house=True)
@styled
def draw_orbits(found: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """Every orbit in the plane of the first two coordinates; of one coordinate against the step.

    Solid attracts, dashed is a saddle, dotted repels. `style` is that of the lines.
    """
    ax = ax or new_figure(width=3.4, height=2.8)[1][0, 0]
    dim = found.orbits[0].points.shape[1] if found.orbits else 2
    for number, orbit in enumerate(found.orbits):
        points = np.concatenate([orbit.points, orbit.points[:1]])
        flow = found.of == "flow"
        x = np.arange(len(points)) if dim == 1 else points[:, 0]
        y = points[:, 0] if dim == 1 else points[:, 1]
        look = looks(
            {
                "color": CYCLE[number % len(CYCLE)],
                "ls": STYLES.get(orbit.verdict.verdict, "-"),
                "lw": 1.2 if flow else 0.8,
                "marker": None if flow else "o",
                "ms": 5,
                "mfc": "white" if orbit.verdict.verdict != "attractor" else None,
                "label": f"period {orbit.period:.4g}, {orbit.verdict.verdict}",
            },
            style,
        )
        ax.plot(x, y, **look)
    ax.set_xlabel("step" if dim == 1 else axis_name(0, dim))
    ax.set_ylabel(axis_name(0 if dim == 1 else 1, dim))
    if found.orbits:
        ax.legend(**BELOW)
    return ax
