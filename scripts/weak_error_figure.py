"""How far is the SDE from the optimizer's own steps? Weak error against η, without sampling.

In one dimension both laws can be computed. E f(w) of the step map is f carried back by the map's
transition kernel (Gauss–Legendre in the normals), that of the SDE by its backward equation
u_t = b u′ + ½σ² u″, both with u a polynomial on each of a few intervals (Chebyshev nodes). On
quadratics both have closed forms (`samdyn.escape.exact.linear`).

python scripts/weak_error_figure.py
"""

import itertools
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.stats
from matplotlib.axes import Axes

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    legible,
    new_figure,
    styled,
)

jax.config.update("jax_enable_x64", True)

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
ETAS = 0.02 / 2.0 ** np.arange(6)
TIME, START = 1.0, 0.5
WELL, NOISE = samdyn.get_loss("double-well"), samdyn.Isotropic(1.0)
JUMPS = (-1.0, 0.0, 1.0)  # where the well's gradient is 0
NODES, TAIL, POINTS = 150, 8.0, 20  # of all intervals; of the normals; of a smooth stretch


class Mesh(NamedTuple):
    """Chebyshev nodes `x` (n,) on intervals between `edges`, `size` a piece."""

    edges: np.ndarray
    size: int
    x: np.ndarray

    def interpolation(self, y: np.ndarray) -> np.ndarray:
        """(m, n): values at the nodes to values at y (m,), nearest end outside (barycentric)."""
        y = np.clip(y, self.edges[0], self.edges[-1])
        piece = np.clip(np.searchsorted(self.edges, y, "right") - 1, 0, len(self.edges) - 2)
        columns = piece[:, None] * self.size + np.arange(self.size)
        gap = y[:, None] - self.x[columns]
        weights = (-1.0) ** np.arange(self.size)
        weights[[0, -1]] /= 2
        hit = gap == 0
        terms = weights / np.where(hit, 1, gap)
        values = np.where(hit.any(axis=1)[:, None], hit, terms / terms.sum(axis=1)[:, None])
        matrix = np.zeros((len(y), len(self.x)))
        np.put_along_axis(matrix, columns, values, axis=1)
        return matrix

    def inside(self) -> np.ndarray:
        """The nodes (n,), those at the ends of an interval just inside of it."""
        middle = np.repeat((self.edges[1:] + self.edges[:-1]) / 2, self.size)
        return self.x + 1e-13 * (middle - self.x)

    def derivative(self) -> np.ndarray:
        """(n, n): values to first derivatives, each interval by itself (Trefethen 2000)."""
        blocks = []
        for x in self.x.reshape(-1, self.size):
            c = np.where(
                (np.arange(self.size) == 0) | (np.arange(self.size) == self.size - 1), 2, 1
            )
            c = c * (-1.0) ** np.arange(self.size)
            block = np.outer(c, 1 / c) / (x[:, None] - x[None, :] + np.eye(self.size))
            blocks.append(block - np.diag(block.sum(axis=1)))
        return scipy.linalg.block_diag(*blocks)


def mesh(dynamics: samdyn.StochasticStepMap | samdyn.Diffusion) -> Mesh:
    """Up to eight standard deviations beyond the minima ±1; split where its field jumps."""
    end = 1 + 4 * float(dynamics.learning_rate) ** 0.5
    edges = np.array([-end, *(JUMPS if jumps(dynamics) else ()), end])
    size = NODES // min(len(edges) - 1, 3)
    reference = -np.cos(np.pi * np.arange(size) / (size - 1))
    pieces = [(a + b) / 2 + (b - a) / 2 * reference for a, b in itertools.pairwise(edges)]
    return Mesh(edges, size, np.concatenate(pieces))


def jumps(dynamics: samdyn.StochasticStepMap | samdyn.Diffusion) -> bool:
    """Whether the mean step jumps: noise in the ascent would smooth it."""
    outside = dynamics.coupling.name in ("fresh", "paper")
    return dynamics.method.discontinuous and outside


