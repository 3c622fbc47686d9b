"""How far noise carries SGD and SAM from a saddle: against time, momentum and batch size.

Dots are simulated, full lines exact for the step map, dashed lines published. Prints numbers.

python scripts/spread_figures.py
"""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PREDICTION,
    PURPLE,
    new_figure,
    styled,
)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
SADDLE, NEGATIVE = samdyn.get_loss("saddle"), -2.0  # x² − y²: eigenvalues −2 and 2
ETA, BATCH = 0.01, 16
COLOURS = {"same-batch": BLUE, "independent": GREEN, "fresh": ORANGE, "paper": PURPLE}


def simulated(coupling: str, rho: float, time: float, gamma=0.0, batch=BATCH, seed=0):
    """200,000 paths from the saddle under USAM."""
    noise, how = samdyn.Fisher(batch), samdyn.COUPLINGS[coupling]
    step = samdyn.StochasticStepMap(SADDLE, samdyn.USAM(rho), ETA, noise, how, float(gamma))
    return samdyn.spread(step, (0.0, 0.0), time=float(time), seed=seed)


def exact(coupling: str, rho: float, time: Any, gamma: Any = 0.0, batch: Any = BATCH):
    """The step map's variance along the negative eigendirection; arguments broadcast."""
    a, factor = samdyn.rates(coupling, NEGATIVE, rho)
    steps = np.round(np.asarray(time) / ETA)
    noise = factor * abs(NEGATIVE) / np.asarray(batch)
    return samdyn.map_variance(a, noise, ETA, steps, gamma)


def draw_dots(ax: Axes, x: np.ndarray, found: list[samdyn.Spread], colour: str, label: str) -> dict:
    """Dots with 95 % intervals; the numbers, and how far they are from the exact map's."""
    variance = np.array([r.variance[0] for r in found])
    truth = np.array([r.exact.map[0] for r in found])
    ends = np.array([r.ci95[0] for r in found]).T
    errors = {"fmt": "none", "ecolor": colour, "elinewidth": 1, "capsize": 2}
    ax.errorbar(x, variance, np.abs(ends - variance), **errors)
    ax.plot(x, variance, "o", color=colour, ms=3)
    ax.plot([], [], "o-", color=colour, lw=1, ms=3, label=label)
    off = np.abs(variance - truth) / ((ends[1] - ends[0]) / 3.92)
    theorem2 = np.array([r.paper.theorem2[0] for r in found])
    return {
        "simulated": variance.tolist(),
        "worst distance from exact, in standard errors": float(np.max(off)),
        "Theorem 2 / simulated": (theorem2 / variance).tolist(),
    }


@styled
def variance_couplings(folder: pathlib.Path) -> dict:
    """Variance against time along −2, for radii below and above the critical ρ = ½."""
    figure, axes = new_figure(2, 2, width=3.5, height=2.1, share=False)
    numbers = {}
    for column, rho in zip(axes.T, (0.3, 0.7), strict=True):
        numbers[f"ρ = {rho}"] = _against_time(*column, rho)
        column[0].set(yscale="log", ylim=(2e-6, 1), title=f"USAM, ρ = {rho:g}, on x² − y²")
        column[1].set(xlabel="time η·steps", xlim=column[0].get_xlim(), ylim=(0.978, 1.022))
        column[1].axhline(1, color=GREY, lw=0.6)
    axes[0, 0].set_ylabel("E w² along λ = −2")
    axes[1, 0].set_ylabel("simulated / exact, 95 %")
    figure.align_ylabels(axes[:, 0])
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "variance_couplings.svg")
    return numbers


