"""The manifolds of a saddle, drawn as in a phase portrait."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..markers import UNDIRECTED, draw_mark, mark_of
from ..style import BLACK, frame, looks, panel_height, thick


@drawer("Manifolds", house=True)
@drawing(height=lambda found: panel_height(found.box))
def draw_manifolds(found: Any, ax: Axes, **style: Any) -> Key:
    """Stable manifolds solid, unstable ones dashed, and the mark of their saddle."""
    for curve in found.curves:
        draw_manifold(ax, curve, **style)
    mark, direction = mark_of(found.point), found.direction
    draw_mark(ax, found.point.point.w, UNDIRECTED if direction is None else mark, direction)
    frame(ax, found.box)
    return Key()


def draw_manifold(ax: Axes, curve: Any, **style: Any) -> None:
    """One half of a manifold, labelled for a legend that the caller makes."""
    label = "stable manifold" if curve.stable else "unstable manifold"
    dashes = "-" if curve.stable else (0, (7, 2))
    look: dict[str, Any] = {"color": BLACK, "lw": thick(1.1), "ls": dashes, "zorder": 4}
    # a halo keeps it apart from a nullcline along it, which lies below
    look |= {"path_effects": [withStroke(linewidth=thick(2.2), foreground="white")]}
    look |= {"label": label, "gid": label.replace(" ", "-")}
    ax.plot(*curve.points.T, **looks(look, style))
