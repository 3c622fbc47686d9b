"""Where an optimizer's own step rests, and whether it is the same step every time.

An optimizer may move where the gradient vanishes (weight decay, noise), rest elsewhere, change
with its step count (schedules, bias correction), or jump beside a point (sign methods). All of it
is asked of the step itself: step(init(w)).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...compiling import jit_for_few_runs
from ...dynamics.systems.map import AbstractMap, State, flat_step
from ...errors import InvalidInput, brief
from ..finding.starts import EvenPoints
from .verdict import Verdict, map_verdict

STARTS = 64
NEWTON = 50
REST = 1e-9  # of the longest step in the box: a shorter one is none
LEAVES = 1e-6  # the same for steps whose memory has settled, which adds up rounding
SAME = 1e-6  # of the size of the box
LATER = (1, 10, 100, 1000, 10_000)  # steps after which the map is compared with its first
NEAR = 0.3  # of a jump: from where runs are followed
FAST = 1.01  # a multiplier whose growth 4000 steps show
LINEAR = 1e-4  # of the size of the box: beyond it an eps of the optimizer is negligible
FEW = 1e-9  # of the size of the box: from no nearer, because of rounding
HELD = 10  # jumps: a run that goes no farther from the point has stayed
SWINGS = 300  # jumps: so far a run may swing by its memory, if its mean stays
SETTLED = 3000  # steps after which the memory of a run kept at a point has settled
RUN = 4000  # steps of them
CHANGED = 1e-6  # relative difference of multipliers
RESOLVED = 1e6  # spacings of the numbers in the box: steps that are all shorter tell nothing
KINK = 1e-3  # of a step beside the point: such an even part is no curvature
BENT = "the step bends here: its slope depends on the side, so that no Jacobian decides"


class RestingPoints:
    """Fixed points of the step of an optimizer, and what is unusual about it there.

    `others` (n, d) are those that are none of the flow's.
    """

    def __init__(self, step_map: AbstractMap, known: list[np.ndarray], box: Any, at: Any):
        self.step_map, self.warnings = step_map, ()
        first = known[0] if known else np.asarray(at if at is not None else box, float)
        d = len(first)
        middle = np.asarray(at, float) if box is None else np.mean(np.asarray(box, float), axis=1)
        half = 1 + np.abs(middle) if box is None else np.ptp(np.asarray(box, float), axis=1) / 2
        self.size = float(np.max(half))
        _require_step(step_map, jnp.asarray(middle))
        cloud = EvenPoints(d, 0).take(STARTS)
        starts = np.concatenate([np.reshape(known, (-1, d)), middle + half * (2 * cloud - 1)])
        moves = np.asarray(_moves(step_map, jnp.asarray(starts)))
        lengths = np.linalg.norm(moves, axis=1)
        self.longest = float(np.max(lengths[np.isfinite(lengths)], initial=0.0))
        spacing = float(np.spacing(np.max(np.abs(middle) + half)))
        if 0 < self.longest < RESOLVED * spacing:
            raise InvalidInput(
                f"this optimizer moves by {self.longest:.3g} at most, {self.longest / spacing:.2g} "
                f"spacings of the numbers here: too few to find where it rests; take a larger "
                "learning rate, or move the origin nearer."
            )
        self.random = _draws(step_map, jnp.asarray(middle))
        self.idle = self.longest == 0
        self.others = np.zeros((0, d))
        # a point that was asked for and rests is the answer, whatever Newton makes of it
        asked = at is not None and bool(known) and lengths[0] <= REST * self.longest
        if not (self.random or self.idle or asked):
            self.others = self._search(starts, known, middle, half, at is not None)

    def _search(self, starts, known, middle, half, near: bool) -> np.ndarray:
        starts = starts[: len(known) + 1] if near else starts
        inside = lambda ends: ends[  # noqa: E731
            np.all(np.abs(ends - middle) <= half * (1 + 1e-9), axis=1)
            & np.all(np.isfinite(ends), axis=1)
        ]
        ends = inside(np.asarray(_newton(_moves, self.step_map, jnp.asarray(starts))))
        rest = np.linalg.norm(np.asarray(_moves(self.step_map, jnp.asarray(ends))), axis=1)
        ends = ends[rest <= REST * self.longest]
        later = np.linalg.norm(np.asarray(_moves_later(self.step_map, jnp.asarray(ends))), axis=1)
        if np.any(later > LEAVES * self.longest):  # memory that is not 0 where the step rests
            ends = inside(np.asarray(_newton(_moves_later, self.step_map, jnp.asarray(starts))))
            later = np.asarray(_moves_later(self.step_map, jnp.asarray(ends)))
            later = np.linalg.norm(later, axis=1)
            ends = ends[later <= LEAVES * self.longest]
        found: list[np.ndarray] = []
        for end in ends:
            taken = [*known, *found]
            if all(np.linalg.norm(end - w) > SAME * self.size for w in taken):
                found.append(end)
        return np.reshape(found, (-1, starts.shape[1]))

    def verdict(self, w: np.ndarray) -> Verdict:
        """By the multipliers at `init(w)`, or what must be said instead of them."""
        point = jnp.asarray(w)
        if self.random:
            return Verdict("not a fixed map", "the step draws random numbers: it rests nowhere")
        if self.idle:
            text = "the first step moves nothing anywhere: later ones, if any, decide"
            return Verdict("not a fixed map", text)
        move = float(np.linalg.norm(np.asarray(_moves(self.step_map, point[None]))[0]))
        beside, kink = self._beside(w)
        if beside > 1e-3 * self.longest:
            return self._followed(w, beside)
        if not np.isfinite(move):
            return map_verdict(np.full(w.size, np.nan + 0j))
        later = float(np.linalg.norm(np.asarray(_moves_later(self.step_map, point[None]))[0]))
        rests, settled = move <= REST * self.longest, later <= LEAVES * self.longest
        if not (rests or settled):
            text = f"the step does not rest here: it moves by {move:.4g}"
            return Verdict("not a fixed map", text)
        if not settled:
            text = (
                f"the first step rests here and later ones do not: after {SETTLED} steps its "
                f"memory moves it by {later:.4g}"
            )
            return Verdict("not a fixed map", text)
        if kink:
            return Verdict("unknown", BENT)
        found = self._over_time(point, LATER if rests else LATER[-1:])
        return self._held_beyond(w, found)

    def _held_beyond(self, w: np.ndarray, found: Verdict) -> Verdict:
        """A step with a tiny eps grows at the point itself, and may be held just beyond."""
        if found.verdict not in ("repeller", "saddle") or found.eigenvalues is None:
            return found
        modulus = np.abs(found.eigenvalues)
        if np.min(modulus[modulus > 1]) < FAST:  # too slow for runs of this length to tell
            return found
        shift = jnp.asarray(w + LINEAR * self.size * np.eye(w.size))
        step = float(np.max(np.linalg.norm(np.asarray(_moves(self.step_map, shift)), axis=1)))
        followed = self._followed(w, step)
        if followed.verdict != "attractor":
            return found
        why = f"{found.why}, close to the point; runs from beyond stay about it"
        return followed._replace(why=why, eigenvalues=found.eigenvalues)

    def _beside(self, w: np.ndarray) -> tuple[float, bool]:
        """What steps on opposite sides of w do, however near: half of how much they differ, where
        that is a jump, else 0; and whether they differ in slope."""
        axes = np.eye(w.size)
        sizes, kinks = [], []
        here = np.asarray(_moves(self.step_map, jnp.asarray(w)[None]))
        rounding = 10 * np.spacing(np.max(np.abs(w)) + self.size * 1e-5)
        for t in (1e-5, 1e-8):
            shift = self.size * t * axes
            one, other = (
                np.asarray(_moves(self.step_map, jnp.asarray(w + side * shift))) for side in (1, -1)
            )
            odd = np.linalg.norm(one - other, axis=1) / 2
            even = np.linalg.norm((one + other) / 2 - here, axis=1)
            sizes.append(np.max(odd))
            kinks.append(bool(np.any(even > KINK * np.max(odd) + rounding)))
        return (float(sizes[1]) if sizes[1] > 0.1 * sizes[0] else 0.0), all(kinks)

    def _followed(self, w: np.ndarray, step: float) -> Verdict:
        """Where the step jumps, runs from beside the point are followed.

        Distances are measured in jumps: a small learning rate moves as far in as many steps.
        """
        extra = np.random.default_rng(1).standard_normal((16, w.size))
        directions = np.concatenate([np.eye(w.size), -np.eye(w.size), extra])
        directions /= np.linalg.norm(directions, axis=1)[:, None]
        beside = max(NEAR * step, FEW * self.size)
        starts = jnp.asarray(w + beside * directions)
        far, drift = map(np.asarray, _farthest(self.step_map, starts, jnp.asarray(w)))
        jump = step * np.sqrt(w.size) + beside
        held = (far <= HELD * jump) | ((far <= SWINGS * jump) & (drift <= 3 * jump))
        text = (
            f"the step jumps here, by {step:.4g} however near: it never rests; {np.sum(held)} of "
            f"{held.size} runs from beside it stay about it for {RUN} steps"
        )
        if np.all(held):
            amplitude = float(np.max(far))
            text += f", within {amplitude:.4g}"
            return Verdict("attractor", text, orbit="chaotic", amplitude=amplitude)
        name = "repeller" if not np.any(held) or w.size == 1 else "saddle"
        return Verdict(name, text, orbit="escapes")

    def _over_time(self, w: Array, counts: tuple[int, ...]) -> Verdict:
        """By the multipliers, unless the step is another one later: schedules, bias correction."""
        kept = np.asarray(_changing(self.step_map, w, jnp.asarray(self.size)))
        settled = len(counts) < len(LATER)  # its memory is not that of init(w)
        start = _after(self.step_map, w, SETTLED) if settled else self.step_map.init(w)
        first = _multipliers(_jacobian(self.step_map, start), kept)
        if not np.all(np.isfinite(first)):
            return map_verdict(first, w.size)
        for count in counts:
            state = _after(self.step_map, w, jnp.asarray(count))
            later = _multipliers(_jacobian(self.step_map, state), kept)
            gap = np.max(np.abs(np.sort_complex(later) - np.sort_complex(first)))
            if not gap <= CHANGED * np.max(np.abs(first)):
                top = float(np.max(np.abs(later)))
                side = "inside" if top < 1 else "not all inside"
                text = (
                    f"the step changes with its count; after {count} steps the multipliers lie "
                    f"{side} the unit circle, the largest {top:.6g}"
                )
                return Verdict("not a fixed map", text, later)
        return map_verdict(first, w.size)


def _require_step(step_map: AbstractMap, w: Array) -> None:
    """`InvalidInput` unless the optimizer steps from a gradient and parameters alone."""
    try:
        jax.eval_shape(lambda w: step_map(step_map.init(w)).w, w)
    except Exception as error:  # whatever an optimizer may raise
        raise InvalidInput(
            "this optimizer's step needs more than a gradient and parameters, which is all that a "
            f"step map has: {brief(error)}."
        ) from error


@jit_for_few_runs
def _moves(step_map: AbstractMap, ws: Array) -> Array:
    return jax.vmap(lambda w: step_map(step_map.init(w)).w - w)(ws)


@jit_for_few_runs
def _newton(moves: Callable, step_map: AbstractMap, starts: Array) -> Array:
    move = lambda w: moves(step_map, w[None])[0]  # noqa: E731

    def one(_, w):
        return w - jnp.linalg.solve(jax.jacfwd(move)(w), move(w))

    return jax.vmap(lambda w: jax.lax.fori_loop(0, NEWTON, one, w))(starts)


@jit_for_few_runs
def _moves_later(step_map: AbstractMap, ws: Array) -> Array:
    return jax.vmap(lambda w: _move_later(step_map, w))(ws)


@jit_for_few_runs
def _move_later(step_map: AbstractMap, w: Array) -> Array:
    """How far a step moves from w once the memory of a run kept there has settled."""
    return step_map(_after(step_map, w, SETTLED)).w - w


def _draws(step_map: AbstractMap, w: Array) -> bool:
    """Whether two states that differ in their random keys alone step differently."""
    state = step_map.init(w)
    is_key = lambda x: (  # noqa: E731
        eqx.is_array(x)
        and (
            jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
            or (x.dtype == jnp.uint32 and x.shape == (2,))
        )
    )
    keys = [leaf for leaf in jax.tree.leaves(state) if is_key(leaf)]
    if not keys:
        return False

    def other(leaf):
        if not is_key(leaf):
            return leaf
        typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.split(leaf)[0] if typed else leaf + jnp.uint32(1)

    one, two = step_map(state).w, step_map(jax.tree.map(other, state)).w
    return bool(jnp.any(one != two))


@jit_for_few_runs
def _after(step_map: AbstractMap, w: Array, count: Array | int) -> State:
    """The state after `count` steps that are kept at w."""
    still = lambda _, state: step_map(state)._replace(w=w)  # noqa: E731
    return jax.lax.fori_loop(0, count, still, step_map.init(w))


@jit_for_few_runs
def _farthest(step_map: AbstractMap, starts: Array, w: Array) -> tuple[Array, Array]:
    """How far each run gets from w, and how far the mean of its later half is from there."""

    def one(start):
        def go(i, carry):
            state, far, total = carry
            state = step_map(state)
            total = total + jnp.where(i >= RUN // 2, state.w - w, 0)
            return state, jnp.fmax(far, jnp.linalg.norm(state.w - w)), total

        begin = (step_map.init(start), jnp.zeros((), w.dtype), jnp.zeros_like(w))
        _, far, total = jax.lax.fori_loop(0, RUN, go, begin)
        return far, jnp.linalg.norm(total) / (RUN - RUN // 2)

    return jax.vmap(one)(starts)


@jit_for_few_runs
def _jacobian(step_map: AbstractMap, state: State) -> Array:
    step, flat = flat_step(step_map, state)
    return jax.jacfwd(step)(jnp.asarray(flat))


@jit_for_few_runs
def _changing(step_map: AbstractMap, w: Array, size: Array) -> Array:
    """Which numbers of the state a step changes somewhere; the others are settings, not state."""
    step, flat = flat_step(
        step_map, step_map.init(w + size * jnp.cos(jnp.arange(w.size, dtype=w.dtype) + 1.0))
    )
    return (step(flat) != flat) | (jnp.arange(flat.size) < w.size)


def _multipliers(jacobian: Array, kept: np.ndarray) -> np.ndarray:
    """Eigenvalues of the step's Jacobian on the state itself."""
    inner = np.asarray(jacobian)[np.ix_(kept, kept)]
    if not np.all(np.isfinite(inner)):
        return np.full(len(inner), np.nan + 0j)
    return np.linalg.eigvals(inner).astype(complex)
