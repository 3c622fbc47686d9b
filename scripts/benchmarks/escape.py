"""First exits from a well under USAM: samdyn beside a hand-written C++ loop and diffrax.

Double well (x² − 1)²/4 + y²/2, ρ = 0.1, additive noise s = √0.2, from (−1, 0) until x > 1, in
float32. Contestants take turns in one run. Rates count the steps of paths up to their exit.
The exact mean comes from a double integral: y does not act on x here.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
from yardstick import CORES, Yardstick, answer, compiler

import samdyn

HERE = pathlib.Path(__file__).parent
S, RHO, DT, PATHS = 0.2**0.5, 0.1, 0.01, 60_000
CLOSE = 0.01  # bias and half of the 95 % interval together, as a share of the mean
MOST_BIAS = 0.005
SCAN = 100_000  # paths that measure the bias of a step
LONG = 5e9  # steps that are not waited for


def diffusion() -> samdyn.Diffusion:
    loss = samdyn.get_loss("double-well-2d")
    return samdyn.Diffusion(loss, samdyn.USAM(RHO), 1.0, samdyn.Additive(S))


def exact_mean(level: float) -> float:
    def drift(x):
        perturbed = x + RHO * x * (x * x - 1)
        return -perturbed * (perturbed * perturbed - 1)

    return samdyn.exit_time(drift, lambda x: S, -1.0, -np.inf, level).mean


def ours(seed: int, paths: int = PATHS, level: float = 1.0, **settings) -> samdyn.EscapeTimes:
    region = samdyn.Below(0, level)
    return samdyn.escape_times(diffusion(), [-1.0, 0.0], region, paths=paths, seed=seed, **settings)


def our_rate(seed: int, paths: int = PATHS) -> dict:
    result = ours(seed, paths, scheme="euler", dt=DT)
    return {"seconds": result.seconds, "path_steps": result.path_steps}


def diffrax_run(seed: int, dt: float = DT, ensembles: int = 1) -> dict:
    values = {"seed": seed, "dt": dt, "s": S, "rho": RHO, "ensembles": ensembles}
    options = [word for name, value in values.items() for word in (f"--{name}", value)]
    return answer(sys.executable, HERE / "escape_diffrax.py", *options)


def medians(contestants: dict, repeats: int) -> dict[str, float]:
    """Path-steps per second of each, by turns."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for seed in range(repeats):
        for name, run in contestants.items():
            outcome = run(seed)
            rates[name].append(outcome["path_steps"] / outcome["seconds"])
    return {name: statistics.median(values) for name, values in rates.items()}


def report_agreement(loop: Yardstick) -> None:
    """The same law on different seeds, and the same paths, up to rounding, on one."""
    times, other = ours(1, scheme="euler", dt=DT).times, loop(2, PATHS)
    error = np.hypot(np.std(times) / np.sqrt(times.size), other["standard_error"])
    apart = abs(np.mean(times) - other["mean"]) / error
    same = np.mean(np.abs(times - loop.times(1, PATHS)) < DT)
    print("mean exit time by Euler steps of 0.01 with the exit correction")
    print(
        f"  samdyn {np.mean(times):.3f}, C++ {other['mean']:.3f}: {apart:.2f} standard errors apart"
    )
    print(f"  on one seed {same:.2%} of the paths leave within dt of each other")
    if apart > 4 or same < 0.99:
        raise SystemExit("the two do not sample the same law")


def report_rates(loop: Yardstick, with_diffrax: bool, repeats: int) -> dict[str, float]:
    contestants = {"samdyn": our_rate, "C++": lambda seed: loop(seed, PATHS)}
    if with_diffrax:
        contestants["diffrax"] = diffrax_run
    rates = medians(contestants, repeats)
    print(f"path-steps per second on {CORES} cores, medians of {repeats} by turns")
    for name, rate in rates.items():
        print(f"  {name:<38} {rate:10.3g}   samdyn / it {rates['samdyn'] / rate:8.3g}")
    return rates


