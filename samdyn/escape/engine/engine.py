"""Run any number of paths on all cores and devices, whichever finishes when.

Each worker is a thread with lanes of its own on one device; the compiled loop releases Python's
lock, so workers run side by side, and none ever waits for another. They take path indices from
a common pool, many at first. A path is a function of seed and index alone:
who ran it, beside which others, and in what order leaves no trace in its numbers.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from ...interrupts import heed, heeded
from ..statistics import CENSORED as IS_CENSORED
from ..statistics import ESCAPED as IS_ESCAPED
from ..statistics import FAILED as IS_FAILED
from .stepping import generator
from .stepping.kernel import CENSORED, SLOTS, Queue, idle_lanes, layout_of, run_lanes
from .stepping.stepper import AbstractStepper

LANES = 256  # a worker's lanes on a CPU: their state fits the innermost cache
MANY_LANES = 131_072  # on an accelerator
VECTOR = 64  # lanes come in multiples: the remainder of a vector loop may round differently
PATIENCE = 0.15  # seconds that a call may take, so that progress and Ctrl-C come through
WORTHWHILE = 0.01  # the share of that time below which no call returns just to refill lanes
MOST_STEPS = 2**31 - 2**10


class Finished(NamedTuple):
    """Paths that ended, a row each: exit or end at `time`, after `steps` steps, at `point`."""

    index: np.ndarray
    time: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    point: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """As the store names them."""
        return {
            "index": self.index,
            "time": self.time,
            "status": self.status,
            "steps": self.steps,
            "exit_point": self.point,
        }


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
    ):
        self.devices = devices or jax.local_devices()
        on_cpu = self.devices[0].platform == "cpu"
        self.stepper = stepper
        self._steppers = {device: _on(stepper, device) for device in self.devices}
        with jax.enable_x64(True):
            self.layout = layout_of(stepper, packed=on_cpu)
        self.lanes = block or (LANES if on_cpu else MANY_LANES)
        self.lanes += -self.lanes % VECTOR
        self.workers = workers or max(_cores() if on_cpu else 1, len(self.devices))
        most = MOST_STEPS // max(1, stepper.draws // 4 + 1)  # a path has 2^32 pairs of numbers
        self.most = most
        self.limit = np.int32(min(max_steps or most, most))  # may be lowered while paths run
        self.seed = generator.seed_words(seed)
        self.dim = jax.eval_shape(stepper.position, stepper.start).size
        self.lane_steps = 0  # steps made by all lanes, on finished paths or not
        self.launches = 16  # of a call; adapted to PATIENCE
        self._lock = threading.Lock()
        began = time.perf_counter()
        self._kernel = run_lanes(self.devices[0].platform)
        for device in self.devices:
            with jax.enable_x64(True):
                nothing = np.zeros(0, np.uint32)
                jax.block_until_ready(self._call(device, self._fresh(device), nothing, 0, 1))
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
        failures: list[BaseException] = []
        running: list[Any] = [None] * self.workers  # the paths that each worker is on

        def work(number: int) -> None:
            def report(finished: Finished, on_their_way: Finished) -> None:
                running[number] = on_their_way
                sink(finished, [part for part in running if part])

            try:
                self._work(self.devices[number % len(self.devices)], pool, report, stop)
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
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]
        return [part for part in running if part]

    def _work(self, device, pool: "_Pool", sink, stop: threading.Event) -> None:
        with jax.enable_x64(True):  # as when it was compiled
            lanes, queue, running = self._fresh(device), np.zeros(0, np.uint32), 0
            while not stop.is_set():
                with self._lock:
                    queue = pool.top_up(queue, self.lanes)
                if queue.size + running == 0:
                    return
                floor = self.lanes - self.lanes // 16 if pool.left else 1
                floor = min(floor, running + queue.size)
                began = time.perf_counter()
                lanes, taken, records, slots, count = self._call(
                    device, lanes, queue, self.launches, floor
                )
                queue = queue[int(taken) :]
                finished = self._read(records, int(slots))
                on_their_way = self._running(lanes)
                running = on_their_way.index.size
                with self._lock:
                    self._adapt(int(count), time.perf_counter() - began)
                    sink(finished, on_their_way)

    def _call(self, device, lanes, paths: np.ndarray, launches: int, floor: int):
        queue = np.zeros(self.lanes * SLOTS, np.uint32)
        queue[: paths.size] = paths
        least = np.int32(launches * WORTHWHILE)
        arguments = (self.limit, np.int32(launches), least, np.int32(floor))
        return self._kernel(
            self._steppers[device],
            self.layout,
            self.seed,
            lanes,
            Queue(queue, np.int32(0), np.int32(paths.size)),
            *arguments,
        )

    def _fresh(self, device):
        return jax.device_put(idle_lanes(self.layout, self.lanes), device)

    def _running(self, lanes) -> Finished:
        """The paths on their way, as if they were censored now."""
        y, steps, life = self.layout.read([np.asarray(array) for array in lanes.words])
        on = life > 0
        status = np.full(int(np.sum(on)), IS_CENSORED, np.int8)
        return self._finished(np.asarray(lanes.index)[on], y[:, on], steps[on], 1.0, status)

    def _adapt(self, launches: int, seconds: float) -> None:
        self.lane_steps += launches * self.layout.unroll * self.lanes
        if launches:
            wanted = PATIENCE * launches / max(seconds, 1e-6)
            self.launches = int(np.clip(wanted, self.launches / 4, self.launches * 4) + 1)

    def _read(self, records, slots: int) -> Finished:
        done = np.asarray(records.done)[:slots]
        index = np.asarray(records.index)[:slots][done]
        words = [np.asarray(array)[:slots][done] for array in records.words]
        y, steps, life = self.layout.read(words)
        status = np.where(life == life.dtype.type(CENSORED), IS_CENSORED, IS_FAILED)
        status = np.where(life > 0, IS_ESCAPED, status).astype(np.int8)
        fraction = np.where(life > 0, life, 1.0)
        return self._finished(index, y, steps, fraction, status)

    def _finished(self, index, y, steps, fraction, status) -> Finished:
        passed = (steps.astype(np.float64) - 1 + fraction) * float(self.stepper.dt)
        point = y[: self.dim].T.astype(np.float64)
        return Finished(index.astype(np.int64), passed, status, steps.astype(np.int64), point)


def _cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _on(stepper: AbstractStepper, device) -> AbstractStepper:
    arrays, rest = eqx.partition(stepper, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)


class _Pool:
    """Ranges of path indices still to be run, handed out in pieces that shrink towards the end."""

    def __init__(self, ranges: list[tuple[int, int]], workers: int):
        self.ranges = [r for r in ranges if r[1] > r[0]][::-1]
        self.left = sum(last - first for first, last in ranges)
        self.workers = workers

    def top_up(self, queue: np.ndarray, lanes: int) -> np.ndarray:
        """The queue of a worker with `lanes` lanes, longer if it had become short."""
        if queue.size >= lanes or not self.left:
            return queue
        share = max(self.left // (2 * self.workers), lanes // 16)
        return np.concatenate([queue, *self._take(min(share, lanes * SLOTS - queue.size))])

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
