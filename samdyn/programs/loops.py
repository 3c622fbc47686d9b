"""A step applied many times to many points, in one compiled loop.

NumPy takes some microseconds for each operation of each step, however few the points; a hundred
thousand steps are the one thing in a verdict that is worth a compiler's half second.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from .. import kept
from .batch import OnPoints, padded
from .machine.iteration import Iteration
from .machine.operations import NotPrinted
from .program import ById, Operation, Program

BLOCK = 64  # steps between two looks at whether anything still moves


def iterated(
    step: OnPoints,
    points: Float[np.ndarray, "n m"],
    times: int,
    centre: Float[np.ndarray, " d"],
    reach: float,
) -> Float[np.ndarray, "n m"]:
    """Where `times` steps take points; nan from the step on that leaves the ball about `centre`.

    The first d coordinates are compared with `centre`. `step` maps (m,) → (m,). Nothing recompiles
    for other numbers. Points are padded to a power of two.
    """
    points, centre = np.asarray(points, float), np.asarray(centre, float)
    numbers = tuple(np.asarray(number) for number in step.parameters)
    if step.program is None:
        return _run(_Whole(step.function), points, (), times, centre, reach)
    by_machine = _iteration(step.program, len(centre)) if jax.default_backend() == "cpu" else None

    def made() -> np.ndarray:
        if by_machine is None:
            return _run(Flat(step.program), points, numbers, times, centre, reach)
        ball = [*centre, reach**2]
        return np.stack(by_machine([*points.T], step.parameters, times, ball), axis=1)

    if not kept.is_on():
        return made()
    asked = points.shape, points.tobytes(), times, centre.tobytes(), reach, jax.default_backend()
    key = ("iterated", *step.text(), *asked, by_machine is None)
    return kept.arrays(key, lambda: {"ends": made()})["ends"]


@functools.lru_cache(maxsize=128)
def _iteration(program: Program, ball: int) -> Iteration | None:
    """The step as machine code, where it has any here."""
    try:
        return Iteration(program, len(program.outputs), ball)
    except NotPrinted:
        return None


class Flat(ById):
    """A program on columns, in JAX; two of one program are the same to the compile cache."""

    def __call__(self, columns: Sequence[Any], numbers: Sequence[Any]) -> tuple[Any, ...]:
        program, (like, *_) = self.value, columns
        given = zip([*columns, *numbers], program.inputs, strict=True)
        values: list[Any] = [jnp.asarray(value, known.dtype) for value, known in given]
        read = lambda a: values[a] if isinstance(a, int) else jnp.asarray(a)  # noqa: E731
        for operation in program.operations:
            values.append(_applied(operation, [read(a) for a in operation.arguments]))
        return tuple(jnp.broadcast_to(read(a), like.shape) for a in program.outputs)


class _Whole(eqx.Module):
    """A function (m,) → (m,) that has no program, on columns."""

    function: Callable

    def __call__(self, columns: Sequence[Any], numbers: Sequence[Any]) -> tuple[Any, ...]:
        after = jax.vmap(self.function)(jnp.stack(columns, axis=1))
        return tuple(after[:, k] for k in range(len(columns)))


def _run(
    step: Callable, points: np.ndarray, numbers: tuple, times: int, centre: np.ndarray, reach: float
) -> np.ndarray:
    columns = tuple(jnp.asarray(column) for column in padded(points).T)
    ball = tuple(jnp.asarray(float(x)) for x in centre), jnp.asarray(float(reach))
    found = _compiled(step, columns, tuple(map(jnp.asarray, numbers)), jnp.asarray(times), ball)
    return np.stack([np.asarray(column) for column in found], axis=1)[: len(points)]


@eqx.filter_jit
def _compiled(step: Callable, columns, numbers, times, ball):
    centre, reach = ball

    def once(columns):
        after = step(columns, numbers)
        gap = sum((w - c) ** 2 for w, c in zip(after, centre, strict=False))
        return tuple(jnp.where(gap <= reach**2, column, jnp.nan) for column in after)

    def block(carry):
        done, columns = carry
        until = jnp.minimum(BLOCK, times - done)
        return done + until, lax.fori_loop(0, until, lambda _, now: once(now), columns)

    def moving(carry):
        done, columns = carry
        return (done < times) & jnp.any(jnp.isfinite(columns[0]))

    return lax.while_loop(moving, block, (jnp.zeros_like(times), columns))[1]


def _applied(operation: Operation, given: list[Any]) -> Any:
    if operation.name == "convert_element_type":
        return lax.convert_element_type(given[0], operation.dtype)
    shape = jnp.broadcast_shapes(*(one.shape for one in given))
    given = [jnp.broadcast_to(one, shape) for one in given]
    function = _OTHERWISE_CALLED.get(operation.name) or getattr(lax, operation.name)
    return function(*given, **dict(operation.options))


_OTHERWISE_CALLED = {
    "and": lax.bitwise_and,
    "not": lax.bitwise_not,
    "or": lax.bitwise_or,
    "xor": lax.bitwise_xor,
    "round": lambda x, rounding_method: lax.round(x, lax.RoundingMethod(rounding_method)),
}
