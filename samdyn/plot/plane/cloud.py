"""A cloud: where many noisy runs are at one time, over contours of the loss."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ...errors import InvalidInput
from ..drawing import Key, drawing
from ..style import BLUE, frame, looks, panel_height, small, thick
from .fields import draw_contours

MANY = 400  # points from which on an SVG holds them as an image


def draw_cloud(
    points: Any,
    loss: Callable,
    box: Any,
    ax: Axes | None = None,
    *,
    paths: Sequence[Any] = (),
    colour: str = BLUE,
    label: str | None = None,
    **style: Any,
) -> Axes:
    """The end points (n, 2) of n runs over contours of `loss` in `box` (2, 2).

    `paths`, each (m, 2), are drawn as thin lines below the points. What lies outside the box or
    is not finite is counted in a corner, not dropped in silence. Several clouds may share `ax`:
    contours are drawn by the first. `style` is that of the points.
    """
    points, box = np.asarray(points, float), np.asarray(box, float)
    if points.ndim != 2 or points.shape[1:] != (2,) or box.shape != (2, 2):
        raise InvalidInput(
            f"a cloud is drawn from points (n, 2) in a box (2, 2), not {points.shape}, {box.shape}."
        )
    what = _Cloud(points, loss, box, tuple(paths))
    return _draw(what, ax, **{"color": colour, "label": label, **style})


class _Cloud(NamedTuple):
    points: np.ndarray
    loss: Callable
    box: np.ndarray
    paths: tuple[Any, ...]


@drawing(height=lambda cloud: panel_height(cloud.box))
def _draw(cloud: _Cloud, ax: Axes, *, label: str | None = None, **style: Any) -> Key | None:
    house: dict[str, Any] = {"mew": 0, "alpha": _opacity(len(cloud.points)), "ls": "none"}
    house |= {"marker": "o", "ms": 2.6, "zorder": 4, "gid": "points"}
    house |= {"rasterized": len(cloud.points) > MANY}
    look = looks(house, style)
    if not any(part.get_gid() == "loss" for part in ax.collections):
        draw_contours(ax, cloud.loss, cloud.box)
    thin: dict[str, Any] = {"color": look["color"], "lw": thick(0.5), "alpha": 0.55, "zorder": 3}
    for path in cloud.paths:
        ax.plot(*np.asarray(path, float).T, gid="path", **thin)
    ax.plot(*cloud.points.T, **look)
    if label is not None:
        known = {"ms": 3.5, "mew": 0, "color": look["color"], "label": label}
        ax.plot([], [], "o", gid="points", **known)
    frame(ax, cloud.box)
    _tell_absent(ax, cloud.points, cloud.box)
    return Key()


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
            fontsize=small(), zorder=10, gid="absent",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
