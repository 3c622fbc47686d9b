"""Test accuracy of trained networks against momentum: a line per radius, a panel per batch size."""

from typing import TYPE_CHECKING, Any

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes

from ... import catalogue
from ...dynamics.methods.names import named_method
from ...errors import InvalidInput
from ...results.drawing import drawer
from ..drawing import (
    Key,
    Options,
    add_figure_legend,
    add_legend,
    as_axes,
    drawn_into,
    sorted_options,
)
from ..style import BLACK, columns_of, looks, method_colour, new_figure, styled, thick

if TYPE_CHECKING:
    from ...networks.studying.study_result import Study

MARKERS = "osD^vPX<>"
WIDTH, HEIGHT, COLUMNS = 2.5, 2.3, 4


@drawer("Study", house=True)
@styled
def draw_study(result: "Study", ax: Axes | None = None, **style: Any) -> Axes:
    """The mean over seeds, with bars from the worst to the best seed.

    Momentum γ stands at 1/(1 − γ) on a logarithmic scale: the total step of one gradient. Runs
    that diverged are left out; where all seeds did, the line has a gap.

    A panel for each batch size: the first is returned, its `figure` is the picture. Into `ax` a
    study of one batch size is drawn. `style` is that of every line.
    """
    options = sorted_options(style)
    if ax is None:
        return _figure_of(result, options)
    sizes = result.axis("batch_size")
    if len(sizes) != 1:
        raise InvalidInput(
            f"one panel shows one batch size, not {len(sizes)}: plot "
            "study.select(batch_size=…), or the whole study without axes."
        )
    with drawn_into(as_axes(ax), options, "study"):
        _panel(ax, result, 100 * result.table()[:, 0], f"batch size {sizes[0]}", options.style)
        ax.set_ylabel("test accuracy (%)")
    add_legend(ax, Key(), options.legend, own=False)
    return ax


def _figure_of(result: "Study", options: Options) -> Axes:
    """All panels, with one legend; the first of them."""
    sizes = result.axis("batch_size")
    columns = min(COLUMNS, columns_of(max(1, len(sizes))))
    rows = max(1, -(-len(sizes) // columns))
    width = WIDTH + 1 if columns == 1 else WIDTH
    size: dict[str, Any] = {"width": width, "height": HEIGHT, "figsize": options.figsize}
    figure, axes = new_figure(columns, rows, **size, returned=False)
    values = 100 * result.table() if result.rows else np.zeros((0, 0, 0, 0))
    for index, size in enumerate(sizes):
        with drawn_into(axes.flat[index], options, "study"):
            name = f"batch size {size}"
            _panel(axes.flat[index], result, values[:, index], name, options.style)
    for ax in axes.flat[len(sizes) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("test accuracy (%)\nmean, worst and best seed")
    add_figure_legend(figure, list(axes.flat[: len(sizes)]), options.legend)
    return axes[0, 0]


def _panel(
    ax: Axes, result: "Study", values: np.ndarray, title: str, style: dict[str, Any]
) -> None:
    """One batch size, from values (series, momenta, seeds)."""
    momenta = np.array(result.axis("momentum"))
    order = np.argsort(momenta)
    for index, entry in enumerate(_entries(result)):
        x = 1.03 ** (index - (len(values) - 1) / 2) / (1 - momenta[order])  # bars side by side
        _line(
            ax,
            x,
            values[index][order],
            looks({"ls": "-", "ms": 4.5, "gid": "series", **entry}, style),
        )
    ax.set_xscale("log")
    ax.set_xticks(1 / (1 - momenta[order]), [f"{gamma:g}" for gamma in momenta[order]])
    ax.minorticks_off()
    ax.set_xlabel("momentum γ")
    ax.set_title(title)


def _line(ax: Axes, x: np.ndarray, values: np.ndarray, look: dict[str, Any]) -> None:
    known = np.isfinite(values)
    count = np.sum(known, axis=1)
    mean = np.sum(np.where(known, values, 0), axis=1) / np.where(count > 0, count, np.nan)
    low = mean - np.min(np.where(known, values, np.inf), axis=1)
    high = np.max(np.where(known, values, -np.inf), axis=1) - mean
    bars = np.where(count > 0, np.stack([low, high]), 0.0)
    colour = look["color"]
    bar: dict[str, Any] = {
        "fmt": "none",
        "ecolor": colour,
        "elinewidth": thick(0.8),
        "capsize": 1.5,
    }
    ax.errorbar(x, mean, np.maximum(bars, 0), **bar)
    ax.plot(x, mean, **look)


def _entries(result: "Study") -> list[dict[str, Any]]:
    """Colour, marker and label of each (method, rho): larger radii are darker."""
    looks, radii = [], {}
    for method, rho in result.series:
        radii.setdefault(method, []).append(rho)
    for method, rho in result.series:
        base = _colour(method)
        rank = sorted(radii[method]).index(rho)
        shown = method.upper() if method in catalogue.METHODS else method
        label = shown if method == "gd" else f"{shown}, ρ = {rho:g}"
        share = (rank + 1) / len(radii[method]) if len(radii[method]) > 1 else 0.5
        marker = "*" if method == "gd" else MARKERS[rank % len(MARKERS)]
        looks.append({"color": _shade(base, share), "marker": marker, "label": label})
    return looks


def _colour(method: str) -> str:
    """That of a registered method; black for anyone's own."""
    try:
        return method_colour(named_method(method, 0.0))
    except InvalidInput:
        return BLACK


def _shade(colour: str, share: float) -> tuple[float, ...]:
    """From a light tint (share → 0) over the colour itself (½) to a dark shade (1)."""
    pure = np.array(matplotlib.colors.to_rgb(colour))
    if share <= 0.5:
        return tuple(1 - (1 - pure) * (0.35 + 1.3 * share))
    return tuple(pure * (1 - 0.9 * (share - 0.5)))
