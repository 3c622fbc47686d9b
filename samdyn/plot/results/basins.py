"""Which attractor each start ends at, as an image over the box."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...attractors.curves import flow_curves
from ...attractors.report import stability
from ...checks import told
from ...dynamics.systems.ode import AbstractODE
from ...errors import InvalidInput
from ...results.drawing import drawer
from ..drawing import (
    Key,
    Options,
    add_legend,
    drawing,
    drawn_into,
    given_axes,
    sorted_options,
)
from ..legends import axes_legend, fit_height
from ..markers import attracting_mark, draw_mark
from ..plane.paths import is_inside
from ..style import (
    BLACK,
    PALETTE,
    columns_of,
    frame,
    luminance,
    new_figure,
    panel_height,
    point_text,
    require_plane,
    styled,
    thick,
)

TINTS = (0.72, 0.52, 0.38, 0.61, 0.84, 0.30)  # luminance of the palette's tints
SAME = 1e-2  # of the box's size: attractors nearer than this are one, whatever the method
OUTCOMES = {  # label -> (grey, name, field of the result)
    -1: ("#E8E8E8", "undecided", "undecided"),
    -2: ("#303030", "diverged", "diverged"),
    -3: ("#9A9A9A", "left the box", "left_box"),
}


def _lightened(colour: str, wanted: float) -> tuple[float, float, float]:
    """The tint of that luminance, so that marks stand out and basins differ in grey as well."""
    pure = np.asarray(to_rgb(colour))
    shares = np.linspace(0, 1, 101)
    tints = [(1 - share) * pure + share for share in shares]
    red, green, blue = min(tints, key=lambda tint: abs(luminance(tint) - wanted))
    return float(red), float(green), float(blue)


def attractor_numbers(many: Sequence[Any], same: float = SAME) -> list[dict[int, int]]:
    """For each basins result, attractor id -> number; a place has one number in all of them.

    An attractor that moves from result to result, each time by less than `same` of the box, is
    followed.
    """
    known: list[np.ndarray] = []
    numbers = []
    for basins in many:
        near = same * float(np.max(np.ptp(np.asarray(basins.box, dtype=float), axis=1)))
        mapping: dict[int, int] = {}
        for attractor in basins.attractors:
            w = np.asarray(attractor.w)
            gaps = [np.linalg.norm(old - w) for old in known]
            nearest = int(np.argmin(gaps)) if gaps else 0
            if not gaps or gaps[nearest] > near or nearest in mapping.values():
                nearest = len(known)
                known.append(w)
            known[nearest] = w
            mapping[attractor.id] = nearest
        numbers.append(mapping)
    return numbers


def attractor_colours(many: Sequence[Any]) -> list[dict[int, tuple[float, float, float]]]:
    """For each basins result, attractor id -> colour; the same point has the same colour."""
    return [
        {id: place_colour(number) for id, number in mapping.items()}
        for mapping in attractor_numbers(many)
    ]


def place_colour(number: int) -> tuple[float, float, float]:
    """The colour of the basin of that number."""
    return _lightened(PALETTE[number % len(PALETTE)], TINTS[number % len(PALETTE)])


def _image(basins, colours) -> np.ndarray:
    """RGB (grid, grid, 3), rows from low y to high y."""
    labels = np.asarray(basins.labels).T
    image = np.ones((*labels.shape, 3))
    greys = {label: to_rgb(grey) for label, (grey, _, _) in OUTCOMES.items()}
    for label, colour in {**greys, **colours}.items():
        image[labels == label] = colour
    return image


def _title(plane) -> str | None:
    if plane is None:
        return None
    i, j = plane.names()
    return f"ends by {i} and {j};\nthe others start as in {point_text(plane.at)}"


def _attractor_label(attractor, plane) -> str:
    shown = attractor.w if plane is None else plane.project(attractor.w)
    kind = attractor.critical_type or attractor.kind
    return f"{kind} {point_text(shown)}: {100 * attractor.fraction:.1f} %"


def _entries(basins, colours) -> list[Patch]:
    edge: dict[str, Any] = {"edgecolor": "#606060", "linewidth": 0.4}
    plane = getattr(basins, "plane", None)
    entries = [
        Patch(facecolor=colours[a.id], label=_attractor_label(a, plane), **edge)
        for a in basins.attractors
    ]
    for grey, name, field in OUTCOMES.values():
        share = float(getattr(basins, field))
        if share > 0:
            entries.append(Patch(facecolor=grey, label=f"{name}: {100 * share:.1f} %", **edge))
    return entries


def _draw(ax: Axes, basins, colours, border: Any, style: dict[str, Any]) -> Key:
    box = np.asarray(basins.box, dtype=float)
    require_plane(len(box), "basins")
    extent = (box[0, 0], box[0, 1], box[1, 0], box[1, 1])
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "gid": "basins"}
    look |= {"origin": "lower", "extent": extent, **style}
    ax.imshow(_image(basins, colours), **look)
    plane = getattr(basins, "plane", None)
    borders = _draw_border(ax, border, box)
    for attractor in basins.attractors:
        if getattr(attractor, "points", None) is not None:
            _draw_moving(ax, attractor, plane)
            continue
        w = np.asarray(attractor.w)
        shown = w if plane is None else plane.project(w)
        if plane is None or is_inside(shown, box):  # where paths end need not be in the picture
            mark = attracting_mark(attractor.kind, attractor.critical_type)
            draw_mark(ax, shown, mark).set_label("_")
    frame(ax, box, ("x", "y") if plane is None else plane.names())
    return Key([*_entries(basins, colours), *borders], title=_title(plane))


def _draw_border(ax: Axes, border: Any, box: np.ndarray) -> list[Line2D]:
    """The stable curves of results of `manifolds`, or of a system; their entry in the legend."""
    if border is None:
        return []
    given = [*border] if isinstance(border, list | tuple) else [border]
    curves = [c for found in given for c in _curves_of(found, box) if c.stable]
    name = "stable manifold"
    if any(getattr(found, "flow", None) is not None for found in given):
        name += " of the flow"  # of which the steps' own border is near for small steps
    look: dict[str, Any] = {"color": BLACK, "lw": thick(1.1)}
    for curve in curves:
        ax.plot(*curve.points.T, zorder=3, label="_", gid="border", **look)
    return [Line2D([], [], label=name, **look)] if curves else []


def _curves_of(found: Any, box: np.ndarray) -> Any:
    """The manifolds given, or those of all saddles of a flow that lie in the box."""
    if hasattr(found, "curves"):
        return found.curves
    flow = found if isinstance(found, AbstractODE) else getattr(found, "flow", None)
    if isinstance(flow, AbstractODE):
        return flow_curves(flow, stability(flow, box=box).points, box)[0]
    raise InvalidInput(
        "border is a flow, a map that has one, or what samdyn.manifolds returns, not "
        f"{told(found)}."
    )


def _draw_moving(ax: Axes, attractor, plane) -> None:
    """An orbit as linked rings, a limit cycle as a curve, another set as dots."""
    points = np.asarray(attractor.points)
    if plane is not None:
        points = np.stack([plane.project(w) for w in points])
    if attractor.period is None:
        dots: dict[str, Any] = {"ls": "none", "marker": ".", "ms": 1.2, "color": BLACK}
        ax.plot(*points.T[:2], label="_", gid="attractor", **dots)
        return
    cycle = attractor.kind == "limit cycle"
    look: dict[str, Any] = {"color": BLACK, "lw": thick(1.2 if cycle else 0.7)}
    look |= {"label": "_", "gid": "attractor"}
    if not cycle:
        look |= {"marker": "o", "ms": 4, "mfc": "white"}
    ax.plot(*np.concatenate([points, points[:1]]).T[:2], **look)


def _height(basins: Any) -> float:
    require_plane(len(basins.box), "basins")
    return panel_height(np.asarray(basins.box, dtype=float))


@drawer("Basins", house=True)
@drawing(height=_height)
def draw_basins(basins: Any, ax: Axes, *, border: Any = None, **style: Any) -> Key:
    """The basins of a 2-D loss: one colour an attractor, greys for what ended elsewhere.

    `basins` is what `samdyn.basins` returns, of a loss of two dimensions or on a plane. The
    legend gives each basin's share of the grid. `border` adds stable manifolds, which part the
    basins of a flow: a flow (or a map that has one), for those of all its saddles in the box, or
    what `samdyn.manifolds` returns for one, or a list of that.
    `style` is that of the image, such as `alpha`. `InvalidInput` in other dimensions.
    """
    return _draw(ax, basins, attractor_colours([basins])[0], border, style)


@styled
def plot_basins(
    many: Sequence[Any],
    titles: Sequence[str],
    borders: Sequence[Any] | None = None,
    ax: Any = None,
    **style: Any,
) -> Figure:
    """Several basins side by side; an attractor keeps its colour from panel to panel.

    `borders` has one `border` (see `draw_basins`) or None for each. `style` is that of the
    images; `figsize`, `legend` and what `Axes.set` takes as well. `ax` has axes for each.
    """
    options = sorted_options(style)
    for basins in many:
        require_plane(len(basins.box), "basins")
    axes = _new_panels(many, options) if ax is None else given_axes(ax, len(many), "basins")
    axes = np.asarray(axes, dtype=object)
    used, keys = list(axes.flat[: len(many)]), []
    parts = zip(
        used, many, attractor_colours(many), titles, borders or [None] * len(many), strict=True
    )
    for panel, basins, colours, title, border in parts:
        with drawn_into(panel, options, "basins"):
            keys.append(_draw(panel, basins, colours, border, options.style))
            panel.set_title(title)
    figure: Any = used[0].get_figure(root=True)
    if ax is not None:
        for panel, key in zip(used, keys, strict=True):
            add_legend(panel, key, options.legend, own=False)
        return figure
    if options.legend is not False:
        _legends(figure, axes, used, keys)
    fit_height(figure, used)
    return figure


def _new_panels(many: Sequence[Any], options: Options) -> np.ndarray:
    columns = columns_of(len(many))
    height = panel_height(np.asarray(many[0].box, dtype=float))
    rows = -(-len(many) // columns)
    axes = new_figure(columns, rows, height=height, figsize=options.figsize)[1]
    for panel in axes.flat[len(many) :]:
        panel.set_visible(False)
    return axes


def _legends(figure: Figure, axes: np.ndarray, used: list[Axes], keys: list[Key]) -> None:
    """One below each panel; the figure grows by the highest of every row."""
    height = figure.get_figheight()
    grown = []
    for ax, key in zip(used, keys, strict=True):
        axes_legend(ax, key.handles, 1, title=key.title, over_figure=False)
        grown.append(figure.get_figheight() - height)
        figure.set_figheight(height)
    rows = np.zeros(axes.size)
    rows[: len(grown)] = grown
    figure.set_figheight(height + float(np.sum(np.max(rows.reshape(axes.shape), axis=1))))
