"""A loss and a flow over a box in the plane: contours, streamlines, nullclines."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...dynamics.systems.defined import where_defined
from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from ..style import FAINT, NULLCLINE, legible, thick
from .zeros import zero_contours

COARSE, FINE = 96, 320  # points a side: for streamlines, and for contours
LEVELS = 14
NULLCLINES = ("ẋ = 0", "ẏ = 0")
DASHES: tuple[Any, ...] = ((0, (4, 1.5)), (0, (1, 1.2)))


def sample(function: Callable, box: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """(x (n,), y (n,), values (n, n, …)) of `function` of w (2,); values are indexed [y, x]."""
    x, y = (np.linspace(low, high, n) for low, high in box)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = OnPoints(function, 2).values(points)
    return x, y, np.where(np.isfinite(values), values, np.nan).reshape(n, n, *values.shape[1:])


def _velocity(flow: Any) -> Callable:
    """What a flow, or one seen on a plane, does where its loss is finite: nothing moves elsewhere,
    though a derivative may exist."""
    if isinstance(flow, AbstractODE):
        return where_defined(flow, flow.velocity, ahead=True)
    return flow.velocity


def contour_levels(values: np.ndarray) -> np.ndarray:
    """Levels at quantiles of the loss over the box, crowded where it is low.

    A steep corner then takes no more than its share, and a valley keeps its lines.
    """
    shares = np.linspace(0.06, 0.99, LEVELS) ** 2
    return np.unique(np.nanquantile(values, shares))


def draw_contours(ax: Axes, loss: Callable, box: np.ndarray) -> None:
    """Faint contours of the loss, for orientation."""
    x, y, values = sample(loss, box, FINE)
    style: dict[str, Any] = {"colors": FAINT, "linewidths": thick(0.5), "linestyles": "solid"}
    lines = ax.contour(x, y, values, levels=contour_levels(values), zorder=1, **style)
    lines.set_gid("loss")


def draw_streamlines(ax: Axes, flow: Any, box: np.ndarray, colour: str) -> None:
    """Which way the flow goes; lines are spaced evenly and say nothing about speed.

    Thin lines of a light colour could not be read: they are of a darker shade.
    """
    x, y, field = sample(_velocity(flow), box, COARSE)
    # directions only: speeds over six decades would defeat the step control of the drawing
    speed = np.linalg.norm(field, axis=-1)
    unit = np.ma.masked_invalid(field / np.where(speed > 0, speed, 1)[..., None])
    before = set(ax.get_children())
    ax.streamplot(
        x, y, unit[..., 0], unit[..., 1], color=legible(colour), linewidth=thick(0.5),
        density=_density(ax), arrowsize=0.6, zorder=2, broken_streamlines=True,
    )  # fmt: skip
    for part in set(ax.get_children()) - before:  # arrows are not in what it returns
        part.set_gid("streamlines")


def _density(ax: Axes) -> float:
    """Of streamlines, as many an inch whatever the panel's width."""
    figure: Any = ax.get_figure(root=True)
    inches = ax.get_position().width * figure.get_figwidth()
    return float(np.clip(0.42 * inches, 0.6, 2.0))


def nullclines(flow: Any, box: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Curves (n, 2) where the velocity's x component is 0, and those where its y component is.

    `flow` has a `field` of the plane. Where that jumps or has a pole its sign changes without a
    zero: nothing is drawn there.
    """
    velocity = _velocity(flow)
    x, y, field = sample(velocity, box, FINE)
    first, second = (zero_contours(velocity, k, x, y, field[..., k]) for k in (0, 1))
    return first, second


def draw_nullclines(
    ax: Axes, flow: Any, box: np.ndarray, names: tuple[str, str] | None = None
) -> None:
    """Both nullclines, told apart by their dashes; `names` of the axes if they aren't x and y."""
    labels = NULLCLINES if names is None else [f"d{name}/dt = 0" for name in names]
    for curves, label, dashes in zip(nullclines(flow, box), labels, DASHES, strict=True):
        joined = np.concatenate([[[np.nan, np.nan]], *_with_gaps(curves)])
        look: dict[str, Any] = {"color": NULLCLINE, "linestyle": dashes, "zorder": 3}
        ax.add_line(Line2D(*joined.T, linewidth=thick(1.3), label=label, gid="nullcline", **look))


def _with_gaps(curves: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate([curve, [[np.nan, np.nan]]]) for curve in curves]
