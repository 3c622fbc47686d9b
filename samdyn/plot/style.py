"""The one style: fonts, line weights, what each colour means, figures and legends.

Settings hold only while a function marked `styled` runs, and only those that the caller has not
set: a font, a size, a line width or a figure's width of the caller's own stays.
"""

import functools
import io
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, SupportsFloat
from weakref import WeakSet

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator

from ..dynamics.methods.method import AbstractMethod
from ..errors import InvalidInput
from ..notebook import in_notebook

# Okabe & Ito 2008
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
# Tol 2021, muted
INDIGO, WINE = "#332288", "#882255"
FAINT, GREY, BROWN = "#D4D4D4", "#757575", "#6B4423"

METHOD_COLOURS = {
    "GD": BLUE,
    "SAM": ORANGE,
    "USAM": GREEN,
    "ASAM": PURPLE,
    "PerturbedLossGradient": SKY,
}
# What a colour means wherever it occurs, beside the method whose it is. Series without a meaning
# take those of CYCLE and PALETTE, in which no colour of this table is.
MEANINGS = {
    "alarm": VERMILION,  # attracts but is no minimum; chaotic; curves down; wᵖ in another basin
    "doubt": GREY,  # degenerate, undecided, unknown
    "ascent": INDIGO,  # w → wᵖ
    "nullcline": WINE,
    "prediction": BROWN,  # a published formula, a critical value
    "curve": BLACK,  # manifolds, borders of basins, fixed points that are what they seem
}
ALARM, DOUBT, ASCENT = MEANINGS["alarm"], MEANINGS["doubt"], MEANINGS["ascent"]
NULLCLINE, PREDICTION = MEANINGS["nullcline"], MEANINGS["prediction"]
VERDICTS = {  # areas, behind everything else
    "attractor": "#7FB2D6",
    "saddle": "#F3DFA8",
    "repeller": "#E8B09A",
    "degenerate": "#D9D9D9",
    "unknown": "#F4F4F4",
    "not a fixed map": "#F4F4F4",
}
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK)
PALETTE = (SKY, ORANGE, GREEN, PURPLE, YELLOW, BLUE)
LEGIBLE = 3.0  # the least contrast to white of a line that is to be read (WCAG 2.2, 1.4.11)

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same metrics everywhere
    "font.size": 8.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#404040",
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.6,
    "figure.dpi": 120.0,
    "savefig.dpi": 240.0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "samdyn",  # the same ids, so the same bytes, every time
    "pdf.fonttype": 42,
}
SIZES = {  # of the font's size
    "axes.titlesize": 1.1,
    "axes.labelsize": 1.05,
    "xtick.labelsize": 0.94,
    "ytick.labelsize": 0.94,
    "legend.fontsize": 0.94,
    "figure.titlesize": 1.1,
}

PLANE_HINT = " A plane through more is chosen by --plane I,J --at P (plane=(i, j), at=p)."
PANEL = 3.1  # inches, the width of one panel
OF_GIVEN_SIZE: "WeakSet[Figure]" = WeakSet()  # figures that nothing may make higher
NARROW = 2.2  # inches: a panel of its own row rather than narrower


def house_settings() -> dict[Any, Any]:
    """What `styled` sets: the house's settings but for those that the caller has changed."""
    now, untouched = matplotlib.rcParams, matplotlib.rcParamsDefault

    def free(names: Any) -> list[Any]:
        return [name for name in names if now[name] == untouched[name]]

    chosen = {name: STYLE[name] for name in free(STYLE)}
    size = chosen.get("font.size", now["font.size"])
    return chosen | {name: SIZES[name] * size for name in free(SIZES)}


def styled(function: Callable) -> Callable:
    """Run `function` under the house's settings, where the caller has none of their own."""

    @functools.wraps(function)
    def inside(*args, **kwargs):
        with matplotlib.rc_context(house_settings()):
            return function(*args, **kwargs)

    return inside


def thick(points: float) -> float:
    """A line width in points of the house's style, thicker or thinner where all lines are."""
    return points * matplotlib.rcParams["lines.linewidth"] / STYLE["lines.linewidth"]


def small(share: float = 0.94) -> float:
    """A font size in points, as a share of the font's."""
    return share * matplotlib.rcParams["font.size"]


def given_width() -> float | None:
    """The width in inches that the caller has set for figures, if they have."""
    size = list(matplotlib.rcParams["figure.figsize"])
    return None if size == list(matplotlib.rcParamsDefault["figure.figsize"]) else size[0]


@styled
def new_figure(
    columns: int = 1,
    rows: int = 1,
    *,
    width: float = PANEL,
    height: float = PANEL,
    share: bool = True,
    figsize: Any = None,
    returned: bool = True,
) -> tuple[Figure, np.ndarray]:
    """(figure, axes (rows, columns)) with panels of `width` × `height` inches.

    A `figure.figsize` of the caller's decides the width instead, and `figsize` all. With `share`
    every panel has the same x and y range, and inner tick labels are left out. `returned`: the
    caller is given the figure, not its axes.
    """
    own, wide = width * columns + 0.4, given_width()
    scale = 1.0 if wide is None else wide / own
    size = (own if wide is None else wide, height * rows * float(np.clip(scale, 0.8, 1.25)) + 0.7)
    figure = new_canvas(size, figsize, returned)
    axes = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
    for ax in axes.flat:
        _settle(ax)
    return figure, axes


