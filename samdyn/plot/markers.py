"""The marks of fixed points, used by every figure.

Shape and fill say how the method behaves there: attractor ●, repeller ○, saddle ◐ with the
filled half along the attracting direction (two quarters where that isn't known), degenerate ◇,
hallucinated ✕ (filled if it attracts), a period-2 orbit as two linked rings, ? where no verdict
is known, ▷ where the step changes from step to step.
A square frame is a place where the proof is silent: undecided, whatever was found in it.
Vermilion is an alarm: it attracts without being a minimum. What it is instead stands inside the
mark: a bar at a saddle, an eye at a maximum. Grey is doubt.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.legend import Legend
from matplotlib.legend_handler import HandlerLine2D
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from ..attractors.finding.point import FIXED
from ..attractors.judging.directions import attracting_direction as attracting_direction
from ..attractors.stability_result import PointStability, Stability
from ..dynamics.plane import Plane
from ..precision import in_double
from ..results.drawing import drawer
from .drawing import Key, drawing
from .style import ALARM, BLACK, DOUBT, PANEL, require_plane, thick

ABOVE = 10  # zorder: marks lie on top of everything else
MOST_FRAMES = 16  # undecided boxes; more are a curve, and seen without


class Mark(NamedTuple):
    """`shape` is a key of `_SHAPES`; `filled` and `colour` complete it; `label` names it."""

    shape: str
    filled: bool
    colour: str
    label: str


def _disc(radius: float = 1.0, at: float = 0.0) -> Path:
    circle = Path.unit_circle()
    return Path(radius * circle.vertices + [at, 0], circle.codes)  # pyright: ignore


def _bar(length: float, width: float) -> Path:
    corners = [(-length, -width), (length, -width), (length, width), (-length, width)]
    return Path([*corners, corners[0]], closed=True)


def _with_hole(hole: Path) -> Path:
    """A disc without `hole`, whose outline runs the other way round."""
    return Path.make_compound_path(_disc(), _reversed(hole))


def _reversed(path: Path) -> Path:
    """The same closed outline the other way round, as a polygon."""
    polygon = np.asarray(path.to_polygons()[0])
    return Path(polygon[::-1], closed=True)


def _linked_rings(*inside: Path) -> Path:
    return Path.make_compound_path(_disc(0.62, -0.4), _disc(0.62, 0.4), *inside)


def _quarters() -> Path:
    """A ring with two opposite quarters filled."""
    quarters = (Path.wedge(0, 90), Path.wedge(180, 270))
    return Path.make_compound_path(_disc(), _reversed(_disc(0.8)), *quarters)


_SHAPES: dict[str, tuple[Any, float]] = {  # marker, size in points
    "circle": ("o", 6.5),
    "circle, saddle": (MarkerStyle(_with_hole(_bar(0.62, 0.2))), 8.0),
    "circle, maximum": (MarkerStyle(_with_hole(_disc(0.42))), 8.0),
    "quarters": (MarkerStyle(_quarters()), 8.0),
    "half": (MarkerStyle("o", "right"), 7.0),
    "diamond": ("D", 5.5),
    "cross": ("X", 7.0),
    "question": ("$?$", 8.0),
    "moving": (">", 6.5),
    "rings": (MarkerStyle(_linked_rings(), "none"), 12.0),
    "rings, saddle": (MarkerStyle(_linked_rings(_bar(0.9, 0.0)), "none"), 12.0),
    "rings, maximum": (MarkerStyle(_linked_rings(_disc(0.1)), "none"), 12.0),
}
_WHITE_EDGED, _HALOED = ("circle", "cross"), ("rings", "question")
_SOLID = ("question", "quarters")
_HOLED = ("circle, saddle", "circle, maximum", "quarters")


def mark_of(item: PointStability) -> Mark:
    """The mark of a fixed point: by the step's verdict where there is one, else by the flow's."""
    judged = item.main if item.step is None else item.step
    if item.point.kind == FIXED:  # without a loss there is no minimum, and nothing to warn of
        return _MARKS.get(judged.verdict, _UNKNOWN)
    if judged.orbit == "period-2":
        return attractor_mark(item.point.critical_type, "rings")
    if item.point.kind == "hallucinated" and judged.verdict in _MARKS:
        return hallucinated_mark(judged.verdict == "attractor")
    if judged.verdict == "attractor":
        return attractor_mark(item.point.critical_type)
    return _MARKS.get(judged.verdict, _UNKNOWN)


def attracting_mark(kind: str, critical_type: str | None) -> Mark:
    """The mark of a point of that kind at which paths end."""
    if kind == FIXED:
        return _MARKS["attractor"]
    return hallucinated_mark(True) if kind == "hallucinated" else attractor_mark(critical_type)


_MARKS = {
    "attractor": Mark("circle", True, BLACK, "attractor"),
    "repeller": Mark("circle", False, BLACK, "repeller"),
    "saddle": Mark("half", True, BLACK, "saddle, filled half attracts"),
    "degenerate": Mark("diamond", False, DOUBT, "degenerate"),
    "not a fixed map": Mark("moving", False, DOUBT, "not a fixed map"),
}
_UNKNOWN = Mark("question", True, BLACK, "unknown")
UNDIRECTED = Mark("quarters", True, BLACK, "saddle")  # where it isn't known what attracts


def attractor_mark(critical_type: str | None, shape: str = "circle") -> Mark:
    """The mark of what attracts ("circle") or of a period-2 orbit that does ("rings")."""
    what = {"circle": "attractor", "rings": "period-2 orbit"}[shape]
    if critical_type == "minimum":
        return Mark(shape, shape == "circle", BLACK, what)
    place = {None: "hallucinated point", "degenerate": "degenerate point"}.get(
        critical_type, critical_type
    )
    own = f"{shape}, {critical_type}"
    own = own if own in _SHAPES else shape
    return Mark(own, shape == "circle", ALARM, f"{what} at a {place}")


def hallucinated_mark(attracts: bool) -> Mark:
    """The mark of a point where the method stops although the gradient there is not zero."""
    if attracts:
        return Mark("cross", True, ALARM, "hallucinated, attracts")
    return Mark("cross", False, BLACK, "hallucinated, does not attract")


def draw_mark(
    ax: Axes, w: np.ndarray, mark: Mark, direction: np.ndarray | None = None, **style: Any
) -> Line2D:
    """Put `mark` at w (2,); `direction` (2,) is where a half-filled one points, in the data.

    `style` is set on the mark's line last.
    """
    marker, size = _SHAPES[mark.shape]
    edge = "white" if mark.filled and mark.shape.startswith(_WHITE_EDGED) else mark.colour
    line = _Pointing(
        [w[0]],
        [w[1]],
        linestyle="none",
        marker=marker,
        markersize=size,
        markerfacecolor=mark.colour if mark.filled else "white",
        markerfacecoloralt="white",
        markeredgecolor=edge,
        markeredgewidth=0.7 if edge == "white" else 0.2 if mark.shape in _SOLID else 1.1,
        zorder=ABOVE,
        label=mark.label,
        clip_on=False,
        gid="mark",
    )
    if mark.shape in _HOLED:  # what lies below must not show through
        below: dict[str, Any] = {"color": "white", "zorder": ABOVE, "clip_on": False}
        ax.plot(*w, "o", ms=0.85 * size, gid="mark", **below)
    line.direction = direction if mark.shape == "half" else None
    if mark.shape.startswith(_HALOED):
        line.set_path_effects([withStroke(linewidth=3.0, foreground="white")])
    line.set(**style)
    ax.add_line(line)
    return line


class _Pointing(Line2D):
    """A mark that is turned when it is drawn, for only then the scales of its axes are known."""

    direction: np.ndarray | None = None

    original: "_Pointing | None" = None  # the mark of which this one, in a legend, is a copy

    @property
    def angle(self) -> float:
        """Counter-clockwise from the right, in radians on the page."""
        start = np.asarray(self.get_xydata(), dtype=float)[0]
        assert self.axes is not None
        assert self.direction is not None
        bounds = np.stack([self.axes.get_xlim(), self.axes.get_ylim()])
        step = 1e-3 * np.max(np.abs(bounds[:, 1] - bounds[:, 0])) * self.direction
        page = self.axes.transData.transform(np.stack([start, start + step]))
        across, up = page[1] - page[0]
        return float(np.arctan2(up, across))

    def draw(self, renderer):
        pointing = self.original or self
        if pointing.direction is not None:
            self.set_marker(MarkerStyle("o", "right").rotated(rad=pointing.angle))
        super().draw(renderer)


class _LikeThePlot(HandlerLine2D):
    """In a legend a saddle's mark is turned as the first of its kind is in the plot."""

    def create_artists(self, legend, orig_handle, *rest):
        line, *others = super().create_artists(legend, orig_handle, *rest)
        assert isinstance(line, Line2D)
        mark = _Pointing(line.get_xdata(), line.get_ydata())
        mark.update_from(line)
        mark.set_transform(line.get_transform())
        mark.set_markevery(line.get_markevery())
        mark.original = orig_handle  # pyright: ignore[reportAttributeAccessIssue]
        return [mark, *others]


