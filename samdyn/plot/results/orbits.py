"""Periodic orbits as linked rings, limit cycles as closed curves."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import CYCLE, axis_name, looks, thick

STYLES: dict[str, Any] = {"attractor": "-", "saddle": (0, (5, 1.6)), "repeller": (0, (1, 1.3))}


@drawer("Orbits", house=True)
@drawing(3.4, 2.8)
def draw_orbits(found: Any, ax: Axes, **style: Any) -> Key:
    """Every orbit in the plane of the first two coordinates; of one coordinate against the step.

    Solid attracts, dashed is a saddle, dotted repels. `style` is that of the lines.
    """
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
                "lw": thick(1.2 if flow else 0.8),
                "gid": "orbit",
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
    return Key()
