"""The one-neuron network w₂(w₁x)² trained on real minibatches: how many seeds stay at its saddle?

    python scripts/toy_net_figure.py

writes figures/toy_net_stuck.svg and prints its numbers: about 20 s on two cores. The data come
from NumPy's seed 0; the 400 runs of every method and radius share JAX's seed 1: the same starts
N(0, 0.1²) about the origin, and the same minibatches.

The gradient vanishes on the whole line w₁ = 0, where the loss is that of the origin: a valley for
w₂ < 0, a ridge for w₂ > 0. A run counts as stuck while its loss is above 90 % of that.
Runs that SAM holds on the ridge do not rest: they climb it towards w₂ = 1/ρ², from where the ascent
from w₁ = 0 reaches the curve of minima w₂w₁² = 1. Ten times the steps free hardly any.
"""

import functools
import json
import pathlib
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from scipy.stats import binomtest

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import (
    BLACK,
    GREY,
    PREDICTION,
    method_colour,
    new_figure,
    styled,
)

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
EXAMPLES, BATCH, LEARNING_RATE, STEPS, RUNS, SPREAD = 96, 8, 0.01, 4000, 400, 0.1
RHO = np.array([0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5, 0.7, 1.0])
SHOWN = 0.1  # the radius of the clouds
BOX = np.array([[-1.6, 1.6], [-0.9, 1.8]])
TAME = 0.05  # share of diverged runs up to which a mark is filled
MARKS = {"SAM": "o", "USAM": "s"}
# w₁² − 2w₂² is conserved by gradient flow, which ends in the valley if that is < 0 and w₂ < 0.
VALLEY = np.arctan(np.sqrt(2)) / np.pi


class Shares(NamedTuple):
    """Of the runs of one method, at each radius: stuck, within ½ of the origin, diverged."""

    stuck: np.ndarray
    near: np.ndarray
    diverged: np.ndarray


def example_loss(w, example):
    x, y = example
    return (w[1] * (w[0] * x) ** 2 - y) ** 2


@functools.cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs in (−3/2, 3/2), and their squares with noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.5, 1.5, EXAMPLES)
    return x, x**2 + 0.3 * rng.normal(size=EXAMPLES)


def step_map(method: samdyn.AbstractMethod) -> samdyn.MinibatchStepMap:
    return samdyn.MinibatchStepMap(example_loss, data(), BATCH, method, LEARNING_RATE)


@eqx.filter_jit
def train(steps: samdyn.MinibatchStepMap, radii: Any, key: Any):
    """(w (radii, runs, 2), the mean loss there) at the end of all runs."""

    def run(rho, key):
        start, stream = jax.random.split(key)
        here = steps.at(rho=rho)

        def advance(state, i):
            words = jax.random.bits(jax.random.fold_in(stream, i), (BATCH,), jnp.uint32)
            return here.step(state, words), None

        begin = here.init(SPREAD * jax.random.normal(start, (2,), radii.dtype))
        return jax.lax.scan(advance, begin, jnp.arange(STEPS))[0].w

    runs = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
    ends = runs(radii, jax.random.split(key, RUNS))
    return ends, jax.vmap(jax.vmap(steps.loss))(ends)


@eqx.filter_jit
def descend(steps: samdyn.MinibatchStepMap, key: Any):
    """Gradient descent on all examples from the same starts, shaped as `train` does for one ρ."""
    step = samdyn.StepMap(steps.loss, samdyn.GD(), LEARNING_RATE)

    def run(key):
        start, _ = jax.random.split(key)
        begin = step.init(SPREAD * jax.random.normal(start, (2,)))
        go = lambda state, _: (step(state), None)  # noqa: E731
        return jax.lax.scan(go, begin, None, length=STEPS)[0].w

    ends = jax.vmap(run)(jax.random.split(key, RUNS))
    return ends[None], jax.vmap(steps.loss)(ends)[None]


def shares(ends: Any, losses: Any) -> Shares:
    ends, losses = np.asarray(ends), np.asarray(losses)
    saddle = np.mean(data()[1] ** 2)
    finite = np.isfinite(losses)
    near = np.linalg.norm(ends, axis=-1) < 0.5
    return Shares(
        np.mean(finite & (losses > 0.9 * saddle), axis=1),
        np.mean(near, axis=1),
        np.mean(~finite, axis=1),
    )


def wilson(share: np.ndarray) -> np.ndarray:
    """The ends (2, n) of 95 % intervals of shares (n,) among the runs."""
    tests = (binomtest(round(p * RUNS), RUNS).proportion_ci(method="wilson") for p in share)
    return np.array([(ci.low, ci.high) for ci in tests]).T


