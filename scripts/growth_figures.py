"""Stability over two parameters with runs on top, and orbit diagrams with their exponents.

    python scripts/growth_figures.py [FOLDER]

writes growth_senses.svg, stability_diagrams.svg and orbit_diagrams.png to figures/, and prints what
they show. The first: growth in four senses of ½x·w², x = 1 or −3/2 by the toss of a coin. The
second: Beale's saddle under USAM and a point of the minima xy = 1 of (xy − 1)², over (η, ρ), judged
without any run; each dot is 32 runs of the very step from beside the point, filled if all stay. The
third: what a start settles on over η, of gradient descent and of SAM on a double well, and below
it the Lyapunov exponent.
"""

import json
import pathlib
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.results.diagram import draw_diagram
from samdyn.plot.style import BLACK, BLUE, GREEN, ORANGE, VERDICTS, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
GRID, DOTS, RUNS, STEPS = 200, 9, 32, 4000
BESIDE, STAYS = 1e-5, 1e-3  # how far from the point runs start, and stay if they do
RATES = np.linspace(0.3, 1.7, 1400)
DOT: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 3.5, "mec": BLACK, "mew": 0.6}


def beale() -> tuple[samdyn.StepMap, dict[str, Any], np.ndarray]:
    """(step, parameters, the saddle)."""
    step = samdyn.StepMap(samdyn.get_loss("beale"), samdyn.USAM(0.05), 0.01)
    ends = {"rho": (1e-3, 0.12), "learning_rate": (1e-3, 0.04)}
    return step, ends, np.array([0.0, 1.0])


def hyperbola() -> tuple[samdyn.StepMap, dict[str, Any], np.ndarray]:
    """The same of a point of a line of minima."""
    step = samdyn.StepMap(lambda w: (w[0] * w[1] - 1) ** 2, samdyn.USAM(0.05), 0.01)
    ends = {"rho": (1e-3, 0.5), "learning_rate": (1e-2, 0.8)}
    return step, ends, np.array([2.0, 0.5])


@styled
def senses(folder: pathlib.Path) -> dict[str, Any]:
    """Rates of the mean, the mean square, the fourth moment and of almost every run over η."""
    step = samdyn.StepMap(lambda w, x: x * w[0] ** 2 / 2, samdyn.GD(), 0.1)
    how: dict[str, Any] = {"at": [0.0], "batches": [1.0, -1.5]}
    rates = np.linspace(0.02, 1.6, 160)
    found = [samdyn.exponents(step.at(learning_rate=x), moments=(2, 4), **how) for x in rates]
    figure, axes = new_figure(width=4.6, height=2.6)
    ax = axes[0, 0]
    lines = {
        "almost every run": ([f.almost_sure.value for f in found], BLUE, "-"),
        "mean": ([f.mean.value for f in found], BLACK, (0, (1, 1.3))),
        "mean square": ([f.mean_square.value for f in found], ORANGE, (0, (5, 1.6))),
        "fourth moment": ([f.moments[4].value for f in found], GREEN, (0, (3, 1, 1, 1))),
    }
    ax.axhline(0, color=BLACK, lw=0.6)
    for name, (values, colour, style) in lines.items():
        ax.plot(rates, values, color=colour, ls=style, label=name)
    ax.set(xlim=(0, rates[-1]), ylim=(-1.2, 0.9))
    ax.set_xlabel("η")
    ax.set_ylabel("growth rate of ‖δ‖, 1/step")
    ax.legend(loc="lower left")
    samdyn.save(figure, folder / "growth_senses.svg")
    edges = [
        samdyn.threshold(step, "learning_rate", span, kind="almost-sure", **how).value
        for span in ((0.1, 0.6), (0.9, 1.55))
    ]
    return {"almost-sure edges": edges}


