"""Run any number of paths on all cores and devices, whichever finishes when.

Each worker is a thread with lanes of its own on one device; the compiled loop releases Python's
lock, so workers run side by side, and none ever waits for another. They take path indices from
a common pool, many at first. A path is a function of seed and index alone:
who ran it, beside which others, and in what order leaves no trace in its numbers.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ...checks import told
from ...errors import InvalidInput
from ...interrupts import heed, heeded
from ...threads import cores
from .ended import AbstractBackEnd, Finished
from .on_llvm import NoMachineCode, OnLlvm
from .on_xla import OnXla
from .stepping import generator
from .stepping.stepper import AbstractStepper

PATIENCE = 0.15  # seconds that a call may take, so that progress and Ctrl-C come through
MOST_STEPS = 2**31 - 2**10
BACK_ENDS = ("llvm", "xla")


class Engine:
    """Workers for one stepper, compiled once; `run` may be called again and again.

    `block` is the number of lanes of a worker, `workers` how many there are (default: one a
    core on CPUs, one a device elsewhere). Neither changes any number.
    """

    def __init__(
        self,
        stepper: AbstractStepper,
        seed: int,
        max_steps: int | None = None,
        block: int | None = None,
        workers: int | None = None,
        devices: list[Any] | None = None,
        back_end: str | None = None,
    ):
        devices = devices or jax.local_devices()
        on_cpu = devices[0].platform == "cpu"
        self.stepper = stepper
        self.machines = block, workers, devices, back_end  # as asked for
        self.workers = workers or max(cores() if on_cpu else 1, len(devices))
        most = MOST_STEPS // max(1, stepper.draws // 4 + 1)  # a path has 2^32 pairs of numbers
        self.most = most
        self.limit = np.int32(min(max_steps or most, most))  # may be lowered while paths run
        self.seed = generator.seed_words(seed)
        self.dim = jax.eval_shape(stepper.position, stepper.start).size
        self.lane_steps = 0  # steps made by all lanes, on finished paths or not
        self.effort = 16  # of a call; adapted to PATIENCE
        self._lock = threading.Lock()
        began = time.perf_counter()
        self.back_end = chosen_back_end(back_end, stepper, self.seed, block, devices)
        self.compile_seconds = time.perf_counter() - began

    def run(
        self,
        ranges: list[tuple[int, int]],
        sink: Callable[[Finished, list[Finished]], None],
        stop: threading.Event | None = None,
    ) -> list[Finished]:
        """Run the paths in the half-open `ranges` of indices, and give `sink` what finishes.

        `sink(finished, running)` is called from one worker at a time; `running` holds the paths on
        their way. It may lower `limit`, the most steps of a path. Returns when all paths have
        ended, or soon after `stop` is set, which Ctrl-C does: then with the paths on their way, as
        censored.
        """
        pool = _Pool(ranges, self.workers)
        stop = stop or threading.Event()
        self.back_end.halt[0] = 0
        failures: list[BaseException] = []
        running: list[Any] = [None] * self.workers  # the paths that each worker is on

        def work(number: int) -> None:
            def report(finished: Finished, on_their_way: Finished) -> None:
                running[number] = on_their_way
                sink(finished, [part for part in running if part])

            try:
                self._work(number, pool, report, stop)
            except BaseException as error:  # reported by the caller's thread
                failures.append(error)
                stop.set()

        threads = [
            threading.Thread(target=work, args=(i,), daemon=True) for i in range(self.workers)
        ]
        for thread in threads:
            thread.start()
        try:
            with heeded():
                for thread in threads:
                    while thread.is_alive():
                        thread.join(0.1)  # in slices, so that Ctrl-C arrives
                        heed()
        except KeyboardInterrupt:
            stop.set()
            self.back_end.halt[0] = 1
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]
        return [part for part in running if part]

    def _work(self, number: int, pool: "_Pool", sink, stop: threading.Event) -> None:
        lanes, queue, at_work = self.back_end.lanes(number), np.zeros(0, np.uint32), 0
        while not stop.is_set():
            with self._lock:
                queue = pool.top_up(queue, lanes.count, self.back_end.most_queued)
            if queue.size + at_work == 0:
                return
            began = time.perf_counter()
            done = lanes.advance(queue, self.effort, int(self.limit), pool.left > 0)
            queue, at_work = queue[done.taken :], done.running.index.size
            with self._lock:
                self.lane_steps += done.lane_steps
                self._adapt(done.effort, time.perf_counter() - began)
                sink(done.ended, done.running)

    def _adapt(self, effort: int, seconds: float) -> None:
        if effort:
            wanted = PATIENCE * effort / max(seconds, 1e-6)
            self.effort = int(np.clip(wanted, self.effort / 4, self.effort * 4) + 1)


def chosen_back_end(
    name: str | None, stepper: AbstractStepper, seed: np.ndarray, block: int | None, devices: Any
) -> AbstractBackEnd:
    """Machine code of our own on CPUs, for steps that have it; else XLA. `InvalidInput` where the
    one that is named cannot run this."""
    return _on_llvm(name, stepper, seed, block, devices) or OnXla(stepper, seed, block, devices)


def name_of_back_end(stepper: AbstractStepper, asked: str | None, devices: Any = None) -> str:
    """The name of `chosen_back_end`."""
    devices = devices or jax.local_devices()
    found = _on_llvm(asked, stepper, generator.seed_words(0), None, devices)
    return OnXla.name if found is None else found.name


def _on_llvm(name, stepper, seed, block, devices) -> OnLlvm | None:
    if not (name is None or (isinstance(name, str) and name in BACK_ENDS)):
        raise InvalidInput(
            f"back_end is {' or '.join(BACK_ENDS)}, or None for the faster, not {told(name)}."
        )
    if name == OnXla.name:
        return None
    on_cpu = devices[0].platform == "cpu"
    try:
        if on_cpu:
            return OnLlvm(stepper, seed, block)
        reason = f"it runs on CPUs, not on {devices[0].platform}"
    except NoMachineCode as why:
        reason = str(why)
    if name is not None:
        raise InvalidInput(f"back_end llvm cannot run this: {reason}. Take xla.")
    return None


class _Pool:
    """Ranges of path indices still to be run, handed out in pieces that shrink towards the end."""

    def __init__(self, ranges: list[tuple[int, int]], workers: int):
        self.ranges = [r for r in ranges if r[1] > r[0]][::-1]
        self.left = sum(last - first for first, last in ranges)
        self.workers = workers

    def top_up(self, queue: np.ndarray, lanes: int, most: int) -> np.ndarray:
        """The queue of a worker with `lanes` lanes, at `most` so long, longer if it was short."""
        if queue.size >= lanes or not self.left:
            return queue
        share = max(self.left // (2 * self.workers), lanes // 16, 1)
        return np.concatenate([queue, *self._take(min(share, most - queue.size))])

    def _take(self, count: int) -> list[np.ndarray]:
        pieces = []
        while count and self.ranges:
            first, end = self.ranges.pop()
            stop = min(first + count, end)
            if stop < end:
                self.ranges.append((stop, end))
            pieces.append(np.arange(first, stop, dtype=np.uint32))
            count -= stop - first
            self.left -= stop - first
        return pieces
