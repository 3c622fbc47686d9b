"""How long a first answer takes: CPU time of whole commands, as multiples of starting JAX alone.

Every round runs each command with an empty cache folder and with the filled one, each between two
starts of JAX, of which the ratio takes the mean: clocks of shared machines change by half from one
second to the next. Python's bytecode is there from a run that does not count, as it is wherever
packages are installed. Prints medians of five rounds, and of verdicts with other radii in a process
that has given one the CPU seconds.
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


def further_verdicts() -> list[float]:
    """CPU seconds of verdicts on Beale with other radii, after a first in this process."""
    import jax

    import samdyn

    jax.config.update("jax_enable_x64", True)
    loss = samdyn.get_loss("beale")
    taken = []
    for rho in (0.5, 0.3, 0.45, 0.35, 0.25, 0.4):
        began = time.process_time()
        samdyn.stability(samdyn.StepMap(loss, samdyn.SAM(rho), 1e-3), box=loss.box)
        taken.append(time.process_time() - began)
    return taken[1:]


def beside_jax(command: list[str], folder: str) -> tuple[float, float]:
    """CPU seconds of a command, and their ratio to the mean of a start of JAX before and after."""
    alone = [sys.executable, "-c", JAX]
    before, taken, after = (cpu_seconds(one, folder) for one in (alone, command, alone))
    return taken, taken / (before + after) * 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        asked = commands(folder)
        taken: dict[str, list] = {name: [] for name in asked}
        for command in ([sys.executable, "-c", JAX], *asked.values()):
            cpu_seconds(command, str(folder / "not counted"))
        for _ in range(rounds):
            for name, command in asked.items():
                with tempfile.TemporaryDirectory() as empty:
                    taken[name].append([beside_jax(command, empty) for _ in ("nothing", "kept")])
    print(f"CPU seconds of whole commands, and × of JAX alone beside them; medians of {rounds}")
    for name, pairs in taken.items():
        (first, cold), (again, warm) = (
            [statistics.median(column) for column in zip(*one, strict=True)]
            for one in zip(*pairs, strict=True)
        )
        print(
            f"  {name:32}  nothing kept {first:6.2f} s {cold:5.2f} ×   "
            f"kept {again:6.2f} s {warm:5.2f} ×"
        )
    further = further_verdicts()
    print(
        f"  {'second verdict, another radius':32}  {statistics.median(further):6.2f} s, "
        f"from {min(further):.2f} to {max(further):.2f}"
    )


if __name__ == "__main__":
    main()
