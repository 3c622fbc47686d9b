"""The loss as a surface, with trajectories lying on it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from ...attractors.finding.point import as_box
from ...checks import told
from ...errors import InvalidInput
from ...losses.check import check_loss_in_box
from ..drawing import Key, Options, add_figure_legend, add_legend, drawn_into, sorted_options
from ..style import (
    CYCLE,
    METHOD_COLOURS,
    given_width,
    looks,
    new_canvas,
    require_plane,
    styled,
    thick,
)
from .fields import sample

GRID = 61
WIDE = 100.0  # a range this many times the median loss is drawn on a logarithmic scale
# greys only: the colours belong to the methods
GREYS = LinearSegmentedColormap.from_list("greys", ["#7C8FA3", "#C9D3DC", "#F7F7F5"])


class _Height:
    """Loss to height: as it is, or log₁₀(1 + (l − lowest)/unit) where it spans decades."""

    def __init__(self, values: np.ndarray):
        self.low = float(np.nanmin(values))
        above = float(np.nanmedian(values)) - self.low
        self.logarithmic = float(np.nanmax(values)) - self.low > WIDE * above
        self.label = "log₁₀(1 + l − min l)" if self.logarithmic else "l(w)"

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if not self.logarithmic:
            return values
        return np.log10(1 + np.maximum(values - self.low, 0))


def _on_surface(loss: Callable, path: Any, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(path (n, 2), loss along it (n,)), nan outside the box."""
    path = np.asarray(path, dtype=float)
    if path.ndim != 2 or path.shape[1] != 2:
        raise InvalidInput(f"a path has shape (n, 2), not {path.shape}.")
    inside = np.all((path >= box[:, 0]) & (path <= box[:, 1]), axis=1)
    path = np.where(inside[:, None], path, np.nan)
    return path, np.asarray(jax.vmap(loss)(jnp.asarray(path)))


def _colour(label: str, number: int) -> str:
    """A method's own colour where the label begins with its name."""
    return METHOD_COLOURS.get(label.split(",")[0].strip(), CYCLE[number % len(CYCLE)])


@styled
def surface(
    loss: Callable,
    box: Any,
    paths: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    ax: Any = None,
    **style: Any,
) -> Figure:
    """The surface of a 2-D loss over `box`, with `paths` (label -> (n, 2)) on it.

    A loss that spans decades is drawn as log₁₀(1 + l − min l). Paths are drawn over the
    surface, also where a hill would hide them; what leaves the box is left out. `style` is that
    of the paths; `figsize`, `legend` and what `Axes3D.set` takes as well. Into `ax`, matplotlib's
    Axes3D, it is drawn where that is given.
    """
    options = sorted_options(style, Axes3D)
    box = as_box(box)
    require_plane(len(box), "a surface")
    check_loss_in_box(loss, box)
    x, y, values = sample(loss, box, GRID)
    height = _Height(values)
    panel = _new_panel(options) if ax is None else _in_space(ax)
    with drawn_into(panel, options, "surface"):
        _draw_surface(panel, x, y, height(values), height.label)
        for number, (label, path) in enumerate((paths or {}).items()):
            look = {"color": _colour(label, number), "label": label}
            _draw_path(panel, *_on_surface(loss, path, box), height, looks(look, options.style))
        if title:
            panel.set_title(title)
    if ax is None:
        add_figure_legend(panel.figure, [panel], options.legend)
    else:
        add_legend(panel, Key(), options.legend, own=False)
    return panel.get_figure(root=True)


def _new_panel(options: Options) -> Any:
    wide = given_width() or 4.4
    figure = new_canvas((wide, 0.8 * wide), options.figsize)
    return figure.add_subplot(projection="3d", computed_zorder=False)


def _in_space(ax: Any) -> Any:
    """`ax`, which then draws in the order given here: paths over the surface."""
    if not isinstance(ax, Axes3D):
        raise InvalidInput(
            'a surface is drawn into an Axes3D, such as figure.add_subplot(projection="3d"), not '
            f"into {told(ax)}."
        )
    ax.computed_zorder = False
    return ax


def _draw_surface(ax: Any, x: np.ndarray, y: np.ndarray, values: np.ndarray, name: str) -> None:
    mesh = np.meshgrid(x, y)
    ax.plot_surface(
        *mesh, values, cmap=GREYS, rcount=GRID, ccount=GRID, edgecolor="#8795A3",
        linewidth=0.12, rasterized=True, zorder=1,
    )  # fmt: skip
    _dress(ax, name)


def _draw_path(ax: Any, path, losses, height: _Height, style: dict[str, Any]) -> None:
    halo = [withStroke(linewidth=thick(3.2), foreground="white")]
    look = {"lw": thick(1.8), "path_effects": halo, "zorder": 5, "gid": "path"}
    look, colour = looks(look, style), style["color"]
    z = height(losses)
    ax.plot(*path.T, z, **look)
    first, last = path[:1], path[-1:]
    ax.plot(*first.T, z[:1], "s", ms=5, mfc=colour, mec="white", mew=0.7, zorder=6)
    ax.plot(*last.T, z[-1:], "o", ms=5.5, mfc=colour, mec="white", mew=0.7, zorder=6)


def _dress(ax: Any, name: str) -> None:
    ax.set_xlabel("x", labelpad=-2)
    ax.set_ylabel("y", labelpad=-2)
    ax.set_zlabel(name, labelpad=-2)
    ax.tick_params(pad=-1)
    ax.view_init(elev=46, azim=-58)
    ax.set_box_aspect((1, 1, 0.7), zoom=1.0)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.pane.set_facecolor("white")
        axis.set_major_locator(MaxNLocator(5))
        axis._axinfo["grid"].update(color="#E6E6E6", linewidth=0.4)
