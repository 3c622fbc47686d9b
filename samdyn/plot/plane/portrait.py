"""Phase portraits: where a system goes, side by side with others on one scale."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from ...arguments import of_system
from ...attractors.catching.arrivals import zeros_from
from ...attractors.curves import flow_curves, iterates
from ...attractors.finding.point import Completeness, as_box
from ...attractors.judge import parts_of
from ...attractors.report import judge_all, stability
from ...attractors.stability_result import Stability
from ...checks import require_flat, told
from ...dynamics.check import check_system, check_system_in_box
from ...dynamics.plane import OnPlane, Plane, as_plane, plane_box
from ...dynamics.systems.map import AbstractMap
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import AbstractSystem, loss_of
from ...errors import InvalidInput
from ...precision import in_double
from ..drawing import (
    Key,
    Options,
    add_figure_legend,
    add_legend,
    drawn_into,
    given_axes,
    require_of_lines,
    sorted_options,
)
from ..legends import fit_height
from ..markers import mark_points
from ..results.manifolds import draw_manifold
from ..style import (
    PLANE_HINT,
    columns_of,
    frame,
    looks,
    new_figure,
    panel_height,
    point_text,
    require_plane,
    small,
    styled,
    system_colour,
    system_name,
)
from .fields import draw_contours, draw_nullclines, draw_streamlines
from .paths import draw_ascents, draw_path, is_inside

SCOUTS = 16  # starts a side from which fixed points are sought on a plane
ON_PLANE = 1e-6  # of the box's size: what counts as lying on it


class _Run(NamedTuple):
    """The trajectories asked for: flows for `time`, maps for `steps`."""

    starts: list[np.ndarray]
    time: float
    steps: int
    seed: int


@of_system("Flow(loss, method) or StepMap(loss, method, learning_rate)", several=True)
@in_double
@styled
def portrait(
    systems: AbstractSystem | Sequence[Any],
    box: Any,
    *,
    starts: Sequence[Any] = (),
    steps: int = 2000,
    time: float = 100.0,
    names: Sequence[str] | None = None,
    seed: int = 0,
    plane: Any = None,
    at: Any = None,
    ax: Any = None,
    **style: Any,
) -> Any:
    """One phase portrait a system, side by side on one scale.

    A system is an `ODE`, `Flow`, `Map`, `StepMap` or `OptaxStepMap`. Each panel shows faint
    contours of the loss where there is one, streamlines and nullclines of the flow (of a map
    without one: of its displacement), its fixed points in `box` ((x low, x high), (y low, y high)),
    the manifolds of the flow's saddles, and a trajectory from each of `starts` (2,): flows for
    `time`, maps for `steps` steps; a step also decides the marks. Trajectories are cut at the box;
    where one ends is marked: at rest, still moving, out of the box for good, or diverged. Small
    arrows lead from w to wᵖ, to scale.

    The figure is returned, or with `ax`, one Axes a system, what was given as `ax`. `style` is
    that of the trajectories, its `color` also that of the streamlines; `figsize`, `legend` and
    what `Axes.set` takes as well. Artists have a gid: "streamlines", "nullcline", "loss",
    "stable-manifold", "unstable-manifold", "trajectory", "start", "end", "ascent", "mark".

    With `plane` (i, j), counted from 0, and `at` (d,) the panel is that plane through d
    dimensions: loss, projected velocity and wᵖ of its points; the fixed points that lie on it;
    trajectories (starts (2,) on the plane, or (d,) anywhere) run in d dimensions and are
    projected. No manifolds then: they leave the plane.

    `InvalidInput` unless the system is 2-D or a plane is given, or if a start is outside the box.
    """
    shown = as_systems(systems, "a phase portrait")
    flows = [parts_of(system)[0] for system in shown]
    through = as_plane(plane, at)
    box = as_box(box if through is None else plane_box(box, through))
    require_plane(len(box), "a phase portrait", PLANE_HINT)
    for flow in flows:
        if through is None:
            check_system_in_box(flow, box)
        else:
            check_system(flow, through.at)
    points = [_as_start(start, box, through) for start in starts]
    names = [system_name(system) for system in shown] if names is None else list(names)
    if len(names) != len(shown):
        raise InvalidInput(
            f"{len(shown)} systems were given with {len(names)} names: a name each is needed."
        )
    options = sorted_options(style)
    require_of_lines(options.style)
    if ax is None:
        axes = _new_panels(len(shown), box, options)
    else:
        axes = given_axes(ax, len(shown), "systems")
    run = _Run(points, time, steps, seed)
    for panel, system, name in zip(axes, shown, names, strict=True):
        with drawn_into(panel, options, "portrait"):
            _draw_panel(panel, system, box, run, through, options.style)
            panel.set_title(name)
    if ax is not None:
        for panel in axes:
            add_legend(panel, Key(), options.legend, own=False)
        return ax
    figure: Any = axes[0].get_figure(root=True)
    if through is not None:
        _say_plane(figure, through)
    add_figure_legend(figure, axes, options.legend)
    fit_height(figure, axes)
    return figure


def _new_panels(count: int, box: np.ndarray, options: Options) -> list[Axes]:
    """Panels of one figure on one scale, in rows where they would be too narrow side by side."""
    columns = columns_of(count)
    figure, axes = new_figure(
        columns, -(-count // columns), height=panel_height(box), figsize=options.figsize
    )
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    figure.draw_without_rendering()  # the density of streamlines follows the panels' size
    return list(axes.flat[:count])


def as_systems(given: Any, what: str) -> list[Any]:
    """One system or several as a list; `InvalidInput` unless `what` can be drawn of each."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    if not several:
        raise InvalidInput(f"{what} needs one system or more.")
    for system in several:
        if not isinstance(system, AbstractODE | AbstractMap):
            raise InvalidInput(
                f"{what} is of an ODE, a Flow or a map (one, or a list of them), not of "
                f"{told(system)}."
            )
    return several


