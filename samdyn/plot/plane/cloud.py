"""A cloud: where many noisy runs are at one time, over contours of the loss."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...errors import InvalidInput
from ..style import BLUE, frame, new_figure, panel_height, styled
from .fields import draw_contours

MANY = 400  # points from which on an SVG holds them as an image


@styled
def draw_cloud(
    points: Any,
    loss: Callable,
    box: Any,
    ax: Axes | None = None,
    *,
    paths: Sequence[Any] = (),
    colour: str = BLUE,
    label: str | None = None,
) -> Axes:
    """The end points (n, 2) of n runs over contours of `loss` in `box` (2, 2).

    `paths`, each (m, 2), are drawn as thin lines below the points. What lies outside the box or
    is not finite is counted in a corner, not dropped in silence. Several clouds may share `ax`:
    contours are drawn by the first.
    """
    points, box = np.asarray(points, float), np.asarray(box, float)
    if points.ndim != 2 or points.shape[1:] != (2,) or box.shape != (2, 2):
        raise InvalidInput(
            f"a cloud is drawn from points (n, 2) in a box (2, 2), not {points.shape}, {box.shape}."
        )
    ax = ax or new_figure(height=panel_height(box))[1][0, 0]
    if not ax.collections:
        draw_contours(ax, loss, box)
    for path in paths:
        ax.plot(*np.asarray(path, float).T, color=colour, lw=0.5, alpha=0.55, zorder=3)
    style: dict[str, Any] = {"mew": 0, "alpha": _opacity(len(points)), "ls": "none", "zorder": 4}
    ax.plot(*points.T, "o", ms=2.6, color=colour, rasterized=len(points) > MANY, **style)
    if label is not None:
        ax.plot([], [], "o", ms=3.5, mew=0, color=colour, label=label)
    frame(ax, box)
    _tell_absent(ax, points, box)
    return ax


def _opacity(count: int) -> float:
    """Less for many points, so that a crowd is darker than its fringe."""
    return float(np.clip(20 / np.sqrt(max(count, 1)), 0.25, 0.8))


def _tell_absent(ax: Axes, points: np.ndarray, box: np.ndarray) -> None:
    finite = np.all(np.isfinite(points), axis=1)
    inside = np.all((points >= box[:, 0]) & (points <= box[:, 1]), axis=1)
    counts = {"outside": np.sum(finite & ~inside), "diverged": np.sum(~finite)}
    told = [f"{count} {name}" for name, count in counts.items() if count]
    if told:
        ax.text(
            0.98, 0.02, ", ".join(told), transform=ax.transAxes, ha="right", va="bottom",
            fontsize=7.5, zorder=10,
        )  # fmt: skip
