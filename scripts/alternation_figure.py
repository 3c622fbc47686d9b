"""How SAM is held at Beale's saddle: w hardly moves, w^p falls to either side of it in turn."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from public_code_figures import BEALE, SADDLE, methods, run_of

import samdyn
from samdyn.attractors.curves import flow_curves
from samdyn.plot.markers import mark_points
from samdyn.plot.plane.alternation import basin_alternation
from samdyn.plot.plane.fields import draw_contours
from samdyn.plot.style import BLACK, ORANGE, frame, new_figure, styled

TRAPPED, STEPS = "SAM, ρ = 0.5", np.arange(4990, 5011)
UNSTABLE = np.array([1.0, -1.0]) / np.sqrt(2)  # the direction in which descent leaves the saddle
NEAR = np.array([[-0.72, 0.72], [0.72, 1.28]])


@styled
def alternation_t5000(folder: pathlib.Path) -> dict:
    """w and w^p from step 4990 to step 5010 of the run that is trapped (ρ = 0.5)."""
    path, flow = run_of(TRAPPED)[STEPS], samdyn.Flow(BEALE, methods()[TRAPPED])
    ahead = np.asarray(jax.vmap(flow.perturbed)(jnp.asarray(path)))
    figure, axes = new_figure(2, width=3.7, height=2.6, share=False)
    plane, (above, below) = axes[0, 0], _split(figure, axes[0, 1])
    basin_alternation(BEALE, flow, path, plane)
    _draw_border(plane)
    plane.set_title("t = 4990 … 5010: w at the saddle, wᵖ around it")
    for ax, points, unit in ((above, path, 1e-4), (below, ahead, 1.0)):
        ax.plot(STEPS, (points - SADDLE) @ UNSTABLE / unit, ".-", color=ORANGE, lw=0.9, ms=5)
        ax.axhline(0, color=BLACK, lw=0.7)
        ax.set_xticks(STEPS[::5])
    above.set_title("along the unstable direction (1, −1)/√2")
    above.set_ylabel("w, in 10⁻⁴")
    above.tick_params(labelbottom=False)
    below.set_ylabel("wᵖ")
    below.set_xlabel("step t")
    samdyn.save(figure, folder / "alternation_t5000.svg")
    side, other = np.sign((path - SADDLE) @ UNSTABLE), np.sign((ahead - SADDLE) @ UNSTABLE)
    return {
        "largest distance of w from the saddle": float(np.max(np.hypot(*(path - SADDLE).T))),
        "wᵖ on the other side than w": float(np.mean(side != other)),
        "steps between which wᵖ changes side": float(np.mean(np.diff(other) != 0)),
    }


def _split(figure, ax):
    """Two panels, one above the other, in the place of `ax`."""
    halves = ax.get_subplotspec().subgridspec(2, 1)
    ax.remove()
    return figure.add_subplot(halves[0]), figure.add_subplot(halves[1])


def _draw_border(ax) -> None:
    """The saddle, and its stable manifold: the border between the two basins of descent."""
    descent = samdyn.Flow(BEALE, samdyn.GD())
    found = samdyn.stability(descent, at=SADDLE)
    for manifold in flow_curves(descent, found.points, NEAR)[0]:
        if manifold.stable:
            ax.plot(*manifold.points.T, color=BLACK, lw=1.1, zorder=4)
    ax.plot([], [], color=BLACK, lw=1.1, label="border of the basins")
    mark_points(ax, found)
    for words, where in (("descends to (3, ½)", (0.68, 0.75)), ("drifts away", (-0.68, 1.25))):
        side = "right" if where[0] > 0 else "left"
        ax.text(*where, words, ha=side, va="center", fontsize=7.5, color="#505050")
    draw_contours(ax, BEALE, NEAR)
    frame(ax, NEAR)
    ax.set_aspect("auto")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, labels, title="w ● and wᵖ ○", loc="upper center", ncols=1,
              bbox_to_anchor=(0.5, -0.2))  # fmt: skip
