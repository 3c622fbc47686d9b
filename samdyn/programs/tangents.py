"""Products of Jacobians along many runs of a step, in one compiled loop: how fast runs part.

Each lane carries a point and a few orthonormal directions; a step moves the point and turns and
stretches the directions, which are made orthonormal again (Benettin et al. 1980). Lanes may be of
steps that differ in their numbers, so that a whole range of a parameter is one call.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..errors import InvalidInput
from .batch import OnPoints, joined, padded, split
from .lanes import advanced, by_machine
from .loops import Flat

BLOCKS = 32  # parts of a run, whose means tell the error of the whole
STUDENT = 2.04  # standard errors: 95 % of 31 degrees of freedom
FARTHER = 1.5  # times as far at the end as half way: a run that grows all the while


class Runs(NamedTuple):
    """Of n runs: `path` (n, kept, m) their last points; `logs` (BLOCKS, n, count) the mean
    logarithm per step of how the first `count` directions are stretched, −∞ where one was squashed
    to nothing; `farthest` (BLOCKS, n) the largest distance from a centre in each part. Not finite
    from where a run is."""

    path: np.ndarray
    logs: np.ndarray
    farthest: np.ndarray

    def rates(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """(exponents (n, count), two standard errors of them and what the ends of `steps` leave).

        A part in which a direction is lost by accident is left out; −∞ where most are.
        """
        lost = np.isneginf(self.logs)
        usual = np.where(lost, np.nan, self.logs)
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of runs with no part left
            mean = np.nanmean(usual, axis=0)
            spread = np.nanstd(usual, axis=0, ddof=1)
        left = np.sum(~lost, axis=0)
        errors = STUDENT * spread / np.sqrt(np.maximum(left, 1)) + 1 / steps
        gone = left <= BLOCKS // 2
        return np.where(gone, -np.inf, mean), np.where(gone, 0.0, errors)

    @property
    def escaping(self) -> np.ndarray:
        """Which runs (n,) get farther and farther: in every part of the second half."""
        far = self.farthest[BLOCKS // 2 :]
        with np.errstate(invalid="ignore"):
            grows = np.all(np.diff(far, axis=0) > 0, axis=0) & (far[-1] > FARTHER * far[0])
        return grows | ~np.all(np.isfinite(far), axis=0)


def along_runs(
    steps: Sequence[OnPoints],
    points: np.ndarray,
    *,
    burn: int,
    block: int,
    count: int,
    kept: int,
    centre: np.ndarray | None = None,
) -> Runs:
    """Runs from `points` (n, m), of one step for all or of one for each, which differ in numbers.

    `burn` steps are made first, then BLOCKS of `block` steps, then `kept` more that are kept. The
    first d coordinates are compared with `centre` (d,). Nothing recompiles for other numbers.
    """
    rows = np.asarray(points, float)
    padding = padded(np.arange(len(rows), dtype=float)[:, None])[:, 0].astype(int)
    steps = [steps[i] for i in padding] if len(steps) > 1 else list(steps)
    program, numbers = _program(steps)
    if isinstance(program, Flat):
        lengths = burn, block, kept
        found = _by_machine(program, steps[0], rows, numbers, lengths, centre, count)
        if found is not None:
            return found
    columns = tuple(jnp.asarray(column) for column in rows[padding].T)
    middle = tuple(jnp.asarray(float(x)) for x in ([] if centre is None else centre))
    counts = jnp.asarray(burn), jnp.asarray(block)
    path, logs, farthest = _compiled(program, columns, numbers, counts, middle, count, kept)
    n = len(rows)
    path = np.stack([np.asarray(column) for column in path], axis=-1).swapaxes(0, 1)
    return Runs(path[:n], np.asarray(logs).swapaxes(1, 2)[:, :n], np.asarray(farthest)[:, :n])


class _Lane(NamedTuple):
    """A run: its point, directions (count, m), sums of logarithms, the farthest it has been
    (squared), and the numbers that are its own."""

    w: Any
    directions: Any
    logs: Any
    far: Any
    own: Any


class _Turn(eqx.Module):
    """A step of a run with its directions. `common` holds the numbers of all runs, None where each
    has its own."""

    program: Flat
    common: tuple[Any, ...]
    centre: Any

    def __call__(self, lane: _Lane) -> _Lane:
        m, w = len(lane.w), [lane.w[i] for i in range(len(lane.w))]
        found = self.program(w, _numbers(self.common, lane.own))
        after, slopes = found[:m], found[m:]
        directions = [[q[i] for i in range(m)] for q in lane.directions]
        directions, stretched = _orthonormal(_turned(slopes, directions))
        far = jnp.maximum(lane.far, _gap(after, self.centre, lane.far))
        turned = jnp.stack([jnp.stack(q) for q in directions])
        return _Lane(jnp.stack(after), turned, lane.logs + jnp.stack(stretched), far, lane.own)


class _Walk(eqx.Module):
    """A step of a run alone."""

    program: Flat
    common: tuple[Any, ...]

    def __call__(self, lane: tuple[Any, Any]) -> tuple[Any, Any]:
        w, own = lane
        found = self.program([w[i] for i in range(len(w))], _numbers(self.common, own))
        return jnp.stack(found[: len(w)]), own


def _numbers(common: Sequence[Any], own: Sequence[Any]) -> list[Any]:
    mine = iter(own)
    return [next(mine) if number is None else number for number in common]


def _by_machine(
    program: Flat, step: OnPoints, rows: np.ndarray, numbers: Any, lengths: Any, centre: Any, count
) -> Runs | None:
    """The runs by machine code; None where there is none here."""
    (burn, block, kept), (n, m) = lengths, rows.shape
    common = tuple(None if np.ndim(x) else x for x in numbers)
    own = tuple(np.asarray(x)[:n] for x in numbers if np.ndim(x))
    begin = _orthonormal(_first_directions(jnp.zeros(()), count, m))[0]
    turned = np.broadcast_to(np.asarray(begin, float), (n, count, m)).copy()
    nothing = np.zeros((n, count)), np.zeros(n)
    turn = _Turn(program, common, None if centre is None else jnp.asarray(centre, float))
    found = by_machine(turn, _Lane(rows, turned, *nothing, own), burn)
    if found is None:
        return None
    lanes, logs, farthest = found[0], [], []
    for _ in range(BLOCKS):
        lanes = advanced(turn, lanes._replace(logs=nothing[0], far=nothing[1]), block)
        logs.append(lanes.logs / block)
        farthest.append(np.sqrt(lanes.far))
    walk = by_machine(_Walk(Flat(step.program), common), (lanes.w, own), kept, record=m)
    assert walk is not None
    return Runs(walk[1].transpose(2, 0, 1), np.stack(logs), np.stack(farthest))


def _program(steps: list[OnPoints]) -> tuple[Callable, Any]:
    """(columns, numbers) ↦ values and slopes, in JAX; and the numbers, by lane where they vary."""
    first = steps[0]
    if any(step.form != first.form for step in steps[1:]):
        raise InvalidInput("these steps differ in more than their numbers: run them one by one.")
    if first.both is not None:
        return Flat(first.both), _by_lane([step.parameters for step in steps])
    assert first.function is not None
    numbers = _by_lane([step.numbers for step in steps])
    pairs = zip(numbers, first.numbers, strict=True)
    axes = tuple(0 if np.ndim(lanes) > np.ndim(one) else None for lanes, one in pairs)
    return _Whole(split(first.function)[1], axes), numbers


def _by_lane(each: list[list[Any]]) -> tuple[Any, ...]:
    """The numbers of every lane, one for all where they are equal."""
    found = []
    for values in zip(*each, strict=True):
        arrays = [np.asarray(x) for x in values]
        same = all(np.array_equal(arrays[0], x) for x in arrays[1:])
        found.append(jnp.asarray(arrays[0] if same else np.stack(arrays)))
    return tuple(found)


class _Whole:
    """A function without a program, with its Jacobian by JAX, on columns."""

    def __init__(self, known: Any, axes: tuple[int | None, ...]):
        self.known, self.axes = known, axes

    def __hash__(self) -> int:
        return hash((self.known, self.axes))

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Whole) and (self.known, self.axes) == (other.known, other.axes)

    def __call__(self, columns: Sequence[Any], numbers: Sequence[Any]) -> tuple[Any, ...]:
        def one(w, *own):
            function = joined(self.known, own)
            return function(w), jax.jacfwd(function)(w)

        values, slopes = jax.vmap(one, in_axes=(0, *self.axes))(jnp.stack(columns, 1), *numbers)
        flat = jnp.concatenate([values, slopes.reshape(len(values), -1)], axis=1)
        return tuple(flat[:, k] for k in range(flat.shape[1]))


@eqx.filter_jit
def _compiled(program, columns, numbers, counts, centre, count: int, kept: int):
    m, (burn, block) = len(columns), counts
    zero = jnp.zeros_like(columns[0])
    begin = _orthonormal(_first_directions(zero, count, m))[0]

    def once(_, carry):
        w, directions, logs, far = carry
        found = program(w, numbers)
        after, slopes = found[:m], found[m:]
        directions, stretched = _orthonormal(_turned(slopes, directions))
        logs = tuple(a + b for a, b in zip(logs, stretched, strict=True))
        return after, directions, logs, jnp.maximum(far, _gap(after, centre or None, zero))

    nothing = tuple(zero for _ in range(count))
    w, directions, _, _ = lax.fori_loop(0, burn, once, (columns, begin, nothing, zero))

    def part(carry, _):
        w, directions = carry
        w, directions, logs, far = lax.fori_loop(0, block, once, (w, directions, nothing, zero))
        rates = jnp.stack([log / block.astype(log.dtype) for log in logs])
        return (w, directions), (rates, jnp.sqrt(far))

    (w, _), (logs, far) = lax.scan(part, (w, directions), None, BLOCKS)

    def show(w, _):
        after = program(w, numbers)[:m]
        return after, after

    path = lax.scan(show, w, None, kept)[1]
    return path, logs, far


def _first_directions(zero: Any, count: int, m: int) -> list[list[Any]]:
    """`count` directions in m dimensions, along no axis."""
    return [[zero + float((i == j) + 0.01 * (i + j)) for i in range(m)] for j in range(count)]


def _turned(slopes: Sequence[Any], directions: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Directions after a step with these slopes (m·m of them, row by row)."""
    m = len(directions[0]) if directions else 0
    return [[sum(slopes[i * m + l] * q[l] for l in range(m)) for i in range(m)] for q in directions]


