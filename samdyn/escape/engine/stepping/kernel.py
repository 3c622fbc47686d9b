"""The compiled part of the engine: many paths at once, each in its lane.

A launch advances every lane by several steps in one fused loop. Between launches finished lanes
are counted; once a sixteenth has finished, their states are recorded and the lanes start on the
next paths of a queue.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from . import bridge, generator
from .bridge import CENSORED, FAILED, IDLE
from .packing import pack, read, unpack, words_per_array
from .scalarize import componentwise
from .stepper import AbstractStepper

LONGEST = 16  # steps in a launch, at most
# in a launch, about: more would only compile for longer, and a CPU slows down by half
OPERATIONS, ON_CPU = 4096, 1600
SLOTS = 128  # records of finished lanes in a call


class Lanes(NamedTuple):
    """State arrays of all lanes, and which path each of them is on."""

    words: tuple[jax.Array, ...]
    index: jax.Array


class Queue(NamedTuple):
    """Indices of paths to run: those before `taken` have begun, those from `size` on are none."""

    paths: Any
    taken: Any
    size: Any


class Layout(NamedTuple):
    """How the words of a lane are stored: components of y, step count, life.

    `unroll` is the number of steps in a launch.
    """

    size: int
    dtype: str
    packed: bool
    unroll: int

    def join(self, y, steps, life) -> tuple[jax.Array, ...]:
        if self.dtype == "float32":
            steps = jax.lax.bitcast_convert_type(steps, jnp.float32)
        return pack([*y, steps.astype(self.dtype), life], self.packed)

    def split(self, arrays) -> tuple[list[jax.Array], jax.Array, jax.Array]:
        *y, steps, life = unpack(arrays, self.size + 2, self.dtype, self.packed)
        if self.dtype == "float32":
            return y, jax.lax.bitcast_convert_type(steps, jnp.int32), life
        return y, steps.astype(jnp.int32), life

    def read(self, arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`split` in NumPy: y (size, n), steps and life (n,)."""
        words = read(arrays, self.size + 2, self.dtype)
        steps = words[-2].copy()
        steps = steps.view(np.int32) if self.dtype == "float32" else steps.astype(np.int32)
        return words[:-2], steps, words[-1]