Legend.update_default_handler_map({_Pointing: _LikeThePlot(numpoints=1)})


def mark_points(
    ax: Axes,
    stability: Stability,
    plane: Plane | None = None,
    **style: Any,
) -> None:
    """Every fixed point of `stability`, labelled for a legend that the caller makes.

    They are points of the plane, or of d dimensions and then drawn where `plane` has them.
    """
    for number, item in enumerate(stability.points):
        where = item.point.w if plane is None else plane.project(item.point.w)
        require_plane(where.size, "fixed points")
        mark, direction = mark_of(item), None
        if item.point.continuum is not None:
            samples = item.point.continuum
            shown = samples if plane is None else plane.project(samples)
            _draw_continuum(ax, shown, item.point.kind, style)
            continue
        if mark.shape == "half" and plane is None:
            direction = stability.directions[number]
        if mark.shape == "half" and direction is None:
            mark = UNDIRECTED
        draw_mark(ax, where, mark, direction, **style)
    if plane is None:
        draw_undecided(ax, [part.box for part in stability.complete.undecided])


def draw_undecided(ax: Axes, boxes: Sequence[np.ndarray]) -> None:
    """Boxes (2, 2) of which it isn't known whether they hold fixed points; tiny ones framed."""
    if not len(boxes) or np.shape(boxes[0]) != (2, 2):
        return
    table = np.asarray(boxes)
    corners = np.stack([table[:, 0][:, [0, 1, 1, 0]], table[:, 1][:, [0, 0, 1, 1]]], axis=-1)
    look: dict[str, Any] = {"facecolors": DOUBT, "edgecolors": DOUBT, "linewidths": thick(0.6)}
    look |= {"gid": "undecided", "rasterized": len(table) > MOST_FRAMES}  # or an SVG has thousands
    ax.add_collection(PolyCollection(list(corners), alpha=0.35, zorder=ABOVE - 2, **look))
    if len(table) <= MOST_FRAMES:
        frame: dict[str, Any] = {"mfc": "none", "mec": DOUBT, "mew": 0.9, "clip_on": False}
        frame |= {"gid": "undecided"}
        middles = table.mean(axis=2).T
        ax.plot(*middles, "s", ms=11, zorder=ABOVE - 1, label="undecided", **frame)
    else:
        ax.plot([], [], "s", ms=5, color=DOUBT, alpha=0.5, label="undecided", gid="undecided")


