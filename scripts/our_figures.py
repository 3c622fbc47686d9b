"""Three figures that the paper does not have: Theorem 1 for flow and step, basins, the trap.

Each function takes the folder to write to and returns the numbers that the figure shows.
"""

import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import samdyn
from samdyn.plot.basins import plot_basins
from samdyn.plot.style import BLUE, GREY, ORANGE, VERMILION, figure_legend, new_figure, styled

BEALE = samdyn.get_loss("beale")


@styled
def theorem1(folder: pathlib.Path) -> dict:
    """Leading eigenvalue at Beale's saddle under USAM: when does the saddle attract?"""
    eta = 1e-3
    momenta = {"no momentum": 0.0, "heavy ball, γ = 0.9": 0.9}
    grid = np.linspace(0, 0.2, 401)
    figure, axes = new_figure(1, 2, width=4.6, height=2.1, share=False)
    flow_ax, map_ax = axes[:, 0]
    numbers = {}
    for (name, gamma), colour in zip(momenta.items(), (BLUE, ORANGE), strict=True):
        result = samdyn.sweep(
            BEALE, samdyn.USAM(0.1), grid, at=[0.0, 1.0], learning_rate=eta, momentum=gamma
        )
        (branch,) = result.branches
        low, high = samdyn.rho_window((-27.75, 27.75), eta, gamma)
        numbers[name] = {"window of rho": [low, high]}
        map_ax.plot(grid, branch.spectral_radius, color=colour, label=name)
        if high < grid[-1]:
            map_ax.axvline(high, color=colour, lw=0.7, ls=":")
            map_ax.text(high, 1.1, f" ρ = {high:.4f}", color=colour, fontsize=7, va="bottom")
    numbers["critical rho"] = result.bifurcations[0].rho
    flow_ax.plot(grid, branch.leading_real_part, color="black")
    flow_ax.set_ylabel("leading real part, flow")
    map_ax.set_ylabel("spectral radius, step")
    map_ax.set_ylim(0.95, 1.12)
    for ax, edge in ((flow_ax, 0), (map_ax, 1)):
        ax.axhline(edge, color=GREY, lw=0.7)
        ax.axvline(1 / 27.75, color=VERMILION, lw=0.9, ls="--")
        ax.set_xlim(grid[0], grid[-1])
        ax.margins(x=0)
    flow_ax.text(1 / 27.75, 20, "  ρ = 1/27.75: the saddle turns attractor", color=VERMILION)
    flow_ax.tick_params(labelbottom=False)
    map_ax.set_xlabel("ρ")
    flow_ax.set_title("Beale's saddle (0, 1) under USAM, η = 0.001")
    figure_legend(figure, [map_ax])
    samdyn.save(figure, folder / "theorem1.svg")
    return numbers


def basins_of(method, grid: int) -> samdyn.Basins:
    loss = samdyn.get_loss("double-well-2d")
    return samdyn.basins(loss, method, box=loss.box, grid=grid, learning_rate=0.01, steps=20_000)


def basins_vs_rho(folder: pathlib.Path) -> dict:
    """The double well: SAM's saddle takes a share of the plane that grows with ρ."""
    radii = (0.3, 0.6)
    many = [basins_of(samdyn.GD(), 200), *(basins_of(samdyn.SAM(rho), 200) for rho in radii)]
    titles = ["GD", *(f"SAM, ρ = {rho:g}" for rho in radii)]
    samdyn.save(plot_basins(many, titles), folder / "basins_vs_rho.png")
    return share_of_the_saddle(folder)


