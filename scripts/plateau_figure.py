"""How long a small network stays on a saddle plateau under SAM, against rho and batch size.

    python scripts/plateau_figure.py

writes figures/plateau.svg and prints its numbers; about 5 minutes on two cores. Everything follows
from NumPy's seed 0 and JAX's seeds 0 … 11, a run each.

The plateau is an embedding (Fukumizu & Amari 2000): a network of one tanh unit is trained to its
minimum, then the unit is split into eight whose output weights are shares a₁ > … > a₈ of the old
one. The loss is that of the minimum, the gradient vanishes, but a minibatch's does not, and there
is negative curvature in proportion to each share: a spectrum of negative eigenvalues down to
λ_min. Runs start on that point. A run has left when the full loss has fallen by a fifth of what
there is to gain.

Prediction: the fastest direction grows at |λ_min|(1 − ρ_eff|λ_min|) while ρ_eff|λ_min| ≤ ½ and at
1/(4ρ_eff) beyond. With ρ_eff = ρ/‖g_B‖ and ‖g_B‖ ∝ B^(−½) that is steps ∝ ρ√B. Found:
ρ^1.5 B^0.45; with ρ_eff from the mean minibatch step, as `diagnose` has it, ρ^1.4 B^0.58 is told,
and the rate within a factor of two; see docs/networks.md.
"""

import functools
import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import BLACK, CYCLE, GREY, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
EXAMPLES, INPUTS, NOISE = 4096, 4, 0.3
SHARES = np.geomspace(1, 0.02, 8)
LEARNING_RATE, SEEDS, EVERY, LIMIT = 0.01, 12, 50, 30_000
RHO = np.array([0.05, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56])
BATCHES = (64, 256, 1024)
GAIN = 0.2  # of what there is to gain, to have left
RESAMPLES = 2000


class Setup(NamedTuple):
    """Data (float32), parameters on the saddle, and the loss at which a run has left."""

    x: jax.Array
    y: jax.Array
    params: dict[str, jax.Array]
    plateau: float
    left: float


def loss(params: dict[str, jax.Array], batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, y = batch
    return jnp.mean((jnp.tanh(x @ params["in"]) @ params["out"] - y) ** 2)


def minimise(params: Any, data: tuple[jax.Array, jax.Array]) -> tuple[Any, float]:
    """The nearest minimum on all data, by BFGS, and its loss."""
    w, unravel = ravel_pytree(params)
    both = jax.jit(jax.value_and_grad(lambda w: loss(unravel(w), data)))
    found = scipy.optimize.minimize(
        lambda w: tuple(np.asarray(part, float) for part in both(jnp.asarray(w))),
        np.asarray(w), jac=True, method="BFGS", tol=1e-12,
    )  # fmt: skip
    return unravel(jnp.asarray(found.x)), float(found.fun)


def setup() -> Setup:
    random = np.random.default_rng(0)
    x = random.standard_normal((EXAMPLES, INPUTS))
    teacher = random.standard_normal((3, INPUTS)).T
    y = np.tanh(x @ teacher) @ [1.0, -0.8, 0.6] + NOISE * random.standard_normal(EXAMPLES)
    data = (jnp.asarray(x), jnp.asarray(y))
    starts = [
        {"in": jnp.asarray(random.standard_normal((INPUTS, 1))), "out": jnp.ones(1)}
        for _ in range(10)
    ]
    one, plateau = min((minimise(start, data) for start in starts), key=lambda pair: pair[1])
    shares = SHARES / SHARES.sum()
    many = {"in": jnp.tile(one["in"], (1, shares.size)), "out": one["out"] * shares}
    away = jax.tree.map(lambda p: p + 0.1 * random.standard_normal(p.shape), many)
    _, best = minimise(away, data)
    single = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), (data, many))
    return Setup(*single[0], single[1], plateau, plateau - GAIN * (plateau - best))


@functools.partial(jax.jit, static_argnums=(4,))
def advance(w: Any, keys: jax.Array, rho: jax.Array, data: Any, batch: int):
    """EVERY steps of SGD under SAM for each radius (first axis) and seed (second); rho 0 is SGD."""
    x, y = data

    def one(w, key, rho):
        chosen = jax.random.randint(key, (batch,), 0, x.shape[0])
        part = lambda w: loss(w, (x[chosen], y[chosen]))  # noqa: E731
        g = samdyn.SAM(rho).direction(jax.grad(part), w)
        return jax.tree.map(lambda p, d: p - np.float32(LEARNING_RATE) * d, w, g)

    def step(w, key):
        seeds = jax.vmap(lambda seed: jax.random.fold_in(key, seed))(jnp.arange(SEEDS))
        each = jax.vmap(jax.vmap(one, (0, 0, None)), (0, None, 0))
        return each(w, seeds, rho), None

    w, _ = jax.lax.scan(step, w, keys)
    return w, jax.vmap(jax.vmap(lambda w: loss(w, data)))(w)


def steps_to_leave(made: Setup, rho: np.ndarray, batch: int) -> np.ndarray:
    """Steps until each run has left (radii, SEEDS), to EVERY; inf where it has not by LIMIT."""
    shape = (len(rho), SEEDS)
    w = jax.tree.map(lambda p: jnp.broadcast_to(p, (*shape, *p.shape)), made.params)
    left = np.full(shape, np.inf)
    for done in range(EVERY, LIMIT + 1, EVERY):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(batch), done), EVERY)
        w, losses = advance(w, keys, jnp.asarray(rho, jnp.float32), (made.x, made.y), batch)
        left = np.where((left == np.inf) & (np.asarray(losses) < made.left), done, left)
        if np.all(np.isfinite(left)):
            break
    return left


