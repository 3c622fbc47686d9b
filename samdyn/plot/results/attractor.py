"""The orbit diagram: what a start settles on over a parameter, with Lyapunov exponents below."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...results.drawing import drawer
from ..drawing import Key, drawing, given_axes, sorted_options
from ..style import ALARM, BLACK, BLUE, axis_name, looks, new_figure, small, styled, thick

WIDTH = 5.4  # inches
LOWEST = -3.0  # the lowest exponent that is drawn
LABELS = {"rho": "ρ", "learning_rate": "η"}


def _label(diagram: Any) -> str:
    return LABELS.get(diagram.parameter) or diagram.parameter


@drawer("OrbitDiagram", house=True)
@drawing(WIDTH, 2.6)
def draw_orbit_diagram(diagram: Any, ax: Axes, axis: int = 0, **style: Any) -> Key:
    """Coordinate `axis` of the last points of each run against the parameter.

    `diagram` is what `samdyn.attractor` returns; `style` is that of the points.
    """
    values = np.asarray(diagram.values)
    points = np.asarray(diagram.points)[..., axis]
    look = looks(
        {"color": BLACK, "ls": "none", "marker": ",", "alpha": 0.25, "gid": "orbits"}, style
    )
    across = np.repeat(values, points.shape[1])
    ax.plot(across, points.ravel(), rasterized=True, **look)
    if len(values) > 1:
        ax.set_xlim(float(values[0]), float(values[-1]))
    ax.set_xlabel(_label(diagram))
    ax.set_ylabel(axis_name(axis, np.asarray(diagram.points).shape[-1]))
    return Key()


@drawing(WIDTH, 2.0)
def draw_exponents(diagram: Any, ax: Axes, **style: Any) -> Key:
    """The exponents against the parameter: where the largest is positive runs are chaotic.

    Bands are two standard errors. `style` is that of the lines.
    """
    values, rates = np.asarray(diagram.values), np.asarray(diagram.exponents)
    ax.axhline(0, color=BLACK, lw=thick(0.6), zorder=0, gid="zero")
    for k in range(rates.shape[1]):
        rate, error = rates[:, k], np.asarray(diagram.errors)[:, k]
        rate = np.where(np.isfinite(rate), rate, np.nan)
        look = looks(
            {"color": BLUE, "lw": thick(0.8), "alpha": 1 if k == 0 else 0.5, "gid": "exponent"},
            style,
        )
        ax.plot(values, rate, **look)
        band: dict[str, Any] = {"color": look["color"], "alpha": 0.25, "lw": 0, "gid": "band"}
        ax.fill_between(values, rate - error, rate + error, **band)
        if k == 0 and np.any(diagram.chaotic):
            above = np.where(np.asarray(diagram.chaotic), rate, np.nan)
            ax.plot(values, above, color=ALARM, lw=thick(0.8), label="chaotic", gid="chaotic")
    known = rates[np.isfinite(rates)]
    if known.size:  # superstable orbits go down to minus infinity
        ax.set_ylim(bottom=max(float(np.min(known)), LOWEST))
    if len(values) > 1:
        ax.set_xlim(float(values[0]), float(values[-1]))
    ax.set_xlabel(_label(diagram))
    ax.set_ylabel("exponent, 1/step")
    return Key(inside=True)


@styled
def plot_attractor(
    diagrams: Any, axis: int = 0, titles: Any = (), ax: Any = None, **style: Any
) -> Figure:
    """Orbit diagrams above, their exponents below; several diagrams side by side.

    `style` is that of the points above; `figsize`, `legend` and what `Axes.set` takes as well.
    `ax` has axes for all diagrams, then axes for the exponents of each.
    """
    options = sorted_options(style)
    several = list(diagrams) if isinstance(diagrams, list | tuple) else [diagrams]
    count = len(several)
    if ax is None:
        axes = new_figure(
            count, 2, width=WIDTH / max(1, count - 0.6), height=2.0, share=False,
            figsize=options.figsize,
        )[1]  # fmt: skip
    else:
        axes = np.asarray(given_axes(ax, 2 * count, "panels"), dtype=object).reshape(2, count)
    for column, diagram in enumerate(several):
        top, bottom = axes[0, column], axes[1, column]
        draw_orbit_diagram(diagram, top, axis, **options.style)
        draw_exponents(diagram, bottom, legend=options.legend)
        bottom.sharex(top)
        top.tick_params(labelbottom=False)
        top.set_xlabel("")
        if column < len(titles):
            top.set_title(titles[column], fontsize=small(1))
        if column:
            for ax, first in ((top, axes[0, 0]), (bottom, axes[1, 0])):
                ax.sharey(first)
                ax.set_ylabel("")
    for panel in axes.flat:
        panel.set(**options.axes)
    return axes[0, 0].get_figure(root=True)
