"""Run a step map for many steps in constant memory, keeping only the checkpoints asked for.

The loop runs in blocks and remembers where the last blocks began, so that the tail of a run
(does it rest, alternate, or wander?) is replayed at the end instead of stored on the way.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..arguments import of_system
from ..checks import require_arrays, require_one_value
from ..errors import InvalidInput
from ..losses.dimension import check_indices
from .resolution import SPACINGS, spacings
from .systems.map import AbstractMap, State
from .systems.system import loss_of
from .tree import as_array, squared_norm

BLOCK = 64  # steps in a block, and in the tail that is looked at

RAN, REACHED, DIVERGED = 0, 1, 2
STATUS = ("ran", "reached", "diverged")


class Run(eqx.Module):
    """What `iterate` found. Leading axes are those of the starts that were vmapped over.

    `checkpoints` holds w at each of `at_steps` (axis 0 of every leaf); a run that stopped early
    repeats its last w there. `tail` holds the last `BLOCK` values of w, oldest first, of which
    the last `tail_length` belong to this run.
    """

    state: State
    steps: Int[Array, "..."]
    status: Int[Array, "..."]
    at_steps: Int[Array, "..."]
    checkpoints: PyTree
    tail: PyTree
    tail_length: Int[Array, "..."]

    @property
    def w(self) -> PyTree:
        """The last parameters."""
        return self.state.w


class _Progress(NamedTuple):
    state: State
    step: Array
    status: Array
    earlier: State  # where the block before the current one began
    earlier_step: Array
    recent: State  # where the current block began
    recent_step: Array


@of_system("StepMap(loss, method, learning_rate)")
def iterate(
    step_map: AbstractMap,
    start: PyTree,
    steps: int,
    *,
    at_steps: Sequence[int] = (),
    target: PyTree | None = None,
    within: Any = 0.0,
) -> Run:
    """Apply `step_map` `steps` times from parameters `start`.

    Stops early, with status "reached", when ‖w − target‖ ≤ `within`, and with status "diverged"
    as soon as w is no longer finite. `at_steps` are the steps after which w is kept, ascending,
    each in [0, steps]. Nothing recompiles for another start, radius, learning rate or number of
    steps; memory does not grow with `steps`. `jax.vmap` it over anything.

    Arithmetic is in the dtype of `start`. A warning (`UserWarning`) tells where that is narrower
    than float64 and the first step so short that it is rounded away.
    """
    kept = check_checkpoints(at_steps, steps)
    start = jax.tree.map(_floating, require_arrays(start))
    require_one_value(step_map)
    check_start(loss_of(step_map), start, target, "target")
    stop = None if target is None else (target, as_array(within))
    if steps:  # the same compiled function
        first = run_steps(step_map, start, jnp.asarray(1), jnp.asarray(np.minimum(kept, 1)), stop)
        _warn_of_rounding(step_map, start, first)
    return run_steps(step_map, start, jnp.asarray(steps), jnp.asarray(kept), stop)


def _floating(leaf: Any) -> Any:
    return leaf if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else jnp.asarray(leaf, float)


def _warn_of_rounding(step_map: AbstractMap, start: PyTree, first: Run) -> None:
    """Of runs in few digits whose first step is rounding, or rounded away."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((step_map, start, first))):
        return
    if not int(first.steps):  # it begins at its target
        return
    pairs = [
        (np.asarray(w, after.dtype), np.asarray(after))
        for w, after in zip(*map(jax.tree.leaves, (start, first.w)), strict=True)
        if jnp.finfo(after.dtype).bits < 64
    ]
    longest = max((_longest(*pair) for pair in pairs), default=np.inf)
    if not longest < SPACINGS:
        return
    if longest == 0 and _rests(step_map, start):
        return
    warnings.warn(
        f"the first step is {longest:.2g} spacings of {pairs[0][0].dtype} long, where it is "
        f"longest, and below {SPACINGS} rounding decides: give the start in float64 (inside "
        "jax.enable_x64(True), or with jax_enable_x64 set), or move the origin nearer.",
        stacklevel=3,
    )


def _longest(w: np.ndarray, after: np.ndarray) -> float:
    """The longest way from w (…) to `after` (…) along a coordinate, in spacings of numbers."""
    way = after.astype(np.float64) - w.astype(np.float64)
    return spacings(way, w.astype(np.float64), w.dtype, longest=True)


def _rests(step_map: AbstractMap, w: PyTree) -> bool:
    """Whether w is at rest, as far as the gradient of the loss tells; without one it may be."""
    loss = loss_of(step_map)
    if loss is None:
        return True
    return not any(np.any(g) for g in jax.tree.leaves(_gradient(loss, w)))


@eqx.filter_jit
def _gradient(loss: Callable, w: PyTree) -> PyTree:
    return jax.grad(loss)(w)


def check_start(loss: Callable | None, start: PyTree, other: PyTree | None, name: str) -> None:
    """`InvalidInput` where `loss` reads coordinates that `start` has not, or `other`, which is
    called `name`, has another shape than it. Starts that are being mapped over pass."""
    if other is not None:
        shapes = [jax.tree.map(jnp.shape, tree) for tree in (start, other)]
        if shapes[0] != shapes[1]:
            raise InvalidInput(f"{name} has shape {shapes[1]}, the start {shapes[0]}.")
    if loss is None:
        return
    arrays = [leaf for leaf in jax.tree.leaves((loss, start)) if isinstance(leaf, Tracer)]
    if isinstance(start, jax.Array | np.ndarray) and start.ndim == 1 and not arrays:
        check_indices(loss, jnp.asarray(start))