def _say_plane(figure: Any, plane: Plane) -> None:
    i, j = plane.names()
    figure.suptitle(
        f"{i} and {j} vary, the other coordinates are those of {point_text(plane.at)};\n"
        "velocities and trajectories are projections",
        fontsize=small(),
    )


def _as_start(start: Any, box: np.ndarray, plane: Plane | None) -> np.ndarray:
    """A start as w (d,), inside the box as it is drawn."""
    point = require_flat(start)
    dim = 2 if plane is None else plane.at.size
    if point.ndim != 1 or point.size not in (2, dim) or not np.all(np.isfinite(point)):
        wanted = "two" if dim == 2 else f"2 or {dim}"
        raise InvalidInput(f"a start is {wanted} finite numbers, not {start!r}.")
    if plane is not None and point.size == 2:
        point = plane.lift(point[None])[0]
    shown = point if plane is None else plane.project(point)
    if not is_inside(shown, box):
        sides = " and ".join(f"{low:g} to {high:g}" for low, high in box)
        raise InvalidInput(
            f"the start ({', '.join(f'{x:g}' for x in shown)}) lies outside the box, which goes "
            f"from {sides}: choose a start inside or a larger box."
        )
    return point


def _draw_panel(
    ax: Axes, system: Any, box: np.ndarray, run: _Run, plane: Plane | None, style: dict[str, Any]
) -> None:
    flow, step_map = parts_of(system)
    seen = flow if plane is None else OnPlane(flow, plane)
    loss, look = loss_of(flow), looks({"color": system_colour(system)}, style)
    if loss is not None:
        draw_contours(ax, loss if plane is None else seen.loss, box)  # pyright: ignore
    draw_streamlines(ax, seen, box, look["color"])
    draw_nullclines(ax, seen, box, None if plane is None else plane.names())
    found = _fixed_points(system, flow, box, run, plane)
    by_flow = run.starts if step_map is None else []
    saddles = found.points if plane is None else ()
    manifolds, paths = flow_curves(flow, saddles, box, by_flow, run.time, plane)
    for manifold in manifolds:
        draw_manifold(ax, manifold)
    if step_map is not None:
        paths = [iterates(step_map, start, run.steps) for start in run.starts]
    for path in paths:
        shown = path if plane is None else plane.project(path)
        joined = loss is not None or step_map is None
        draw_path(ax, shown, box, look, step_map is not None, joined, _places(found, plane))
        draw_ascents(ax, flow, path, box, plane)
    mark_points(ax, found, plane)
    frame(ax, box, ("x", "y") if plane is None else plane.names())


def _places(found: Stability, plane: Plane | None) -> np.ndarray | None:
    """The fixed points (m, 2) of the plane; None on a plane through more dimensions."""
    if plane is not None or not found.points:
        return None
    parts = (item.point for item in found.points)
    return np.concatenate([p.w[None] if p.continuum is None else p.continuum for p in parts])


def _fixed_points(
    system: Any, flow: AbstractODE, box: np.ndarray, run: _Run, plane: Plane | None
) -> Stability:
    """Those in the box, or those that lie on a plane through d dimensions."""
    if plane is None:
        return stability(system, box=box, seed=run.seed)
    size = float(np.max(box[:, 1] - box[:, 0]))
    shares = (np.arange(SCOUTS) + 0.5) / SCOUTS
    mesh = np.stack(np.meshgrid(*(low + shares * (high - low) for low, high in box)), axis=-1)
    starts = np.concatenate([plane.at[None], plane.lift(mesh.reshape(-1, 2))])
    found = tuple(
        point
        for point in zeros_from(flow, starts, size)
        if _lies_on(plane, point.w, ON_PLANE * size) and is_inside(plane.project(point.w), box)
    )
    complete = Completeness(False, "not checked on a plane", None)
    return Stability(judge_all(system, found, starts), complete, flow)


def _lies_on(plane: Plane, w: np.ndarray, near: float) -> bool:
    foot = plane.lift(plane.project(w)[None])[0]
    return bool(np.max(np.abs(w - foot)) <= near)
