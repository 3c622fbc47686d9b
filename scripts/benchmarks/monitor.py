"""What the curvature monitor costs: a record every 100 steps with 8 Hessian products, float32.

A record takes up to 2·8 + 3 gradients of the monitor's loss, and 8 orthogonalisations of a vector
as long as the parameters, which no smaller batch makes cheaper. At the batch of training that is
11 to 19 % of a step of SGD; hence the smaller batches. The convolutions of
a record lie inside a conditional, where XLA's CPU compiler makes plain loops of them (about ten
times slower, as it does inside `lax.scan`).

Printed are medians of blocks of steps that take turns with training alone ("blocks"), and the
same from the steps that record alone ("records"), which is less noisy.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import optax

import samdyn

EVERY, PRODUCTS = 100, 8


def mlp(w, x):
    for weight in w[:-1]:
        x = jax.nn.relu(x.reshape(len(x), -1) @ weight)
    return x @ w[-1]


def convnet(w, x):
    for kernel in w[:-1]:
        dimensions = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=dimensions)
        x = jnp.tanh(x)
    return x.reshape(len(x), -1) @ w[-1]


NETS = {
    "mlp": (mlp, [(784, 256), (256, 256), (256, 10)]),
    "convnet": (convnet, [(3, 3, 1, 16), (3, 3, 16, 32), (7 * 7 * 32, 10)]),
}
SGD = optax.sgd(1e-3, momentum=0.9)
OPTIMIZERS = {"SGD": SGD, "SAM": samdyn.optax.sam(SGD, samdyn.SAM(0.05))}
SHARES = 1, 8, 16  # parts of the training batch that the monitor may look at


def problem(net, shapes, size: int):
    """(loss, parameters, a batch of noise): what is learnt does not matter for the time."""
    keys = jax.random.split(jax.random.key(0), len(shapes) + 2)
    x = jax.random.normal(keys[0], (size, 28, 28, 1))
    y = jax.random.randint(keys[1], (size,), 0, 10)
    scale = lambda shape: (2 / jnp.prod(jnp.array(shape[:-1]))) ** 0.5  # noqa: E731
    w = [scale(s) * jax.random.normal(key, s) for s, key in zip(shapes, keys[2:], strict=True)]

    def loss(w, batch):
        logits = net(w, batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

    return loss, w, (x, y)


class Training:
    """A compiled training step and where it is."""

    def __init__(self, loss, optimizer, w, batch):
        @jax.jit
        def step(w, state, batch):
            gradient = lambda w: jax.grad(loss)(w, batch)  # noqa: E731
            updates, state = optimizer.update(gradient(w), state, w, grad_fn=gradient)
            return optax.apply_updates(w, updates), state

        self.step, self.batch = step, batch
        self.now = (w, optimizer.init(w))

    def run(self, steps: int) -> float:
        """Seconds for so many steps."""
        began = time.perf_counter()
        for _ in range(steps):
            self.now = self.step(*self.now, self.batch)
        jax.block_until_ready(self.now)
        return time.perf_counter() - began


def overhead(loss, optimizer, w, batch, size: int, blocks: int) -> dict[str, float]:
    """The relative cost of the monitor on `size` examples, measured in two ways."""
    small = jax.tree.map(lambda x: x[:size], batch)
    watched = samdyn.optax.monitor(optimizer, loss, small, every=EVERY, products=PRODUCTS)
    alone, monitored = Training(loss, optimizer, w, batch), Training(loss, watched, w, batch)
    alone.run(1)
    monitored.run(1)  # record 0: from here on every EVERY-th step, the first one after 99
    ratios, seconds = [], {"step": [], "idle": [], "record": []}
    for _ in range(blocks):
        idle = monitored.run(EVERY - 1)
        record = monitored.run(1)
        plain = alone.run(EVERY)
        ratios.append((idle + record) / plain - 1)
        seconds["step"].append(plain / EVERY)
        seconds["idle"].append(idle / (EVERY - 1))
        seconds["record"].append(record)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    single = (middle["record"] - middle["idle"]) / EVERY / middle["step"]
    return middle | {"blocks": statistics.median(ratios), "single": single}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=5, help=f"blocks of {EVERY} steps")
    parser.add_argument("--batch", type=int, default=512, help="training examples in a step")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    arguments = parser.parse_args()
    size = arguments.batch
    print(f"a record every {EVERY} steps, {PRODUCTS} products, training batch {size}, float32")
    print("net      step   monitor's batch   step ms  record ms    blocks   records")
    for name in arguments.nets:
        loss, w, batch = problem(*NETS[name], size)
        for method, optimizer in OPTIMIZERS.items():
            for share in SHARES:
                cost = overhead(loss, optimizer, w, batch, size // share, arguments.blocks)
                record = cost["record"] - cost["idle"]
                print(
                    f"{name:<9}{method:<7}{size // share:15d} {1e3 * cost['step']:9.3f} "
                    f"{1e3 * record:10.2f} {cost['blocks']:+9.2%} {cost['single']:+9.2%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