def _against_time(ax: Axes, below: Axes, rho: float) -> dict:
    line, dots = ETA * np.arange(2, 201), np.linspace(0.2, 2, 10)
    numbers = {}
    for k, (name, colour) in enumerate(COLOURS.items()):
        ax.plot(line, exact(name, rho, line), color=colour, lw=1)
        found = [simulated(name, rho, t, seed=100 * k + i) for i, t in enumerate(dots)]
        numbers[name] = draw_dots(ax, dots, found, colour, f"{name}: simulated, exact")
        _draw_ratios(below, dots + 0.03 * (k - 1.5), found, colour)
    theorem = samdyn.kim_theorem_2(NEGATIVE, rho, line, ETA, BATCH)
    ax.plot(line, theorem, "--", color=PREDICTION, label="Theorem 2 of arXiv 2301.06308")
    ax.plot(line, exact("sgd", 0.0, line), ":", color=BLACK, label="SGD, exact")
    return numbers


def _draw_ratios(ax: Axes, x: np.ndarray, found: list[samdyn.Spread], colour: str) -> None:
    """Simulated over exact."""
    shares = [np.array([r.variance[0], *r.ci95[0]]) / r.exact.map[0] for r in found]
    middle, low, high = np.array(shares).T
    errors = {"fmt": ".", "color": colour, "ms": 3, "elinewidth": 0.8, "capsize": 1.5}
    ax.errorbar(x, middle, np.array([middle - low, high - middle]), **errors)


@styled
def displacement_momentum(folder: pathlib.Path) -> dict:
    """Against momentum at an early and a late time, and against the batch size."""
    figure, axes = new_figure(3, width=3.0, height=3.0, share=False)
    momenta, few = np.linspace(0, 0.95, 96), np.array([0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95])
    sizes, powers = np.geomspace(1, 256, 50), 2.0 ** np.arange(0, 9)
    numbers = {}
    for ax, time in zip(axes[0], (0.05, 1.0), strict=False):
        title = f"t = {time:g}, {round(time / ETA)} steps, B = {BATCH}"
        numbers[title] = _compare(ax, momenta, few, lambda g, t=time: {"time": t, "gamma": g})
        ax.set(xlabel="momentum γ", title=title)
    ax = axes[0, 2]
    options = lambda b: {"time": 1.0, "gamma": 0.5, "batch": b}  # noqa: E731
    numbers["t = 1, γ = 0.5"] = _compare(ax, sizes, powers, options)
    ax.set(xscale="log", xlabel="batch size B", title="t = 1, 100 steps, γ = 0.5")
    axes[0, 0].set_ylabel("E w² along λ = −2 of x² − y², USAM, ρ = 0.3")
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "displacement_momentum.svg")
    return numbers


def _compare(ax: Axes, line: np.ndarray, dots: np.ndarray, options: Callable) -> dict:
    """USAM with ρ = 0.3: three couplings against Theorem 3, and SGD."""
    rho, settings = 0.3, options(line)
    for name, radius, label in (
        ("same-batch", rho, None),
        ("fresh", rho, "fresh, exact"),
        ("paper", rho, "paper, exact"),
        ("sgd", 0.0, "SGD, exact"),
    ):
        colour, style = COLOURS.get(name, BLACK), "-" if radius else ":"
        ax.plot(line, exact(name, radius, **settings), style, color=colour, lw=1, label=label)
    found = [simulated("same-batch", rho, seed=i, **options(x)) for i, x in enumerate(dots)]
    numbers = draw_dots(ax, dots, found, BLUE, "same-batch: simulated, exact")
    theorem = [_theorem_3(rho, **({"batch": BATCH} | options(x))) for x in (line, dots)]
    label = "Theorem 3 of arXiv 2301.06308, C₂ = t/η"
    ax.plot(line, theorem[0], "--", color=PREDICTION, label=label)
    ax.set_yscale("log")
    ratio = theorem[1] / np.array(numbers["simulated"])
    return numbers | {"Theorem 3 / simulated": ratio.tolist()}


def _theorem_3(rho: float, time: float, gamma: Any, batch: Any) -> np.ndarray:
    return samdyn.kim_theorem_3(NEGATIVE, rho, time, ETA, batch, gamma)


if __name__ == "__main__":
    for draw in (variance_couplings, displacement_momentum):
        print(json.dumps(draw(FOLDER), indent=2, ensure_ascii=False), flush=True)