@styled
def share_of_the_saddle(folder: pathlib.Path) -> dict:
    """The share of starts that the saddle captures, with 95 % intervals, against ρ."""
    grid = np.linspace(0.05, 0.9, 18)
    shares, bounds = [], []
    for rho in grid:
        at_saddle = [
            a for a in basins_of(samdyn.SAM(rho), 120).attractors if a.critical_type == "saddle"
        ]
        shares.append(at_saddle[0].fraction if at_saddle else 0.0)
        bounds.append(at_saddle[0].ci95 if at_saddle else (0.0, 0.0))
    shares, bounds = np.array(shares), np.array(bounds)
    figure, axes = new_figure(width=4.6, height=2.3)
    ax = axes[0, 0]
    errors = np.abs(bounds.T - shares)
    ax.errorbar(grid, shares, errors, fmt="none", ecolor=ORANGE, lw=1)
    ax.plot(grid, shares, "o-", color=ORANGE, ms=3, lw=1, label="SAM")
    ax.axhline(0, color=BLUE, lw=1.2, label="GD (its saddle has no area)")
    ax.set_xlabel("ρ")
    ax.set_ylabel("share captured by the saddle")
    ax.set_title("double well (x² − 1)²/4 + y²/2, η = 0.01")
    figure_legend(figure, [ax])
    samdyn.save(figure, folder / "saddle_share_vs_rho.svg")
    return {"share at each rho": dict(zip(grid.round(2).tolist(), shares.tolist(), strict=True))}


@eqx.filter_jit
def trapped(top, mu, starts):
    """Whether all runs of SAM on ½(λ₂x² − μy²) with η = 1, ρ = 1 stay bounded, (n, m)."""

    def cell(top, mu):
        loss = lambda w: (top * w[0] ** 2 - mu * w[1] ** 2) / 2  # noqa: E731
        step_map = samdyn.StepMap(loss, samdyn.SAM(1.0), 1.0)

        def end(start):
            return samdyn.iterate(step_map, start, 50_000, target=None).w

        w = jax.vmap(end)(starts)
        return jnp.all(jnp.linalg.norm(w, axis=1) < 50)

    return jax.vmap(lambda top: jax.lax.map(lambda m: cell(top, m), mu))(top)


@styled
def trap_threshold(folder: pathlib.Path) -> dict:
    """A quadratic saddle (λ₂, −μ): does SAM's step escape? Simulation against the closed form."""
    tops = (np.arange(48) + 0.5) / 48 * 1.9
    mus = (np.arange(48) + 0.5) / 48 * 1.2
    angle = 2 * np.pi * (np.arange(6) + 0.37) / 6
    starts = 0.1 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    held = np.asarray(trapped(jnp.asarray(tops), jnp.asarray(mus), jnp.asarray(starts)))
    low, high = np.array([samdyn.period_two_range(top, 1.0) for top in tops]).T
    expected = (mus > low[:, None]) & ((mus < 1) | (mus < high[:, None]))
    off = np.argwhere(held != expected)
    cell = mus[1] - mus[0]
    gaps = [np.min(np.abs(mus[j] - np.array([low[i], high[i], 1]))) / cell for i, j in off]
    figure, axes = new_figure(width=4.2, height=3.4)
    ax = axes[0, 0]
    ax.pcolormesh(tops, mus, held.T, cmap="Greys", vmin=0, vmax=2.5, rasterized=True)
    line = np.linspace(0.01, 1.9, 400)
    ax.plot(line, line**2 / (2 - line), color=VERMILION, label="ημ = (ηλ₂)²/(2 − ηλ₂)")
    ends = np.array([samdyn.period_two_range(top, 1.0) for top in line])
    wanders = np.where(ends[:, 1] < 1.2, ends[:, 1], np.nan)
    ax.plot(line, wanders, color=BLUE, lw=1, ls=":", label="period-2 orbit loses stability")
    ax.axhline(1, color=BLUE, lw=1, ls="--", label="ημ = 1")
    label = f"disagree with the lines: {len(off)} of {held.size} cells"
    ax.plot(tops[off[:, 0]], mus[off[:, 1]], "x", color=ORANGE, ms=5, label=label)
    ax.set_ylim(0, 1.2)
    ax.set_xlim(0, 1.9)
    ax.text(0.2, 0.6, "trapped")
    ax.text(1.3, 0.3, "escapes")
    ax.set_xlabel("ηλ₂, curvature of the positive direction")
    ax.set_ylabel("ημ, curvature of the negative one")
    ax.set_title("SAM's step map at a saddle, any ρ")
    figure_legend(figure, [ax])
    samdyn.save(figure, folder / "trap_threshold.svg")
    return {
        "cells": int(held.size),
        "cells that disagree": len(off),
        "farthest of them from the lines, in cells": float(max(gaps, default=0.0)),
    }
