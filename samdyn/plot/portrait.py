"""Phase portraits: where a method goes, side by side with others on one scale."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..attractors.catching.arrivals import zeros_from
from ..attractors.finding.point import Completeness, as_box
from ..attractors.report import Stability, judge, stability
from ..dynamics.methods.method import AbstractMethod
from ..dynamics.plane import OnPlane, Plane, as_plane, plane_box
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.step_map import StepMap, optional_step_map
from ..errors import InvalidInput
from ..losses.check import check_loss, check_loss_in_box
from ..precision import in_double
from .curves import Manifold, flow_curves, iterates
from .fields import draw_contours, draw_nullclines, draw_streamlines
from .markers import mark_points
from .paths import draw_ascents, draw_path, is_inside
from .style import (
    BLACK,
    PLANE_HINT,
    figure_legend,
    frame,
    method_colour,
    method_name,
    new_figure,
    panel_height,
    point_text,
    require_plane,
    styled,
)

SCOUTS = 16  # starts a side from which fixed points are sought on a plane
ON_PLANE = 1e-6  # of the box's size: what counts as lying on it


class _Run(NamedTuple):
    """The trajectories asked for: flow for `duration`, or steps if there is a learning rate."""

    starts: list[np.ndarray]
    duration: float
    learning_rate: float | None
    momentum: Any
    steps: int
    seed: int


@in_double
@in_double
@styled
def portrait(
    loss: Callable,
    methods: Sequence[AbstractMethod],
    box: Any,
    *,
    starts: Sequence[Any] = (),
    learning_rate: float | None = None,
    momentum: Any = 0.0,
    steps: int = 2000,
    duration: float = 100.0,
    names: Sequence[str] | None = None,
    seed: int = 0,
    plane: Any = None,
    at: Any = None,
) -> Figure:
    """One phase portrait a perturbation, side by side on one scale.

    Each panel shows faint contours of the loss, streamlines and nullclines of the flow, its
    fixed points in `box` ((x low, x high), (y low, y high)), the manifolds of its saddles, and
    a trajectory from each of `starts` (2,): the flow for `duration` units of time t = ηk, or
    `steps` steps of the optimizer (with `momentum`) if `learning_rate` is given, which also
    decides the marks. Trajectories are cut at the box, with a triangle where one leaves it for
    good. Small arrows lead from w to wᵖ, to scale.

    With `plane` (i, j), counted from 0, and `at` (d,) the panel is that plane through d
    dimensions: loss, projected velocity and wᵖ of its points; the fixed points that lie on it;
    trajectories (starts (2,) on the plane, or (d,) anywhere) run in d dimensions and are
    projected. No manifolds then: they leave the plane.

    `InvalidInput` unless the loss is 2-D or a plane is given, or if a start is outside the box.
    """
    through = as_plane(plane, at)
    box = as_box(box if through is None else plane_box(box, through))
    require_plane(len(box), "a phase portrait", PLANE_HINT)
    if through is None:
        check_loss_in_box(loss, box)
    else:
        check_loss(loss, through.at)
    points = [_as_start(start, box, through) for start in starts]
    names = [method_name(p) for p in methods] if names is None else list(names)
    if not len(methods) or len(names) != len(methods):
        raise InvalidInput(
            f"{len(methods)} methods were given with {len(names)} names; "
            "one or more are needed, and a name each."
        )
    figure, axes = new_figure(len(methods), height=panel_height(box))
    run = _Run(points, duration, learning_rate, momentum, steps, seed)
    for ax, method, name in zip(axes[0], methods, names, strict=True):
        _draw_panel(ax, Flow(loss, method), box, run, through)
        ax.set_title(name)
    if through is not None:
        _say_plane(figure, through)
    figure_legend(figure, list(axes[0]))
    return figure


def _say_plane(figure: Figure, plane: Plane) -> None:
    i, j = plane.names()
    figure.suptitle(
        f"{i} and {j} vary, the other coordinates are those of {point_text(plane.at)};\n"
        "velocities and trajectories are projections",
        fontsize=7.5,
    )


def _as_start(start: Any, box: np.ndarray, plane: Plane | None) -> np.ndarray:
    """A start as w (d,), inside the box as it is drawn."""
    point = np.asarray(start, dtype=float)
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


def _draw_panel(ax: Axes, flow: Flow, box: np.ndarray, run: _Run, plane: Plane | None) -> None:
    seen = flow if plane is None else OnPlane(flow, plane)
    draw_contours(ax, seen.loss, box)
    draw_streamlines(ax, seen, box, method_colour(flow.method))
    draw_nullclines(ax, seen, box, None if plane is None else plane.names())
    found = _fixed_points(flow, box, run, plane)
    by_flow = run.starts if run.learning_rate is None else []
    saddles = found.points if plane is None else ()
    manifolds, paths = flow_curves(flow, saddles, box, by_flow, run.duration, plane)
    _draw_manifolds(ax, manifolds)
    if run.learning_rate is not None:
        step_map = StepMap(flow.loss, flow.method, run.learning_rate, run.momentum)
        paths = [iterates(step_map, start, run.steps) for start in run.starts]
    for path in paths:
        shown = path if plane is None else plane.project(path)
        colour = method_colour(flow.method)
        draw_path(ax, shown, box, colour, run.learning_rate is not None)
        draw_ascents(ax, flow, path, box, plane)
    mark_points(ax, found, flow.loss, plane)
    frame(ax, box, ("x", "y") if plane is None else plane.names())


def _fixed_points(flow: Flow, box: np.ndarray, run: _Run, plane: Plane | None) -> Stability:
    """Those in the box, or those that lie on a plane through d dimensions."""
    if plane is None:
        how: dict[str, Any] = {"learning_rate": run.learning_rate, "momentum": run.momentum}
        return stability(flow.loss, flow.method, box=box, seed=run.seed, **how)
    size = float(np.max(box[:, 1] - box[:, 0]))
    shares = (np.arange(SCOUTS) + 0.5) / SCOUTS
    mesh = np.stack(np.meshgrid(*(low + shares * (high - low) for low, high in box)), axis=-1)
    starts = np.concatenate([plane.at[None], plane.lift(mesh.reshape(-1, 2))])
    step_map = optional_step_map(flow.loss, flow.method, run.learning_rate, run.momentum)
    points = [
        judge(flow, point, step_map)
        for point in zeros_from(flow, starts, size)
        if _lies_on(plane, point.w, ON_PLANE * size) and is_inside(plane.project(point.w), box)
    ]
    complete = Completeness(False, "not checked on a plane", None)
    return Stability(tuple(points), complete, flow)


def _lies_on(plane: Plane, w: np.ndarray, near: float) -> bool:
    foot = plane.lift(plane.project(w)[None])[0]
    return bool(np.max(np.abs(w - foot)) <= near)


def _draw_manifolds(ax: Axes, manifolds: Sequence[Manifold]) -> None:
    for manifold in manifolds:
        label = "stable manifold" if manifold.stable else "unstable manifold"
        dashes = "-" if manifold.stable else (0, (7, 2))
        line = Line2D(*manifold.points.T, color=BLACK, lw=1.1, ls=dashes, zorder=4, label=label)
        ax.add_line(line)