def _gap(after: Sequence[Any], centre: Any, zero: Any) -> Any:
    """The squared distance from a centre, of as many coordinates as it has; 0 without one."""
    if centre is None:
        return jnp.zeros_like(zero)
    return sum((x - c) ** 2 for x, c in zip(after, centre, strict=False))


def _orthonormal(vectors: Sequence[Sequence[Any]]) -> tuple[tuple, tuple]:
    """(vectors made orthonormal one after another, the logarithms of what was left of each).

    One of which nothing is left is begun again, as some other direction.
    """
    made: list[tuple] = []
    logs = []
    for number, given in enumerate(vectors):
        v, length = _across(given, made)
        fresh = [jnp.full_like(x, np.cos(1.0 + i + 3 * number)) for i, x in enumerate(v)]
        other, size = _across(fresh, made)
        some = length > 0
        safe, instead = jnp.where(some, length, 1), jnp.where(size > 0, size, 1)
        pairs = zip(v, other, strict=True)
        made.append(tuple(jnp.where(some, a / safe, b / instead) for a, b in pairs))
        logs.append(jnp.log(length))
    return tuple(made), tuple(logs)


def _across(given: Sequence[Any], made: Sequence[tuple]) -> tuple[list[Any], Any]:
    """(a vector without its parts along orthonormal ones, its length)."""
    v = list(given)
    for q in made:
        share = sum(a * b for a, b in zip(q, v, strict=True))
        v = [a - share * b for a, b in zip(v, q, strict=True)]
    return v, jnp.sqrt(sum(a * a for a in v))
