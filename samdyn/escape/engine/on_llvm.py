"""Lanes advanced by machine code of our own, on CPUs, for every step that is a short program."""

import jax
import numpy as np

from ...programs.machine import compiled as machine
from ...programs.machine.columns import packed
from ...programs.machine.factors import within_range
from ...programs.machine.printer import printable
from ...programs.tracing.flatten import NotFlat
from .ended import AbstractBackEnd, AbstractLanes, Advance, on_their_way, read
from .stepping import machine as loop
from .stepping.lane import LONGEST, TOGETHER, LanePrograms, lane_programs
from .stepping.stepper import AbstractStepper

CAPACITY = 16_384  # paths that one call may begin, and about as many that may end in it


class NoMachineCode(Exception):
    """There is no machine code for a step, for the reason given."""


class OnLlvm(AbstractBackEnd):
    """Blocks of lanes in registers. `NoMachineCode` where the step has no program, or there is no
    LLVM."""

    name = "llvm"
    most_queued = CAPACITY

    def __init__(self, stepper: AbstractStepper, seed: np.ndarray, block: int | None):
        reason = machine.why_not()
        if reason:
            raise NoMachineCode(reason)
        try:
            with jax.enable_x64(True):
                programs, numbers = lane_programs(stepper)
                self.dim = jax.eval_shape(stepper.position, stepper.start).size
        except NotFlat as error:
            raise NoMachineCode(str(error)) from None
        for program, along in programs.along():
            reason = printable(program, LONGEST, along)
            if reason:
                raise NoMachineCode(reason)
        step, size = programs.step, len(programs.place.inputs)
        if not within_range(step, len(step.inputs) - size, numbers):
            raise NoMachineCode("products of its numbers leave the range of their dtype")
        self.size, self.dt = stepper.start.size, float(stepper.dt)
        self.dtype = np.dtype(str(stepper.start.dtype))
        self.width = width_of(programs, self.dtype)
        text = loop.text_of(programs, self.size, self.width, machine.triple())
        self.run = machine.compiled(text, "run")
        self.seed, self.numbers = seed, numbers
        self.types = [*loop.HEAD, *(known.dtype for known in programs.place.inputs)]
        self.blocks = max(1, -(-(block or 0) // self.width))
        self.halt = np.zeros(1, np.int32)

    def lanes(self, worker: int) -> "LlvmLanes":
        return LlvmLanes(self)


def width_of(programs: LanePrograms, dtype: np.dtype) -> int:
    """Lanes of a block: several vectors of the processor for each number of a short step, so that
    one is computed while another waits; one where a step has more numbers on their way than there
    are registers. Measured: a double well has 60 operations, Beale 120, ten double wells 280."""
    whole, operations = machine.vector_bytes() // dtype.itemsize, len(programs.step.operations)
    vectors = 4 if operations <= 130 else 2 if operations <= 250 else 1
    return max(4, vectors * whole)


class LlvmLanes(AbstractLanes):
    """The lanes of one worker: blocks in memory, each as the loop has them."""

    def __init__(self, back: OnLlvm):
        self.back, width, blocks = back, back.width, back.blocks
        self.count = width * blocks
        fields = loop.block_fields(back.size, back.dtype)
        self.memory = np.zeros((blocks, fields.size(width)), np.uint8)
        self.state = fields.views(self.memory, width)
        self.ys = [f"y{k}" for k in range(back.size)]
        for name in self.ys:
            self.state[name][...] = np.nan  # not finite: they leave at once, and take a path
        ended = loop.record_fields(back.size, back.dtype)
        capacity = CAPACITY + self.count
        self.records_memory = np.zeros(ended.size(capacity), np.uint8)
        self.records = ended.views(self.records_memory, capacity)
        self.control = np.zeros(loop.CONTROLS, np.int64)
        self.control[loop.BLOCKS], self.control[loop.CAPACITY] = blocks, capacity

    def advance(self, queue, effort, limit, more):
        back, control = self.back, self.control
        values = {loop.TAKEN: 0, loop.SIZE: queue.size, loop.RECORDS: 0, loop.MADE: 0}
        for place, value in (values | {loop.ROUNDS: effort, loop.MORE: more}).items():
            control[place] = value
        numbers = packed([*back.seed, limit, *back.numbers], back.types)
        queue = np.ascontiguousarray(queue, np.uint32)
        back.run(self.memory, numbers, queue, control, self.records_memory, back.halt)
        rows = slice(0, int(control[loop.RECORDS]))
        y = [self.records[name][rows] for name in self.ys]
        ended = read(
            *(self.records["index"][rows], y, self.records["steps"][rows]),
            *(self.records["life"][rows], back.dim, back.dt),
        )
        bodies = int(control[loop.MADE])
        rounds = -(-bodies // (loop.ROUND * back.blocks))
        steps = bodies * TOGETHER * back.width
        return Advance(int(control[loop.TAKEN]), ended, self._running(), rounds, steps)

    def _running(self):
        on = self.state["busy"].astype(bool)
        y = [self.state[name][on] for name in self.ys]
        index, steps = self.state["index"][on], self.state["steps"][on]
        return on_their_way(index, y, steps, self.back.dim, self.back.dt)
