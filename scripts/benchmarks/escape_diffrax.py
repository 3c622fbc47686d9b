"""First exits from x < 1 in the double well by diffrax, the way it is fastest on CPUs.

This is the peer for ensembles of stochastic paths: a vmapped `diffeqsolve` in float32 with Euler
steps of one length, fresh normal increments (`UnsafeBrownianPath`), no adjoint state
(`ForwardMode`) and an event for the exit. An ensemble runs until its slowest path ends, so
ensembles are small, and each core runs its own. One JSON line is printed; its seconds leave out
compilation.
"""

import argparse
import json
import threading
import time

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np

START, LEVEL = (-1.0, 0.0), 1.0
ENSEMBLE, THREADS = 512, 2


def gradient(w):
    """The gradient of (x² − 1)²/4 + y²/2."""
    x, y = w
    return jnp.stack([x * (x * x - 1), y])


def one_path(key, dt, s, rho):
    """(steps, whether it left) of one path."""
    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    drift = lambda t, w, args: -gradient(w + rho * gradient(w))  # noqa: E731
    spread = lambda t, w, args: lineax.DiagonalLinearOperator(s * jnp.ones_like(w))  # noqa: E731
    noise = diffrax.ControlTerm(spread, diffrax.UnsafeBrownianPath(shape, key))
    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(drift), noise),
        diffrax.Euler(),
        t0=0.0,
        t1=1e6,
        dt0=dt,
        y0=jnp.asarray(START, jnp.float32),
        stepsize_controller=diffrax.ConstantStepSize(),
        event=diffrax.Event(lambda t, w, args, **_: w[0] >= LEVEL),
        adjoint=diffrax.ForwardMode(),
        max_steps=None,
        throw=False,
    )
    return solution.stats["num_steps"], solution.result == diffrax.RESULTS.event_occurred


@jax.jit
def ensemble(key, dt, s, rho):
    """The same for `ENSEMBLE` paths, (ENSEMBLE,) each."""
    keys = jax.random.split(key, ENSEMBLE)
    return jax.vmap(one_path, (0, None, None, None))(keys, dt, s, rho)


def exits(ensembles: int, seed: int, dt: float, s: float, rho: float) -> dict:
    """Run `ensembles` ensembles on every thread."""
    numbers = [np.float32(v) for v in (dt, s, rho)]
    jax.block_until_ready(ensemble(jax.random.key(seed), np.float32(0.5), *numbers[1:]))
    steps: list[np.ndarray] = []

    def work(thread: int) -> None:
        for repeat in range(ensembles):
            key = jax.random.fold_in(jax.random.key(seed), thread * ensembles + repeat)
            taken, left = ensemble(key, *numbers)
            assert np.all(left)
            steps.append(np.asarray(taken))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    counts = np.concatenate(steps).astype(float)
    return {
        "seconds": seconds,
        "paths": counts.size,
        "path_steps": int(np.sum(counts)),
        "lane_steps": int(sum(part.size * int(np.max(part)) for part in steps)),
        "mean": float(np.mean(counts)) * dt,
        "standard_error": float(np.std(counts) / np.sqrt(counts.size)) * dt,
        "diffrax": diffrax.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ensembles", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dt", type=float, default=0.01)
    parser.add_argument("--s", type=float, default=0.2**0.5)
    parser.add_argument("--rho", type=float, default=0.1)
    arguments = parser.parse_args()
    print(json.dumps(exits(**vars(arguments))))


if __name__ == "__main__":
    main()
