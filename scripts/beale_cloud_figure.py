"""Clouds of noisy runs on Beale from (1, 2): SAM's stays about the saddle unless noise is strong.

    python scripts/beale_cloud_figure.py

writes figures/beale_cloud.svg and prints its numbers: about 20 s on two cores. All panels share
step size, number of steps and JAX's seed 7, and those of a row the noise; gradients carry isotropic
noise, the same for both gradients of a step of SAM.

Noise of size s in the direction of the ascent makes normalised SAM act, on average, as USAM with
ρ' = ρ√(π/8)/s near a critical point of the plane. The saddle, of curvatures ∓27.75, holds while
ρ' > 1/27.75: for ρ = 0.5 while s < 8.7. Runs that start at the saddle are counted as a check.
"""

import json
import pathlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import (
    BLACK,
    method_colour,
    new_figure,
    panel_height,
    styled,
)

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
BEALE, START = samdyn.get_loss("beale"), np.array([1.0, 2.0])
SADDLE, MINIMUM = np.array([0.0, 1.0]), np.array([3.0, 0.5])
LEARNING_RATE, STEPS, RUNS, RHO = 1e-3, 8000, 300, 0.5
NOISES, CHECKED = (3.0, 12.0), (7.0, 8.0, 9.0, 10.0)
KEPT, TRACES, CORNERS = 4, 6, 150  # steps between stored points, lines drawn, points of a line
BOX = np.array([[-0.6, 4.4], [-0.5, 2.3]])


@eqx.filter_jit
def cloud(step_map: samdyn.StochasticStepMap, start: Any, key: Any):
    """w (runs, steps // KEPT + 1, 2) along every run, the start first."""

    def run(key):
        def advance(state, i):
            return step_map(state, jax.random.fold_in(key, i)), None

        def block(state, first):
            return jax.lax.scan(advance, state, first + jnp.arange(KEPT))[0], state.w

        end, path = jax.lax.scan(block, step_map.init(start), jnp.arange(0, STEPS, KEPT))
        return jnp.concatenate([path, end.w[None]])

    return jax.vmap(run)(jax.random.split(key, RUNS))


def paths_of(method: samdyn.AbstractMethod, noise: float, start: Any = START) -> np.ndarray:
    step_map = samdyn.StochasticStepMap(BEALE, method, LEARNING_RATE, samdyn.Isotropic(noise))
    return np.asarray(cloud(step_map, jnp.asarray(start), jax.random.key(7)))


@styled
def beale_cloud(folder: pathlib.Path) -> dict:
    """Rows: noise. Left: SGD. Right: SAM with ρ = 0.5."""
    figure, axes = new_figure(2, len(NOISES), width=3.4, height=panel_height(BOX) * 1.15)
    numbers = {}
    for row, noise in zip(axes, NOISES, strict=True):
        methods = {"SGD (ρ = 0)": samdyn.GD(), f"SAM, ρ = {RHO:g}": samdyn.SAM(RHO)}
        for ax, (name, method) in zip(row, methods.items(), strict=True):
            paths = paths_of(method, noise)
            _draw(ax, paths, method)
            ax.set_title(f"{name}; gradient noise s = {noise:g}")
            numbers[f"{name}, s = {noise:g}"] = _report(paths[:, -1])
    figure_legend(figure, list(axes.flat))
    samdyn.save(figure, folder / "beale_cloud.svg")
    numbers["still within 0.5 of the saddle, of runs from there"] = {
        f"s = {noise:g}": near(paths_of(samdyn.SAM(RHO), noise, SADDLE)[:, -1], SADDLE)
        for noise in CHECKED
    }
    return numbers


def near(ends: np.ndarray, point: np.ndarray) -> int:
    return int(np.sum(np.linalg.norm(ends - point, axis=1) < 0.5))


def _report(ends: np.ndarray) -> dict:
    finite = ends[np.all(np.isfinite(ends), axis=1)]
    return {
        "runs": len(ends),
        "diverged": len(ends) - len(finite),
        "within 0.5 of the saddle": near(ends, SADDLE),
        "within 0.5 of the minimum": near(ends, MINIMUM),
        "median": np.median(finite, axis=0).tolist(),
        "standard deviations": np.std(finite, axis=0).tolist(),
    }


def _draw(ax: Axes, paths: np.ndarray, method: samdyn.AbstractMethod) -> None:
    colour = method_colour(method)
    name = "SGD" if isinstance(method, samdyn.GD) else "SAM"
    label = f"{RUNS} runs of {name} after {STEPS:,} steps"
    shown = np.unique(np.geomspace(1, paths.shape[1], CORNERS).astype(int)) - 1
    lines = list(paths[:TRACES, shown])
    look: dict[str, Any] = {"colour": colour, "label": label, "rasterized": True}
    samdyn.draw_cloud(paths[:, -1], BEALE, BOX, ax, paths=lines, legend=False, **look)
    marks: dict[str, Any] = {"ls": "none", "mfc": "none", "mec": BLACK, "mew": 1.1, "zorder": 8}
    ax.plot(*START, "s", color=BLACK, ms=5, zorder=8, label="start (1, 2)", ls="none")
    ax.plot(*SADDLE, "D", ms=9, label="saddle (0, 1)", **marks)
    ax.plot(*MINIMUM, "*", ms=11, label="minimum (3, ½)", **marks)
    ax.label_outer()


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(beale_cloud(FOLDER), indent=2, ensure_ascii=False))
