"""Training by SAM at its edge of stability: the top curvature against 2/η and the SAM-edge.

    python scripts/edge_figure.py

writes figures/sam_edge.svg and prints its numbers; about 4 minutes on two cores. Full-batch
training of a tanh network 64–32–10 on 1000 digits with squared error; data and start from seed 0.
Every LOOK steps the largest Hessian eigenvalue comes from Lanczos on all data.

Gradient descent raises the top curvature until ηλ = 2 and hovers there (Cohen et al., arXiv
2103.00065). SAM's edge (Long & Bartlett, arXiv 2309.12488) is lower and moves with ‖g‖:
(‖g‖/2ρ)(√(1 + 8ρ/(η‖g‖)) − 1).
"""

import json
import pathlib
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import BLACK, PREDICTION, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
EXAMPLES, WIDTH, LEARNING_RATE, STEPS, LOOK = 1000, 32, 0.1, 6000, 50
RHO = (0.0, 0.02, 0.05, 0.1)
TAIL = 20  # looks at the end, for the numbers


class Track(NamedTuple):
    """Along training, at each look: step, loss, ‖g‖, λ_max and its residual."""

    step: np.ndarray
    loss: np.ndarray
    gradient_norm: np.ndarray
    top: np.ndarray
    residual: np.ndarray


def squared_error(net: eqx.Module, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, y = batch
    return jnp.mean(jnp.sum((jax.vmap(net)(x) - y) ** 2, axis=1)) / 2  # pyright: ignore


def start() -> tuple[Any, tuple[jax.Array, jax.Array]]:
    """(network, data): targets are one-hot."""
    digits = samdyn.digits(seed=0)
    x = jnp.asarray(digits.train_x[:EXAMPLES]).reshape(EXAMPLES, -1)
    y = jax.nn.one_hot(jnp.asarray(digits.train_y[:EXAMPLES]), 10, dtype=x.dtype)
    net = eqx.nn.MLP(x.shape[1], 10, WIDTH, 1, jnp.tanh, key=jax.random.key(0), dtype=x.dtype)
    return net, (x, y)


def train(rho: float) -> Track:
    net, data = start()
    params, static = eqx.partition(net, eqx.is_inexact_array)
    whole = lambda p, batch: squared_error(eqx.combine(p, static), batch)  # noqa: E731
    method = samdyn.SAM(np.float32(rho)) if rho else samdyn.GD()

    @jax.jit
    def some(params, data):
        loss = lambda p: whole(p, data)  # noqa: E731
        step_map = samdyn.StepMap(loss, method, np.float32(LEARNING_RATE))
        go = lambda state, _: (step_map(state), None)  # noqa: E731
        return jax.lax.scan(go, step_map.init(params), None, length=LOOK)[0].w

    rows = []
    for step in range(0, STEPS + 1, LOOK):
        operator = samdyn.hessian(whole, params, [data], check=step == 0)
        ends = samdyn.spectrum_ends(operator, krylov=16, max_products=16)
        norm = float(jnp.linalg.norm(operator.gradient))
        rows.append((step, operator.loss, norm, ends.high.value, ends.high.residual))
        params = some(params, data)
    return Track(*np.array(rows).T)


@styled
def sam_edge(folder: pathlib.Path) -> dict[str, Any]:
    """figures/sam_edge.svg and its numbers."""
    tracks = {rho: train(rho) for rho in RHO}
    figure, axes = new_figure(2, len(RHO) // 2, height=2.0)
    numbers = {}
    for ax, (rho, track) in zip(axes.flat, tracks.items(), strict=True):
        edge = samdyn.sam_edge(track.gradient_norm, rho, LEARNING_RATE) if rho else None
        numbers[f"rho {rho:g}"] = draw(ax, rho, track, edge)
    for ax in axes[:, 0]:
        ax.set_ylabel("top curvature")
    for ax in axes[-1]:
        ax.set_xlabel("step")
    figure_legend(figure, list(axes.flat))
    samdyn.save(figure, folder / "sam_edge.svg")
    return numbers


def draw(ax: Any, rho: float, track: Track, edge: Any) -> dict[str, Any]:
    """One panel; the ratio of the top curvature to its edge over the last looks."""
    ax.plot(track.step, track.top, color=BLACK, label="λ_max")
    ax.axhline(2 / LEARNING_RATE, color=PREDICTION, linestyle="--", lw=1, label="2/η")
    bound = np.full(track.top.shape, 2 / LEARNING_RATE) if edge is None else np.asarray(edge)
    if edge is not None:
        ax.plot(track.step, bound, color=PREDICTION, linestyle=":", label="SAM-edge")
    ax.set(title="gradient descent" if edge is None else f"SAM, ρ = {rho:g}")
    ax.set_ylim(0, 2.4 / LEARNING_RATE)
    ratio = track.top[-TAIL:] / bound[-TAIL:]
    return {
        "loss": float(track.loss[-1]),
        "top_curvature": float(np.median(track.top[-TAIL:])),
        "top_over_edge": [float(q) for q in np.percentile(ratio, [25, 50, 75])],
        "worst_relative_residual": float(np.max(track.residual / track.top)),
    }


if __name__ == "__main__":
    print(json.dumps(sam_edge(FOLDER), indent=2, ensure_ascii=False))
