"""A step applied many times to many states, in registers: the loop of every map without noise."""

import functools
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ...interrupts import heed
from ...threads import cores
from ..program import Program
from . import compiled as machine
from .columns import SLOT, element, load, packed, read_numbers, store, width_of
from .operations import NotPrinted
from .printer import printable, write_program
from .writer import BYTES, Value, Writer, kind_of, module

LOOK = 64  # steps between two looks at whether a run within a ball still goes on
AT_ONCE = 20_000_000  # steps of points in a call, so that Ctrl-C comes through
WORTH_THREADS = 200_000  # steps of points, below which one thread is done sooner


class Iteration:
    """A step (state, numbers) ↦ state, a program whose first `size` inputs and all outputs are the
    state. `NotPrinted` where it has no machine code.

    With `ball`, a number of coordinates, a run that leaves a ball about a centre is nan from then.
    With `record` the first so many numbers of the state, all of one dtype, are kept at every step.
    """

    def __init__(self, program: Program, size: int, ball: int = 0, record: int = 0):
        reason = machine.why_not() or printable(program)
        if reason:
            raise NotPrinted(reason)
        self.size, self.ball, self.record = size, ball, record
        self.dtypes = [known.dtype for known in program.inputs]
        self.width = 2 * width_of(program)
        text = _text(program, size, ball, record, self.width, machine.triple())
        self.run = machine.compiled(text, "run")

    def __call__(
        self, state: Sequence[np.ndarray], numbers: Sequence[Any], steps: int, ball: Any = ()
    ) -> list[np.ndarray]:
        """The state, an array (n,) each, after `steps` steps; `ball` is (centre…, reach²)."""
        return self.with_path(state, numbers, steps, ball)[0]

    def with_path(
        self, state: Sequence[np.ndarray], numbers: Sequence[Any], steps: int, ball: Any = ()
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The same, and what was kept: (steps, record, n)."""
        rows = len(state[0])
        blocks = -(-rows // self.width)
        held = np.zeros((self.size, blocks * self.width * SLOT), np.uint8)
        views = [row.view(dtype) for row, dtype in zip(held, self.dtypes, strict=False)]
        for view, column in zip(views, state, strict=True):
            view[:rows] = column
            view[rows : blocks * self.width] = column[-1] if rows else 0
        types = [*self.dtypes[self.size :], *[np.dtype(float)] * len(ball)]
        given = packed([*numbers, *ball], types)
        kept = np.zeros((steps, self.record, blocks * self.width), self.dtypes[0])
        halt, stride = np.zeros(1, np.int32), held.shape[1]
        most = max(1, AT_ONCE // max(1, blocks * self.width))
        for begin in range(0, steps, most):
            count = min(most, steps - begin)
            arguments = stride, count, halt, kept[begin:]
            part = functools.partial(self._part, held, given, arguments)
            _in_threads(part, blocks, rows * count >= WORTH_THREADS, halt)
            heed()
        return [view[:rows].copy() for view in views], kept[..., :rows]

    def _part(
        self, held: np.ndarray, given: np.ndarray, arguments: tuple, first: int, last: int
    ) -> None:
        self.run(held, given, first, last, *arguments)


def _in_threads(part: Any, blocks: int, several: bool, halt: np.ndarray) -> None:
    """`part(first, last)` on shares of the blocks, on all cores; Ctrl-C ends it soon."""
    workers = min(cores(), blocks) if several else 1
    if workers < 2:
        part(0, blocks)
        return
    ends = [blocks * k // (4 * workers) for k in range(4 * workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in [pool.submit(part, *span) for span in itertools.pairwise(ends)]:
                done.result()
                heed()
        except BaseException:
            halt[0] = 1
            raise


@functools.lru_cache(maxsize=256)
def _text(program: Program, size: int, ball: int, record: int, width: int, target: str) -> str:
    w = Writer(width)
    for section in ("variables", "numbers", "body"):
        w.open(section)
    types = [known.dtype for known in program.inputs]
    with w.inside("numbers"):
        more = [np.dtype(float)] * (ball + 1 if ball else 0)
        read = read_numbers(w, Value("%numbers", "ptr", False), [*types[size:], *more])
        numbers = read[: len(types) - size]
        ball_of = [w.spread(x) for x in read[len(numbers) :]]
        now = [w.variable(_kept(dtype)) for dtype in types[:size]]
        block_at, step_at = w.variable("i64", False), w.variable("i64", False)
        w.store(Value("%first", "i64", False), block_at)
    w.branch("blocks")
    w.label("blocks")
    block = w.load("i64", block_at, False)
    halted = w.compare("ne", w.load("i32", Value("%halt", "ptr", False), False), _whole(0, "i32"))
    over = w.compare("sge", block, Value("%last", "i64", False))
    w.branch_if(w.binary("or", over, halted), "end", "enter")
    w.label("enter")
    stride = Value("%stride", "i64", False)
    places = []
    for row, (dtype, place) in enumerate(zip(types[:size], now, strict=True)):
        offset = w.binary("mul", stride, _whole(row))
        places.append(element(w, "%state", offset, block, dtype))
        w.store(w.load(_kept(dtype), places[-1]), place)
    w.store(_whole(0), step_at)
    w.branch("test")
    w.label("test")
    step = w.load("i64", step_at, False)
    w.branch_if(w.compare("slt", step, Value("%steps", "i64", False)), "step", "leave")
    w.label("step")
    state = [load(w, place, dtype) for place, dtype in zip(now, types[:size], strict=True)]
    after = write_program(w, program, [*state, *numbers], "numbers")
    after = [value if value.wide else w.spread(value) for value in after]
    after = _within(w, after, ball_of) if ball else after
    for value, place in zip(after, now, strict=True):
        store(w, value, place)
    if record:
        _keep(w, after[:record], step, block)
    w.store(w.binary("add", step, _whole(1)), step_at)
    if ball:
        _look(w, after[0], step)
    else:
        w.branch("test")
    w.label("leave")
    for place, dtype, at in zip(now, types[:size], places, strict=True):
        w.store(w.load(_kept(dtype), place), at)
    w.store(w.binary("add", block, _whole(1)), block_at)
    w.branch("blocks")
    w.label("end")
    w.line("ret i64 0")
    names = "ptr %state, ptr %numbers, i64 %first, i64 %last, i64 %stride, i64 %steps, ptr %halt"
    names += ", ptr %kept"
    return module("run", names, w, target)


def _within(w: Writer, after: list[Value], ball: list[Value]) -> list[Value]:
    """States that left the ball are not numbers."""
    *centre, reach = ball
    gap = None
    for x, c in zip(after, centre, strict=False):
        apart = w.binary("fsub", x, c)
        gap = w.binary("fmul", apart, apart) if gap is None else w.fma(apart, apart, gap)
    assert gap is not None
    inside = w.compare("ole", gap, reach)
    return [w.select(inside, value, w.like(value, np.nan)) for value in after]


def _keep(w: Writer, values: list[Value], step: Value, block: Value) -> None:
    """Write values where those of this step and block belong: rows are as long as a column."""
    size = BYTES[values[0].kind]
    length = w.binary("udiv", Value("%stride", "i64", False), _whole(SLOT // size))
    for number, value in enumerate(values):
        row = w.binary("add", w.binary("mul", step, _whole(len(values))), _whole(number))
        offset = w.binary("mul", block, _whole(size * w.width))
        offset = w.binary("add", w.binary("mul", row, length), offset)
        w.store(value, w.at(Value("%kept", "ptr", False), offset))


def _look(w: Writer, value: Value, step: Value) -> None:
    """Go on, unless no lane of the block is a number any more."""
    time = w.compare("eq", w.binary("and", step, _whole(LOOK - 1)), _whole(0))
    gone = w.compare("eq", w.any(w.compare("ord", value, value)), _whole(0, "i1"))
    w.branch_if(w.binary("and", time, gone), "leave", "test")


def _kept(dtype: np.dtype) -> str:
    """The kind that a value has in memory."""
    return "i8" if dtype.kind == "b" else kind_of(dtype)


def _whole(number: int, kind: str = "i64") -> Value:
    return Value(str(number), kind, False)
