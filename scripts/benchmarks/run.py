"""Every speed claim, measured side by side on this machine. Prints medians.

The peer for trajectories is the loop a PyTorch user would write (`beale_pytorch.py`). It needs
the `bench` extra and takes some minutes; `--without-peer` leaves it out.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import samdyn

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)

HERE = pathlib.Path(__file__).parent
SAMDYN = pathlib.Path(sys.executable).with_name("samdyn")
STEPS, LEARNING_RATE = 87_683, 1.25e-5
CHECKPOINTS = np.arange(1, 1001) * (STEPS // 1000)


def timed(work, repeats: int = 5) -> float:
    """Median seconds of `work()`, after one untimed call that compiles."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def timed_command(*command: str, repeats: int = 5) -> float:
    """Median wall seconds of a command in a fresh process, first run included."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def trajectories() -> float:
    """GD and SAM 0.1, 0.5, 1 from (1, 2), 1000 checkpoints each."""
    beale, start = samdyn.get_loss("beale"), jnp.array([1.0, 2.0])
    gd = samdyn.StepMap(beale, samdyn.GD(), LEARNING_RATE)
    sam = samdyn.StepMap(beale, samdyn.SAM(0.1, 1e-16), LEARNING_RATE)
    radii = jnp.array([0.1, 0.5, 1.0])

    @eqx.filter_jit
    def all_sam(sam, radii):
        run = lambda rho: samdyn.iterate(  # noqa: E731
            sam.at(rho=rho), start, STEPS, at_steps=CHECKPOINTS
        )
        return jax.vmap(run)(radii)

    def work():
        runs = samdyn.iterate(gd, start, STEPS, at_steps=CHECKPOINTS), all_sam(sam, radii)
        jax.block_until_ready([run.checkpoints for run in runs])

    return timed(work)


def sweep_of_radii() -> tuple[float, int]:
    """(seconds for 10,000 radii at Beale's saddle, traces of the loss after the first call)."""
    traces = 0
    beale = samdyn.get_loss("beale")

    def counted(w):
        nonlocal traces
        traces += 1
        return beale(w)

    offsets = iter(np.linspace(0, 1e-3, 100))

    def work():
        grid = np.linspace(0.0, 0.1, 10_000) + next(offsets)
        samdyn.sweep(samdyn.Flow(counted, samdyn.USAM(0.1)), "rho", grid, at=[0.0, 1.0])

    work()
    before = traces
    seconds = timed(work)
    return seconds, traces - before


def basin_image() -> samdyn.Basins:
    """400 × 400 starts of Beale under SAM, 20,000 steps each (the second run of two)."""
    beale = samdyn.get_loss("beale")
    step = samdyn.StepMap(beale, samdyn.SAM(0.5), 1e-4)
    samdyn.basins(step, beale.box, grid=20, steps=20_000)
    return samdyn.basins(step, beale.box, grid=400, steps=20_000)


def peer() -> dict:
    """The PyTorch loop in its own process: one run, it takes minutes."""
    command = [sys.executable, str(HERE / "beale_pytorch.py")]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-peer", action="store_true")
    arguments = parser.parse_args()

    ours = trajectories()
    print(f"four Beale trajectories of {STEPS} steps with {len(CHECKPOINTS)} checkpoints")
    print(f"  samdyn, compiled                       {ours:10.4f} s")
    cold = timed_command(
        *(str(SAMDYN), "trajectory", "beale", "--method", "sam", "--rho", "0.5"),
        *("--lr", str(LEARNING_RATE), "--steps", str(STEPS), "--start", "1,2"),
        repeats=3,
    )
    print(f"  samdyn trajectory, cold command        {cold:10.4f} s")
    if not arguments.without_peer:
        theirs = peer()
        print(f"  PyTorch {theirs['torch']} eager, one run   {theirs['seconds']:10.4f} s")
        print(f"  ratio                                  {theirs['seconds'] / ours:10.0f} ×")

    seconds, traces = sweep_of_radii()
    print("10,000 radii at Beale's saddle (sweep --at), after compiling")
    print(f"  median                                 {seconds:10.4f} s, {traces} new traces")

    image = basin_image()
    print("400 × 400 basins of Beale under SAM, 20,000 steps each")
    print(
        f"  {image.path_steps:.4g} path-steps in {image.seconds:.2f} s: "
        f"{image.path_steps / image.seconds:.3g} path-steps/s"
    )

    answer = timed_command(str(SAMDYN), "--help")
    imported = timed_command(sys.executable, "-c", "import jax")
    print("time to answer")
    print(f"  samdyn --help                          {answer:10.4f} s")
    print(f"  python -c 'import jax'                 {imported:10.4f} s")

    subprocess.run([sys.executable, str(HERE / "first_answer.py")], check=True)
    options = ["--without-peer"] if arguments.without_peer else []
    subprocess.run([sys.executable, str(HERE / "escape.py"), *options], check=True)
    subprocess.run([sys.executable, str(HERE / "escape_problems.py")], check=True)


if __name__ == "__main__":
    main()