def check_checkpoints(at_steps: Sequence[int], steps: int) -> np.ndarray:
    """`at_steps` as an integer array, or `InvalidInput`."""
    kept = np.asarray(at_steps, dtype=int).reshape(-1)
    if kept.size and (np.any(np.diff(kept) < 0) or kept[0] < 0 or kept[-1] > steps):
        raise InvalidInput(f"checkpoints must ascend within 0 … {steps}, not {kept.tolist()}.")
    return kept


@eqx.filter_jit
def run_steps(step_map: AbstractMap, start: PyTree, steps, at_steps, stop=None) -> Run:
    """`iterate` with arrays for `steps` and `at_steps` (n,); `stop` is (target, within) or None."""
    state = step_map.init(start)
    zero = jnp.zeros((), jnp.int32)
    status = jnp.where(_has_reached(state, stop), REACHED, RAN).astype(jnp.int32)
    progress = _Progress(state, zero, status, state, zero, state, zero)

    def to_checkpoint(progress, checkpoint):
        progress = _advance(step_map, stop, progress, checkpoint.astype(jnp.int32))
        return progress, progress.state.w

    progress, checkpoints = jax.lax.scan(to_checkpoint, progress, at_steps)
    progress = _advance(step_map, stop, progress, steps.astype(jnp.int32))
    tail, length = _replay_tail(step_map, progress)
    return Run(progress.state, progress.step, progress.status, at_steps, checkpoints, tail, length)


def _advance(step_map, stop, progress: _Progress, until) -> _Progress:
    """Blocks of steps until step `until`, or until the run has ended early."""

    def running(progress):
        return (progress.status == RAN) & (progress.step < until)

    def one_step(carry):
        state, step, _ = carry
        state = step_map(state)
        status = jnp.where(
            _has_reached(state, stop), REACHED, jnp.where(_is_finite(state.w), RAN, DIVERGED)
        )
        return state, step + 1, status.astype(jnp.int32)

    def block(progress):
        end = jnp.minimum(until, progress.recent_step + BLOCK)
        state, step, status = jax.lax.while_loop(
            lambda carry: (carry[2] == RAN) & (carry[1] < end),
            one_step,
            (progress.state, progress.step, progress.status),
        )
        full = step == progress.recent_step + BLOCK
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(full, a, b), new, old)  # noqa: E731
        return _Progress(
            state,
            step,
            status,
            keep(progress.recent, progress.earlier),
            keep(progress.recent_step, progress.earlier_step),
            keep(state, progress.recent),
            keep(step, progress.recent_step),
        )

    return jax.lax.while_loop(running, block, progress)


def _replay_tail(step_map, progress: _Progress) -> tuple[PyTree, Array]:
    """The last BLOCK values of w, by repeating up to two blocks from where they began."""

    def repeat(state, offset):
        alive = progress.earlier_step + offset < progress.step
        after = step_map(state)
        state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), after, state)
        return state, state.w

    _, path = jax.lax.scan(repeat, progress.earlier, jnp.arange(2 * BLOCK, dtype=jnp.int32))
    path = jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]), progress.earlier.w, path
    )
    last = progress.step - progress.earlier_step  # index in path of the run's last w
    wanted = jnp.clip(last - BLOCK + 1 + jnp.arange(BLOCK, dtype=jnp.int32), 0, 2 * BLOCK)
    return jax.tree.map(lambda leaf: leaf[wanted], path), jnp.minimum(BLOCK, last + 1)


def _has_reached(state: State, stop) -> Bool[Array, ""]:
    if stop is None:
        return jnp.asarray(False)
    target, within = stop
    gap = squared_norm(jax.tree.map(jnp.subtract, state.w, target))
    return gap <= within.astype(gap.dtype) ** 2


def _is_finite(w: PyTree) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(w)]))


class Tail(NamedTuple):
    """How a run ends: `period` 1 (at rest), 2 (alternating) or None (anything else).

    `amplitude` is 0 at rest, half the distance between the two points of a period-2 orbit, and
    otherwise the largest distance from the tail's mean. `centre` has shape (dim,).
    """

    period: int | None
    amplitude: float
    centre: np.ndarray


def describe_tail(points: Float[np.ndarray, "n dim"]) -> Tail:
    """Classify the last points of a run, oldest first.

    At rest: no step longer than 1e-12 (float64; 1e-5 in float32), or than four spacings of the
    numbers at w where these are wider; so the origin does not decide. Period 2:
    after two steps w is back to within 1e-6 of the distance that one step covers. A run that
    diverged has period None and amplitude infinity.
    """
    points = np.asarray(points)
    if not np.all(np.isfinite(points)):
        return Tail(None, float("inf"), np.full(points.shape[1], np.nan))
    centre = points.mean(axis=0)
    spread = float(np.max(np.linalg.norm(points - centre, axis=1)))
    if len(points) < 3:
        return Tail(None, spread, centre)
    spacing = float(np.max(np.spacing(np.abs(points))))
    resolution = max(1e-12 if points.dtype == np.float64 else 1e-5, 4 * spacing)
    one = np.linalg.norm(points[1:] - points[:-1], axis=1)
    two = np.linalg.norm(points[2:] - points[:-2], axis=1)
    if np.max(one) <= resolution:
        return Tail(1, 0.0, points[-1])
    if np.max(two) <= max(1e-6 * np.min(one), resolution) and np.min(one) > resolution:
        return Tail(2, float(one[-1]) / 2, (points[-1] + points[-2]) / 2)
    return Tail(None, spread, centre)
