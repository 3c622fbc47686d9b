"""The marks of fixed points, used by every figure.

Shape and fill say how the method behaves there: attractor ●, repeller ○, saddle ◐ with the
filled half along the attracting direction, degenerate ◇, hallucinated ✕ (filled if it attracts),
a period-2 orbit as two linked rings. Vermilion is an alarm: it attracts without being a minimum.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.patheffects import Normal, withStroke

from ..attractors.report import PointStability, Stability
from ..dynamics.flow import Flow
from .curves import eigenpairs
from .style import BLACK, PURPLE, VERMILION, axes_legend, new_axes, require_plane, styled

ABOVE = 10  # zorder: marks lie on top of everything else
NEAR = 1e-6  # how near to a jump of the field the limit is taken, in units of w


class Mark(NamedTuple):
    """`shape` is a key of `_SHAPES`; `filled` and `colour` complete it; `label` names it."""

    shape: str
    filled: bool
    colour: str
    label: str


def _linked_rings() -> Path:
    ring = Path.unit_circle()
    left, right = (Path(0.62 * ring.vertices + [shift, 0], ring.codes) for shift in (-0.4, 0.4))  # pyright: ignore
    return Path.make_compound_path(left, right)


_SHAPES: dict[str, tuple[Any, float]] = {  # marker, size in points
    "circle": ("o", 6.5),
    "half": (MarkerStyle("o", "right"), 7.0),
    "diamond": ("D", 5.5),
    "cross": ("X", 7.0),
    "rings": (MarkerStyle(_linked_rings(), "none"), 12.0),
}


def mark_of(item: PointStability) -> Mark:
    """The mark of a fixed point: by the flow's verdict, unless the step settles on a 2-cycle."""
    alarm = item.point.critical_type != "minimum"
    colour, where = (VERMILION, f" at a {item.point.critical_type}") if alarm else (BLACK, "")
    if item.step is not None and item.step.orbit == "period-2":
        return Mark("rings", False, colour, f"period-2 orbit{where}")
    if item.point.kind == "hallucinated":
        return hallucinated_mark(item.flow.verdict == "attractor")
    return {
        "attractor": Mark("circle", True, colour, f"attractor{where}"),
        "repeller": Mark("circle", False, BLACK, "repeller"),
        "saddle": Mark("half", True, BLACK, "saddle, filled half attracts"),
        "degenerate": Mark("diamond", False, PURPLE, "degenerate"),
    }[item.flow.verdict]


def hallucinated_mark(attracts: bool) -> Mark:
    """The mark of a point where the method stops although the gradient there is not zero."""
    if attracts:
        return Mark("cross", True, VERMILION, "hallucinated, attracts")
    return Mark("cross", False, BLACK, "hallucinated, does not attract")


def draw_mark(ax: Axes, w: np.ndarray, mark: Mark, direction: np.ndarray | None = None) -> Line2D:
    """Put `mark` at w (2,); `direction` (2,) is where a half-filled one points, in the data."""
    marker, size = _SHAPES[mark.shape]
    edge = "white" if mark.filled and mark.shape in ("circle", "cross") else mark.colour
    line = _Pointing(
        [w[0]],
        [w[1]],
        linestyle="none",
        marker=marker,
        markersize=size,
        markerfacecolor=mark.colour if mark.filled else "white",
        markerfacecoloralt="white",
        markeredgecolor=edge,
        markeredgewidth=0.7 if edge == "white" else 1.1,
        zorder=ABOVE,
        label=mark.label,
        clip_on=False,
    )
    line.direction = direction if mark.shape == "half" else None
    if mark.shape == "rings":
        line.set_path_effects([withStroke(linewidth=3.0, foreground="white"), Normal()])
    ax.add_line(line)
    return line


class _Pointing(Line2D):
    """A mark that is turned when it is drawn, for only then the scales of its axes are known."""

    direction: np.ndarray | None = None

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
        if self.direction is not None:
            self.set_marker(MarkerStyle("o", "right").rotated(rad=self.angle))
        super().draw(renderer)


def attracting_direction(flow: Flow, w: np.ndarray) -> np.ndarray:
    """The unit vector (2,) along which a saddle attracts most.

    Where the field jumps there is no Jacobian; then it is the direction along which the
    distance falls fastest close by.
    """
    point = jnp.asarray(w)
    if flow.perturbation.discontinuous and bool(_is_critical(flow, point)):
        return np.asarray(_direction_of_fastest_approach(flow, point))
    return eigenpairs(flow, w)[0][1]


@eqx.filter_jit
def _is_critical(flow: Flow, point):
    gradient = jnp.linalg.norm(jax.grad(flow.loss)(point))
    return gradient <= 1e-6 * jnp.linalg.norm(jax.hessian(flow.loss)(point))


@eqx.filter_jit
def _direction_of_fastest_approach(flow: Flow, point):
    angles = jnp.linspace(0, 2 * jnp.pi, 720, endpoint=False, dtype=point.dtype)
    fan = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    outward = jax.vmap(lambda u: jnp.vdot(u, flow.field(point + NEAR * u)))(fan)
    return fan[jnp.argmin(outward)]


def mark_points(ax: Axes, stability: Stability, loss: Callable | None = None) -> None:
    """Every fixed point of `stability` (2-D), labelled for a legend that the caller makes."""
    for item in stability.points:
        require_plane(item.point.w.size, "fixed points")
        mark, direction = mark_of(item), None
        if item.point.continuum is not None:
            _draw_continuum(ax, item.point.continuum, item.point.kind)
            continue
        if mark.shape == "half" and loss is not None:
            direction = attracting_direction(Flow(loss, stability.flow.perturbation), item.point.w)
        elif mark.shape == "half":
            mark = mark._replace(label="saddle")
        draw_mark(ax, item.point.w, mark, direction)


def _draw_continuum(ax: Axes, samples: np.ndarray, kind: str) -> None:
    marker, label = {
        "critical": ("D", "continuum of critical points"),
        "hallucinated": ("x", "continuum of hallucinated points"),
    }[kind]
    ax.plot(*samples.T, marker, ms=1.6, mew=0.6, color=PURPLE, zorder=ABOVE - 1, label=label)


@styled
def draw_fixed_points(
    stability: Stability, ax: Axes | None = None, loss: Callable | None = None
) -> Axes:
    """The fixed points of a 2-D loss in the plane, with a legend of the marks that occur.

    Only with `loss` is it known where a saddle attracts; without it the filled half has no
    meaning, and the legend does not claim one. `InvalidInput` in other dimensions.
    """
    for item in stability.points:
        require_plane(item.point.w.size, "fixed points")
    ax = ax or new_axes()
    mark_points(ax, stability, loss)
    ax.margins(0.1)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    axes_legend(ax)
    return ax
