"""First exits, problem by problem: samdyn's machine code, XLA and hand-written C++ loops by turns.

Costs are in nanoseconds of CPU time a path-step, over all threads of the whole call: they do not
depend on who else uses the machine. Wall time, times the number of cores, stands beside them.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from yardstick import CORES, Yardstick, compiler, processor

import samdyn
from samdyn.escape.statistics import ESCAPED

WORTH = 2.0  # CPU seconds of a timed run, about
FEW = 2000  # paths that tell how many that is
SAME = 0.99  # of the paths of a seed must leave within dt of each other in C++ and in samdyn
CHECKED = 20_000  # paths of that comparison
SCHEMES = ("euler", "heun", "euler-binomial")
NONE = "—"


class Problem(NamedTuple):
    """USAM with additive noise s from a point until a region is left."""

    name: str
    loss: Callable
    start: tuple[float, ...]
    region: samdyn.AbstractRegion
    rho: float
    s: float
    dt: float
    size: float = 0.0  # of the region, for C++
    scheme: str = "euler"
    dtype: str = "float32"

    def run(self, back_end: str, seed: int, paths: int) -> samdyn.EscapeTimes:
        noise = samdyn.Additive(self.s)
        system = samdyn.Diffusion(self.loss, samdyn.USAM(self.rho), 1.0, noise)
        return samdyn.escape_times(
            *(system, self.start, self.region),
            paths=paths,
            seed=seed,
            dt=self.dt,
            scheme=self.scheme,
            dtype=self.dtype,
            back_end=back_end,
        )

    @property
    def numbers(self) -> dict[str, float]:
        return {"dt": self.dt, "s": self.s, "rho": self.rho, "size": self.size}


def double_well(scheme: str = "euler", dtype: str = "float32") -> Problem:
    """6000 steps a path."""
    loss, region = samdyn.get_loss("double-well-2d"), samdyn.Below(0, 1.0)
    return Problem(
        *("double well", loss, (-1.0, 0.0), region, 0.1, 0.2**0.5, 0.01, 1.0, scheme, dtype)
    )


def beale_in_a_ball(scheme: str = "euler", dtype: str = "float32") -> Problem:
    """1800 steps a path. The drift's fastest rate at the minimum is 290."""
    minimum, radius = (3.0, 0.5), 0.3
    region = samdyn.Ball(minimum, radius)
    loss = samdyn.get_loss("beale")
    return Problem("Beale in a ball", loss, minimum, region, 0.1, 0.5, 2e-4, radius, scheme, dtype)


def others() -> list[Problem]:
    """Problems without a C++ loop, of 500 to 2000 steps a path; dt times the rate is below 0.1."""
    return [
        _in_a_ball("Müller-Brown", "muller-brown", (-0.558224, 1.441726), 0.25, 1e-5, 3.0, 2e-5),
        _in_a_ball("Rosenbrock, 4 dim.", "rosenbrock-4d", (1.0,) * 4, 0.2, 1e-4, 0.7, 5e-5),
        _in_a_ball("tanh network, 7 weights", tanh_network, NETWORK, 1.0, 0.1, 0.12, 0.02),
        *(
            _in_a_ball(
                f"{dim} double wells",
                *(f"double-well-product-{dim}d", (-1.0,) * dim, radius, 0.1, 0.35, 0.02),
            )
            for dim, radius in ((10, 1.2), (20, 1.7))
        ),
    ]


def _in_a_ball(name, loss, start, radius, rho, s, dt) -> Problem:
    loss = samdyn.get_loss(loss) if isinstance(loss, str) else loss
    return Problem(name, loss, start, samdyn.Ball(start, radius), rho, s, dt)


INPUTS = np.linspace(-1.5, 1.5, 6)
NETWORK = (1.0, 0.9, 0.0, 0.0, 1.0, 0.1, 0.0)


def tanh_network(w):
    """Mean squared error of two hidden units against sin x: weights, biases, outputs, bias."""
    inputs, targets = (jnp.asarray(v, w.dtype) for v in (INPUTS, np.sin(INPUTS)))
    hidden = jnp.tanh(inputs[:, None] * w[:2] + w[2:4])
    return jnp.mean((hidden @ w[4:6] + w[6] - targets) ** 2)


class Cost(NamedTuple):
    """Of a path-step, in nanoseconds: CPU time, and wall time times cores."""

    cpu: float
    wall: float


def of_samdyn(problem: Problem, back_end: str) -> Callable[[int, int], dict[str, Any]]:
    def run(seed: int, paths: int) -> dict[str, Any]:
        began = time.process_time()
        result = problem.run(back_end, seed, paths)
        cpu = time.process_time() - began
        if np.any(result.status != ESCAPED) or result.warnings:
            raise SystemExit(f"{problem.name} is not as it was chosen to be: {result}")
        return {"cpu_seconds": cpu, "seconds": result.seconds, "path_steps": result.path_steps}

    return run


