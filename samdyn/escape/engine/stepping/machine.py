"""First exits as machine code: a block of lanes in registers, step after step, until one leaves.

The loop knows nothing of what a path does: that are the programs of `lane.py`. Lanes that have
left are settled, recorded and refilled on a path of its own, so that the loop itself has no more
than the step, the numbers that it draws, and one question. A lane without a path runs for nothing.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from ....programs.machine.columns import read_numbers
from ....programs.machine.printer import write_program
from ....programs.machine.writer import BYTES, Value, Writer, kind_of, module
from .bridge import CENSORED, FAILED
from .lane import TOGETHER, LanePrograms

ROUND = 256  # bodies of a block, of TOGETHER steps each, between two looks at the others
SURE = (
    -18.0
)  # a bridge whose exponent is below touches with a probability that float32 does not see

# places in the array of whole numbers that is handed in and out
BLOCKS, TAKEN, SIZE, ROUNDS, CAPACITY, RECORDS, MADE, LIVE, MORE = range(9)
CONTROLS = 9
# what stands before the stepper's numbers
HEAD = [np.dtype(np.uint32), np.dtype(np.uint32), np.dtype(np.int32)]  # seed, seed, limit


class Fields(NamedTuple):
    """The arrays of a block, or of the records, by name, one after another in memory."""

    names: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]

    def offsets(self, lanes: int) -> dict[str, int]:
        ends = np.cumsum([0, *(dtype.itemsize * lanes for dtype in self.dtypes)])
        return dict(zip(self.names, map(int, ends), strict=False))

    def size(self, lanes: int) -> int:
        return sum(dtype.itemsize * lanes for dtype in self.dtypes)

    def views(self, memory: np.ndarray, lanes: int) -> dict[str, np.ndarray]:
        """Arrays (…, lanes) within memory (…, bytes)."""
        found = {}
        for name, dtype in zip(self.names, self.dtypes, strict=True):
            first = self.offsets(lanes)[name]
            found[name] = memory[..., first : first + dtype.itemsize * lanes].view(dtype)
        return found


def block_fields(size: int, dtype: Any) -> Fields:
    """Of a block of lanes; y, gap and life first, as they are the widest."""
    words = ("steps", *WORDS, "index", "busy")
    names = (*(f"y{k}" for k in range(size)), "gap", "life", *words)
    kinds = [np.dtype(dtype)] * (size + 2) + [np.dtype(np.int32)]
    return Fields(names, (*kinds, *[np.dtype(np.uint32)] * (len(words) - 1)))


WORDS = ("low", "high", "twist", "counter")  # of which a lane's numbers are made
RAW = ("above", "below", "life")  # of a record before it is settled: the gaps about its last step


def record_fields(size: int, dtype: Any) -> Fields:
    """Of paths that ended; `life` is settled at the end of a call."""
    names = (*(f"y{k}" for k in range(size)), *RAW, "steps", "index", "low", "high")
    kinds = [np.dtype(dtype)] * (size + len(RAW)) + [np.dtype(np.int32)]
    return Fields(names, (*kinds, *[np.dtype(np.uint32)] * 3))


@functools.lru_cache(maxsize=64)
def text_of(programs: LanePrograms, size: int, width: int, target: str) -> str:
    """The module whose `run` advances blocks of `width` lanes with states of `size` numbers."""
    return _Loop(programs, size, width).text(target)


class _Loop:
    def __init__(self, programs: LanePrograms, size: int, width: int):
        self.programs, self.size, self.width = programs, size, width
        self.w = Writer(width)
        for section in ("variables", "numbers", "body"):
            self.w.open(section)
        self.dtype = programs.step.inputs[0].dtype
        self.kind = kind_of(self.dtype)
        self.fields = block_fields(size, self.dtype)
        self.kinds = dict(zip(self.fields.names, map(kind_of, self.fields.dtypes), strict=True))
        self.ys = [f"y{k}" for k in range(size)]

    def text(self, target: str) -> str:
        w = self.w
        with w.inside("numbers"):
            types = [known.dtype for known in self.programs.place.inputs]
            first, second, limit, *self.numbers = read_numbers(
                w, _pointer("%numbers"), [*HEAD, *types]
            )
            self.seed, self.limit = [first, second], w.spread(limit)
            *self.start, self.start_gap = self._wide(
                write_program(w, self.programs.place, self.numbers)
            )
            self.now = {name: w.variable(self.kinds[name]) for name in self.fields.names[:-1]}
            self.block, self.round, self.body = (w.variable("i64", False) for _ in range(3))
            w.store(self._whole(0), self.round)
        w.branch("rounds")
        self._rounds()
        self._blocks()
        self._bodies()
        arguments = "ptr %state, ptr %numbers, ptr %queue, ptr %control, ptr %records, ptr %halt"
        return module("run", arguments, w, target)

    # the loops about the loop

    def _rounds(self) -> None:
        """Whether there is a further round: something to run, room for records, nobody waiting."""
        w = self.w
        w.label("rounds")
        round_ = w.load("i64", self.round, False)
        live, left = self._control(LIVE), self._left()
        lanes = w.binary("mul", self._control(BLOCKS), self._whole(self.width))
        halted = w.compare("ne", w.load("i32", _pointer("%halt"), False), self._whole(0, "i32"))
        idle = w.compare("slt", live, lanes)
        dry = w.compare("eq", left, self._whole(0))
        waits = w.compare("ne", self._control(MORE), self._whole(0))
        waits = w.binary("and", waits, w.binary("and", dry, idle))
        nothing = w.binary("and", dry, w.compare("eq", live, self._whole(0)))
        full = w.compare("slt", self._room(), self._whole(self.width))
        over = w.compare("sge", round_, self._control(ROUNDS))
        for reason in (waits, nothing, full, over):
            halted = w.binary("or", halted, reason)
        w.branch_if(halted, "done", "first")
        w.label("first")
        w.store(w.binary("add", round_, self._whole(1)), self.round)
        w.store(self._whole(0), self.block)
        w.branch("blocks")
        with w.inside("end"):
            self._settle_all()
            w.line("ret i64 0")

    def _blocks(self) -> None:
        """The next block, its state brought into registers; those without a path are passed by."""
        w = self.w
        w.label("blocks")
        block = w.load("i64", self.block, False)
        more = w.compare("slt", block, self._control(BLOCKS))
        w.branch_if(more, "look", "rounds")
        w.label("look")
        offset = w.binary("mul", block, self._whole(self.fields.size(self.width)))
        self.base = w.at(_pointer("%state"), offset)
        w.store(w.binary("add", block, self._whole(1)), self.block)
        busy = w.load("i32", self._field("busy"))
        some = w.any(w.compare("ne", busy, w.like(busy, 0)))
        wanted = w.binary("or", some, w.compare("ne", self._left(), self._whole(0)))
        room = w.compare("sge", self._room(), self._whole(self.width))
        w.branch_if(w.binary("and", wanted, room), "enter", "blocks")
        w.label("enter")
        for name, place in self.now.items():
            w.store(w.load(self.kinds[name], self._field(name)), place)
        w.store(self._whole(0), self.body)
        w.branch("body")

    def _leave(self) -> None:
        """The state of the block goes back to memory."""
        w = self.w
        w.label("leave")
        for name, place in self.now.items():
            w.store(w.load(self.kinds[name], place), self._field(name))
        made = w.load("i64", self.body, False)
        self._set_control(MADE, w.binary("add", self._control(MADE), made))
        w.branch("blocks")

    # the loop

    def _bodies(self) -> None:
        w = self.w
        w.label("body")
        before = {name: w.load(self.kinds[name], place) for name, place in self.now.items()}
        draws = write_program(w, self.programs.draw, [before[name] for name in WORDS], "numbers")
        count = len(draws) // TOGETHER
        ends, gaps = [[before[name] for name in self.ys]], [before["gap"]]
        lives, lefts = [before["life"]], []
        for turn in range(TOGETHER):
            z = draws[turn * count : (turn + 1) * count]
            after, reached, life, left = self._step(ends[-1], z, gaps[-1], lives[-1])
            ends.append(after)
            gaps.append(reached)
            lives.append(life)
            lefts.append(left)
        steps = w.binary("add", before["steps"], w.like(before["steps"], TOGETHER))
        bodies = w.binary("add", w.load("i64", self.body, False), self._whole(1))
        w.store(bodies, self.body)
        lost = self._not_finite(ends[-1])
        out = w.binary("or", lost, w.compare("sge", steps, self.limit))
        for left in lefts:
            out = w.binary("or", out, left)
        w.branch_if(w.any(out), "out", "stay", seldom=True)
        w.label("stay")
        self._keep(ends[-1], gaps[-1], lives[-1], steps)
        self._count(before)
        w.branch("next")
        w.label("next")
        again = w.compare("slt", w.load("i64", self.body, False), self._whole(ROUND))
        w.branch_if(again, "body", "leave")
        self._leave()
        self._out(out, lefts, ends, gaps, lives, before)

    def _step(self, y, z, gap, life) -> tuple:
        """State, gap and life one step later, and which lanes have left."""
        w = self.w
        *after, reached = found = self._wide(
            write_program(w, self.programs.step, [*y, *z, gap, *self.numbers], "numbers")
        )
        if self.programs.touch is None:
            return after, reached, life, w.compare("ule", reached, w.like(reached, 0))
        *after, reached, exponent = found
        # whoever is outside, or no number, is near as well: the exponent is not below 0 then
        near = w.compare("ugt", exponent, w.like(exponent, SURE))
        held, left = w.variable(self.kind), w.variable("i1")
        w.store(life, held)
        w.store(w.like(near, 0), left)
        touch, on = w.name("touch"), w.name("on")
        w.branch_if(w.any(near), touch, on)
        w.label(touch)
        (less,) = write_program(w, self.programs.touch, [life, exponent], "numbers")
        less = w.select(near, less, life)
        w.store(less, held)
        outside = w.compare("ule", reached, w.like(reached, 0))
        w.store(w.binary("or", outside, w.compare("ult", less, w.like(less, 1))), left)
        w.branch(on)
        w.label(on)
        return after, reached, w.load(self.kind, held), w.load("i1", left)

    def _not_finite(self, y: list[Value]) -> Value:
        w = self.w
        total = w.binary("fmul", y[0], w.like(y[0], 0))
        for entry in y[1:]:
            total = w.fma(entry, w.like(entry, 0), total)
        return w.compare("uno", total, total)

    def _count(self, before: dict[str, Value]) -> Value:
        """The counter of the next body."""
        w = self.w
        stride = w.held("i32", self.programs.stride)
        counter = w.binary("add", before["counter"], stride)
        w.store(counter, self.now["counter"])
        return counter

    def _keep(self, y, gap, life, steps) -> None:
        for name, value in zip(
            [*self.ys, "gap", "life", "steps"], [*y, gap, life, steps], strict=True
        ):
            self.w.store(value, self.now[name])

    # the path of those that left

    def _out(self, out, lefts, ends, gaps, lives, before) -> None:
        w, last = self.w, TOGETHER - 1
        w.label("out")
        outs = []
        for turn in range(TOGETHER):
            steps = w.binary("add", before["steps"], w.like(before["steps"], turn + 1))
            outs.append(w.binary("or", lefts[turn], w.compare("sge", steps, self.limit)))
        y, reached, life = ends[last + 1], gaps[last + 1], lives[last + 1]
        above, turns = gaps[last], w.like(before["steps"], TOGETHER)
        for turn in reversed(range(last)):  # where a lane left first
            chosen = lambda one, other, which=outs[turn]: w.select(which, one, other)  # noqa: E731
            y = [chosen(one, other) for one, other in zip(ends[turn + 1], y, strict=True)]
            reached, life = chosen(gaps[turn + 1], reached), chosen(lives[turn + 1], life)
            above = chosen(gaps[turn], above)
            turns = chosen(w.like(turns, turn + 1), turns)
        steps = w.binary("add", before["steps"], turns)
        self._record(out, y, (above, reached, life), steps)
        index = w.load("i32", self._field("index"))
        low, high, twist, fresh = self._wide(
            write_program(w, self.programs.begin, [*self.seed, index], "numbers")
        )
        pick = lambda new, old: w.select(out, new, old)  # noqa: E731
        start = [pick(new, old) for new, old in zip(self.start, y, strict=True)]
        zero = w.like(steps, 0)
        self._keep(start, pick(self.start_gap, reached), pick(fresh, life), pick(zero, steps))
        old = before | {"counter": self._count(before)}
        for name, value in zip((*WORDS, "index"), (low, high, twist, zero, index), strict=True):
            w.store(pick(value, old[name]), self.now[name])
        full = w.compare("slt", self._room(), self._whole(self.width))
        w.branch_if(full, "leave", "next")

    def _settle_all(self) -> None:
        """All records of the call, a vector of them at a time: one by one it would cost as much as
        dozens of steps."""
        w, fields = self.w, record_fields(self.size, self.dtype)
        kinds = dict(zip(fields.names, map(kind_of, fields.dtypes), strict=True))
        w.label("done")
        row_at = w.variable("i64", False)
        w.store(self._whole(0), row_at)
        w.branch("more")
        w.label("more")
        row = w.load("i64", row_at, False)
        w.branch_if(w.compare("slt", row, self._control(RECORDS)), "settle", "end")
        w.label("settle")
        at = {name: w.at(self._column(fields, name), row, kinds[name]) for name in fields.names}
        known = {name: w.load(kinds[name], place) for name, place in at.items()}
        y, (above, below, life) = ([known[name] for name in names] for names in (self.ys, RAW))
        w.store(self._settled(y, above, below, life, known), at["life"])
        w.store(w.binary("add", row, self._whole(self.width)), row_at)
        w.branch("more")
        w.label("end")

    def _column(self, fields: Fields, name: str) -> Value:
        """Where a column of the records begins."""
        before = self._whole(fields.offsets(1)[name])  # bytes of a record that come before it
        return self.w.at(
            _pointer("%records"), self.w.binary("mul", self._control(CAPACITY), before)
        )

    def _settled(self, y, above, reached, life, key) -> Value:
        """The fraction of the last step of paths that left, or the code of why they ended."""
        w = self.w
        given = [*y, above, w.call("fabs", reached), key["low"], key["high"], *self.numbers]
        (fraction,) = self._wide(write_program(w, self.programs.settle, given, "numbers"))
        escaped = w.compare("ole", reached, w.like(reached, 0))
        if self.programs.touch is not None:
            escaped = w.binary("or", escaped, w.compare("olt", life, w.like(life, 1)))
        settled = w.select(escaped, fraction, w.like(life, CENSORED))
        lost = w.compare("uno", reached, life)
        lost = w.binary("or", lost, self._not_finite([*y, reached]))
        return w.select(lost, w.like(life, FAILED), settled)

    def _record(self, out, y, raw, steps) -> None:
        """One by one, what has ended is recorded, and its lane given the next path of the queue."""
        w = self.w
        names = [*self.ys, *RAW]
        places = {name: w.variable(self.kind) for name in names} | {"steps": w.variable("i32")}
        for name, value in zip([*names, "steps"], [*y, *raw, steps], strict=True):
            w.store(value, places[name])
        places |= {name: self._field(name) for name in ("index", "low", "high")}
        for name in ("low", "high"):
            w.store(w.load("i32", self.now[name]), places[name])
        bits = w.variable(f"i{self.width}", False)
        mask = w.put(f"bitcast {w.type(out)} {out.name} to i{self.width}", f"i{self.width}", False)
        w.store(mask, bits)
        w.branch("lane")
        w.label("lane")
        left = w.load(f"i{self.width}", bits, False)
        w.branch_if(w.compare("eq", left, self._whole(0, left.kind)), "settled", "one")
        w.label("one")
        full = f"llvm.cttz.i{self.width}"
        w.declared[full] = f"declare i{self.width} @{full}(i{self.width}, i1)"
        place = w.put(
            f"call i{self.width} @{full}(i{self.width} {left.name}, i1 true)", left.kind, False
        )
        w.store(w.binary("and", left, w.binary("sub", left, self._whole(1, left.kind))), bits)
        lane = place if self.width == 64 else w.cast("zext", place, "i64")
        busy = w.at(self._field("busy"), lane, "i32")
        index = w.at(self._field("index"), lane, "i32")
        ran = w.compare("ne", w.load("i32", busy, False), self._whole(0, "i32"))
        w.branch_if(ran, "write", "refill")
        w.label("write")
        row, fields = self._control(RECORDS), record_fields(self.size, self.dtype)
        for name, dtype in zip(fields.names, fields.dtypes, strict=True):
            number = w.load(kind_of(dtype), w.at(places[name], lane, kind_of(dtype)), False)
            w.store(number, w.at(self._column(fields, name), row, kind_of(dtype)))
        self._set_control(RECORDS, w.binary("add", row, self._whole(1)))
        self._set_control(LIVE, w.binary("sub", self._control(LIVE), self._whole(1)))
        w.store(self._whole(0, "i32"), busy)
        w.branch("refill")
        w.label("refill")
        w.branch_if(w.compare("ne", self._left(), self._whole(0)), "take", "lane")
        w.label("take")
        taken = self._control(TAKEN)
        w.store(w.load("i32", w.at(_pointer("%queue"), taken, "i32"), False), index)
        w.store(self._whole(1, "i32"), busy)
        self._set_control(TAKEN, w.binary("add", taken, self._whole(1)))
        self._set_control(LIVE, w.binary("add", self._control(LIVE), self._whole(1)))
        w.branch("lane")
        w.label("settled")

    # words

    def _wide(self, values: list[Value]) -> list[Value]:
        return [value if value.wide else self.w.spread(value) for value in values]

    def _whole(self, number: int, kind: str = "i64") -> Value:
        return Value(str(number), kind, False)

    def _field(self, name: str) -> Value:
        return self.w.at(self.base, self.fields.offsets(self.width)[name])

    def _control(self, place: int) -> Value:
        return self.w.load("i64", self.w.at(_pointer("%control"), place * BYTES["i64"]), False)

    def _set_control(self, place: int, value: Value) -> None:
        self.w.store(value, self.w.at(_pointer("%control"), place * BYTES["i64"]))

    def _left(self) -> Value:
        """Paths of the queue that nobody has taken."""
        return self.w.binary("sub", self._control(SIZE), self._control(TAKEN))

    def _room(self) -> Value:
        return self.w.binary("sub", self._control(CAPACITY), self._control(RECORDS))


def _pointer(name: str) -> Value:
    return Value(name, "ptr", False)
