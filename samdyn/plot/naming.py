"""Names written beside their curves, where the panel is empty: a legend that takes no room."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from .style import legible, small

PLACES = 40  # along a curve that are tried, on both sides of it
GAP = 2.5  # points between a curve and its name
ALIGNED = {"center": 0.0, "right": -0.5, "left": 0.5}  # where the name's middle is, in widths
LETTER = 0.6  # of the font's size: the width of a letter
DENSE = 400  # points to which every curve is refined


class Curve(NamedTuple):
    """x (n,), y (n,), nan where there is none; without a name it is only kept clear."""

    x: np.ndarray
    y: np.ndarray
    name: str | None
    colour: Any


def name_curves(ax: Axes, curves: Sequence[Curve], verticals: Sequence[float] = ()) -> None:
    """Write the name of every curve that has one beside it, clear of curves and other names.

    Clear of vertical lines at `verticals` as well. The limits and scales of `ax` must be those of
    the figure.
    """
    if not curves:
        return
    lines = [_in_panel(ax, curve) for curve in curves]
    panel = ax.transScale + ax.transLimits
    bars = [panel.transform((x, ax.get_ylim()[0]))[0] for x in verticals]
    heights = np.linspace(0, 1, DENSE // 4)
    crowd = np.concatenate(
        [*lines, *(np.stack([np.full_like(heights, x), heights], axis=1) for x in bars)]
    )
    size = small(0.88)
    height = 1.25 * size / (ax.bbox.height / ax.get_figure(root=True).dpi * 72)  # pyright: ignore
    letter = LETTER * size / (ax.bbox.width / ax.get_figure(root=True).dpi * 72)  # pyright: ignore
    legend = ax.get_legend()
    covered = None if legend is None else legend.get_window_extent()
    taken = [] if covered is None else [ax.transAxes.inverted().transform(covered.get_points())]
    # those first that have the fewest places
    for curve, line in sorted(zip(curves, lines, strict=True), key=lambda pair: len(pair[1])):
        if curve.name is None or not len(line):
            continue
        box = np.array([letter * len(curve.name), height])
        at, align, side, rectangle = _best(line, box, crowd, taken)
        taken.append(rectangle)
        _write(ax, curve, at, (align, side), size)


def _in_panel(ax: Axes, curve: Curve) -> np.ndarray:
    """The curve's points (m, 2) in shares of the panel, those inside it."""
    points = np.stack([np.asarray(curve.x, float), np.asarray(curve.y, float)], axis=1)
    shares = (ax.transScale + ax.transLimits).transform(points)
    x = np.linspace(0, 1, DENSE)
    order = np.argsort(shares[:, 0])
    y = np.interp(x, shares[order, 0], shares[order, 1], left=np.nan, right=np.nan)
    return np.stack([x, y], axis=1)[(y >= 0) & (y <= 1)]


def _best(
    line: np.ndarray, box: np.ndarray, crowd: np.ndarray, taken: list[np.ndarray]
) -> tuple[np.ndarray, str, int, np.ndarray]:
    """(place on the line, how the name is aligned, 1 above or −1 below it, its rectangle)."""
    found: Any = None
    for at in line[np.unique(np.linspace(0, len(line) - 1, PLACES).astype(int))]:
        for side, (align, share) in itertools.product((1, -1), ALIGNED.items()):
            middle = at + box * np.array([share, 0.75 * side])
            rectangle = np.stack([middle - box / 2, middle + box / 2])
            covered = np.all((crowd >= rectangle[0]) & (crowd <= rectangle[1]), axis=1)
            cost = float(np.sum(covered)) + abs(float(at[0]) - 0.5) + abs(share)
            cost += 200 * sum(_overlap(rectangle, other) for other in taken)
            cost += 1000 * bool(np.any(rectangle[0] < 0.01) or np.any(rectangle[1] > 0.99))
            if found is None or cost < found[0]:
                found = (cost, at, align, side, rectangle)
    return found[1:]


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.all(one[0] < other[1]) and np.all(other[0] < one[1]))


def _write(ax: Axes, curve: Curve, at: np.ndarray, where: tuple[str, int], size: float) -> None:
    align, side = where
    place = (ax.transScale + ax.transLimits).inverted().transform(at)
    halo = [withStroke(linewidth=2.0, foreground="white")]
    look: dict[str, Any] = {"color": legible(curve.colour, 4.5), "fontsize": size, "zorder": 6}
    look |= {"ha": align, "va": "bottom" if side > 0 else "top", "path_effects": halo}
    ax.annotate(
        str(curve.name), (float(place[0]), float(place[1])), xytext=(0, side * GAP),
        textcoords="offset points", gid="name", annotation_clip=True, **look,
    )  # fmt: skip
