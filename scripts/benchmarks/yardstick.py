"""The hand-written C++ loops that first exits are measured against, compiled when needed."""

import json
import os
import pathlib
import platform
import subprocess
import time
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
# scheduling before registers are given out is what lets a vector be computed while another waits
FLAGS = ["-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math",
         "-fno-signed-zeros", "-fschedule-insns", "-pthread"]  # fmt: skip
VECTORS = (1, 2, 4)  # vectors of floats that a loop may advance at once
TRIALS, TRIAL_STEPS = 3, 3e7  # that find out how many are fastest
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Yardstick:
    """A program of `first_exits.h`: USAM with additive noise s on one problem.

    `size` is the level or the radius of its region.
    """

    def __init__(self, name: str, folder: str, **numbers: float):
        self.numbers = numbers  # dt, s, rho, size
        self.program = str(pathlib.Path(folder) / name)
        self.vectors: dict[tuple[str, str], int] = {}
        began = time.perf_counter()
        source = str(HERE / f"{name}.cpp")
        subprocess.run(["g++", *FLAGS, "-o", self.program, source], check=True)
        self.compile_seconds = time.perf_counter() - began

    def __call__(
        self,
        seed: int,
        paths: int,
        *,
        scheme: str = "euler",
        dtype: str = "float32",
        bridge: bool = True,
        vectors: int | None = None,
        file: tuple[str, ...] = (),
        **numbers: float,
    ) -> dict[str, Any]:
        """Run; `numbers` replace those of the problem."""
        words = np.random.SeedSequence(seed).generate_state(2)  # as samdyn makes them
        given = self.numbers | numbers
        given = [given[name] for name in ("dt", "s", "rho", "size")]
        vectors = vectors or self.fastest(scheme, dtype)
        return answer(
            *(self.program, *words, paths, *given, int(bridge), CORES),
            *(scheme, dtype, vectors, *file),
        )

    def times(self, seed: int, paths: int, **settings: Any) -> np.ndarray:
        """The exit time of each path."""
        file = self.program + ".times"
        self(seed, paths, file=(file,), **settings)
        return np.fromfile(file)

    def fastest(self, scheme: str, dtype: str) -> int:
        """How many vectors at once cost the least CPU time here."""
        kind = {"scheme": scheme, "dtype": dtype}
        if (scheme, dtype) not in self.vectors:
            each = self(0, 1000, vectors=1, **kind)["path_steps"] / 1000
            paths = int(TRIAL_STEPS / each)
            costs = {
                count: min(
                    self(seed, paths, vectors=count, **kind)["cpu_seconds"]
                    for seed in range(TRIALS)
                )
                for count in VECTORS
            }
            self.vectors[scheme, dtype] = min(costs, key=lambda count: costs[count])
        return self.vectors[scheme, dtype]


def answer(*command: Any) -> dict[str, Any]:
    """The line of JSON that a command prints."""
    words = [str(word) for word in command]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def processor() -> str:
    """The name of this machine's processor."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def compiler() -> str:
    """What the programs are compiled with."""
    done = subprocess.run(["g++", "--version"], check=True, capture_output=True, text=True)
    return f"{done.stdout.splitlines()[0]}, {' '.join(FLAGS)}"
