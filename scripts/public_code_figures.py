"""The figures of the public code of arXiv 2301.06308 (github.com/Harry24k/sam-saddle), redrawn.

Each function takes the folder to write to and returns the numbers that the figure shows.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import samdyn
from samdyn.dynamics.perturbation import AbstractPerturbation
from samdyn.plot.alternation import basin_alternation
from samdyn.plot.fields import draw_contours
from samdyn.plot.markers import mark_points
from samdyn.plot.style import CYCLE, figure_legend, frame, new_figure, panel_height, styled

BEALE, START = samdyn.get_loss("beale"), np.array([1.0, 2.0])
LEARNING_RATE, STEPS = 1.25e-5, 87_683
RADII = (0.1, 0.5, 1.0)
BOX = np.array([[-1.0, 3.6], [-0.3, 2.3]])


def beale_run(rho: float, at_steps) -> samdyn.Run:
    """One run of the public code; `rho` 0 is gradient descent."""
    method = samdyn.SAM(rho, 1e-16) if rho else samdyn.GD()
    step_map = samdyn.StepMap(BEALE, method, LEARNING_RATE)
    return samdyn.iterate(step_map, jnp.asarray(START), STEPS, at_steps=at_steps)


@styled
def beale_trajectories(folder: pathlib.Path) -> dict:
    """Gradient descent and SAM from (1, 2): SAM with ρ = 0.5 and 1 ends at the saddle."""
    steps = np.unique(np.geomspace(1, STEPS, 400).astype(int))
    figure, axes = new_figure(2, height=panel_height(BOX))
    colours = dict(zip((0.0, *RADII), CYCLE, strict=False))
    numbers = {}
    for ax, radii in zip(axes[0], ((0.0,), RADII), strict=True):
        draw_contours(ax, BEALE, BOX)
        for rho in radii:
            run = beale_run(rho, steps)
            path = np.concatenate([START[None], np.asarray(run.checkpoints)])
            label = f"SAM, ρ = {rho:g}" if rho else "GD"
            ax.plot(*path.T, color=colours[rho], lw=1.6, label=label, zorder=5)
            ax.plot(*path[-1], "s", mfc="none", mec=colours[rho], ms=6 + 4 * rho, mew=1, zorder=12)
            numbers[label] = path[-1].tolist()
        method = samdyn.SAM(0.5) if radii[0] else samdyn.GD()
        mark_points(ax, samdyn.stability(BEALE, method, box=BOX), BEALE)
        ax.set_title("SAM" if radii[0] else "Gradient descent")
        frame(ax, BOX)
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "beale_trajectories.svg")
    return numbers


def cosine_strip(folder: pathlib.Path) -> dict:
    """cos(g(w), g(w^p)) at every step of the SAM runs."""
    gradient = jax.grad(BEALE)

    def cosine(w, rho):
        here = gradient(w)
        there = gradient(samdyn.SAM(rho, 1e-16).perturb(gradient, w))
        return jnp.vdot(here, there) / (jnp.linalg.norm(here) * jnp.linalg.norm(there))

    steps = np.arange(STEPS)
    strips, numbers = {}, {}
    for rho in RADII:
        path = jnp.asarray(beale_run(rho, steps).checkpoints)
        values = np.asarray(jax.jit(jax.vmap(cosine, (0, None)))(path, rho))
        strips[f"ρ = {rho:g}"] = values
        below = np.flatnonzero(values < 0)
        numbers[f"rho {rho:g}"] = {
            "first negative at step": int(below[0]) if below.size else None,
            "negative after step 5000": float(np.mean(values[5000:] < 0)),
        }
    ax = samdyn.cosine_strip(strips, steps)
    samdyn.save(ax.figure, folder / "cosine_strip.svg")
    return numbers


@styled
def alternation_t5000(folder: pathlib.Path) -> dict:
    """w and w^p over the forty steps about step 5000 of the run that is trapped (ρ = 0.5)."""
    steps = np.arange(4980, 5020)
    path = np.asarray(beale_run(0.5, steps).checkpoints)
    flow = samdyn.Flow(BEALE, samdyn.SAM(0.5, 1e-16))
    ax = basin_alternation(BEALE, flow, path)
    mark_points(ax, samdyn.stability(BEALE, samdyn.GD(), at=[0.0, 1.0]), BEALE)
    ax.set_title("SAM, ρ = 0.5, steps 4980 to 5019")
    samdyn.save(ax.figure, folder / "alternation_t5000.svg")
    ahead = np.asarray(jax.vmap(flow.perturbed)(jnp.asarray(path)))
    side = np.sign((ahead - [0, 1]) @ np.array([1.0, -1.0]))
    return {
        "largest distance of w from the saddle": float(
            np.max(np.linalg.norm(path - [0, 1], axis=1))
        ),
        "steps between which w^p changes side along (1, −1)": float(np.mean(np.diff(side) != 0)),
    }


class SummedGradient(AbstractPerturbation):
    """The step of the public demo, which does not clear the first gradient: g(w) + g(w^p)."""

    base: samdyn.SAM

    def perturb(self, gradient, w):
        return self.base.perturb(gradient, w)

    def direction(self, loss, w):
        return jax.grad(loss)(w) + self.base.direction(loss, w)

    @property
    def discontinuous(self):
        return True

    @property
    def radius(self):
        return self.base.radius


def saddle_surface(folder: pathlib.Path) -> dict:
    """x² − y² from (−3, −0.01): true SAM is caught at the saddle, and so is the public demo."""
    loss, start, steps = samdyn.get_loss("saddle"), jnp.array([-3.0, -0.01]), 500
    numbers = {}
    methods = {"GD": samdyn.GD(), "SAM": samdyn.SAM(0.5)}
    summed = {"GD": samdyn.GD(), "public code": SummedGradient(samdyn.SAM(0.5))}
    for name, shown, title in (
        ("saddle_surface", methods, "x² − y², η = 0.01, ρ = 0.5: true SAM"),
        (
            "saddle_surface_public_code",
            summed,
            "x² − y², η = 0.01, ρ = 0.5: the public code's g(w) + g(wᵖ)",
        ),
    ):
        paths = {}
        for label, method in shown.items():
            step_map = samdyn.StepMap(loss, method, 0.01)
            run = samdyn.iterate(step_map, start, steps, at_steps=range(steps + 1))
            paths[label] = np.asarray(run.checkpoints)
            mean = float(np.mean(np.abs(np.asarray(run.tail)[-2:, 0])))
            numbers[f"{name}, {label}: final mean |x|"] = mean
        figure = samdyn.surface(loss, [(-3.2, 3.2), (-3.2, 3.2)], paths, title=title)
        samdyn.save(figure, folder / f"{name}.png")
    return numbers
