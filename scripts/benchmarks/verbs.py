"""CPU seconds of the verbs: the first call, with what it compiles, and one after that.

`--before DIR` measures another checkout of the repository as well, in alternating pairs of fresh
processes, and prints the median of before/after: above 1 is faster than there.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

HERE = pathlib.Path(__file__).resolve()
REPEATS = 4
Case = tuple[str, Callable[[], object]]


def systems_as_arguments() -> bool:
    """Whether the verbs of this checkout take systems; older ones took loss and method apart."""
    import samdyn

    return hasattr(samdyn, "ODE")


def stability(loss, method, rate, **how):
    """`samdyn.stability` of a step, as this checkout takes it."""
    import samdyn as sd

    if systems_as_arguments():
        return sd.stability(sd.StepMap(loss, method, rate), **how)
    return sd.stability(loss, method, learning_rate=rate, **how)


def sweep(loss, method, radii, **how):
    """`samdyn.sweep` of a flow."""
    import samdyn as sd

    if systems_as_arguments():
        return sd.sweep(sd.Flow(loss, method), "rho", radii, **how)
    return sd.sweep(loss, method, radii, **how)


def basins(loss, method, rate, box, grid):
    """`samdyn.basins` of a step."""
    import samdyn as sd

    if systems_as_arguments():
        return sd.basins(sd.StepMap(loss, method, rate), box, grid=grid)
    return sd.basins(loss, method, box=box, grid=grid, learning_rate=rate)


def spread(loss, at, method, rate, noise, **how):
    """`samdyn.spread` of a noisy step."""
    import samdyn as sd

    if systems_as_arguments():
        return sd.spread(sd.StochasticStepMap(loss, method, rate, noise), at, **how)
    return sd.spread(loss, at, method, rate, noise, **how)


def diagnose(loss, params, batches, method, rate, momentum):
    """`samdyn.diagnose` of a step."""
    import samdyn as sd

    if systems_as_arguments():
        return sd.diagnose(sd.StepMap(loss, method, rate, momentum), params, batches)
    return sd.diagnose(loss, params, batches, method, rate, momentum)


def few_variables() -> list[Case]:
    """Verdicts, escapes and spread on registered losses."""
    import numpy as np

    import samdyn as sd

    beale, well, saddle = map(sd.get_loss, ("beale", "double-well-2d", "saddle"))
    box, slab, origin = [(-2.0, 2.0)] * 2, sd.Slab([0.0, 0.0], 1, 1.0), [0.0, 0.0]
    coupled = sd.Diffusion(saddle, sd.USAM(0.2), 0.01, sd.Isotropic(1.0, batch_size=4))
    additive = sd.Diffusion(saddle, sd.SAM(0.05), 0.01, sd.Additive(0.25))
    steps = sd.StochasticStepMap(saddle, sd.SAM(0.05), 0.05, sd.Isotropic(0.5))
    exits = lambda system, n: sd.escape_times(system, origin, slab, paths=n, seed=1)  # noqa: E731
    noise, radii = sd.Isotropic(1.0), np.linspace(0, 1.5, 16)
    wide = [(-4.5, 4.5)] * 2
    pairs = {"rho": np.linspace(0, 0.1, 200), "learning_rate": np.linspace(0.001, 0.08, 200)}
    many = np.linspace(0.01, 2.1, 400)
    further: list[Case] = []
    if hasattr(sd, "diagram"):
        step = sd.StepMap(beale, sd.USAM(0.1), 0.01)
        further = [
            ("diagram, 200 × 200", lambda: sd.diagram(step, pairs, at=[0.0, 1.0])),
            ("sweep, 400 rates", lambda: sd.sweep(step, "learning_rate", many, at=[0.0, 1.0])),
        ]
    return [
        *further,
        ("stability", lambda: stability(beale, sd.SAM(0.1), 1e-3, box=wide)),
        ("sweep", lambda: sweep(well, sd.USAM(0.1), radii, box=box)),
        ("basins", lambda: basins(well, sd.SAM(0.3), 0.1, box, 40)),
        ("escape, USAM", lambda: exits(coupled, 20_000)),
        ("escape, SAM", lambda: exits(additive, 20_000)),
        ("escape, map", lambda: exits(steps, 4_000)),
        (
            "spread",
            lambda: spread(saddle, origin, sd.USAM(0.1), 0.01, noise, time=1.0, paths=100_000),
        ),
    ]


def networks() -> list[Case]:
    """Diagnoses of two networks, and 30 steps of training."""
    import jax
    import jax.numpy as jnp
    import optax

    import samdyn as sd
    import samdyn.optax

    x = jax.random.normal(jax.random.key(0), (4, 64, 20))
    batches = [(part, jnp.tanh(part[:, 0])) for part in x]
    one, two = jax.random.split(jax.random.key(1))
    small = {
        "in": 0.1 * jax.random.normal(one, (20, 64)),
        "out": 0.1 * jax.random.normal(two, (64,)),
    }
    a, b, c, d = jax.random.split(jax.random.key(3), 4)
    large = {
        "a": 0.1 * jax.random.normal(a, (100, 256)),
        "b": 0.06 * jax.random.normal(b, (256, 256)),
        "c": 0.06 * jax.random.normal(c, (256, 10)),
    }
    more = [(part, jnp.sin(part[:, :10])) for part in jax.random.normal(d, (2, 128, 100))]

    def small_loss(p, batch):
        return jnp.mean((jnp.tanh(batch[0] @ p["in"]) @ p["out"] - batch[1]) ** 2)

    def large_loss(p, batch):
        hidden = jnp.tanh(jnp.tanh(batch[0] @ p["a"]) @ p["b"])
        return jnp.mean((hidden @ p["c"] - batch[1]) ** 2)

    gradient = jax.grad(lambda p: large_loss(p, more[0]))
    transform = samdyn.optax.sam(optax.sgd(0.1, momentum=0.9), sd.SAM(0.05))

    @jax.jit
    def trained(params, state):
        def step(_, carry):
            params, state = carry
            found = transform.update(gradient(params), state, params, grad_fn=gradient)
            return optax.apply_updates(params, found[0]), found[1]

        return jax.lax.fori_loop(0, 30, step, (params, state))

    state = transform.init(large)
    return [
        ("diagnose, 1k", lambda: diagnose(small_loss, small, batches, sd.SAM(0.05), 0.1, 0.9)),
        ("diagnose, 94k", lambda: diagnose(large_loss, large, more, sd.SAM(0.05), 0.1, 0.0)),
        ("30 SAM steps", lambda: jax.block_until_ready(trained(large, state))),
    ]


def measure() -> dict[str, float]:
    """Seconds of every case in this process."""
    import jax

    import samdyn as sd

    jax.config.update("jax_enable_x64", True)
    for name in sd.__all__:  # what is imported when it is first used belongs to no verb
        getattr(sd, name)
    found = {}
    for name, call in few_variables() + networks():
        began = time.process_time()
        call()
        first = time.process_time()
        for _ in range(REPEATS):
            call()
        found[f"{name}: first"] = first - began
        found[f"{name}: again"] = (time.process_time() - first) / REPEATS
    return found


def measured_in(checkout: pathlib.Path) -> dict[str, float]:
    """The same in a fresh process, with the library of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, str(HERE), "--json"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=pathlib.Path, help="another checkout")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="measure once, print JSON")
    args = parser.parse_args()
    if args.json:
        print(json.dumps(measure()))
        return
    here = HERE.parents[2]
    checkouts = [here] if args.before is None else [args.before.resolve(), here]
    runs = [[measured_in(checkout) for checkout in checkouts] for _ in range(args.pairs)]
    for name in runs[0][-1]:
        medians = [statistics.median(run[i][name] for run in runs) for i in range(len(checkouts))]
        line = f"{name:22}" + "".join(f"{seconds:10.3f} s" for seconds in medians)
        if args.before is not None:
            ratios = sorted(run[0][name] / run[1][name] for run in runs)
            line += f"   before/after {statistics.median(ratios):.3f}"
            line += f" [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        print(line, flush=True)


if __name__ == "__main__":
    main()
