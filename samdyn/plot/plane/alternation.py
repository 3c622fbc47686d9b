"""Does the perturbation carry w across the border between two basins of gradient descent?"""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ...dynamics.integrate import FAR, integrate
from ...dynamics.methods.gd import GD
from ...dynamics.systems.flow import Flow
from ...errors import InvalidInput
from ...precision import in_double
from ..drawing import Key, drawing
from ..style import ALARM, BLUE, DOUBT, looks, thick

MOST = 200  # points of the path that are looked at
TIME = 1e6  # over the curvature at the start: how long the gradient flow has to come to rest
AT_REST = 1e-7  # of the start's gradient, or of that across the path: what counts as rest
SAME = 1e-3  # of the path's size: ends nearer than this are one critical point
SIDES = {"same basin": BLUE, "different basins": ALARM, "undecided": DOUBT}


@eqx.filter_jit
def _ends(loss: Callable, starts, size):
    """Where the gradient flow ends from each of `starts` (n, 2), and whether it rests (n,).

    `size` is that of the path; neither its unit nor the loss's decides.
    """
    flow = Flow(loss, GD())

    def one(start):
        curvature = jnp.linalg.norm(jax.hessian(loss)(start))
        slope = jnp.linalg.norm(flow.velocity(start))
        rate = jnp.maximum(curvature, slope / size)
        path = integrate(
            flow,
            start,
            TIME / jnp.where(rate > 0, rate, 1),
            points=2,
            diverged=FAR * size,
            solver=diffrax.Kvaerno5(),
            rtol=1e-6,
            atol=1e-8 * size,
            max_steps=4096,
        )
        final = jnp.linalg.norm(flow.velocity(path.w))
        return path.w, final <= AT_REST * jnp.maximum(slope, curvature * size)

    return jax.vmap(one)(starts)


@np.errstate(over="ignore", invalid="ignore")  # ends that diverge are at rest nowhere
def sides(loss: Callable, flow: Flow, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(wᵖ (n, 2), keys of `SIDES` (n,)) for the points w (n, 2) of a path.

    Two points are in the same basin if the gradient flow of `loss` takes them to one critical
    point. A point from which it comes to rest nowhere, such as one that drifts off along a
    valley, is in no basin: apart from one that does, undecided with another like it.
    """
    ahead = np.asarray(jax.vmap(flow.perturbed)(jnp.asarray(path)))
    both = np.concatenate([path, ahead])
    size = float(np.max(np.ptp(both, axis=0)))
    ends, rests = (np.asarray(a) for a in _ends(loss, jnp.asarray(both), jnp.asarray(size or 1.0)))
    n = len(path)
    gap = np.linalg.norm(ends[:n] - ends[n:], axis=1)
    same = gap <= SAME * size
    same &= rests[:n] & rests[n:]
    names = np.where(same, "same basin", "different basins")
    return ahead, np.where(rests[:n] | rests[n:], names, "undecided")


@in_double
def basin_alternation(
    loss: Callable, flow: Flow, path: Any, ax: Axes | None = None, **style: Any
) -> Axes:
    """Join w and wᵖ along a path (n, 2), coloured by whether both are in one basin of descent.

    At most 200 points are drawn, evenly spread over the path's steps. `style` is that of the
    points w.
    """
    path = np.asarray(path, dtype=float)
    if path.ndim != 2 or path.shape[1] != 2 or not len(path) or not np.all(np.isfinite(path)):
        raise InvalidInput(f"a path is one or more finite points (n, 2), not {path.shape}.")
    chosen = path[np.unique(np.linspace(0, len(path) - 1, MOST).astype(int))]
    return _draw_sides((chosen, *sides(loss, flow, chosen)), ax, **style)


@drawing()
def _draw_sides(what: Any, ax: Axes, **style: Any) -> Key:
    chosen, ahead, names = what
    for name, colour in SIDES.items():
        here = names == name
        if np.any(here):
            look: dict[str, Any] = {"color": colour, "label": f"{name}: {np.mean(here):.0%}"}
            _draw_pairs(ax, chosen[here], ahead[here], looks(look, style))
    ax.autoscale_view()
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return Key(title="w ● and wᵖ ○")


def _draw_pairs(ax: Axes, w: np.ndarray, ahead: np.ndarray, look: dict[str, Any]) -> None:
    colour = look["color"]
    joined = LineCollection(list(np.stack([w, ahead], axis=1)), colors=colour, zorder=6)
    joined.set(alpha=0.7, linewidths=thick(0.7), gid="ascent")
    ax.add_collection(joined)
    dots = {"marker": ".", "ls": "none", "ms": 4, "zorder": 7, "gid": "w"}
    ax.plot(*w.T, **looks(dots, look))
    ax.plot(*ahead.T, "o", ms=2.5, mfc="white", mec=colour, mew=0.6, zorder=7, gid="ahead")
