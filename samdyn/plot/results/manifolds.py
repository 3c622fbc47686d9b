"""The manifolds of a saddle, drawn as in a phase portrait."""

from typing import Any

from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..markers import UNDIRECTED, draw_mark, mark_of
from ..style import BLACK, axes_legend, frame, new_axes, styled


@drawer("Manifolds", house=True)
@styled
def draw_manifolds(found: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """Stable manifolds solid, unstable ones dashed, and the mark of their saddle."""
    ax = new_axes() if ax is None else ax
    for curve in found.curves:
        draw_manifold(ax, curve, **style)
    mark, direction = mark_of(found.point), found.direction
    draw_mark(ax, found.point.point.w, UNDIRECTED if direction is None else mark, direction)
    frame(ax, found.box)
    axes_legend(ax)
    return ax


def draw_manifold(ax: Axes, curve: Any, **style: Any) -> None:
    """One half of a manifold, labelled for a legend that the caller makes."""
    label = "stable manifold" if curve.stable else "unstable manifold"
    dashes = "-" if curve.stable else (0, (7, 2))
    look: dict[str, Any] = {"color": BLACK, "lw": 1.1, "ls": dashes, "zorder": 4, "label": label}
    ax.plot(*curve.points.T, **(look | style))