def normal_rule(*breaks: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for E h(z), z standard normal, with h smooth between the breaks."""
    ends = np.unique(np.clip([-TAIL, 0.0, *breaks, TAIL], -TAIL, TAIL))
    t, w = np.polynomial.legendre.leggauss(POINTS)
    half = np.diff(ends)[:, None] / 2
    z = ((ends[:-1, None] + half) + half * t).ravel()
    return z, (half * w).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def by_steps(step_map: samdyn.StochasticStepMap, f: Callable, steps: int) -> float:
    """E f(w) after `steps` steps from `START`."""
    grid, rows = mesh(step_map), []
    for x in grid.inside():
        z, weight = _normals(step_map, x)
        ends = np.asarray(_stepped(step_map, jnp.full(len(z), x), jnp.asarray(z)))
        rows.append(weight @ grid.interpolation(ends))
    u = np.linalg.matrix_power(np.array(rows), steps) @ f(grid.x)
    return float(grid.interpolation(np.array([START]))[0] @ u)


@eqx.filter_jit
def _stepped(step_map, x, z):
    return jax.vmap(lambda x, z: step_map.step(samdyn.State(x[None], None), z).w[0])(x, z)


def _normals(step_map: samdyn.StochasticStepMap, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (k, draws) and weights (k,) of one step from x, split where it jumps."""
    breaks = []
    if step_map.method.discontinuous:  # the noisy gradient changes sign
        breaks = [-float(jax.grad(WELL)(jnp.array([x]))[0]) / float(NOISE.s)]
        if jumps(step_map):  # the step lands on a jump
            low, high = np.asarray(_stepped(step_map, jnp.full(2, x), jnp.array([[0.0], [1.0]])))
            breaks = [(jump - low) / (high - low) for jump in JUMPS]
    z, weight = normal_rule(*breaks)
    if step_map.coupling.name != "independent":
        return z[:, None], weight
    outer, w = normal_rule()
    pairs = np.stack(np.meshgrid(outer, z, indexing="ij"), -1).reshape(-1, 2)
    return pairs, np.outer(w, weight).ravel()


def by_sde(sde: samdyn.Diffusion, f: Callable) -> float:
    """E f(w) at `TIME` from `START`: u is C¹ across the jumps of b, u′ = 0 at the far ends."""
    grid = mesh(sde)
    x = jnp.asarray(grid.inside())[:, None]
    drift = np.asarray(jax.vmap(sde.drift)(x))[:, 0]
    variance = np.sum(np.asarray(jax.vmap(sde.matrix)(x))[:, 0] ** 2, axis=1)
    d = grid.derivative()
    generator = drift[:, None] * d + variance[:, None] / 2 * (d @ d)
    fixed, constraints = _conditions(grid, d)
    free = np.setdiff1d(np.arange(len(grid.x)), fixed)
    follow = -np.linalg.solve(constraints[:, fixed], constraints[:, free])
    inner = generator[np.ix_(free, free)] + generator[np.ix_(free, fixed)] @ follow
    u = np.zeros(len(grid.x))
    u[free] = scipy.linalg.expm(TIME * inner) @ f(grid.x[free])
    u[fixed] = follow @ u[free]
    return float(grid.interpolation(np.array([START]))[0] @ u)


def _conditions(grid: Mesh, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nodes that conditions determine (k,), conditions (k, n))."""
    n, size = len(grid.x), grid.size
    rows = [d[0], d[-1]]
    for left in range(size - 1, n - 1, size):
        same = np.zeros(n)
        same[[left, left + 1]] = 1, -1
        rows += [same, d[left] - d[left + 1]]
    fixed = np.unique(np.r_[np.arange(0, n, size), np.arange(size - 1, n, size)])
    return fixed, np.array(rows)


class Fit(NamedTuple):
    """|error| ≈ C·η^order, `half_width` of its 95 % interval by the scatter about the line.

    `errors` (k,) have a sign, `last` is the order between the two smallest η.
    """

    order: float
    half_width: float
    last: float
    errors: np.ndarray


def fit(errors: np.ndarray) -> Fit:
    logs = np.log(ETAS), np.log(np.abs(errors))
    line = scipy.stats.linregress(*logs)
    quantile = scipy.stats.t.ppf(0.975, len(ETAS) - 2)
    last = np.diff(logs[1])[-1] / np.diff(logs[0])[-1]
    return Fit(float(line.slope), float(quantile * line.stderr), float(last), errors)


OBSERVABLES = {"w²": lambda w: w**2, "cos 2w": lambda w: np.cos(2 * w)}


def weak_error(
    method: Callable, coupling: samdyn.AbstractCoupling, f: Callable = OBSERVABLES["w²"]
) -> Fit:
    """E f(w) of the steps − E f(w) of the SDE at `TIME` for every η; `method` maps η to one."""
    errors = []
    for eta in ETAS:
        parts = WELL, method(eta), eta, NOISE, coupling
        steps = by_steps(samdyn.StochasticStepMap(*parts), f, round(TIME / eta))
        errors.append(steps - by_sde(samdyn.Diffusion(*parts), f))
    return fit(np.array(errors))


def quadratic_error(coupling: str, rho: Callable, gamma: float = 0.0) -> Fit:
    """E w² of the steps − E w² of the SDE on −w²/2, in closed form: squared mean and variance."""
    errors = []
    for eta in ETAS:
        a, factor = samdyn.rates(coupling, -1.0, rho(eta))
        noise, steps = factor * float(NOISE.s) ** 2, round(TIME / eta)
        means = _means(float(a), eta, steps, gamma)
        squares = START**2 * (means[0] ** 2 - means[1] ** 2)
        variance = samdyn.map_variance(a, noise, eta, steps, gamma)
        errors.append(squares + variance - samdyn.sde_variance(a, noise, eta, TIME, gamma))
    return fit(np.array(errors))


def _means(a: float, eta: float, steps: int, gamma: float) -> tuple[float, float]:
    """E w of the steps and of the SDE from w = 1, m = 0."""
    if gamma == 0:
        return (1 - eta * a) ** steps, np.exp(-a * TIME)
    step = np.array([[1 - eta * a, -eta * gamma], [a, gamma]])
    field = np.array([[0, -1], [a / eta, -(1 - gamma) / eta]])
    return np.linalg.matrix_power(step, steps)[0, 0], scipy.linalg.expm(TIME * field)[0, 0]


ROOT = lambda method: lambda eta: method(eta**0.5)  # noqa: E731
LOOKS = {  # a colour for each coupling
    "same-batch": (BLUE, "o"),
    "independent": (GREEN, "s"),
    "fresh": (ORANGE, "^"),
    "paper": (PURPLE, "v"),
    "SGD": (BLACK, "D"),
    "SGD, γ = 0.5": (BLACK, "P"),
    "same-batch, ρ = 0.2": (BLUE, "x"),
}
Panel = dict[str, Fit]


def panels() -> dict[str, Panel]:
    """Every fit of the figure by panel and name."""
    sgd = weak_error(lambda eta: samdyn.GD(), samdyn.Fresh())
    linear = {name: quadratic_error(name, np.sqrt) for name in samdyn.COUPLINGS}
    usam = {c.name: weak_error(ROOT(samdyn.USAM), c) for c in samdyn.COUPLINGS.values()}
    fixed = weak_error(lambda eta: samdyn.USAM(0.2), samdyn.SameBatch())
    sam = {c.name: weak_error(ROOT(samdyn.SAM), c) for c in samdyn.COUPLINGS.values()}
    return {
        "USAM, ρ = √η, on −w²/2": {
            "SGD": quadratic_error("sgd", np.zeros_like),
            "SGD, γ = 0.5": quadratic_error("sgd", np.zeros_like, 0.5),
        }
        | linear,
        "USAM, ρ = √η, on the double well": {"SGD": sgd} | usam | {"same-batch, ρ = 0.2": fixed},
        "SAM, ρ = √η, on the double well": {"SGD": sgd} | sam,
    }


def _draw(ax: Axes, panel: Panel) -> None:
    corner: dict[str, Any] = {"transform": ax.transAxes, "ha": "right"}
    for row, (name, found) in enumerate(panel.items()):
        colour, marker = LOOKS[name]
        errors = np.abs(found.errors)
        if found.half_width < 0.2:  # else it is no power of η
            line = np.exp(np.mean(np.log(errors / ETAS**found.order))) * ETAS**found.order
            ax.plot(ETAS, line, color=colour, lw=0.8)
        size = 8 if name == "same-batch" else 4.5
        ax.plot(ETAS, errors, marker, color=colour, ms=size, mfc="none", label=name)
        text = f"{name}: {found.order:z.2f} ± {found.half_width:.2f}, last {found.last:z.2f}"
        text = text.replace("-0", "−0")
        ax.text(0.97, 0.035 + 0.055 * row, text, color=legible(colour), **corner)
    ax.set(xscale="log", yscale="log", xlabel="η, 10⁻³", ylim=(1e-8, 4))
    ax.text(0.97, 0.05 + 0.055 * len(panel), "fitted order, last pair", **corner)
    ax.set_xticks(ETAS, [f"{1e3 * eta:g}" for eta in ETAS])
    ax.minorticks_off()


@styled
def weak_error_figure(folder: pathlib.Path) -> dict:
    """Three panels with their fitted orders, and the numbers in them."""
    found = panels()
    figure, axes = new_figure(3, width=3.3, height=3.4)
    for ax, (title, panel) in zip(axes[0], found.items(), strict=True):
        _draw(ax, panel)
        ax.set_title(title)
    axes[0, 0].set_ylabel("|E w² of the steps − E w² of the SDE|, t = 1")
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "weak_error.svg")
    return {
        title: {name: f._asdict() | {"errors": f.errors.tolist()} for name, f in panel.items()}
        for title, panel in found.items()
    }


if __name__ == "__main__":
    print(json.dumps(weak_error_figure(FOLDER), indent=2, ensure_ascii=False))
