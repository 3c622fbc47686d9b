"""A diagram: which pairs of two parameters make a fixed point attract."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import BLACK, GREY, VERDICTS, looks, small, thick


@drawer("Diagram", house=True)
@drawing(3.6, 2.8)
def draw_diagram(diagram: Any, ax: Axes, *, radius: bool = False, **style: Any) -> Key:
    """The step's verdicts by colour, the flow's where there is no step, and the border of the
    flow's as a line; the first parameter upwards.

    With `radius` lines of equal spectral radius of the step (without one: of the flow's leading
    real part) lie on it. `style` is that of the coloured areas.
    """
    (first, rows), (second, cells) = diagram.parameters.items()
    shown = diagram.flow if diagram.step is None else diagram.step
    names = [name for name in VERDICTS if np.any(shown == name)]
    codes = np.select([shown == name for name in names], list(range(len(names))), 0)
    look: dict[str, Any] = {
        "cmap": ListedColormap([VERDICTS[n] for n in names]),
        "shading": "nearest",
    }
    look |= {"vmin": -0.5, "vmax": len(names) - 0.5, "rasterized": True, "gid": "verdicts"}
    ax.pcolormesh(cells, rows, codes, **looks(look, style, QuadMesh))
    edges: list[Line2D] = []
    if diagram.step is not None and diagram.flow is not None:
        inside = (diagram.flow == "attractor").astype(float)
        if 0 < inside.mean() < 1:
            line = {"colors": [BLACK], "linewidths": thick(1.0)}
            ax.contour(cells, rows, inside, levels=[0.5], **line).set_gid("border")
            edges = [Line2D([], [], color=BLACK, lw=1.0, label="edge of the flow's attractor")]
    if radius:
        _draw_radius(ax, cells, rows, np.asarray(diagram.leading))
    ax.set_xlabel(_label(second))
    ax.set_ylabel(_label(first))
    handles = [Patch(fc=VERDICTS[name], ec=BLACK, lw=0.4, label=name) for name in names]
    return Key([*handles, *edges])


def _draw_radius(ax: Axes, cells: np.ndarray, rows: np.ndarray, leading: np.ndarray) -> None:
    lines = ax.contour(cells, rows, leading, 8, colors=[GREY], linewidths=thick(0.6))
    lines.set_gid("radius")
    for text in ax.clabel(lines, fmt="%g", fontsize=small(0.8)):
        text.set_gid("radius")


def _label(name: str) -> str:
    return {"rho": "ρ", "learning_rate": "η"}.get(name, name)
