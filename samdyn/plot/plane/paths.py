"""Paths in a panel: cut at its box, with a mark where they leave it, and arrows w → wᵖ."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from ...dynamics.plane import Plane
from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from ..style import ASCENT, GREY, looks, thick

ARROWS = 5  # w → wᵖ along a trajectory
HALO = [withStroke(linewidth=3.2, foreground="white")]
NEAR = 5e-3  # of a side: a path that ends so near to a fixed point rests there
RING = 9.5  # points: the mark of an end that is seen around that of a fixed point
BORDER = 1e-6  # of a side: what counts as lying on it


def is_inside(points: np.ndarray, box: np.ndarray) -> Any:
    """Whether each of the points (…, 2) lies in the box (2, 2), its border included."""
    return np.all((points >= box[:, 0]) & (points <= box[:, 1]), axis=-1)


def cut(path: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The parts of a path (n, 2) inside `box` (2, 2), one row of nan between two of them.

    Every segment is cut where it meets the border (Liang and Barsky 1984): a path is drawn no
    farther, however far it goes, and rows that are not finite interrupt it.
    """
    begin, end = path[:-1], path[1:]
    with np.errstate(all="ignore"):  # 0/0 along an axis, and numbers as large as they come
        along = end - begin
        low, high = ((side - begin) / along for side in box.T)
        still = along == 0  # inside all along, or never
        within = (begin >= box[:, 0]) & (begin <= box[:, 1])
        low = np.where(still, np.where(within, -np.inf, np.inf), low)
        high = np.where(still, np.inf, high)
        first = np.max(np.minimum(low, high), axis=1, initial=0.0)
        last = np.min(np.maximum(low, high), axis=1, initial=1.0)
    kept = np.flatnonzero((first <= last) & np.all(np.isfinite(along), axis=1))
    if not len(kept):
        return path[:1]
    first, last, begin, along = first[kept], last[kept], begin[kept], along[kept]
    enters, leaves = begin + first[:, None] * along, begin + last[:, None] * along
    joined = (last[:-1] == 1) & (first[1:] == 0) & (np.diff(kept) == 1)
    breaks = np.flatnonzero(~joined) + 1
    gap = np.full((1, 2), np.nan)
    parts = []
    for part in np.split(np.arange(len(kept)), breaks):
        parts += [enters[part[:1]], leaves[part], gap]
    return np.concatenate(parts[:-1])


def draw_path(
    ax: Axes,
    path: np.ndarray,
    box: np.ndarray,
    style: dict[str, Any],
    stepwise: bool,
    joined: bool = True,
    rests: np.ndarray | None = None,
) -> None:
    """A path (n, 2) from its start ■: a line, with a dot a step if it is of steps, and then no line
    unless `joined`, as the steps of a map that follows no flow lead anywhere.

    How it ends is marked; `rests` (m, 2) are places at which it may have come to rest.
    """
    shown = cut(path, box)
    look: dict[str, Any] = {"zorder": 6, "gid": "trajectory"}
    if stepwise:
        look |= {"lw": thick(0.8), "ls": "-" if joined else "none"}
        look, name = looks(look, style), "steps from ■"
        dots: dict[str, Any] = {"ls": "none", "marker": ".", "ms": 3, "color": look["color"]}
        ax.plot(*path[is_inside(path, box)].T, zorder=6, gid="step", **dots)
        known = {"marker": ".", "ms": 3, "lw": look["linewidth"]}
    else:
        look = looks(look | {"lw": thick(2.0), "path_effects": HALO}, style)
        known, name = {"lw": look["linewidth"]}, "trajectory from ■"
    name, colour = look.pop("label", name), look["color"]
    grey = colour if "color" in style and "label" in style else GREY
    ax.plot([], [], color=grey, label=name, zorder=6, gid="trajectory", **known)
    ax.plot(*shown.T, **look)
    start: dict[str, Any] = {"mfc": colour, "mec": "white", "mew": 0.7, "zorder": 9}
    ax.plot(*path[0], "s", ms=4.5, clip_on=False, gid="start", **start)
    _mark_end(ax, path, shown, box, colour, rests)


