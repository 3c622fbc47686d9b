"""Phase portraits: where a method goes, side by side with others on one scale."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import Normal, withStroke

from ..attractors.point import as_box
from ..attractors.report import Stability, stability
from ..dynamics.flow import Flow
from ..dynamics.perturbation import GD, AbstractPerturbation
from ..dynamics.step_map import StepMap
from ..errors import InvalidInput
from ..losses.check import check_loss_in_box
from .curves import Manifold, flow_curves, iterates
from .fields import draw_contours, draw_nullclines, draw_streamlines
from .markers import mark_points
from .style import (
    BLACK,
    GREY,
    VERMILION,
    figure_legend,
    frame,
    method_colour,
    method_name,
    new_figure,
    panel_height,
    require_plane,
    styled,
)

ARROWS = 5  # w → wᵖ along a trajectory
HALO = [withStroke(linewidth=3.2, foreground="white"), Normal()]


class _Run(NamedTuple):
    """The trajectories asked for: flow for `duration`, or steps if there is a learning rate."""

    starts: list[np.ndarray]
    duration: float
    learning_rate: float | None
    momentum: Any
    steps: int


@styled
def portrait(
    loss: Callable,
    perturbations: Sequence[AbstractPerturbation],
    box: Any,
    *,
    starts: Sequence[Any] = (),
    learning_rate: float | None = None,
    momentum: Any = 0.0,
    steps: int = 2000,
    duration: float = 100.0,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Figure:
    """One phase portrait a perturbation, side by side on one scale.

    Each panel shows faint contours of the loss, streamlines and nullclines of the flow, its
    fixed points in `box` ((x low, x high), (y low, y high)), the manifolds of its saddles, and
    a trajectory from each of `starts` (2,): the flow for `duration` units of time t = ηk, or
    `steps` steps of the optimizer (with `momentum`) if `learning_rate` is given, which also
    decides the marks. Small arrows lead from w to wᵖ, to scale.
    `InvalidInput` unless the loss is 2-D.
    """
    box = as_box(box)
    require_plane(len(box), "a phase portrait")
    check_loss_in_box(loss, box)
    points = [_as_point(start) for start in starts]
    names = [method_name(p) for p in perturbations] if names is None else list(names)
    if not len(perturbations) or len(names) != len(perturbations):
        raise InvalidInput(
            f"{len(perturbations)} perturbations were given with {len(names)} names; "
            "one or more are needed, and a name each."
        )
    figure, axes = new_figure(len(perturbations), height=panel_height(box))
    run = _Run(points, duration, learning_rate, momentum, steps)
    for ax, perturbation, name in zip(axes[0], perturbations, names, strict=True):
        found = stability(
            loss,
            perturbation,
            box=box,
            learning_rate=learning_rate,
            momentum=momentum,
            seed=seed,
        )
        _draw_panel(ax, Flow(loss, perturbation), found, box, run)
        ax.set_title(name)
    figure_legend(figure, list(axes[0]))
    return figure


def _as_point(start: Any) -> np.ndarray:
    point = np.asarray(start, dtype=float)
    if point.shape != (2,) or not np.all(np.isfinite(point)):
        raise InvalidInput(f"a start is two finite numbers, not {start!r}.")
    return point


def _draw_panel(ax: Axes, flow: Flow, found: Stability, box: np.ndarray, run: _Run) -> None:
    draw_contours(ax, flow.loss, box)
    draw_streamlines(ax, flow, box, method_colour(flow.perturbation))
    draw_nullclines(ax, flow, box)
    by_flow = run.starts if run.learning_rate is None else []
    manifolds, paths = flow_curves(flow, found.points, box, by_flow, run.duration)
    _draw_manifolds(ax, manifolds)
    if run.learning_rate is not None:
        step_map = StepMap(flow.loss, flow.perturbation, run.learning_rate, run.momentum)
        paths = [iterates(step_map, start, run.steps) for start in run.starts]
    for path in paths:
        _draw_path(ax, path, flow, run.learning_rate is not None)
        _draw_ascents(ax, flow, path, box)
    mark_points(ax, found, flow.loss)
    frame(ax, box)


def _draw_manifolds(ax: Axes, manifolds: Sequence[Manifold]) -> None:
    for manifold in manifolds:
        label = "stable manifold" if manifold.stable else "unstable manifold"
        dashes = "-" if manifold.stable else (0, (7, 2))
        line = Line2D(*manifold.points.T, color=BLACK, lw=1.1, ls=dashes, zorder=4, label=label)
        ax.add_line(line)


def _draw_path(ax: Axes, path: np.ndarray, flow: Flow, stepwise: bool) -> None:
    colour = method_colour(flow.perturbation)
    dots: dict[str, Any] = {"marker": ".", "ms": 3, "lw": 0.8} if stepwise else {"lw": 2.0}
    halo = None if stepwise else HALO  # it would cut the dots apart
    label = "steps from ■" if stepwise else "trajectory from ■"
    ax.plot(
        [], [], color=GREY, label=label, zorder=6, **dots
    )  # one entry for every method's colour
    ax.plot(*path.T, color=colour, path_effects=halo, zorder=6, **dots)
    ax.plot(*path[0], "s", ms=4.5, mfc=colour, mec="white", mew=0.7, zorder=9, clip_on=False)


def _draw_ascents(ax: Axes, flow: Flow, path: np.ndarray, box: np.ndarray) -> None:
    """Arrows w → wᵖ at a few points spread evenly over the length of the path."""
    if isinstance(flow.perturbation, GD) or len(path) < 2:
        return
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    # in the middles of equal parts: the very start is marked already, at the end it slides
    where = np.searchsorted(length, (np.arange(ARROWS) + 0.5) / ARROWS * length[-1])
    points = path[np.unique(where)]
    ahead = np.asarray(jax.vmap(flow.perturbed)(jnp.asarray(points)))
    shortest = 0.01 * float(np.max(box[:, 1] - box[:, 0]))
    for w, wp in zip(points, ahead, strict=True):
        if np.linalg.norm(wp - w) > shortest:
            _draw_arrow(ax, w, wp)


def _draw_arrow(ax: Axes, w: np.ndarray, wp: np.ndarray) -> None:
    arrow = FancyArrowPatch(
        (float(w[0]), float(w[1])), (float(wp[0]), float(wp[1])), arrowstyle="-|>",
        mutation_scale=6, lw=0.9, color=VERMILION, shrinkA=0, shrinkB=0,
        zorder=8,
    )  # fmt: skip
    ax.add_patch(arrow)
    ax.plot([], [], color=VERMILION, lw=0.9, marker=">", ms=3, zorder=7, label="w → wᵖ, to scale")