def new_canvas(size: Any, figsize: Any = None, returned: bool = True) -> Figure:
    """An empty figure of that size, or of the `figsize` that the caller asks for and keeps.

    `returned`: the caller is given the figure, not its axes.
    """
    figure = _empty_figure(size if figsize is None else figsize, returned)
    if figsize is not None:
        OF_GIVEN_SIZE.add(figure)
    return figure


class _Picture(Figure):
    """A figure that a notebook shows where it is what a cell returns, without pyplot as well."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=144)
        return file.getvalue()


def _empty_figure(size: Any, returned: bool) -> Figure:
    """A figure that `plt.show` shows where pyplot is in use, and else one that needs none of it.

    A notebook shows every figure of pyplot at the end of a cell, and what the cell returns: there
    one that is `returned` is not pyplot's, or it would stand twice, and any other is.
    """
    pyplot = sys.modules.get("matplotlib.pyplot")
    if in_notebook():
        from matplotlib import pyplot
    if pyplot is not None and threading.current_thread() is threading.main_thread():
        try:
            if not returned or "inline" not in matplotlib.get_backend():
                return pyplot.figure(figsize=size, layout="constrained")
        except Exception:  # a back end without its display: the figure can be saved all the same
            return Figure(figsize=size, layout="constrained")
    return _Picture(figsize=size, layout="constrained")


def _settle(ax: Axes) -> None:
    """Ticks are made when they are drawn, by then under other settings: say it now."""
    now: Any = matplotlib.rcParams
    axes: tuple[Literal["x", "y"], ...] = ("x", "y")
    for axis in axes:
        ax.tick_params(
            axis,
            labelsize=now[f"{axis}tick.labelsize"],
            labelfontfamily=now["font.family"],
            width=now[f"{axis}tick.major.width"],
            length=now[f"{axis}tick.major.size"],
        )
        if isinstance(getattr(ax, f"{axis}axis").get_major_locator(), AutoLocator):
            ax.locator_params(axis, steps=[1, 2, 5, 10])  # 0.25 is longer than 0.2


def columns_of(panels: int) -> int:
    """How many of so many panels stand side by side."""
    wide = given_width()
    return panels if wide is None else max(1, min(panels, int(wide / NARROW)))


def luminance(colour: Any) -> float:
    """The relative luminance of a colour, as WCAG 2.2 defines it."""
    channels = np.asarray(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(colour: Any) -> float:
    """The contrast of a colour to white, from 1 to 21 (WCAG 2.2)."""
    return 1.05 / (luminance(colour) + 0.05)


def legible(colour: Any, least: float = LEGIBLE) -> str:
    """The colour, or the lightest darker one of its hue that has at least this contrast."""
    shade = np.asarray(to_rgb(colour))
    for share in np.linspace(1, 0, 101):
        if contrast(share * shade) >= 1.01 * least:  # hexadecimal digits round
            return to_hex(share * shade)
    return BLACK


def looks(
    house: dict[str, Any], style: dict[str, Any], kind: type[Artist] = Line2D
) -> dict[str, Any]:
    """How an artist is drawn: as the house does it, but for what `style` says, by any alias."""
    return {**normalize_kwargs(house, kind), **normalize_kwargs(style, kind)}


def panel_height(box: np.ndarray) -> float:
    """The height in inches at which a panel `PANEL` wide shows a box (2, 2) to scale."""
    width, height = box[:, 1] - box[:, 0]
    if max(width, height) > 2.5 * min(width, height):  # `frame` does not keep the scale
        return PANEL
    return float(np.clip(PANEL * height / width, 1.6, 2 * PANEL))


def new_axes() -> Axes:
    """One empty panel in a figure of its own."""
    return new_figure(returned=False)[1][0, 0]


def method_colour(method: AbstractMethod) -> str:
    """The colour of a method in every figure; several ascents share the one of their base."""
    return METHOD_COLOURS.get(type(method.kin).__name__, BLACK)


def method_name(method: AbstractMethod) -> str:
    """A panel's title, such as "USAM, ρ = 0.05"."""
    return method.label


def system_name(system: Any) -> str:
    """A panel's title, such as "SAM, ρ = 0.3, η = 0.05": the method, and its step if any."""
    method = getattr(system, "method", None)
    name = type(system).__name__ if method is None else method_name(method)
    momentum = getattr(getattr(system, "momentum", None), "heavy_ball", None)
    for sign, value in (("η", getattr(system, "learning_rate", None)), ("γ", momentum)):
        if isinstance(value, SupportsFloat) and np.ndim(value) == 0 and float(value):  # pyright: ignore
            name += f", {sign} = {float(value):g}"
    return name


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
    place = ax.get_subplotspec()
    if place is None or place.is_last_row():
        ax.set_xlabel(names[0])
    if place is None or place.is_first_col():
        ax.set_ylabel(names[1])


def point_text(w: np.ndarray) -> str:
    """(x, y, …) in three digits."""
    shown = [f"{x + 0.0:.3g}".replace("-", "−") for x in np.round(np.asarray(w), 9)[:3]]
    return "(" + ", ".join(shown) + (", …)" if len(w) > 3 else ")")


def require_plane(dim: int, what: str, hint: str = "") -> None:
    """`InvalidInput`, ending in `hint`, unless `dim` is 2."""
    if dim != 2:
        raise InvalidInput(f"{what} can be drawn for losses of 2 dimensions only, not {dim}.{hint}")