def _at_rest(path: np.ndarray, box: np.ndarray, rests: np.ndarray | None) -> bool:
    """Whether it ends at one of the places `rests`, or has not moved for its last tenth."""
    size = box[:, 1] - box[:, 0]
    if rests is not None and len(rests):
        gaps = np.max(np.abs(rests - path[-1]) / size, axis=1)
        if np.min(gaps) <= NEAR:
            return True
    last = path[-max(2, len(path) // 10) :]
    return bool(np.all(np.ptp(last, axis=0) <= BORDER * size))


def _mark_end(ax: Axes, path, shown, box, colour: str, rests: np.ndarray | None) -> None:
    """A triangle that points outwards where the path leaves for good, ✖ where w is lost, ● where
    it rests, ○ where it was still on its way when it was stopped."""
    if not np.all(np.isfinite(path[-1])) and is_inside(path[-2:-1], box).all():
        _draw_end(ax, shown[-1], "x", colour, "diverges")
        return
    width = box[:, 1] - box[:, 0]
    beyond = (shown[-1][:, None] - box) / width[:, None] * [-1, 1]  # ≥ 0 on the border
    outside = not is_inside(path[-1:], box).all()
    if outside or (len(path) > 1 and np.max(beyond) >= -BORDER):
        side = int(np.argmax(beyond))  # left, right, below, above
        _draw_end(ax, shown[-1], "<>v^"[side], colour, "leaves the box")
    elif _at_rest(path, box, rests):
        _draw_end(ax, shown[-1], "o", colour, "comes to rest")
    else:
        _draw_end(ax, shown[-1], "o", colour, "still moving at the end", fill="white")


def _draw_end(
    ax: Axes, at: np.ndarray, marker: str, colour: str, label: str, fill: str | None = None
) -> None:
    edged = marker == "x" or fill is not None
    # a mark of rest is wider than that of the fixed point, which lies on it
    size = {"x": 6.5, "o": RING}.get(marker, 6.5)
    style: dict[str, Any] = {"mew": 1.4 if edged else 0.6, "ls": "none", "gid": "end"}
    edge = {"mec": colour if edged else "white", "mfc": fill or colour, "zorder": 9}
    ax.plot(*at, marker=marker, ms=size, clip_on=False, **edge, **style)
    shown = ">" if marker in "<>v^" else marker
    known = {"mec": GREY if edged else "white", "mfc": fill or GREY, "zorder": 7, "label": label}
    ax.plot([], [], marker=shown, ms=size - 1.5, **known, **style)


def draw_ascents(
    ax: Axes, flow: AbstractODE, path: np.ndarray, box: np.ndarray, plane: Plane | None = None
) -> None:
    """Arrows w → wᵖ at a few points spread evenly over the length of a path (n, d) in the box."""
    project = np.asarray if plane is None else plane.project
    path = path[is_inside(project(path), box)]
    if not flow.ascends or len(path) < 2:
        return
    steps = np.linalg.norm(np.diff(project(path), axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    # in the middles of equal parts: the very start is marked already, at the end it slides
    where = np.searchsorted(length, (np.arange(ARROWS) + 0.5) / ARROWS * length[-1])
    points = path[np.unique(where)]
    ahead = OnPoints(flow.perturbed, points.shape[1]).values(points)
    shortest = 0.01 * float(np.max(box[:, 1] - box[:, 0]))
    for w, wp in zip(project(points), project(ahead), strict=True):
        if np.all(np.isfinite(wp)) and shortest < np.max(np.abs(wp - w)):
            _draw_arrow(ax, w, wp, box)


def _draw_arrow(ax: Axes, w: np.ndarray, wp: np.ndarray, box: np.ndarray) -> None:
    """The arrow, or the part of it inside the box, without a head."""
    style: dict[str, Any] = {"color": ASCENT, "lw": thick(0.9), "zorder": 8, "gid": "ascent"}
    if is_inside(wp, box):
        arrow = FancyArrowPatch(
            (float(w[0]), float(w[1])), (float(wp[0]), float(wp[1])), arrowstyle="-|>",
            mutation_scale=6, shrinkA=0, shrinkB=0, **style,
        )  # fmt: skip
        ax.add_patch(arrow)
    else:
        ax.plot(*cut(np.stack([w, wp]), box).T, **style)
    known = {**style, "zorder": 7, "marker": ">", "ms": 3}
    ax.plot([], [], label="w → wᵖ, to scale", **known)