def report_linearity() -> None:
    print("cost in paths and in steps (Euler)")
    print("      paths      dt   path-steps    seconds   ns per path-step   useful share")
    for paths, dt in ((15_000, DT), (30_000, DT), (60_000, DT), (120_000, DT),
                      (60_000, 2 * DT), (60_000, DT / 2)):  # fmt: skip
        result = ours(3, paths, scheme="euler", dt=dt)
        each = 1e9 * result.seconds / result.path_steps
        print(
            f"  {paths:9,d} {dt:7g} {result.path_steps:12.4g} {result.seconds:10.3f} "
            f"{each:18.3f} {result.useful_share:14.4f}"
        )


def largest_step(loop: Yardstick, level: float, exact: float) -> tuple[float, float]:
    """(dt, relative bias): the largest step that is within MOST_BIAS, without exit correction.

    Steps are halved until that is measured; from 0.001 on the law √dt, fitted to steps up to
    0.01, says the rest.
    """
    print(f"  bias of Euler steps without exit correction (exact mean {exact:.4f})")
    roots, biases = [], []
    for seed, dt in enumerate(0.04 / 2.0 ** np.arange(7)):
        run = loop(4 + seed, SCAN, dt=dt, size=level, bridge=False)
        bias, error = run["mean"] / exact - 1, run["standard_error"] / exact
        print(f"    dt {dt:<9.3g} {bias:+8.2%} ± {error:.2%}")
        if abs(bias) <= MOST_BIAS:
            return dt, bias
        if dt <= 0.01:
            roots.append(np.sqrt(dt))
            biases.append(bias)
    slope = np.dot(roots, biases) / np.dot(roots, roots)
    dt = float((MOST_BIAS / slope) ** 2)
    print(f"    dt {dt:<9.3g} {MOST_BIAS:+8.2%} by the law {slope:.2f} √dt")
    return dt, MOST_BIAS


def report_waiting(loop: Yardstick, rates: dict[str, float], level: float) -> None:
    """Seconds until the mean is known within CLOSE."""
    exact = exact_mean(level)
    print(
        f"seconds to the mean exit time at x = {level:g} within {CLOSE:.0%}: bias and half of the"
    )
    print("95 % interval together; Euler without correction takes the step that its bias allows")
    ours(5, 100, level)  # compiles
    began = time.perf_counter()
    # the default step promises a bias of at most 0.3 %
    result = ours(6, 10_000_000, level, target_error=CLOSE - 0.003)
    whole = time.perf_counter() - began
    low, high = result.summary.mean_ci95
    dt, bias = largest_step(loop, level, exact)
    paths = int((1.96 / (CLOSE - abs(bias))) ** 2)  # exit times vary as much as their mean
    print(
        f"  samdyn, defaults: {result.scheme}, dt {result.dt:<10.3g} {result.seconds:10.3f} s   "
        f"{len(result.times)} paths, {result.summary.mean / exact - 1:+.2%}, "
        f"interval {low / exact - 1:+.2%} … {high / exact - 1:+.2%}"
    )
    print(f"    (the whole call {whole:.3f} s, after compiling)")
    for name in [name for name in rates if name != "samdyn"]:
        steps = paths * exact / dt
        if name == "C++" and steps < LONG:
            run = loop(7, paths, dt=dt, size=level, bridge=False)
            seconds, note = run["seconds"], f"{paths} paths, {run['mean'] / exact - 1:+.2%}"
        else:
            seconds, note = steps / rates[name], f"{paths} paths, extrapolated from its rate"
        print(f"  {name}, dt {dt:<{31 - len(name)}.3g} {seconds:11.3f} s   {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-peer", action="store_true", help="leave diffrax out")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    first = ours(0, scheme="euler", dt=DT)
    print(f"first exits of {PATHS:,d} paths, Euler, dt {DT}")
    print(f"  samdyn: compilation {first.compile_seconds:.2f} s, useful {first.useful_share:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        loop = Yardstick("euler_maruyama", folder, dt=DT, s=S, rho=RHO, size=1.0)
        print(f"  C++: compilation {loop.compile_seconds:.2f} s by {compiler()}")
        report_agreement(loop)
        rates = report_rates(loop, not arguments.without_peer, arguments.repeats)
        report_linearity()
        for level in (1.0, 0.0):
            report_waiting(loop, rates, level)


if __name__ == "__main__":
    main()