def of_cpp(problem: Problem, loop: Yardstick) -> Callable[[int, int], dict[str, Any]]:
    kind = {"scheme": problem.scheme, "dtype": problem.dtype}
    return lambda seed, paths: loop(seed, paths, **kind)


def enough(run: Callable) -> int:
    """Paths of a timed run: what a call costs whatever their number must not show."""
    count = FEW
    while (seconds := run(0, count)["cpu_seconds"]) < WORTH / 2:
        count *= 4
    return int(count * WORTH / seconds)


def costs(contestants: dict[str, Callable], repeats: int) -> dict[str, Cost]:
    """Medians, by turns; a contestant that cannot run this is left out."""
    paths = {}
    for name, run in contestants.items():
        try:
            run(0, FEW)  # compiles
        except samdyn.InvalidInput as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        paths[name] = enough(run)
    found: dict[str, list[Cost]] = {name: [] for name in paths}
    for seed in range(repeats):
        for name, count in paths.items():
            done = contestants[name](seed, count)
            cpu, wall = done["cpu_seconds"], done["seconds"] * CORES
            found[name].append(
                Cost(1e9 * cpu / done["path_steps"], 1e9 * wall / done["path_steps"])
            )
    return {
        name: Cost(*(statistics.median(column) for column in zip(*rows, strict=True)))
        for name, rows in found.items()
    }


def report_agreement(problem: Problem, loop: Yardstick) -> None:
    """The paths of a seed are the same, up to rounding."""
    kind = {"scheme": problem.scheme, "dtype": problem.dtype}
    times = loop.times(1, CHECKED, **kind)
    same = np.mean(np.abs(problem.run("llvm", 1, CHECKED).times - times) < problem.dt)
    if same < SAME:
        raise SystemExit(f"{problem.name} {kind}: only {same:.2%} of the paths are the same")
    print(f"  {problem.name:<24}{problem.scheme:<16}{problem.dtype:<10}{same:8.2%}")


def report_row(problem: Problem, loop: Yardstick | None, repeats: int) -> None:
    contestants = {name: of_samdyn(problem, name) for name in ("llvm", "xla")}
    if loop is not None:
        contestants["C++"] = of_cpp(problem, loop)
    found = costs(contestants, repeats)
    cells = [
        f"{found[name].cpu:8.2f} ({found[name].wall:6.2f})" if name in found else f"{NONE:^17}"
        for name in ("llvm", "xla", "C++")
    ]
    vectors = loop.fastest(problem.scheme, problem.dtype) if loop else NONE
    print(
        f"  {problem.name:<24}{problem.scheme:<16}{problem.dtype:<9}{' '.join(cells)}"
        f"{_ratio(found, 'llvm', 'C++')}{_ratio(found, 'xla', 'llvm')}{vectors:>9}",
        flush=True,
    )


def _ratio(found: dict[str, Cost], one: str, other: str) -> str:
    if not {one, other} <= set(found):
        return f"{NONE:>10}"
    return f"{found[one].cpu / found[other].cpu:10.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="problems whose name contains this")
    arguments = parser.parse_args()
    kinds = [(scheme, dtype) for dtype in ("float32", "float64") for scheme in SCHEMES]
    wells = [double_well(*kind) for kind in kinds]
    beales = [beale_in_a_ball(dtype=dtype) for dtype in ("float32", "float64")]
    chosen = lambda problems: [p for p in problems if arguments.only in p.name]  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            "double well": Yardstick("euler_maruyama", folder, **wells[0].numbers),
            "Beale in a ball": Yardstick("beale_in_a_ball", folder, **beales[0].numbers),
        }
        bits = loops["double well"](0, 1, vectors=1)["vector_bits"]
        print(f"speed by problem, {processor()}, {CORES} cores")
        print(f"  C++ with vectors of {bits} bits by {compiler()}")
        print("share of the paths of a seed that leave within dt of each other, samdyn and C++")
        for problem in chosen([*wells, *beales]):
            report_agreement(problem, loops[problem.name])
        print(f"ns of CPU time (wall time) a path-step and core, medians of {arguments.repeats}")
        print(
            f"  {'':<49}{'samdyn llvm':^17} {'samdyn xla':^17} {'C++':^17}"
            f"{'llvm/C++':>10}{'xla/llvm':>10}{'vectors':>9}"
        )
        for problem in chosen([*wells, *beales, *others()]):
            report_row(problem, loops.get(problem.name), arguments.repeats)


if __name__ == "__main__":
    main()
