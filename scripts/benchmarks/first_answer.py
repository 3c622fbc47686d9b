"""How long a first answer takes: CPU time of whole commands, as multiples of starting JAX alone.

Every round runs each command once with an empty cache folder and once with a filled one, between
two starts of JAX. Python's bytecode is there from a run that does not count, as it is wherever
packages are installed. Prints medians of five rounds and the ratios, and of a second verdict in one
process the CPU seconds.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

JAX = "import jax, jax.numpy; jax.numpy.zeros(2).block_until_ready()"
SAMDYN = pathlib.Path(sys.executable).with_name("samdyn")
QUADRATIC = "def three(w):\n    return 2 * w[0] ** 2 - w[1] ** 2 + 0.5 * w[2] ** 2 + w[0] * w[2]\n"
VERDICT = ("--method", "sam", "--rho", "0.5", "--lr", "1e-3")


def cpu_seconds(command: list[str], folder: str) -> float:
    """User and system time of a command that keeps things in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"SAMDYN_CACHE_DIR": folder}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(folder: pathlib.Path) -> dict[str, list[str]]:
    """What is measured, by the name that is printed."""
    (folder / "quadratic.py").write_text(QUADRATIC)
    three = (f"{folder / 'quadratic.py'}:three", "--box=-2,2;-2,2;-2,2")
    figure = ("--method", "sam", "--rho", "0.5", "--start", "1,2", "-o", str(folder / "one.svg"))
    asked = {
        "stability beale": ("stability", "beale", *VERDICT),
        "stability double-well-2d": ("stability", "double-well-2d", *VERDICT),
        "stability himmelblau": ("stability", "himmelblau", *VERDICT),
        "stability of a quadratic in 3-D": ("stability", *three, *VERDICT),
        "portrait beale, one panel": ("portrait", "beale", *figure),
    }
    return {name: [str(SAMDYN), *words] for name, words in asked.items()}


def second_verdict() -> float:
    """CPU seconds of a verdict on Beale with another radius, after a first in this process."""
    import jax

    import samdyn

    jax.config.update("jax_enable_x64", True)
    loss = samdyn.get_loss("beale")
    for rho in (0.5, 0.3):
        began = time.process_time()
        samdyn.stability(samdyn.StepMap(loss, samdyn.SAM(rho), 1e-3), box=loss.box)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        asked = commands(folder)
        alone: list[float] = []
        cold = {name: [] for name in asked}
        warm = {name: [] for name in asked}
        for command in ([sys.executable, "-c", JAX], *asked.values()):
            cpu_seconds(command, str(folder / "not counted"))
        for _ in range(rounds):
            for name, command in asked.items():
                alone.append(cpu_seconds([sys.executable, "-c", JAX], place))
                with tempfile.TemporaryDirectory() as empty:
                    cold[name].append(cpu_seconds(command, empty))
                    warm[name].append(cpu_seconds(command, empty))
    base = statistics.median(alone)
    print(f"CPU seconds of whole commands, medians of {rounds}; × is of JAX alone, {base:.2f} s")
    for name in asked:
        first, again = statistics.median(cold[name]), statistics.median(warm[name])
        print(
            f"  {name:32}  nothing kept {first:6.2f} s {first / base:5.2f} ×   "
            f"kept {again:6.2f} s {again / base:5.2f} ×"
        )
    print(f"  {'second verdict, another radius':32}  {second_verdict():6.2f} s")


if __name__ == "__main__":
    main()
