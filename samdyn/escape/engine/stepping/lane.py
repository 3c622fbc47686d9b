"""What happens to one path, as programs: its numbers, a step, whether it touched, when it left.

They are traced from the functions that XLA's kernel uses, once for all steppers that differ in
numbers alone.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....programs.batch import joined, shapes_of, split
from ....programs.program import Program
from ....programs.tracing.flatten import NotFlat, flatten
from . import bridge, generator
from .stepper import AbstractStepper

# operations: LLVM then takes 5 s (15 for tables of so many entries), and XLA, which would be the
# other way, minutes
LONGEST = 6_000
TOGETHER = 2  # steps that are made at once: a counter gives two numbers, and m of them may be odd


class LanePrograms(NamedTuple):
    """`draw`: (low, high, twist, counter) → the draws of `TOGETHER` steps, after which the counter,
    which is scattered, has grown by `stride`.
    `step`: (y…, z…, gap, numbers…) → (y…, gap, exponent), the exponent only with a bridge.
    `touch`: (life, exponent) → life; None without a bridge.
    `settle`: (y…, above, below, low, high, numbers…) → the fraction of the step.
    `begin`: (seed, seed, index) → (low, high, twist, life).
    `place`: (numbers…) → (y…, gap) where paths start.
    """

    draw: Program
    step: Program
    touch: Program | None
    settle: Program
    begin: Program
    place: Program
    stride: int

    def along(self) -> Iterator[tuple[Program, int]]:
        """Each program, and how many of its inputs are those of a lane."""
        numbers = len(self.place.inputs)
        for program in (self.step, self.settle, self.place):
            yield program, len(program.inputs) - numbers
        for program in (self.draw, self.begin, self.touch):
            if program is not None:
                yield program, len(program.inputs)


def lane_programs(stepper: AbstractStepper) -> tuple[LanePrograms, list[Any]]:
    """The programs of a stepper, and the numbers in it. `NotFlat` where it has none."""
    numbers, known = split(stepper)
    programs = _traced(known, shapes_of(numbers))
    return programs, [entry for array in numbers for entry in np.asarray(array).ravel()]


@functools.lru_cache(maxsize=128)
def _traced(known: Any, shapes: Any) -> LanePrograms:
    of = functools.partial(joined, known)
    numbers = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    if sum(np.prod(shape, dtype=int) for shape, _ in shapes) > LONGEST:
        raise NotFlat(f"it has more than {LONGEST:,d} numbers")
    stepper = of([np.zeros(shape, dtype) for shape, dtype in shapes])  # for what is no number
    y, dtype = stepper.start, np.dtype(stepper.start.dtype)
    number = jax.ShapeDtypeStruct((), dtype)
    z = jax.ShapeDtypeStruct((stepper.draws,), jnp.uint32 if stepper.law == "words" else dtype)
    bridged = jax.eval_shape(lambda *numbers: _variance(of(numbers), of(numbers).start), *numbers)

    def step(y, z, gap, *numbers):
        stepper = of(numbers)
        after = stepper.step(y, z)
        reached = stepper.gap(after)
        if bridged is None:
            return after, reached
        return after, reached, bridge.exponent(bridge.rate(_variance(stepper, y)), gap, reached)

    def settle(y, above, below, low, high, *numbers):
        stepper = of(numbers)
        fraction = jnp.ones_like(above)
        if bridged is not None:
            key = generator.Key(low, high)
            fraction = bridge.first_passage(above, below, _variance(stepper, y), key)
        elif stepper.interpolates:
            fraction = bridge.straight_passage(above, below)
        return bridge.within_a_step(fraction)

    def place(*numbers):
        return of(numbers).start, of(numbers).gap(of(numbers).start)

    word, give = (
        jax.ShapeDtypeStruct((), jnp.uint32),
        functools.partial(flatten, longest=2 * LONGEST, tables=True),
    )
    return LanePrograms(
        _draw(stepper.draws, stepper.law, str(dtype)),
        give(step, y, z, number, *numbers),
        None if bridged is None else _touch(str(dtype)),
        give(settle, y, number, number, word, word, *numbers),
        _begin(str(dtype)),
        give(place, *numbers),
        int(generator.stride(stepper.draws * TOGETHER // 2)),
    )


def _variance(stepper: AbstractStepper, y: Any) -> Any:
    return stepper.border_variance(y)


class _Law(NamedTuple):
    """As much of a stepper as its draws need."""

    draws: int
    law: str
    start: Any


@functools.cache
def _draw(count: int, law: str, dtype: str) -> Program:
    like: Any = _Law(count, law, np.zeros((), dtype))

    def draw(low, high, twist, counter):
        return bridge.draws_from(like, generator.Key(low, high, twist), counter, TOGETHER)

    return flatten(draw, *[jax.ShapeDtypeStruct((), jnp.uint32)] * 4)


@functools.cache
def _touch(dtype: str) -> Program:
    number, exponent = (jax.ShapeDtypeStruct((), kind) for kind in (dtype, "float32"))
    return flatten(lambda life, e: life * bridge.no_touch(e, np.dtype(dtype)), number, exponent)


@functools.cache
def _begin(dtype: str) -> Program:
    def begin(first, second, index):
        key = generator.path_key(jnp.stack([first, second]), index)
        twist = generator.twist_of(key.high)
        return key.low, key.high, twist, bridge.first_life(key, np.dtype(dtype))

    word = jax.ShapeDtypeStruct((), jnp.uint32)
    return flatten(begin, word, word, word)