def layout_of(stepper: AbstractStepper, packed: bool) -> Layout:
    """The layout for a stepper, with the longest launch that still compiles quickly.

    `packed` arrays are those of a CPU. A launch has an even number of steps, so that an odd number
    of draws uses whole pairs.
    """
    y, _ = shapes(stepper)
    work = _work(stepper) + 60 * stepper.draws
    dtype = str(stepper.start.dtype)
    arrays = -(-(y.size + 2) // words_per_array(dtype, packed))
    most = ON_CPU if packed else OPERATIONS
    steps = min(LONGEST // arrays**2, most // work)
    return Layout(y.size, dtype, packed, max(2, steps - steps % 2))


def _work(stepper: AbstractStepper) -> int:
    """`_operations` of a step; counted once for steppers that differ in values only."""
    leaves, structure = jax.tree.flatten(stepper)
    return _work_of(structure, tuple(map(_shape_of, leaves)))


@functools.lru_cache(maxsize=64)
def _work_of(structure, leaves: tuple) -> int:
    arrays, rest = eqx.partition(leaves, lambda x: isinstance(x, jax.ShapeDtypeStruct))

    def step(arrays, y, z):
        return jax.tree.unflatten(structure, eqx.combine(arrays, rest)).step(y, z)

    state = shapes(jax.tree.unflatten(structure, leaves))
    return _operations(jax.make_jaxpr(step)(arrays, *state).jaxpr)


def _shape_of(leaf: Any) -> Any:
    """The shape and dtype of an array, or what is none."""
    array = isinstance(leaf, jax.Array | np.ndarray)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if array else leaf


def _operations(jaxpr) -> int:
    """How many numbers a jaxpr computes."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [v for v in equation.params.values() if hasattr(v, "jaxpr")]
        total += sum(_operations(part.jaxpr) for part in inner)
        total += 0 if inner else sum(int(np.prod(v.aval.shape)) for v in equation.outvars)
    return total


def shapes(stepper: AbstractStepper) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Those of a state and of the draws of a step."""
    dtype = stepper.start.dtype
    y = jax.ShapeDtypeStruct(stepper.start.shape, dtype)
    kind = jnp.uint32 if stepper.law == "words" else dtype
    return y, jax.ShapeDtypeStruct((stepper.draws,), kind)


class Step:
    """One step of all lanes, on components."""

    def __init__(self, stepper: AbstractStepper):
        y, z = shapes(stepper)
        self.dtype = y.dtype
        self.interpolates = stepper.interpolates
        self.advance = componentwise(stepper.step, y, z)
        self.gap = _scalar(componentwise(stepper.gap, y))
        bridged = jax.eval_shape(stepper.border_variance, y) is not None
        self.variance: Any = _scalar(componentwise(stepper.border_variance, y)) if bridged else None
        self.rate = None if self.variance is None else self._known_rate(stepper.start)

    def __call__(self, y, gap, steps, life, z, limit):
        """The next state; lanes that are not running keep theirs.

        A lane that escapes keeps its first state outside.
        """
        after = [jnp.broadcast_to(v, gap.shape) for v in self.advance(_components(y), z)]
        reached = self.gap(after)
        if self.variance is None:
            then = jnp.where(reached <= 0, -gap, life)
        else:
            survival = life * self._no_touch(y, gap, reached)  # 0 if it is outside
            then = jnp.where(survival < 1, -gap, survival)
        running = (life > 0) & (steps < limit)
        return (
            [jnp.where(running, new, old) for new, old in zip(after, y, strict=True)],
            jnp.where(running, reached, gap),
            steps + running.astype(jnp.int32),
            jnp.where(running, then, life),
        )

    def _no_touch(self, y, gap, reached):
        """Probability that the Brownian bridge from `gap` to `reached` stays above 0."""
        rate = self._rate(y) if self.rate is None else self.rate
        return bridge.no_touch(bridge.exponent(rate, gap, reached), self.dtype)

    def _rate(self, y):
        return bridge.rate(self.variance(y))

    def _known_rate(self, start):
        """The rate where it does not depend on the state, computed once."""
        probe = [jnp.broadcast_to(v, (2,)) for v in start]
        return self._rate(probe) if jnp.ndim(self.variance(probe)) == 0 else None

    def close(self, y, gap, steps, life, limit):
        """The life of lanes after a launch: CENSORED at the limit, FAILED if no longer finite."""
        life = jnp.where((life > 0) & (steps >= limit), self.number(CENSORED), life)
        finite = jnp.isfinite(sum(y, gap) + life)
        return jnp.where(finite | (life == self.number(IDLE)), life, self.number(FAILED))

    def settle(self, y, life, key):
        """Of finished lanes: in which fraction of its step each escaped, in (0, 1], or its code.

        Not part of a launch: it would keep the compiler from fusing one.
        """
        above, below = jnp.abs(life), jnp.abs(self.gap(y))
        fraction = jnp.ones_like(life)
        if self.variance is not None:
            fraction = bridge.first_passage(above, below, self.variance(y), key)
        elif self.interpolates:
            fraction = bridge.straight_passage(above, below)
        fraction = bridge.within_a_step(fraction)
        return jnp.where(life > self.number(CENSORED), fraction, life)

    def number(self, value):
        return np.asarray(value, self.dtype)


def _scalar(function):
    return lambda y: function(_components(y))[()]


def _components(values) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        out[place] = value
    return out


class Records(NamedTuple):
    """All lanes at the moments (first axis) when some had finished; `done` says which.

    Their `life` is settled: the fraction of the last step, or a code.
    """

    words: tuple[jax.Array, ...]
    index: jax.Array
    done: jax.Array


class _Work:
    """What happens to all lanes of a stepper: a launch, a record, a refill."""

    def __init__(self, stepper, layout: Layout, seed, limit):
        self.stepper, self.layout, self.seed, self.limit = stepper, layout, seed, limit
        self.step = Step(stepper)

    def launch(self, words, index):
        """`layout.unroll` steps of every lane."""
        step = self.step
        y, steps, life = self.layout.split(words)
        gap = step.gap(y)
        draws = bridge.draws(self.stepper, self._key(index), steps, self.layout.unroll)
        if len(words) > 1:  # made once, not once for each array of the state
            draws = jax.lax.optimization_barrier(draws)
        for z in draws:
            y, gap, steps, life = step(y, gap, steps, life, _components(z), self.limit)
        return self.layout.join(y, steps, step.close(y, gap, steps, life, self.limit))

    def running(self, words):
        return self._life(words) > 0

    def idle(self, words):
        return self._life(words) == self.step.number(IDLE)

    def finished(self, words):
        return ~self.running(words) & ~self.idle(words)

    def until_some_finish(self, words, index, count, launches):
        """(words, launches made) once a sixteenth of the lanes at work has finished."""
        at_work = _count(~self.idle(words))
        enough = jnp.maximum(at_work // 16, 1)

        def go(carry):
            _, count, done = carry
            return (done < enough) & (count < launches)

        def body(carry):
            words, count, _ = carry
            # without the barrier the count would repeat the launch
            words = jax.lax.optimization_barrier(self.launch(words, index))
            return words, count + 1, _count(self.finished(words))

        done = _count(self.finished(words))
        return jax.lax.while_loop(go, body, (words, count, done))[:2]

    def record(self, words, index) -> Records:
        y, steps, life = self.layout.split(words)
        settled = self.step.settle(y, life, self._key(index))
        return Records(self.layout.join(y, steps, settled), index, self.finished(words))

    def refill(self, words, index, queue: Queue):
        """(words, index, taken): idle lanes start on the next paths of the queue."""
        y, steps, life = self.layout.split(words)
        idle = self.idle(words)
        place = queue.taken + jnp.cumsum(idle, dtype=jnp.int32) - np.int32(1)
        more = idle & (place < queue.size)
        index = jnp.where(more, queue.paths.at[place].get(mode="clip"), index)
        fresh = bridge.first_life(self._key(index), self.step.dtype)
        start = zip(self.stepper.start, y, strict=True)
        y = [jnp.where(more, new, old) for new, old in start]
        words = self.layout.join(y, jnp.where(more, 0, steps), jnp.where(more, fresh, life))
        return words, index, queue.taken + _count(more)

    def rest(self, words):
        """Finished lanes become idle."""
        y, steps, life = self.layout.split(words)
        life = jnp.where(self.finished(words), self.step.number(IDLE), life)
        return self.layout.join(y, steps, life)

    def _life(self, words):
        return self.layout.split(words)[2]

    def _key(self, index):
        return generator.path_key(self.seed, index)


def _count(lanes) -> jax.Array:
    return jnp.sum(lanes, dtype=jnp.int32)


def _run_lanes(stepper, layout, seed, lanes: Lanes, queue: Queue, limit, launches, least, floor):
    """Advance `lanes` for `launches` launches; from `least` on only while `floor` are running.

    Returns (lanes, taken, records, how many records there are, launches made).
    """
    work = _Work(stepper, layout, seed, limit)

    def go(carry):
        words, _, taken, slot, count, _ = carry
        running = _count(work.running(words)) + queue.size - taken
        wanted = (count < launches) & ((running >= floor) | (count < least))
        return (slot < SLOTS) & wanted & (running > 0)

    def body(carry):
        words, index, taken, slot, count, records = carry
        words, index, taken = work.refill(words, index, queue._replace(taken=taken))
        words, count = work.until_some_finish(words, index, count, launches)
        row = work.record(words, index)
        records = jax.tree.map(lambda all_, one: all_.at[slot].set(one), records, row)
        return work.rest(words), index, taken, slot + 1, count, records

    row = Records(lanes.words, lanes.index, lanes.index < 0)
    empty = jax.tree.map(lambda leaf: jnp.zeros((SLOTS, *leaf.shape), leaf.dtype), row)
    zero = jnp.zeros((), jnp.int32)
    words, index, taken, slots, count, records = jax.lax.while_loop(
        go, body, (lanes.words, lanes.index, queue.taken, zero, zero, empty)
    )
    return Lanes(words, index), taken, records, slots, count


_WIDE: Any = {
    "compiler_options": {
        "xla_cpu_prefer_vector_width": "512",
        "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
    }
}
# on CPUs the widest vectors are also the fastest here; other backends have no such option
_ON_CPU = eqx.filter_jit(_run_lanes, **_WIDE)
_ELSEWHERE = eqx.filter_jit(_run_lanes)


def run_lanes(platform: str):
    """`_run_lanes`, compiled for a platform."""
    return _ON_CPU if platform == "cpu" else _ELSEWHERE


def idle_lanes(layout: Layout, count: int) -> Lanes:
    """`count` lanes that have nothing to run."""
    dtype = np.dtype(layout.dtype)
    zero, none = jnp.zeros(count, dtype), jnp.zeros(count, jnp.uint32)
    life = jnp.full(count, IDLE, dtype)
    words = layout.join([zero] * layout.size, jnp.zeros(count, jnp.int32), life)
    return Lanes(words, none)