def _draw_continuum(ax: Axes, samples: np.ndarray, kind: str, style: dict[str, Any]) -> None:
    marker, label = {
        "critical": ("D", "continuum of critical points"),
        "hallucinated": ("x", "continuum of hallucinated points"),
        FIXED: ("D", "continuum of fixed points"),
    }[kind]
    (line,) = ax.plot(*samples.T, marker, ms=1.6, mew=0.6, color=DOUBT, zorder=ABOVE - 1)
    line.set_gid("continuum")
    line.set(**{"label": label, **style})


def _height(found: Stability) -> float:
    """So that a panel as wide as usual shows them to scale."""
    points = np.array([item.point.w for item in found.points if item.point.w.size == 2])
    if len(points) < 2:
        return PANEL
    width, height = np.maximum(np.ptp(points, axis=0), 1e-9)
    return float(np.clip(PANEL * height / width, 1.6, PANEL))


@in_double
@drawing(height=_height)
def draw_fixed_points(stability: Stability, ax: Axes, **style: Any) -> Key:
    """The fixed points of a 2-D system in the plane, with a legend of the marks that occur.

    Where it isn't known along which direction a saddle attracts, two of its quarters are filled and
    no direction is claimed. `style` is set on every mark. `InvalidInput` in other
    dimensions.
    """
    for item in stability.points:
        require_plane(item.point.w.size, "fixed points")
    mark_points(ax, stability, **style)
    ax.margins(0.1)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return Key()


@drawer("Stability", house=True)
def draw_stability(stability: Stability, ax: Axes | None = None, **style: Any) -> Axes:
    """The fixed points in the plane, marked by the house convention (2-D losses)."""
    return draw_fixed_points(stability, ax, **style)
