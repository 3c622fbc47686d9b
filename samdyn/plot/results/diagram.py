"""A diagram: which pairs of two parameters make a fixed point attract."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...results.drawing import drawer
from ..style import BELOW, BLACK, new_figure, styled

SHADES = {
    "attractor": "#7fb2d6",
    "saddle": "#f3dfa8",
    "repeller": "#e8b09a",
    "degenerate": "#d9d9d9",
    "unknown": "#f4f4f4",
    "not a fixed map": "#f4f4f4",
}


@drawer("Diagram", house=True)
@styled
def draw_diagram(diagram: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The step's verdicts by colour, the flow's where there is no step, and the border of the
    flow's as a line; the first parameter upwards. `style` is that of the coloured areas."""
    ax = ax or new_figure(width=3.6, height=2.8)[1][0, 0]
    (first, rows), (second, cells) = diagram.parameters.items()
    shown = diagram.flow if diagram.step is None else diagram.step
    names = [name for name in SHADES if np.any(shown == name)]
    codes = np.select([shown == name for name in names], list(range(len(names))), 0)
    look: dict[str, Any] = {
        "cmap": ListedColormap([SHADES[n] for n in names]),
        "shading": "nearest",
    }
    look |= {"vmin": -0.5, "vmax": len(names) - 0.5, "rasterized": True}
    ax.pcolormesh(cells, rows, codes, **(look | style))
    edges: list[Line2D] = []
    if diagram.step is not None and diagram.flow is not None:
        inside = (diagram.flow == "attractor").astype(float)
        if 0 < inside.mean() < 1:
            ax.contour(cells, rows, inside, levels=[0.5], colors=[BLACK], linewidths=1.0)
            edges = [Line2D([], [], color=BLACK, lw=1.0, label="edge of the flow's attractor")]
    ax.set_xlabel(_label(second))
    ax.set_ylabel(_label(first))
    handles = [Patch(fc=SHADES[name], ec=BLACK, lw=0.4, label=name) for name in names]
    ax.legend(handles=[*handles, *edges], **BELOW)
    return ax


def _label(name: str) -> str:
    return {"rho": "ρ", "learning_rate": "η"}.get(name, name)
