"""A SAM run that makes no progress: is it a saddle, and does the advice release it?

    python scripts/is_it_a_saddle.py

writes figures/is_it_a_saddle.svg and prints its numbers; about 1 minute on two cores. A tanh
network 64–32–10 with small weights learns long-tailed digits (30 to 1) with minibatches of 128,
heavy ball 0.9, and SAM of a radius that is too large. Its loss stays at the entropy of the class
frequencies. `diagnose` is asked after STUCK steps; then the run goes on twice from there: as it
was, and with the radius that the sentence advises. Seeds: data 0, start 0, minibatches 1.
"""

import json
import pathlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import BLUE, GREY, ORANGE, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
IMBALANCE, WIDTH, SMALL = 30, 32, 0.05
LEARNING_RATE, MOMENTUM, BATCH, RHO = 0.02, 0.9, 128, 1.0
STUCK, AFTER, LOOK = 4000, 4000, 50


def data() -> samdyn.Dataset:
    return samdyn.long_tailed_digits(IMBALANCE, seed=0)


def start() -> Any:
    net = eqx.nn.MLP(64, 10, WIDTH, 1, jnp.tanh, key=jax.random.key(0), dtype=jnp.float32)
    return jax.tree.map(lambda x: SMALL * x if eqx.is_inexact_array(x) else x, net)


def cross_entropy(net: Any, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    logits = jax.vmap(net)(batch[0])
    chosen = jnp.take_along_axis(logits, batch[1][:, None], 1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)


def train(net: Any, memory: Any, rho: float, first: int, steps: int) -> tuple[Any, Any, np.ndarray]:
    """(network, momentum, full loss every LOOK steps) after `steps` steps from step `first`."""
    digits = data()
    x = jnp.asarray(digits.train_x).reshape(len(digits.train_x), -1)
    y = jnp.asarray(digits.train_y)
    floats, rest = eqx.partition(net, eqx.is_inexact_array)
    on = lambda p, batch: cross_entropy(eqx.combine(p, rest), batch)  # noqa: E731

    @jax.jit
    def some(state, rho, first, x, y):
        def step(state, k):
            key = jax.random.fold_in(jax.random.key(1), k)
            chosen = jax.random.choice(key, x.shape[0], (BATCH,), replace=False)
            part = lambda p: on(p, (x[chosen], y[chosen]))  # noqa: E731
            step_map = samdyn.StepMap(
                part, samdyn.SAM(rho), np.float32(LEARNING_RATE), np.float32(MOMENTUM)
            )
            return step_map(state), None

        state, _ = jax.lax.scan(step, state, first + jnp.arange(LOOK))
        return state, on(state.w, (x, y))

    buffer = jax.tree.map(jnp.zeros_like, floats) if memory is None else memory
    state, losses = samdyn.State(floats, buffer), []
    for k in range(first, first + steps, LOOK):
        state, value = some(state, np.float32(rho), k, x, y)
        losses.append(float(value))
    return eqx.combine(state.w, rest), state.memory, np.array(losses)


def diagnose(net: Any, rho: float) -> samdyn.Diagnosis:
    """In double precision, on every minibatch of one epoch."""
    digits, count = data(), len(data().train_x) // BATCH
    order = np.random.default_rng(0).permutation(len(digits.train_x))[: count * BATCH]
    with jax.enable_x64(True):
        x = jnp.asarray(digits.train_x, jnp.float64).reshape(len(digits.train_x), -1)
        y = jnp.asarray(digits.train_y)
        batches = [(x[part], y[part]) for part in np.split(order, count)]
        double = lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
        net = jax.tree.map(double, net)
        step = samdyn.StepMap(cross_entropy, samdyn.SAM(rho), LEARNING_RATE, MOMENTUM)
        return samdyn.diagnose(step, net, batches)


@styled
def is_it_a_saddle(folder: pathlib.Path) -> dict[str, Any]:
    """figures/is_it_a_saddle.svg and its numbers."""
    stuck, memory, before = train(start(), None, RHO, 0, STUCK)
    found = diagnose(stuck, RHO)
    advised = found.rho_advised or 0.0
    _, _, kept = train(stuck, memory, RHO, STUCK, AFTER)
    _, _, released = train(stuck, memory, advised, STUCK, AFTER)
    figure, axes = new_figure(1, width=5.0, height=2.4)
    draw(axes[0, 0], before, kept, released, advised, entropy(data().train_y))
    figure_legend(figure, [axes[0, 0]])
    samdyn.save(figure, folder / "is_it_a_saddle.svg")
    return {
        "entropy of the classes": entropy(data().train_y),
        "loss when asked": float(before[-1]),
        "diagnosis": found.to_dict(),
        "rho": {"kept": RHO, "advised": advised},
        "final loss": {"kept": float(kept[-1]), "released": float(released[-1])},
    }


def entropy(labels: np.ndarray) -> float:
    share = np.bincount(labels) / labels.size
    return float(-np.sum(share * np.log(share)))


def draw(ax: Any, before: Any, kept: Any, released: Any, advised: float, flat: float) -> None:
    early = np.arange(1, before.size + 1) * LOOK
    late = STUCK + np.arange(1, kept.size + 1) * LOOK
    ax.axhline(flat, color=GREY, linestyle="--", label="entropy of the classes")
    ax.plot(early, before, color=ORANGE, label=f"SAM, ρ = {RHO:g}")
    ax.plot(late, kept, color=ORANGE)
    ax.plot(late, released, color=BLUE, label=f"from there with ρ = {advised:.2g}")
    ax.axvline(STUCK, color=GREY, linewidth=0.8)
    ax.text(STUCK - 80, flat / 2, "diagnosed", ha="right", va="center")
    ax.set(xlabel="step", ylabel="loss on all training data", ylim=(0, 1.1 * flat))


if __name__ == "__main__":
    print(json.dumps(is_it_a_saddle(FOLDER), indent=2, ensure_ascii=False))
