"""The orbit diagram: what a start settles on over a parameter, with Lyapunov exponents below."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...results.drawing import drawer
from ..style import BLACK, BLUE, VERMILION, axis_name, looks, new_figure, styled

WIDTH = 5.4  # inches
LOWEST = -3.0  # the lowest exponent that is drawn
LABELS = {"rho": "ρ", "learning_rate": "η"}


def _label(diagram: Any) -> str:
    return LABELS.get(diagram.parameter) or diagram.parameter


@drawer("OrbitDiagram", house=True)
@styled
def draw_orbit_diagram(diagram: Any, ax: Axes | None = None, axis: int = 0, **style: Any) -> Axes:
    """Coordinate `axis` of the last points of each run against the parameter.

    `diagram` is what `samdyn.attractor` returns; `style` is that of the points.
    """
    ax = ax or new_figure(width=WIDTH, height=2.6)[1][0, 0]
    values = np.asarray(diagram.values)
    points = np.asarray(diagram.points)[..., axis]
    look = looks({"color": BLACK, "ls": "none", "marker": ",", "alpha": 0.25}, style)
    across = np.repeat(values, points.shape[1])
    ax.plot(across, points.ravel(), rasterized=True, **look)
    if len(values) > 1:
        ax.set_xlim(float(values[0]), float(values[-1]))
    ax.set_xlabel(_label(diagram))
    ax.set_ylabel(axis_name(axis, np.asarray(diagram.points).shape[-1]))
    return ax


@styled
def draw_exponents(diagram: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The exponents against the parameter: where the largest is positive runs are chaotic.

    Bands are two standard errors. `style` is that of the lines.
    """
    ax = ax or new_figure(width=WIDTH, height=2.0)[1][0, 0]
    values, rates = np.asarray(diagram.values), np.asarray(diagram.exponents)
    ax.axhline(0, color=BLACK, lw=0.6, zorder=0)
    for k in range(rates.shape[1]):
        rate, error = rates[:, k], np.asarray(diagram.errors)[:, k]
        rate = np.where(np.isfinite(rate), rate, np.nan)
        look = looks({"color": BLUE, "lw": 0.8, "alpha": 1 if k == 0 else 0.5}, style)
        ax.plot(values, rate, **look)
        ax.fill_between(values, rate - error, rate + error, color=look["color"], alpha=0.25, lw=0)
        if k == 0 and np.any(diagram.chaotic):
            above = np.where(np.asarray(diagram.chaotic), rate, np.nan)
            ax.plot(values, above, color=VERMILION, lw=0.8, label="chaotic")
            ax.legend(loc="lower right")
    known = rates[np.isfinite(rates)]
    if known.size:  # superstable orbits go down to minus infinity
        ax.set_ylim(bottom=max(float(np.min(known)), LOWEST))
    if len(values) > 1:
        ax.set_xlim(float(values[0]), float(values[-1]))
    ax.set_xlabel(_label(diagram))
    ax.set_ylabel("exponent, 1/step")
    return ax


@styled
def plot_attractor(diagrams: Any, axis: int = 0, titles: Any = ()) -> Figure:
    """Orbit diagrams above, their exponents below; several diagrams side by side."""
    several = list(diagrams) if isinstance(diagrams, list | tuple) else [diagrams]
    count = len(several)
    figure, axes = new_figure(count, 2, width=WIDTH / max(1, count - 0.6), height=2.0, share=False)
    for column, diagram in enumerate(several):
        top, bottom = axes[0, column], axes[1, column]
        draw_orbit_diagram(diagram, top, axis)
        draw_exponents(diagram, bottom)
        bottom.sharex(top)
        top.tick_params(labelbottom=False)
        top.set_xlabel("")
        if column < len(titles):
            top.set_title(titles[column], fontsize=8)
        if column:
            for ax, first in ((top, axes[0, 0]), (bottom, axes[1, 0])):
                ax.sharey(first)
                ax.set_ylabel("")
    return figure
