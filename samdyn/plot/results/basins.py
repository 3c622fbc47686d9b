"""Which attractor each start ends at, as an image over the box."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...results.drawing import drawer
from ..markers import attracting_mark, draw_mark
from ..plane.paths import is_inside
from ..style import (
    BELOW,
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    frame,
    new_axes,
    new_figure,
    panel_height,
    point_text,
    require_plane,
    styled,
)

PALETTE = (SKY, ORANGE, GREEN, PURPLE, YELLOW, BLUE, VERMILION)
SAME = 1e-2  # of the box's size: attractors nearer than this are one, whatever the method
OUTCOMES = {  # label -> (grey, name, field of the result)
    -1: ("#E8E8E8", "undecided", "undecided"),
    -2: ("#303030", "diverged", "diverged"),
    -3: ("#9A9A9A", "left the box", "left_box"),
}


def _lightened(colour: str) -> tuple[float, float, float]:
    """Half way to white, so that marks stand out."""
    red, green, blue = 0.5 * np.asarray(to_rgb(colour)) + 0.5
    return float(red), float(green), float(blue)


def attractor_colours(many: Sequence[Any]) -> list[dict[int, tuple[float, float, float]]]:
    """For each basins result, attractor id -> colour; the same point has the same colour."""
    known: list[np.ndarray] = []
    colours = []
    for basins in many:
        size = float(np.max(np.ptp(np.asarray(basins.box, dtype=float), axis=1)))
        mapping = {}
        for attractor in basins.attractors:
            w = np.asarray(attractor.w)
            near = [i for i, old in enumerate(known) if np.linalg.norm(old - w) <= SAME * size]
            if not near:
                known.append(w)
            number = near[0] if near else len(known) - 1
            mapping[attractor.id] = _lightened(PALETTE[number % len(PALETTE)])
        colours.append(mapping)
    return colours


def _image(basins, colours) -> np.ndarray:
    """RGB (grid, grid, 3), rows from low y to high y."""
    labels = np.asarray(basins.labels).T
    image = np.ones((*labels.shape, 3))
    greys = {label: to_rgb(grey) for label, (grey, _, _) in OUTCOMES.items()}
    for label, colour in {**greys, **colours}.items():
        image[labels == label] = colour
    return image


def _title(plane) -> str | None:
    if plane is None:
        return None
    i, j = plane.names()
    return f"ends by {i} and {j};\nthe others start as in {point_text(plane.at)}"


def _attractor_label(attractor, plane) -> str:
    shown = attractor.w if plane is None else plane.project(attractor.w)
    kind = attractor.critical_type or attractor.kind
    low, high = (100 * float(x) for x in attractor.ci95)
    # an interval need not be symmetric: the larger side is the honest ±
    margin = max(high - 100 * attractor.fraction, 100 * attractor.fraction - low)
    share = f"{100 * attractor.fraction:.1f} % ± {margin:.1f}"
    return f"{kind} {point_text(shown)}: {share}"


def _entries(basins, colours) -> list[Patch]:
    edge: dict[str, Any] = {"edgecolor": "#606060", "linewidth": 0.4}
    plane = getattr(basins, "plane", None)
    entries = [
        Patch(facecolor=colours[a.id], label=_attractor_label(a, plane), **edge)
        for a in basins.attractors
    ]
    for grey, name, field in OUTCOMES.values():
        share = float(getattr(basins, field))
        if share > 0:
            entries.append(Patch(facecolor=grey, label=f"{name}: {100 * share:.1f} %", **edge))
    return entries


def _draw(ax: Axes, basins, colours, **style: Any) -> None:
    box = np.asarray(basins.box, dtype=float)
    require_plane(len(box), "basins")
    extent = (box[0, 0], box[0, 1], box[1, 0], box[1, 1])
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", **style}
    ax.imshow(_image(basins, colours), origin="lower", extent=extent, **look)
    plane = getattr(basins, "plane", None)
    for attractor in basins.attractors:
        if getattr(attractor, "points", None) is not None:
            _draw_moving(ax, attractor, plane)
            continue
        w = np.asarray(attractor.w)
        shown = w if plane is None else plane.project(w)
        if plane is None or is_inside(shown, box):  # where paths end need not be in the picture
            mark = attracting_mark(attractor.kind, attractor.critical_type)
            draw_mark(ax, shown, mark).set_label("_")
    frame(ax, box, ("x", "y") if plane is None else plane.names())
    entries = _entries(basins, colours)
    if entries:
        ax.legend(handles=entries, title=_title(plane), **BELOW)


def _draw_moving(ax: Axes, attractor, plane) -> None:
    """An orbit as linked rings, a limit cycle as a curve, another set as dots."""
    points = np.asarray(attractor.points)
    if plane is not None:
        points = np.stack([plane.project(w) for w in points])
    if attractor.period is None:
        ax.plot(*points.T[:2], ls="none", marker=".", ms=1.2, color=BLACK, label="_")
        return
    cycle = attractor.kind == "limit cycle"
    look: dict[str, Any] = {"color": BLACK, "lw": 1.2 if cycle else 0.7, "label": "_"}
    if not cycle:
        look |= {"marker": "o", "ms": 4, "mfc": "white"}
    ax.plot(*np.concatenate([points, points[:1]]).T[:2], **look)


@drawer("Basins", house=True)
@styled
def draw_basins(basins: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The basins of a 2-D loss: one colour an attractor, greys for what ended elsewhere.

    `basins` is what `samdyn.basins` returns, of a loss of two dimensions or on a plane. The
    legend gives each basin's share of the box with the half-width of its 95 % interval.
    `style` is that of the image, such as `alpha`.
    `InvalidInput` in other dimensions.
    """
    require_plane(len(basins.box), "basins")
    ax = ax or new_axes()
    _draw(ax, basins, attractor_colours([basins])[0], **style)
    return ax


@styled
def plot_basins(many: Sequence[Any], titles: Sequence[str]) -> Figure:
    """Several basins side by side; an attractor keeps its colour from panel to panel."""
    for basins in many:
        require_plane(len(basins.box), "basins")
    entries = max(len(_entries(*pair)) for pair in zip(many, attractor_colours(many), strict=True))
    entries += 0 if getattr(many[0], "plane", None) is None else 2
    figure, axes = new_figure(len(many), height=panel_height(many[0].box) + 0.2 * entries + 0.2)
    for ax, basins, colours, title in zip(
        axes[0], many, attractor_colours(many), titles, strict=True
    ):
        _draw(ax, basins, colours)
        ax.set_title(title)
    return figure
