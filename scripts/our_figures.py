"""Two figures that the paper does not have: Theorem 1 for flow and step, and basins against ρ.

Each function takes the folder to write to and returns the numbers that the figure shows.
"""

import itertools
import pathlib
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

import samdyn
from samdyn.plot.results.basins import plot_basins
from samdyn.plot.style import (
    BLACK,
    BLUE,
    ORANGE,
    PREDICTION,
    VERDICTS,
    legible,
    new_figure,
    small,
    styled,
)

BEALE, SADDLE = samdyn.get_loss("beale"), (0.0, 1.0)
WELL = samdyn.get_loss("double-well-2d")
LEARNING_RATE = 1e-3
RHO = np.geomspace(3e-3, 12, 400)
MOMENTA = {"step": (0.0, BLUE), "step, heavy ball γ = 0.9": (0.9, ORANGE)}


@styled
def theorem1(folder: pathlib.Path) -> dict:
    """Leading eigenvalue at Beale's saddle under USAM: between which ρ does the saddle attract?"""
    figure, axes = new_figure(1, 3, width=5.6, height=1.75, share=False)
    rates, radii, bands = axes[:, 0]
    critical = samdyn.critical_rho((-27.75, 27.75))
    numbers: dict[str, Any] = {"critical rho": critical}
    rows = {}
    for name, (gamma, colour) in MOMENTA.items():
        step = samdyn.StepMap(BEALE, samdyn.USAM(0.1), LEARNING_RATE, gamma)
        branch = samdyn.sweep(step, "rho", RHO, at=SADDLE).branches[0]  # then orbits that leave it
        window = samdyn.rho_window((-27.75, 27.75), LEARNING_RATE, gamma)
        radii.plot(RHO, branch.spectral_radius, color=colour, label=name)
        _mark_end(rates, radii, window[1], colour)
        rows["flow"] = branch.verdict
        rows[name] = [_step_verdict(rho, gamma) for rho in RHO]
        inside = RHO[branch.spectral_radius < 1]
        numbers[name] = {
            "window of rho": list(window),
            "radii of the grid with spectral radius < 1": [inside[0], inside[-1]],
        }
    rates.plot(RHO, branch.leading_real_part, color=BLACK)
    _dress(rates, radii, critical)
    _draw_bands(bands, rows)
    figure.align_ylabels([rates, radii])
    samdyn.save(figure, folder / "theorem1.svg")
    return numbers


def _step_verdict(rho: float, gamma: float) -> str:
    step = samdyn.StepMap(BEALE, samdyn.USAM(rho), LEARNING_RATE, gamma)
    (point,) = samdyn.stability(step, at=SADDLE).points
    return point.step.verdict


def _mark_end(rates: Axes, radii: Axes, rho: float, colour: str) -> None:
    for ax in (rates, radii):
        ax.axvline(rho, color=colour, lw=0.9, ls=":")
    radii.annotate(
        f"{rho:.3f}", (rho, 0.06), xycoords=("data", "axes fraction"), xytext=(3, 0),
        textcoords="offset points", color=legible(colour), fontsize=small(),
    )  # fmt: skip


def _dress(rates: Axes, radii: Axes, critical: float) -> None:
    for ax, edge in ((rates, 0), (radii, 1)):
        ax.axhline(edge, color=BLACK, lw=0.6)
        ax.axvline(critical, color=PREDICTION, lw=0.9, ls="--")
        ax.set_xscale("log")
        ax.set_xlim(RHO[0], RHO[-1])
        ax.tick_params(labelbottom=False)
    rates.set_yscale("symlog", linthresh=30)
    rates.set_yticks([-10000, -1000, -100, 0, 27.75], ["−10⁴", "−10³", "−10²", "0", "27.75"])
    rates.set_yticks([], minor=True)
    rates.set_ylim(-2e4, 60)
    rates.set_ylabel("leading Re of the flow, 1/t")
    rates.text(critical * 1.08, -3000, "ρ = 1/27.75", color=PREDICTION)
    rates.set_title("Beale's saddle (0, 1) under USAM: H has eigenvalues ∓27.75; η = 0.001")
    radii.set_ylim(0, 1.6)
    radii.set_ylabel("spectral radius of the step")
    radii.legend(loc="upper center")  # where no line is


def _draw_bands(ax: Axes, rows: dict) -> None:
    """One bar a system, coloured and named by its verdict."""
    for y, names in enumerate(rows.values()):
        names = np.array(names)
        starts = np.concatenate([[0], np.flatnonzero(names[1:] != names[:-1]) + 1, [len(names)]])
        for low, high in itertools.pairwise(starts):
            ends = RHO[low], RHO[min(high, len(RHO) - 1)]
            ax.barh(y, ends[1] - ends[0], 0.8, left=ends[0], color=VERDICTS[names[low]])
            if ends[1] > 1.5 * ends[0]:
                ax.text(np.sqrt(ends[0] * ends[1]), y, names[low], ha="center", va="center")
    ax.set_xscale("log")
    ax.set_xlim(RHO[0], RHO[-1])
    ax.set_yticks(range(len(rows)), [name.replace(", ", ",\n") for name in rows])
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("ρ")


def basins_of(method: samdyn.AbstractMethod, grid: int) -> samdyn.Basins:
    return samdyn.basins(samdyn.StepMap(WELL, method, 0.01), WELL.box, grid=grid, steps=20_000)


@styled
def basins_vs_rho(folder: pathlib.Path) -> dict:
    """The double well: SAM's saddle takes a share of the plane that grows with ρ."""
    radii = (0.3, 0.6, 0.9)
    many = [basins_of(samdyn.GD(), 200), *(basins_of(samdyn.SAM(rho), 200) for rho in radii)]
    saddle = samdyn.manifolds(samdyn.Flow(WELL, samdyn.GD()), (0.0, 0.0), box=WELL.box)
    titles = ["GD", *(f"SAM, ρ = {rho:g}" for rho in radii)]
    with matplotlib.rc_context({"figure.figsize": (9.8, 3.8)}):
        figure = plot_basins(many, titles, [saddle, None, None, None])
    samdyn.save(figure, folder / "basins_vs_rho.png")
    return shares_of_the_basins(folder)


@styled
def shares_of_the_basins(folder: pathlib.Path) -> dict:
    """The shares of a grid of starts that end at the saddle and at the minima, against ρ.

    Gradient descent comes first, at ρ = 0, so that colours are those of `basins_vs_rho`.
    """
    radii = np.linspace(0, 0.9, 19)
    many = [basins_of(samdyn.SAM(rho) if rho else samdyn.GD(), 200) for rho in radii]
    ax = samdyn.plot_shares(
        many, radii, title="SAM on (x² − 1)²/4 + y²/2, η = 0.01, 200 × 200 starts"
    )
    samdyn.save(ax, folder / "saddle_share_vs_rho.svg")
    return {
        f"rho {rho:.2f}": {a.critical_type or a.kind: a.fraction for a in found.attractors}
        for rho, found in zip(radii, many, strict=True)
    }
