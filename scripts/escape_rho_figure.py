"""Escape from the saddle of x² − y² under USAM: beyond ρ = 1/|λ| its time grows exponentially.

    python scripts/escape_rho_figure.py

writes figures/escape_rho.svg and prints its numbers: about 40 s on two cores. Paths start at the
saddle and end at |y| = 1; the SDE is dw = −g(wᵖ) dt + s dW. Seeds are 100, 101, …, one a point,
in the order in which points are printed. The field of Theorem 2 of arXiv 2301.06308, the gradient
of the perturbed loss, leaves with the rate μ(1 − ρμ)² ≥ 0, μ = |λ|, where that of USAM,
μ(1 − ρμ), changes sign.
"""

import itertools
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes

import samdyn
from samdyn.plot.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PREDICTION,
    PURPLE,
    SKY,
    new_figure,
    styled,
)

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
LOSS, MU, BORDER = samdyn.get_loss("saddle"), 2.0, 1.0  # curvature −2 along y
CRITICAL = 1 / MU
NOISES = {0.8: (BLUE, "s"), 0.6: (PURPLE, "^"), 0.5: (BLACK, "o")}
RADII = {0.25: (SKY, "v"), CRITICAL: (GREEN, "D"), 0.75: (ORANGE, "P")}
LADDERS = {
    0.25: (1, 2, 4, 8, 16, 32, 64),
    CRITICAL: (1, 2, 4, 8, 16, 32, 64),
    0.75: (1, 2, 4, 5.5, 7),
}
RHO, PAPER_RHO = np.linspace(0, 1, 11), np.linspace(0, 1, 6)
PATHS = 3000


class Point(NamedTuple):
    """A simulated mean with its 95 % interval, and what it should be."""

    rho: float
    s: float
    mean: float
    ci95: tuple[float, float]
    exact: float

    @property
    def errors(self) -> float:
        """How many standard errors the mean is off."""
        return (self.mean - self.exact) / ((self.ci95[1] - self.ci95[0]) / (2 * 1.96))


def growth(rho: Any, coupling: str = "same-batch") -> Any:
    """The rate at which y leaves 0 (negative: it comes back)."""
    return -samdyn.rates(coupling, -MU, rho).rate


def simulate(rho: float, s: float, seed: int, coupling: str = "same-batch") -> Point:
    """The mean escape time under USAM, or under the gradient of the perturbed loss."""
    usam = samdyn.USAM(rho)
    method = samdyn.PerturbedLossGradient(usam) if coupling == "paper" else usam
    diffusion = samdyn.Diffusion(LOSS, method, 1.0, samdyn.Additive(s))
    region = samdyn.Slab(np.zeros(2), 1, BORDER)
    found = samdyn.escape_times(diffusion, np.zeros(2), region, paths=PATHS, seed=seed).summary
    assert found.mean is not None
    assert found.mean_ci95 is not None
    exact = float(samdyn.saddle_exit_time(growth(rho, coupling), s, BORDER))
    return Point(rho, s, found.mean, found.mean_ci95, exact)


@styled
def escape_rho(folder: pathlib.Path) -> dict:
    """Left: against ρ at three noises. Right: against the noise at three ρ."""
    seeds = itertools.count(100)
    by_noise = {s: [simulate(rho, s, next(seeds)) for rho in RHO] for s in NOISES}
    quiet = min(NOISES)
    paper = [simulate(rho, quiet, next(seeds), "paper") for rho in PAPER_RHO]
    by_radius = {rho: [simulate(rho, q**-0.5, next(seeds)) for q in LADDERS[rho]] for rho in RADII}
    figure, axes = new_figure(2, width=3.6, height=3.1, share=False)
    _draw_by_noise(axes[0, 0], by_noise, paper)
    _draw_by_radius(axes[0, 1], by_radius)
    samdyn.save(figure, folder / "escape_rho.svg")
    return {
        "against rho": _report([p for points in by_noise.values() for p in points]),
        "Theorem-2 field": _report(paper),
        "against noise": _report([p for points in by_radius.values() for p in points]),
    }