@styled
def toy_net_stuck(folder: pathlib.Path) -> dict:
    """Left: the share of runs stuck against ρ. Right: where SGD and SAM ended."""
    key, radii = jax.random.key(1), jnp.asarray(RHO)
    ends = {
        "GD": descend(step_map(samdyn.GD()), key),
        "SGD": train(step_map(samdyn.USAM(0.1)), jnp.zeros(1), key),  # at radius 0
        "SAM": train(step_map(samdyn.SAM(0.1)), radii, key),
        "USAM": train(step_map(samdyn.USAM(0.1)), radii, key),
    }
    found = {name: shares(*result) for name, result in ends.items()}
    figure, axes = new_figure(3, width=3.0, height=2.15, share=False)
    _draw_shares(axes[0, 0], found)
    at = int(np.flatnonzero(RHO == SHOWN)[0])
    _draw_ends(axes[0, 1], "SGD", samdyn.GD(), ends["SGD"][0][0], found["SGD"].stuck[0])
    _draw_ends(
        axes[0, 2], f"SAM, ρ = {SHOWN:g}", samdyn.SAM(SHOWN), ends["SAM"][0][at],
        found["SAM"].stuck[at],
    )  # fmt: skip
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "toy_net_stuck.svg")
    return {name: _report(found[name], RHO if name.endswith("SAM") else [0.0]) for name in found}


def _report(found: Shares, radii: Any) -> dict:
    low, high = wilson(found.stuck)
    return {
        f"rho {rho:g}": f"stuck {found.stuck[i]:.4f} [{low[i]:.4f}, {high[i]:.4f}], within 0.5 of "
        f"the origin {found.near[i]:.4f}, diverged {found.diverged[i]:.4f}"
        for i, rho in enumerate(radii)
    }


def _draw_shares(ax: Axes, found: dict[str, Shares]) -> None:
    low, high = wilson(found["SGD"].stuck)
    colour = method_colour(samdyn.GD())
    ax.axhspan(low[0], high[0], color=colour, alpha=0.2, lw=0)
    ax.axhline(found["SGD"].stuck[0], color=colour, label="SGD")
    ax.axhline(found["GD"].stuck[0], color=GREY, ls="--", label="GD")
    ax.axhline(VALLEY, color=PREDICTION, lw=0.9, ls=":", label="gradient flow: 0.304")
    for name, method in (("SAM", samdyn.SAM(0.1)), ("USAM", samdyn.USAM(0.1))):
        colour, (low, high) = method_colour(method), wilson(found[name].stuck)
        ax.fill_between(RHO, low, high, color=colour, alpha=0.25, lw=0)
        line = {"color": colour, "ls": "-", "ms": 4.5, "mfc": "white"}
        ax.plot(RHO, found[name].stuck, MARKS[name], **line)
        tame = np.where(found[name].diverged <= TAME, found[name].stuck, np.nan)
        ax.plot(RHO, tame, MARKS[name], color=colour, ms=4.5, mec=colour, label=name)
        if np.any(found[name].diverged > TAME):
            label = f"more than {100 * TAME:.0f} % of seeds diverged"
            ax.plot([], [], MARKS[name], color=colour, ms=4.5, mfc="white", label=label)
    ax.set(xscale="log", xlim=(0.9 * RHO[0], 1.1 * RHO[-1]), ylim=(0, 1.03), xlabel="radius ρ")
    ax.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    ax.set_ylabel("share of seeds still at the saddle")
    ax.set_title(f"{RUNS} seeds, batch {BATCH}, {STEPS:,} steps")
    ax.set_box_aspect(float(np.divide(*np.ptp(BOX, axis=1)[::-1])))


def _draw_ends(ax: Axes, name: str, method: Any, ends: Any, stuck: float) -> None:
    ax.axvline(0, color=GREY, lw=1, ls="--", zorder=2, label="critical line w₁ = 0")
    samdyn.draw_cloud(
        np.asarray(ends), step_map(method).loss, BOX, ax, colour=method_colour(method), legend=False
    )
    ax.plot(0, 0, "+", color=BLACK, ms=9, mew=1.4, zorder=6, label="the saddle (0, 0)")
    ax.set(xlabel="w₁", ylabel="w₂", title=f"{name}: {100 * stuck:.0f} % stuck")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(toy_net_stuck(FOLDER), indent=2, ensure_ascii=False))
