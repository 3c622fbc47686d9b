"""Legends: below their panel or figure, in as many columns as fit, in room of their own."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.transforms import blended_transform_factory

from .style import OF_GIVEN_SIZE

PLACES = ("upper right", "upper left", "lower left", "lower right", "center left", "center right")
BEHIND = ("border", "bifurcation", "zero")  # gids of thin lines that a legend may cover
COMPACT = {"columnspacing": 0.8, "handlelength": 1.6, "handletextpad": 0.5}
TALLEST = 4.5  # inches: a panel drawn to scale is not made higher
GAP = 0.5  # of the legend's font: above it


def legend_entries(axes: Sequence[Axes]) -> tuple[list, list[str]]:
    """(handles, labels) of everything labelled in `axes`, each label once, from back to front."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    ordered = sorted(found.items(), key=lambda entry: entry[1].get_zorder())
    return [handle for _, handle in ordered], [label for label, _ in ordered]


def axes_legend(
    ax: Axes,
    handles: Sequence[Any] | None = None,
    most: int = 3,
    over_figure: bool = True,
    own: bool = True,
    **keywords: Any,
) -> None:
    """A legend under one panel, of everything in it that has a label.

    It is centred `over_figure` or under the panel. A figure of our `own` grows by what it takes,
    unless its size was asked for.
    """
    found = legend_entries([ax])[0] if handles is None else list(handles)
    if not found:
        return
    figure: Any = ax.get_figure(root=True)
    if own:
        figure.draw_without_rendering()  # only then the panel has its size
    labels_end = ax.xaxis.get_tightbbox()
    below = ax.bbox.y0 - (ax.bbox.y0 if labels_end is None else labels_end.y0)
    size = FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    across = figure.transFigure if over_figure else ax.transAxes
    where: dict[str, Any] = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0.0),
        "bbox_transform": blended_transform_factory(across, ax.transAxes),
        "borderaxespad": below / (size * figure.dpi / 72) + GAP,
    }

    def make(columns: int, **compact: Any) -> Legend:
        return ax.legend(handles=found, **{**where, "ncols": columns, **compact, **keywords})

    room = 0.98 * figure.bbox.width if own else max(ax.bbox.width, 0.3 * figure.bbox.width)
    legend = _widest(room, make, min(most, len(found)))
    if own:
        _grow(figure, legend)


def inner_legend(
    ax: Axes, handles: Sequence[Any] | None, free: bool, own: bool, **keywords: Any
) -> None:
    """A legend inside the panel: where it covers nothing, or in room made for it at the top.

    Room is made if the limits are `free`; else matplotlib finds the best place.
    """
    found = legend_entries([ax])[0] if handles is None else list(handles)
    if not found:
        return
    if own:  # until then nothing has its size
        ax.get_figure(root=True).draw_without_rendering()  # pyright: ignore

    def make(place: str, columns: int, **compact: Any) -> Legend:
        look: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}
        look |= {"loc": place, "ncols": columns, **compact}
        return _marked(ax.legend(handles=found, **{**look, **keywords}))

    if {"loc", "ncols"} & set(keywords) or not (free or own):
        make("best", 1)
        return
    for columns in (1, 2):
        for place in PLACES:
            if not _covers(ax, make(place, columns).get_window_extent()):
                return
    _make_room(ax, make)


def _covers(ax: Axes, box: Any) -> bool:
    """Whether curves, bands or names of the panel lie under a legend in `box`, or it sticks out."""
    if box.width > ax.bbox.width or box.height > ax.bbox.height:
        return True
    for line in ax.lines:
        path = line.get_transform().transform_path(line.get_path())
        if line.get_gid() not in BEHIND and len(path) and path.intersects_bbox(box, filled=False):
            return True
    for bands in ax.collections:
        paths = (bands.get_transform().transform_path(path) for path in bands.get_paths())
        if any(path.intersects_bbox(box) for path in paths):
            return True
    return any(box.overlaps(text.get_window_extent()) for text in ax.texts)


def _make_room(ax: Axes, make: Callable[..., Legend]) -> None:
    """Raise the upper limit by what the legend takes in as many columns as fit."""
    for columns in (4, 3, 2, 1):
        legend = make("upper center", columns, **COMPACT)
        if legend.get_window_extent().width <= ax.bbox.width:
            break
    share = min(0.7, legend.get_window_extent().height / ax.bbox.height + 0.04)
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.asarray(ax.get_ylim()))
    ax.set_ylim(top=float(scale.inverted().transform(low + (high - low) / (1 - share))))


def figure_legend(
    figure: Figure, axes: Sequence[Axes], handles: Sequence[Any] | None = None, **keywords: Any
) -> None:
    """One legend for all panels, below them; the figure grows by what it takes."""
    found = legend_entries(axes)[0] if handles is None else list(handles)
    if not found:
        return

    def make(columns: int, **compact: Any) -> Legend:
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": columns}
        return figure.legend(handles=found, **{**where, **compact, **keywords})

    _grow(figure, _widest(0.98 * figure.bbox.width, make, len(found)))


def _widest(room: float, make: Callable[..., Legend], most: int) -> Legend:
    """The legend with the most columns that is no wider than `room`, in pixels."""
    for columns in range(most, 1, -1):
        for compact in ({}, COMPACT):
            legend = make(columns, **compact)
            if legend.get_window_extent().width <= room:
                return _marked(legend)
            legend.remove()
    return _marked(make(1))


def _marked(legend: Legend) -> Legend:
    legend.set_gid("legend")
    return legend


def _grow(figure: Figure, legend: Legend) -> None:
    if figure not in OF_GIVEN_SIZE:
        taken = legend.get_window_extent().height / figure.dpi
        figure.set_figheight(figure.get_figheight() + taken + 0.05)


def fit_height(figure: Any, axes: Sequence[Axes]) -> None:
    """Give the figure the height at which panels drawn to scale are as wide as it allows.

    What they would leave empty above, below or beside them goes.
    """
    scaled = [ax for ax in axes if ax.get_aspect() != "auto" and ax.get_adjustable() == "box"]
    if figure in OF_GIVEN_SIZE or not scaled:
        return
    for _ in range(4):  # the layout follows the height
        figure.draw_without_rendering()
        rows: dict[int, float] = {}
        for ax in scaled:
            slot, panel = ax.get_position(original=True), ax.get_position()
            # as high as its whole width makes it
            wanted = slot.width * panel.height / panel.width
            wanted = min(wanted, TALLEST / figure.get_figheight())
            place: Any = ax.get_subplotspec()
            row = place.rowspan.start
            rows[row] = max(wanted - slot.height, rows.get(row, wanted - slot.height))
        change = sum(rows.values())
        if abs(change) < 0.005:
            return
        figure.set_figheight(figure.get_figheight() * (1 + change))
