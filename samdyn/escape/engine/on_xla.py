"""Lanes advanced by XLA, on any device, for any step: the oracle of the other back end."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from .ended import AbstractBackEnd, AbstractLanes, Advance, on_their_way, read
from .stepping.kernel import SLOTS, Queue, idle_lanes, layout_of, run_lanes
from .stepping.stepper import AbstractStepper

LANES = 256  # a worker's lanes on a CPU: their state fits the innermost cache
MANY_LANES = 131_072  # on an accelerator
VECTOR = 64  # lanes come in multiples: the remainder of a vector loop may round differently
WORTHWHILE = 0.01  # the share of the effort below which no call returns just to refill lanes


class OnXla(AbstractBackEnd):
    """Lanes on `devices` in turn."""

    name = "xla"

    def __init__(self, stepper: AbstractStepper, seed: np.ndarray, block: int | None, devices: Any):
        self.devices, self.seed = devices, seed
        self.halt = np.zeros(1, np.int32)  # calls are short instead
        on_cpu = devices[0].platform == "cpu"
        self.steppers = {device: _on(stepper, device) for device in devices}
        self.dim = jax.eval_shape(stepper.position, stepper.start).size
        self.dt = float(stepper.dt)
        with jax.enable_x64(True):
            self.layout = layout_of(stepper, packed=on_cpu)
        self.count = block or (LANES if on_cpu else MANY_LANES)
        self.count += -self.count % VECTOR
        self.most_queued = self.count * SLOTS
        self.kernel = run_lanes(devices[0].platform)
        for device in devices:
            self.lanes(devices.index(device)).advance(np.zeros(0, np.uint32), 0, 1, False)

    def lanes(self, worker: int) -> "XlaLanes":
        return XlaLanes(self, self.devices[worker % len(self.devices)])


class XlaLanes(AbstractLanes):
    """The lanes of one worker on one device."""

    def __init__(self, back: OnXla, device: Any):
        self.back, self.device, self.count = back, device, back.count
        with jax.enable_x64(True):
            self.state = jax.device_put(idle_lanes(back.layout, back.count), device)
        self.at_work = 0

    def advance(self, queue, effort, limit, more):
        back = self.back
        floor = self.count - self.count // 16 if more else 1
        floor = min(floor, self.at_work + queue.size)
        padded = np.zeros(back.most_queued, np.uint32)
        padded[: queue.size] = queue
        with jax.enable_x64(True):  # as when it was compiled
            self.state, taken, records, slots, made = back.kernel(
                back.steppers[self.device],
                back.layout,
                back.seed,
                self.state,
                Queue(padded, np.int32(0), np.int32(queue.size)),
                np.int32(limit),
                np.int32(effort),
                np.int32(effort * WORTHWHILE),
                np.int32(floor),
            )
            ended, running = self._ended(records, int(slots)), self._running()
        self.at_work = running.index.size
        steps = int(made) * back.layout.unroll * self.count
        return Advance(int(taken), ended, running, int(made), steps)

    def _ended(self, records, slots: int):
        done = np.asarray(records.done)[:slots]
        index = np.asarray(records.index)[:slots][done]
        words = [np.asarray(array)[:slots][done] for array in records.words]
        y, steps, life = self.back.layout.read(words)
        return read(index, y, steps, life, self.back.dim, self.back.dt)

    def _running(self):
        y, steps, life = self.back.layout.read([np.asarray(a) for a in self.state.words])
        on = life > 0
        index = np.asarray(self.state.index)[on]
        return on_their_way(index, y[:, on], steps[on], self.back.dim, self.back.dt)


def _on(stepper: AbstractStepper, device) -> AbstractStepper:
    arrays, rest = eqx.partition(stepper, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)
