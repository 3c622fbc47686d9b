"""Which saddles hold SAM's step: simulation of quadratics against the closed form, any ρ.

Lengths are in units of ρ and curvatures in units of 1/η, so that one grid speaks for all.
"""

import pathlib
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import BLUE, ORANGE, PREDICTION, new_figure, styled

STEPS, MANY_STEPS = 50_000, 1_000_000


class Grid(NamedTuple):
    """Cells ηλ₂ × ημ, both (n, m), and in each: simulated and expected to be trapped."""

    top: np.ndarray
    mu: np.ndarray
    held: np.ndarray
    expected: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """Indices (k, 2) of the cells that disagree."""
        return np.argwhere(self.held != self.expected)


@eqx.filter_jit
def trapped(top, mu, starts, steps):
    """Whether every run from `starts` (k, 2) is still about the saddle, (n,), for n saddles.

    Once |y| > ρ a run never returns: the ascent against y is no longer than ρ, so wᵖ and w are
    on one side of y = 0 and y grows at every step.
    """

    def run(top, mu, start):
        loss = lambda w: (top * w[0] ** 2 - mu * w[1] ** 2) / 2  # noqa: E731
        w = samdyn.iterate(samdyn.StepMap(loss, samdyn.SAM(1.0), 1.0), start, steps).w
        return jnp.abs(w[1]) <= 1  # False also for nan

    runs = jax.vmap(run, (None, None, 0))
    return jnp.all(jax.vmap(runs, (0, 0, None))(top, mu, starts), axis=1)


def simulate(top: np.ndarray, mu: np.ndarray, starts: np.ndarray, steps: int) -> Grid:
    """Every cell of `top` (n, m) and `mu` (n, m)."""
    flat = (jnp.asarray(a.reshape(-1)) for a in (top, mu))
    held = np.asarray(trapped(*flat, jnp.asarray(starts), steps)).reshape(top.shape)
    low, high = samdyn.trap_threshold(top, 1.0), ends_of_range(top)
    return Grid(top, mu, held, (mu > low) & ((mu < 1) | (mu < high)))


def ends_of_range(top: np.ndarray) -> np.ndarray:
    """The ημ at which the period-2 orbit overshoots along −μ."""
    return np.array([samdyn.period_two_range(s, 1.0)[1] for s in top.reshape(-1)]).reshape(
        top.shape
    )


def circle(radius: float, count: int) -> np.ndarray:
    angle = 2 * np.pi * (np.arange(count) + 0.37) / count
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def from_the_orbit(grid: Grid) -> np.ndarray:
    """Whether the cells that disagree hold a run that starts beside the period-2 orbit."""
    outcomes = []
    for i, j in grid.wrong:
        top, mu = grid.top[i, j, None], grid.mu[i, j, None]
        start = [[samdyn.period_two_amplitude(float(top[0]), 1.0, 1.0), 1e-4]]
        outcomes.append(simulate(top, mu, np.array(start), MANY_STEPS).held[0])
    return np.array(outcomes)


@styled
def trap_threshold(folder: pathlib.Path) -> dict:
    """A quadratic saddle (λ₂, −μ): does SAM's step escape? Simulation against the closed form."""
    cells = (np.arange(48) + 0.5) / 48
    plain = simulate(*np.meshgrid(1.9 * cells, 1.2 * cells, indexing="ij"), circle(0.1, 6), STEPS)
    top, ratio = np.meshgrid(np.geomspace(0.05, 1.9, 36), np.geomspace(0.5, 2, 32), indexing="ij")
    mu = ratio * samdyn.trap_threshold(top, 1.0)
    few, many = (simulate(top, mu, circle(0.1, 1), steps) for steps in (STEPS, MANY_STEPS))
    figure, axes = new_figure(2, width=3.6, height=3.0, share=False)
    _draw_plain(axes[0, 0], plain)
    _draw_ratio(axes[0, 1], top, ratio, many)
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "trap_threshold.svg")
    return {
        "left": _report(plain) | {"farthest from the lines, in cells": _distance(plain)},
        f"right, {STEPS} steps": _report(few) | {"ημ/threshold of those": _ratios(few, ratio)},
        f"right, {MANY_STEPS} steps": _report(many),
    }


def _report(grid: Grid) -> dict:
    wrong = len(grid.wrong)
    return {
        "cells": grid.held.size,
        "that disagree": wrong,
        "share that agrees": 1 - wrong / grid.held.size,
        "of them below ημ = 1": int(np.sum(grid.mu[tuple(grid.wrong.T)] < 1)),
        "of them trapped from beside the orbit": int(np.sum(from_the_orbit(grid))),
    }


def _ratios(grid: Grid, ratio: np.ndarray) -> list[float]:
    """ημ in units of the threshold where simulation disagrees below ημ = 1."""
    return np.unique(ratio[(grid.held != grid.expected) & (grid.mu < 1)].round(4)).tolist()


def _distance(grid: Grid) -> float:
    """Of the cells that disagree, along ημ, to the nearest of the three lines."""
    lines = np.stack([samdyn.trap_threshold(grid.top, 1.0), ends_of_range(grid.top)])
    gaps = np.minimum(np.min(np.abs(lines - grid.mu), axis=0), np.abs(grid.mu - 1))
    return float(np.max(gaps[tuple(grid.wrong.T)], initial=0.0) / (grid.mu[0, 1] - grid.mu[0, 0]))


def _draw_plain(ax: Axes, grid: Grid) -> None:
    ax.pcolormesh(grid.top, grid.mu, grid.held, cmap="Greys", vmin=0, vmax=2.5, rasterized=True)
    line = np.linspace(0.01, 1.9, 400)
    low = samdyn.trap_threshold(line, 1.0)
    ax.plot(line, low, color=PREDICTION, label="ημ = s²/(2 − s), s = ηλ₂")
    ax.plot(line, ends_of_range(line), color=BLUE, lw=1, ls=":", label="period-2 orbit overshoots")
    ax.axhline(1, color=BLUE, lw=1, ls="--", label="ημ = 1")
    where = grid.top[tuple(grid.wrong.T)], grid.mu[tuple(grid.wrong.T)]
    ax.plot(*where, "x", color=ORANGE, ms=4, label="trapped only from beside the orbit")
    ax.set(xlim=(0, 1.9), ylim=(0, 1.2), xlabel="ηλ₂", ylabel="ημ")
    ax.set_title(f"six starts a cell, {STEPS:,} steps")
    ax.text(0.08, 0.72, "trapped")
    ax.text(1.3, 0.3, "escapes")


def _draw_ratio(ax: Axes, top: np.ndarray, ratio: np.ndarray, grid: Grid) -> None:
    ax.pcolormesh(top, ratio, grid.held, cmap="Greys", vmin=0, vmax=2.5, rasterized=True)
    line = np.geomspace(top[0, 0], top[-1, 0], 400)
    low = samdyn.trap_threshold(line, 1.0)
    ax.axhline(1, color=PREDICTION)
    ax.plot(line, ends_of_range(line) / low, color=BLUE, lw=1, ls=":")
    ax.plot(line, 1 / low, color=BLUE, lw=1, ls="--")
    ax.plot(top[tuple(grid.wrong.T)], ratio[tuple(grid.wrong.T)], "x", color=ORANGE, ms=4)
    ax.set(xscale="log", yscale="log", xlim=(0.05, 1.9), ylim=(0.5, 2), xlabel="ηλ₂")
    ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    ax.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    ax.minorticks_off()
    ax.set_ylabel("ημ in units of s²/(2 − s)")
    ax.set_title(f"one start a cell, {MANY_STEPS:,} steps")