def predictions(made: Setup, batch: int) -> list[samdyn.Diagnosis]:
    """`diagnose` on the plateau for each radius."""
    cast = lambda tree: jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), tree)  # noqa: E731
    x, y = cast((made.x, made.y))
    order = np.random.default_rng(1).permutation(EXAMPLES)
    batches = [(x[k], y[k]) for k in np.split(order, EXAMPLES // batch)]
    steps = [samdyn.StepMap(loss, samdyn.SAM(rho), LEARNING_RATE) for rho in RHO]
    return [samdyn.diagnose(step, cast(made.params), batches) for step in steps]


def exponents(steps: np.ndarray, held: np.ndarray) -> np.ndarray:
    """(p, q) of steps (batches, radii) ∝ ρ^p B^q over the cells `held`, by least squares."""
    batch, rho = np.nonzero(held)
    design = [np.ones(rho.size), np.log(RHO[rho]), np.log(np.asarray(BATCHES)[batch])]
    logarithms = np.log(steps[batch, rho])
    return np.linalg.lstsq(np.stack(design, axis=1), logarithms, rcond=None)[0][1:]


def fit(left: np.ndarray, held: np.ndarray) -> dict[str, Any]:
    """Exponents of steps ∝ ρ^p B^q over the cells `held`, with bootstrap intervals over seeds."""
    random = np.random.default_rng(2)
    middle = lambda runs: np.median(left[:, :, runs], axis=2)  # noqa: E731
    drawn = [exponents(middle(random.integers(0, SEEDS, SEEDS)), held) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    found = exponents(middle(np.arange(SEEDS)), held)
    return {
        "cells": int(held.sum()),
        "rho": {"exponent": found[0], "ci95": [low[0], high[0]]},
        "batch": {"exponent": found[1], "ci95": [low[1], high[1]]},
    }


@styled
def plateau(folder: pathlib.Path) -> dict[str, Any]:
    """figures/plateau.svg and its numbers."""
    made = setup()
    left = np.stack([steps_to_leave(made, RHO, batch) for batch in BATCHES])
    plain = np.stack([steps_to_leave(made, np.zeros(1), batch)[0] for batch in BATCHES])
    told = [predictions(made, batch) for batch in BATCHES]
    slow = np.array([[d.escape_rate.slowdown for d in row] for row in told])  # pyright: ignore
    reach = np.array([[d.rho_eff * -d.ends.low.value for d in row] for row in told])
    held = (reach > 0.5) & np.all(np.isfinite(left), axis=2)
    figure, axes = new_figure(2, height=2.6, share=False)
    draw(axes[0], left, plain, slow, reach)
    figure_legend(figure, list(axes[0]))
    samdyn.save(figure, folder / "plateau.svg")
    return {
        "plateau": made.plateau,
        "lambda_min": told[0][0].ends.low.value,
        "lambda_max": told[0][0].ends.high.value,
        "batch_gradient_norm": [row[0].batch_gradient_norm for row in told],
        "window": [row[0].rho_window for row in told],
        "reach": np.round(reach, 3).tolist(),
        "median_steps": np.median(left, axis=2).tolist(),
        "median_steps_plain": np.median(plain, axis=1).tolist(),
        "still_there": np.mean(np.isinf(left), axis=2).tolist(),
        "predicted_slowdown": np.round(slow, 3).tolist(),
        "fit": fit(left, held) if held.sum() > 3 else None,
        "exponents of the prediction": exponents(slow, held).tolist() if held.sum() > 3 else None,
    }  # fmt: skip


def draw(axes: Any, left: np.ndarray, plain: np.ndarray, slow: np.ndarray, reach: np.ndarray):
    """Median steps against ρ, and the slow-down against ρ_eff|λ_min|."""
    for k, batch in enumerate(BATCHES):
        colour, middle = CYCLE[k], np.median(left[k], axis=1)
        shown = np.isfinite(middle)
        quartiles = np.percentile(left[k][shown], [25, 75], axis=1)
        around = np.abs(quartiles - middle[shown])
        axes[0].errorbar(RHO[shown], middle[shown], around, fmt="none", color=colour)
        dots: dict[str, Any] = {"marker": "os^"[k], "ms": 4, "color": colour}
        axes[0].plot(RHO[shown], middle[shown], **dots, ls="none")
        axes[0].plot(RHO, np.median(plain[k]) * slow[k], color=colour, lw=1)
        axes[0].plot([], [], **dots, lw=1, label=f"batch {batch}: measured, told by diagnose")
        axes[1].plot(reach[k][shown], middle[shown] / np.median(plain[k]), **dots, ls="none")
    order = np.argsort(reach.ravel())
    axes[1].plot(
        reach.ravel()[order], slow.ravel()[order], color=BLACK, lw=1, label="told by diagnose"
    )
    axes[1].axvline(0.5, color=GREY, linewidth=0.8)
    for ax, across, up in (
        (axes[0], [0.05, 0.1, 0.2, 0.5], [2000, 5000, 10_000, 20_000, 40_000]),
        (axes[1], [0.005, 0.02, 0.1, 0.5, 2], [1, 2, 5, 10]),
    ):
        ax.set(xscale="log", yscale="log")
        ax.minorticks_off()
        ax.set_xticks(across, [f"{x:g}" for x in across])
        ax.set_yticks(up, [f"{y:,}" for y in up])
    axes[0].set(xlabel="radius ρ", ylabel="steps on the plateau")
    axes[1].set(xlabel="ρ_eff |λ_min|", ylabel="slow-down against SGD")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(plateau(FOLDER), indent=2, ensure_ascii=False))