@eqx.filter_jit
def farthest(step: Any, starts: jax.Array, distance: Any) -> jax.Array:
    """How far runs are from where they should stay, at the end."""
    state = jax.vmap(step.init)(starts)
    state = jax.lax.fori_loop(0, STEPS, lambda _, s: jax.vmap(step)(s), state)
    return jax.vmap(distance)(state.w)


def runs_stay(step: Any, at: np.ndarray, distance: Any) -> bool:
    """Whether every run from beside the point stays."""
    angles = 2 * np.pi * (np.arange(RUNS) + 0.5) / RUNS
    starts = at + BESIDE * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    with jax.enable_x64(True):
        gaps = np.asarray(farthest(step, jnp.asarray(starts), distance))
    return bool(np.all(gaps <= STAYS))


@styled
def diagrams(folder: pathlib.Path) -> dict[str, Any]:
    """Two maps of verdicts; how many of the dots agree with them."""
    figure, axes = new_figure(2, 1, width=3.1, height=2.7, share=False)
    agreed: dict[str, Any] = {}
    cases = {
        "Beale's saddle": (beale(), lambda w: jnp.linalg.norm(w - jnp.array([0.0, 1.0]))),
        "minima xy = 1, at (2, ½)": (
            hyperbola(),
            lambda w: jnp.linalg.norm(w - jnp.array([2.0, 0.5])),
        ),
    }
    for ax, (name, ((step, ends, at), distance)) in zip(axes[0], cases.items(), strict=True):
        grids = {key: np.linspace(*span, GRID) for key, span in ends.items()}
        found = samdyn.diagram(step, grids, at=at)
        draw_diagram(found, ax, legend=False)
        ax.set_title(f"{name}, USAM")
        ax.locator_params(axis="x", nbins=5)
        coarse = {key: np.linspace(*span, DOTS + 2)[1:-1] for key, span in ends.items()}
        same = []
        for rho in coarse["rho"]:
            for rate in coarse["learning_rate"]:
                stays = runs_stay(step.at(rho=rho, learning_rate=rate), at, distance)
                ax.plot(rate, rho, **DOT, mfc=BLACK if stays else "white")
                one = samdyn.stability(step.at(rho=rho, learning_rate=rate), at=at).points[0].step
                same.append(stays == ((one.transverse or one.verdict) == "attractor"))
        agreed[name] = f"{sum(same)} of {len(same)}"
    figure_legend(figure, list(axes[0]), _key())
    samdyn.save(figure, folder / "stability_diagrams.svg")
    return agreed


def _key() -> list[Any]:
    """The entries of one legend of both maps and their dots."""
    areas = [
        Patch(fc=VERDICTS[name], ec=BLACK, lw=0.4, label=name)
        for name in ("attractor", "saddle", "repeller")
    ]
    edge = Line2D([], [], color=BLACK, lw=1.0, label="edge of the flow's attractor")
    all_stay = Line2D([], [], **DOT, mfc=BLACK, label=f"all {RUNS} runs stay")
    some_leave = Line2D([], [], **DOT, mfc="white", label="some leave")
    return [*areas, edge, all_stay, some_leave]


@styled
def orbits(folder: pathlib.Path) -> dict[str, Any]:
    """Orbit diagrams of two methods; where the first doublings and chaos are."""
    loss = samdyn.get_loss("double-well")
    found = [
        samdyn.attractor(samdyn.StepMap(loss, method, 1.0), "learning_rate", RATES, [0.3])
        for method in (samdyn.GD(), samdyn.SAM(0.1))
    ]
    figure = samdyn.plot_attractor(found, titles=["GD", "SAM, ρ = 0.1"])
    samdyn.save(figure, folder / "orbit_diagrams.png")
    chaotic = [float(one.values[np.argmax(one.chaotic)]) for one in found]
    return {"first chaotic learning rate": dict(zip(["GD", "SAM"], chaotic, strict=True))}


def main() -> None:
    """All three."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    told = {**senses(folder), "runs agree": diagrams(folder), **orbits(folder)}
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