def _report(points: list[Point]) -> dict:
    errors = np.array([point.errors for point in points])
    rows = [
        f"rho {p.rho:g}, s {p.s:.3g}: {p.mean:.5g} [{p.ci95[0]:.5g}, {p.ci95[1]:.5g}], "
        f"exact {p.exact:.5g}, off by {p.errors:+.2f} standard errors"
        for p in points
    ]
    return {
        "points": rows,
        "mean square of the standard errors off": float(np.mean(errors**2)),
        "mean standard errors off": float(np.mean(errors)),
        "largest": float(np.max(np.abs(errors))),
    }


def _draw_by_noise(ax: Axes, by_noise: dict, paper: list[Point]) -> None:
    rho = np.linspace(0, 1, 401)
    for s, (colour, mark) in NOISES.items():
        ax.plot(rho, samdyn.saddle_exit_time(growth(rho), s, BORDER), color=colour, lw=1.2)
        _draw_points(ax, RHO, by_noise[s], colour, mark, f"s = {s:g}")
    quiet = min(NOISES)
    ax.plot(
        rho, samdyn.saddle_exit_time(growth(rho, "paper"), quiet, BORDER),
        color=PREDICTION, ls="--",
        label=f"Theorem 2, s = {quiet:g}",
    )  # fmt: skip
    _draw_points(ax, PAPER_RHO, paper, PREDICTION, "X", None)
    early = rho[growth(rho) * BORDER**2 / quiet**2 > 1]
    ax.plot(
        early, samdyn.saddle_logarithm(growth(early), quiet, BORDER), color=GREY, ls=":", lw=2,
        label=f"logarithm, s = {quiet:g}",
    )  # fmt: skip
    ax.axvline(CRITICAL, color=GREY, lw=0.8, zorder=1)
    ax.text(CRITICAL + 0.015, 0.62, "ρ = 1/|λ| = 0.5", color="#505050", va="bottom")
    ax.set(yscale="log", xlim=(-0.03, 1.03), ylim=(0.55, 2e3), xlabel="radius ρ")
    ax.set_ylabel("mean escape time τ (η · steps)")
    ax.set_title("USAM from the saddle of x² − y² to |y| = L = 1")
    ax.legend(loc="upper left")


def _draw_by_radius(ax: Axes, by_radius: dict) -> None:
    q = np.geomspace(0.8, 90, 300)
    for rho, (colour, mark) in RADII.items():
        reach = q if rho <= CRITICAL else q[q < 7.8]
        ax.plot(
            reach, samdyn.saddle_exit_time(growth(rho), reach**-0.5, BORDER), color=colour, lw=1.2
        )
        _draw_points(ax, np.array(LADDERS[rho]), by_radius[rho], colour, mark, None)
    large = q[q > 2]
    ax.plot(
        large, samdyn.saddle_logarithm(growth(0.25), large**-0.5, BORDER), color=GREY, ls=":", lw=2
    )
    ax.plot([], [], color=GREY, lw=1.2, label="exact")
    ax.plot([], [], "o", color=GREY, mfc="white", ms=4, label="simulated, 95 % interval")
    ax.text(7.6, 250, "ρ = 0.75:\nexponential")
    ax.text(27, 13.5, "ρ = 1/|λ|:\nτ = L²/s²")
    ax.text(15, 1.35, "ρ = 0.25: logarithmic")
    ax.set(xscale="log", yscale="log", xlim=(0.8, 90), ylim=(0.55, 2e3))
    ax.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    ax.minorticks_off()
    ax.set_xlabel("L²/s², less noise to the right")
    ax.set_title("the same against the noise s")
    ax.legend(loc="upper right")


def _draw_points(ax: Axes, x, points: list[Point], colour: str, mark: str, label) -> None:
    mean = np.array([point.mean for point in points])
    ends = np.array([point.ci95 for point in points]).T
    ax.errorbar(
        x, mean, np.abs(ends - mean), fmt=mark, color=colour, mfc="white", ms=3.8, mew=1,
        capsize=2, elinewidth=1, zorder=5, label=label,
    )  # fmt: skip


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(escape_rho(FOLDER), indent=2, ensure_ascii=False))
