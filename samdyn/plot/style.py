"""The one style: fonts, line weights, colours that colour-blind readers can tell apart, legends.

Nothing here touches pyplot or a display. Settings hold only while a function marked `styled`
runs, so a caller's own matplotlib settings stay as they are.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..dynamics.methods.method import AbstractMethod
from ..errors import InvalidInput

# Okabe & Ito 2008
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
FAINT, GREY = "#D4D4D4", "#8A8A8A"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK)

METHOD_COLOURS = {
    "GD": BLUE,
    "SAM": ORANGE,
    "USAM": GREEN,
    "ASAM": PURPLE,
    "PerturbedLossGradient": SKY,
}

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same metrics everywhere
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#404040",
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "lines.linewidth": 1.3,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "figure.dpi": 120.0,
    "savefig.dpi": 240.0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "samdyn",  # the same ids, so the same bytes, every time
    "pdf.fonttype": 42,
}

# under a panel, clear of tick labels and axis label whatever the panel's size
BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 4.8}
PLANE_HINT = " A plane through more is chosen by --plane I,J --at P (plane=(i, j), at=p)."
PANEL = 3.1  # inches, the width of one panel


def styled(function: Callable) -> Callable:
    """Run `function` under `STYLE`."""

    @functools.wraps(function)
    def inside(*args, **kwargs):
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return inside


@styled
def new_figure(
    columns: int = 1,
    rows: int = 1,
    *,
    width: float = PANEL,
    height: float = PANEL,
    share: bool = True,
) -> tuple[Figure, np.ndarray]:
    """(figure, axes (rows, columns)) with panels of `width` × `height` inches.

    With `share` every panel has the same x and y range, and inner tick labels are left out.
    """
    figure = Figure(figsize=(width * columns + 0.4, height * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
    return figure, axes


def looks(house: dict[str, Any], style: dict[str, Any]) -> dict[str, Any]:
    """How a line is drawn: as the house does it, but for what `style` says, by any alias."""
    return {**normalize_kwargs(house, Line2D), **normalize_kwargs(style, Line2D)}


def panel_height(box: np.ndarray) -> float:
    """The height in inches at which a panel `PANEL` wide shows a box (2, 2) to scale."""
    width, height = box[:, 1] - box[:, 0]
    if max(width, height) > 2.5 * min(width, height):  # `frame` does not keep the scale
        return PANEL
    return float(np.clip(PANEL * height / width, 1.6, 2 * PANEL))


def new_axes() -> Axes:
    """One empty panel in a figure of its own."""
    return new_figure()[1][0, 0]


def method_colour(method: AbstractMethod) -> str:
    """The colour of a method in every figure; several ascents share the one of their base."""
    return METHOD_COLOURS.get(type(method.kin).__name__, BLACK)


def method_name(method: AbstractMethod) -> str:
    """A panel's title, such as "USAM, ρ = 0.05"."""
    return method.label


def system_name(system: Any) -> str:
    """A panel's title: the method's label, with the optimizer's step where there is one."""
    method = getattr(system, "method", None)
    return type(system).__name__ if method is None else method_name(method)


def system_colour(system: Any) -> str:
    """The colour of its method; black for anyone's own system."""
    method = getattr(system, "method", None)
    return BLACK if method is None else method_colour(method)


def axis_name(axis: int, dim: int) -> str:
    """x and y in the plane, w₁, w₂, … elsewhere."""
    if dim == 2:
        return "xy"[axis]
    return "w" + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(axis + 1))


def frame(ax: Axes, box: np.ndarray, names: Sequence[str] = ("x", "y")) -> None:
    """Axis names, and ranges from a box (2, 2).

    One unit is as long on both axes if the box allows it.
    """
    ax.set_xlim(*box[0])
    ax.set_ylim(*box[1])
    sides = box[:, 1] - box[:, 0]
    if np.max(sides) <= 2.5 * np.min(sides):
        ax.set_aspect("equal")
    ax.set_xlabel(names[0])
    if ax.get_subplotspec() is None or ax.get_subplotspec().is_first_col():  # pyright: ignore
        ax.set_ylabel(names[1])


def legend_entries(axes: Sequence[Axes]) -> tuple[list, list[str]]:
    """(handles, labels) of everything labelled in `axes`, each label once, from back to front."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    ordered = sorted(found.items(), key=lambda entry: entry[1].get_zorder())
    return [handle for _, handle in ordered], [label for label, _ in ordered]


def axes_legend(ax: Axes, title: str | None = None, columns: int = 1) -> None:
    """A legend under one panel, if anything in it has a label."""
    handles, labels = legend_entries([ax])
    if labels:
        ax.legend(handles, labels, title=title, ncols=columns, **BELOW)


def figure_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, below them; the figure grows by what it takes."""
    handles, labels = legend_entries(axes)
    if labels:
        columns = min(len(labels), max(1, int(figure.get_figwidth() / 1.75)))
        rows = -(-len(labels) // columns)
        figure.set_figheight(figure.get_figheight() + 0.17 * rows + 0.1)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def point_text(w: np.ndarray) -> str:
    """(x, y, …) in three digits."""
    shown = [f"{x + 0.0:.3g}".replace("-", "−") for x in np.round(np.asarray(w), 9)[:3]]
    return "(" + ", ".join(shown) + (", …)" if len(w) > 3 else ")")


def require_plane(dim: int, what: str, hint: str = "") -> None:
    """`InvalidInput`, ending in `hint`, unless `dim` is 2."""
    if dim != 2:
        raise InvalidInput(f"{what} can be drawn for losses of 2 dimensions only, not {dim}.{hint}")
