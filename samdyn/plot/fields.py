"""A loss and a flow over a box in the plane: contours, streamlines, nullclines."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..dynamics.flow import Flow
from .style import FAINT, PURPLE

COARSE, FINE = 96, 320  # points a side: for streamlines, and for contours
LEVELS = 14
# A zero contour is interpolated between neighbours on the grid. It is kept where the component,
# evaluated on it, is smaller than this part of what it is at those neighbours.
CONFIRMED = 0.25
NULLCLINES = (("ẋ = 0", (0, (4, 1.5))), ("ẏ = 0", (0, (1, 1.2))))


def sample(function: Callable, box: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """(x (n,), y (n,), values (n, n, …)) of `function` of w (2,); values are indexed [y, x]."""
    x, y = (np.linspace(low, high, n) for low, high in box)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = np.asarray(_evaluate(function, jnp.asarray(points)))
    return x, y, np.where(np.isfinite(values), values, np.nan).reshape(n, n, *values.shape[1:])


@eqx.filter_jit
def _evaluate(function: Callable, points):
    return jax.vmap(function)(points)


def contour_levels(values: np.ndarray) -> np.ndarray:
    """Levels at quantiles of the loss over the box, crowded where it is low.

    A steep corner then takes no more than its share, and a valley keeps its lines.
    """
    shares = np.linspace(0.06, 0.99, LEVELS) ** 2
    return np.unique(np.nanquantile(values, shares))


def draw_contours(ax: Axes, loss: Callable, box: np.ndarray) -> None:
    """Faint contours of the loss, for orientation."""
    x, y, values = sample(loss, box, FINE)
    style: dict[str, Any] = {"colors": FAINT, "linewidths": 0.5, "linestyles": "solid"}
    ax.contour(x, y, values, levels=contour_levels(values), zorder=1, **style)


def draw_streamlines(ax: Axes, flow: Flow, box: np.ndarray, colour: str) -> None:
    """Which way the flow goes; lines are spaced evenly and say nothing about speed."""
    x, y, field = sample(flow.field, box, COARSE)
    # directions only: speeds over six decades would defeat the step control of the drawing
    speed = np.linalg.norm(field, axis=-1)
    unit = np.ma.masked_invalid(field / np.where(speed > 0, speed, 1)[..., None])
    lines = ax.streamplot(
        x, y, unit[..., 0], unit[..., 1], color=colour, linewidth=0.5, density=1.1, arrowsize=0.6,
        zorder=2, broken_streamlines=True,
    )  # fmt: skip
    lines.lines.set_alpha(0.55)


def nullclines(flow: Flow, box: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Curves (n, 2) where the velocity's x component is 0, and those where its y component is.

    Where the field jumps, or turns faster than the grid can tell, its sign changes without a
    zero: those parts of the contours are left out.
    """
    x, y, field = sample(flow.field, box, FINE)
    lines = [_zero_contour(x, y, field[..., k]) for k in (0, 1)]
    first, second = (
        [part for line in lines[k] for part in _confirmed(flow, k, line, x, y, field)]
        for k in (0, 1)
    )
    return first, second


def _zero_contour(x, y, values) -> list[np.ndarray]:
    import contourpy  # comes with matplotlib

    return contourpy.contour_generator(x, y, np.ma.masked_invalid(values)).lines(0.0)  # pyright: ignore


def _confirmed(flow: Flow, component: int, line, x, y, field) -> list[np.ndarray]:
    """The parts of a zero contour on which the component really is small."""
    here = np.abs(np.asarray(_evaluate(flow.field, jnp.asarray(line)))[:, component])
    column = np.clip(np.searchsorted(x, line[:, 0]) - 1, 0, len(x) - 2)
    row = np.clip(np.searchsorted(y, line[:, 1]) - 1, 0, len(y) - 2)
    corners = [np.abs(field[row + i, column + j, component]) for i in (0, 1) for j in (0, 1)]
    small = here <= CONFIRMED * np.max(corners, axis=0)
    breaks = np.flatnonzero(np.diff(small.astype(int))) + 1
    parts = np.split(line, breaks)
    keep = np.split(small, breaks)
    return [part for part, ok in zip(parts, keep, strict=True) if ok[0] and len(part) > 1]


def draw_nullclines(ax: Axes, flow: Flow, box: np.ndarray) -> None:
    """Both nullclines, told apart by their dashes."""
    for curves, (label, dashes) in zip(nullclines(flow, box), NULLCLINES, strict=True):
        joined = np.concatenate([[[np.nan, np.nan]], *_with_gaps(curves)])
        ax.add_line(
            Line2D(*joined.T, color=PURPLE, linestyle=dashes, linewidth=1.6, zorder=3, label=label)
        )


def _with_gaps(curves: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate([curve, [[np.nan, np.nan]]]) for curve in curves]
