"""The Beale figures of the public code of arXiv 2301.06308, redrawn.

Start, learning rate, radii and the small number added to ‖g‖ are those of
github.com/Harry24k/sam-saddle; every run takes the 87,683 steps after which its gradient descent
stops. Each function takes the folder to write to and returns the numbers that the figure shows.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.markers import mark_points
from samdyn.plot.plane.fields import draw_contours
from samdyn.plot.style import (
    BLACK,
    frame,
    method_colour,
    new_figure,
    panel_height,
    styled,
)

BEALE, START = samdyn.get_loss("beale"), np.array([1.0, 2.0])
LEARNING_RATE, STEPS, RADII = 1.25e-5, 87_683, (0.1, 0.5, 1.0)
SADDLE = np.array([0.0, 1.0])
CROWDED = "SAM, ρ = 0.1"
BOX = np.array([[-1.0, 3.6], [-0.3, 2.3]])


@functools.cache
def methods() -> dict[str, samdyn.AbstractMethod]:
    """Label -> perturbation; not at import, when the arrays would still be float32."""
    return {"GD": samdyn.GD()} | {f"SAM, ρ = {rho:g}": samdyn.SAM(rho, 1e-16) for rho in RADII}


@functools.cache
def run_of(name: str) -> np.ndarray:
    """w (87,684, 2) before the first step and after each one."""
    step_map = samdyn.StepMap(BEALE, methods()[name], LEARNING_RATE)
    run = samdyn.iterate(step_map, jnp.asarray(START), STEPS, at_steps=np.arange(STEPS + 1))
    return np.asarray(run.checkpoints)


@styled
def beale_trajectories(folder: pathlib.Path) -> dict:
    """Gradient descent and SAM from (1, 2): SAM with ρ = 0.5 and 1 ends at the saddle."""
    figure, axes = new_figure(2, 2, height=panel_height(BOX) + 0.2)
    numbers = {}
    for ax, (name, method) in zip(axes.flat, methods().items(), strict=True):
        found = samdyn.stability(samdyn.Flow(BEALE, method), box=BOX)
        _draw_run(ax, name, method_colour(method))
        mark_points(ax, found)
        if name == CROWDED:
            _enlarge(ax, found)
        end = run_of(name)[-1]
        distance = float(np.linalg.norm(end - SADDLE))
        where = "the saddle" if distance < 1e-3 else f"({end[0]:.2f}, {end[1]:.2f})"
        ax.set_title(f"{name}: ends at {where}")
        numbers[name] = {"end": end.tolist(), "distance from the saddle": distance}
    figure_legend(figure, list(axes.flat))
    samdyn.save(figure, folder / "beale_trajectories.svg")
    return numbers


def _draw_run(ax, name: str, colour: str) -> None:
    """The run on the loss's contours, with that of gradient descent dashed beside it."""
    shown = np.unique(np.geomspace(1, STEPS + 1, 400).astype(int)) - 1
    path, descent = run_of(name)[shown], run_of("GD")[shown]
    draw_contours(ax, BEALE, BOX)
    if name != "GD":
        dashed = {"color": method_colour(samdyn.GD()), "lw": 0.9, "ls": (0, (3, 2))}
        ax.plot(*descent.T, **dashed, zorder=4, label="GD, for comparison")
    ax.plot(*path.T, color=colour, lw=1.8, label=name.split(",")[0], zorder=5)
    ax.plot(*START, "s", ms=4.5, mfc=BLACK, mec="white", zorder=9, label="start (1, 2)")
    ax.plot(*path[-1], "s", mfc="none", mec=colour, mew=1.2, ms=11, zorder=9)
    ax.plot([], [], "s", mfc="none", mec=BLACK, ms=6, label="after 87,683 steps")
    frame(ax, BOX)
    ax.label_outer()


def _enlarge(ax, found: samdyn.Stability) -> None:
    """The fixed points about the saddle, which lie too close together to be told apart."""
    inset = ax.inset_axes((0.66, 0.53, 0.32, 0.42))
    mark_points(inset, found)
    inset.set(xlim=(-0.2, 0.2), ylim=(0.85, 1.15), xticks=[], yticks=[])
    for line in inset.lines:
        line.set_clip_on(True)
    ax.indicate_inset_zoom(inset, edgecolor=BLACK, alpha=0.5)


@jax.jit
def cosines(path, rho):
    """cos(g(w), g(wᵖ)) (n,) at each w of a path (n, 2)."""
    gradient = jax.grad(BEALE)

    def one(w):
        here = gradient(w)
        there = gradient(samdyn.SAM(rho, 1e-16).perturb(gradient, w))
        return jnp.vdot(here, there) / (jnp.linalg.norm(here) * jnp.linalg.norm(there))

    return jax.lax.map(one, path, batch_size=8192)


@styled
def cosine_strip(folder: pathlib.Path) -> dict:
    """cos(g(w), g(w^p)) at every step of the SAM runs; step k begins at w after k − 1 steps."""
    names = [name for name in methods() if name != "GD"]
    figure, axes = new_figure(1, len(names), width=5.2, height=1.15)
    numbers = {}
    for ax, name in zip(axes[:, 0], names, strict=True):
        values = np.asarray(cosines(jnp.asarray(run_of(name)[:-1]), methods()[name].radius))
        samdyn.cosine_strip({name: values}, np.arange(1, STEPS + 1), ax, legend=False)
        ax.set_ylabel("")
        ax.label_outer()
        below = np.flatnonzero(values < 0)
        first = int(below[0]) + 1 if below.size else None
        share = f"{100 * below.size / STEPS:.0f} % of the steps, first in step {first}"
        ax.set_title(f"{name}: negative in {share if first else 'no step'}")
        numbers[name] = {
            "first negative at step": first,
            "negative": below.size / STEPS,
            "negative after step 5000": float(np.mean(values[5000:] < 0)),
            "least": float(values.min()),
        }
    figure.supylabel("cos(g(w), g(wᵖ))", fontsize=8.5)
    samdyn.save(figure, folder / "cosine_strip.svg")
    return numbers
