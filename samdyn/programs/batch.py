"""A function of one point on many points at once: by its program, or, where it has none, by JAX.

Nothing is traced twice: two functions that are equal but for the numbers in them share a program,
and the numbers are its parameters. A program is run by NumPy, so that nothing waits for a compiler;
what has no program (a loop that depends on the data, a factorisation, a network) is compiled.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .. import kept
from ..compiling import jit_for_few_runs
from .derivative import NoDerivative, with_jacobian
from .enclosing.boxes import Encloser, Enclosure
from .enclosing.interval_rules import NotEnclosed
from .points import Runner
from .program import Program
from .tracing.flatten import NotFlat, flatten
from .tracing.names import Nameless, name_of
from .tracing.reads import read_by
from .tracing.text import read, written

LONGEST = 4_000  # operations, beyond which compiled code is there sooner
FEWEST = 64  # rows that are compiled for, at least


class OnPoints:
    """`function` (d,) → an array of any shape, on points (n, d), with its Jacobian if asked for.

    Results are float64 arrays of NumPy. `program` is None where JAX computes them, and `why` says
    then what the function has no program for.
    """

    def __init__(self, function: Callable, dim: int, along: int | None = None):
        self.function, self.dim, self.along = function, dim, dim if along is None else along
        self.numbers, known = split(function)
        x64 = bool(jax.config.read("jax_enable_x64"))
        self._traced = _traced(known, shapes_of(self.numbers), dim, self.along, x64)
        self.program, self.why = self._traced.program, self._traced.why

    @classmethod
    def of_program(cls, program: Program, parameters: list[Any], dim: int) -> "OnPoints":
        """Of a program that no function stands for, of points (n, dim) and further numbers."""
        made = cls.__new__(cls)
        made.function, made.dim, made.along, made.numbers = None, dim, dim, parameters
        made._traced, made.program, made.why = _Traced(program, dim), program, ""
        return made

    def values(self, points: Float[np.ndarray, "n d"]) -> np.ndarray:
        """(n, *shape of the result)."""
        points = np.asarray(points, float).reshape(-1, self.dim)
        if self._traced.run is None or self.program is None:
            return _by_jax(_compiled, self.function, points)
        found = self._traced.run(points, self.parameters)
        return found.reshape(len(points), *self.program.shapes[0])

    def with_jacobians(self, points: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, np.ndarray]:
        """The values, and their derivatives along the coordinates, (n, *shape of the result, d);
        the first `along` of them, where that is given."""
        points = np.asarray(points, float).reshape(-1, self.dim)
        run = self._traced.run_both
        if run is None:
            found = _by_jax(_compiled_both, self.function, points)
            return found[0], found[1][..., : self.along]
        found, both = run(points, self.parameters), run.program
        shape, count = both.shapes[0], both.shapes[1][0]
        values, slopes = found[:, :count], found[:, count:]
        return values.reshape(-1, *shape), slopes.reshape(-1, *shape, self.along)

    def on_boxes(self, low: np.ndarray, high: np.ndarray) -> Enclosure:
        """Bounds of the result, flat, over boxes (n, d). `NotEnclosed` where there are none."""
        return self._traced.on_boxes(low, high, self.parameters)

    def both_on_boxes(self, low: np.ndarray, high: np.ndarray) -> Enclosure:
        """The same, followed by those of its Jacobian, flat."""
        return self._traced.both_on_boxes(low, high, self.parameters)

    @property
    def both(self) -> Program | None:
        """The program that gives the Jacobian, too; None where there is none."""
        return self._traced.both

    @functools.cached_property
    def key(self) -> Any:
        """What two of one function with the same numbers share, as long as it is remembered."""
        return self._traced, tuple(np.asarray(x).tobytes() for x in self.numbers)

    @property
    def form(self) -> int:
        """What two of one function that differ in their numbers alone share."""
        return id(self._traced)

    def text(self) -> Iterator[str | bytes]:
        """The program and the numbers in it, to tell it from others in another process."""
        if self.program is not None:
            yield written(self.program)
        yield from (np.asarray(number).tobytes() for number in self.parameters)

    @functools.cached_property
    def parameters(self) -> list[Any]:
        """The numbers in the function, in the order of the program's further inputs."""
        return [entry for array in self.numbers for entry in np.asarray(array).ravel()]


def split(function: Any) -> tuple[list[Any], Any]:
    """(the arrays in a function that is a pytree, all else about it)."""
    leaves, structure = jax.tree.flatten(function)
    numbers = [leaf for leaf in leaves if _is_number(leaf)]
    rest = tuple(None if _is_number(leaf) else _Known(leaf) for leaf in leaves)
    return numbers, (structure, rest)


def joined(known: Any, numbers: Any) -> Any:
    """A function again, of what `split` made of it, with other numbers."""
    (structure, rest), given = known, iter(numbers)
    leaves = [next(given) if entry is None else entry.value for entry in rest]
    return jax.tree.unflatten(structure, leaves)


def _is_number(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, np.ndarray | np.generic)


class _Known:
    """Anything as a key: by its own equality where it has one that hashes, else by identity.

    A function of somebody's also by what it reads beside its arguments, at this moment: a number in
    its module or its closure may have changed since it was traced.
    """

    def __init__(self, value: Any):
        self.value, self.read = value, read_by(value)

    def __hash__(self) -> int:
        try:
            return hash((self.value, self.read))
        except TypeError:
            return hash((id(self.value), self.read))

    def __eq__(self, other: Any) -> bool:
        if type(self.value) is not type(getattr(other, "value", None)) or self.read != other.read:
            return False
        return self.value is other.value or bool(self.value == other.value)


def shapes_of(numbers: list[Any]) -> tuple[tuple[tuple[int, ...], str], ...]:
    """Shapes and dtypes of numbers, as a key."""
    return tuple((np.shape(array), str(array.dtype)) for array in numbers)


class _Traced:
    """What the tracing of a function gave; with its Jacobian when that is first asked for."""

    def __init__(self, program: Program | None, along: int, why: str = ""):
        self.program, self.along, self.why = program, along, why
        self.run = None if program is None else Runner(program)

    @functools.cached_property
    def both(self) -> Program | None:
        """The program that gives the Jacobian, too."""
        try:
            return None if self.program is None else with_jacobian(self.program, range(self.along))
        except NoDerivative:
            return None

    @functools.cached_property
    def run_both(self) -> Runner | None:
        return None if self.both is None else Runner(self.both)

    @functools.cached_property
    def on_boxes(self) -> Encloser:
        if self.program is None:
            raise NotEnclosed(self.why)
        return Encloser(self.program)

    @functools.cached_property
    def both_on_boxes(self) -> Encloser:
        if self.both is None:
            raise NotEnclosed(self.why or "it has an operation whose derivative is not known")
        return Encloser(self.both)


@functools.lru_cache(maxsize=512)
def _traced(known: Any, shapes: Any, dim: int, along: int, x64: bool) -> _Traced:
    with_numbers = functools.partial(joined, known)
    examples = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]

    def made() -> Program:
        apply = lambda w, *numbers: with_numbers(numbers)(w)  # noqa: E731
        return flatten(apply, jax.ShapeDtypeStruct((dim,), float), *examples, longest=LONGEST)

    try:
        name = name_of(with_numbers(examples)) if kept.is_on() else None
    except Nameless:  # not to be known again in another process
        name = None
    try:
        return _Traced(made() if name is None else _kept(made, name, dim, x64), along)
    except NotFlat as reason:
        return _Traced(None, along, str(reason))


def _kept(made: Callable[[], Program], *key: Any) -> Program:
    """A program that the command line keeps from run to run."""
    as_bytes = lambda: np.frombuffer(written(made()).encode(), np.uint8)  # noqa: E731
    found = kept.arrays(["program", *key], lambda: {"text": as_bytes()})
    return read(found["text"].tobytes().decode())


def _by_jax(compiled: Callable, function: Callable, points: np.ndarray) -> Any:
    """In padded batches, so that few sizes are ever compiled."""
    rows = jnp.asarray(padded(points))
    found = compiled(function, rows)
    return jax.tree.map(lambda x: np.asarray(x, float)[: len(points)], found)


def padded(points: np.ndarray) -> np.ndarray:
    """Rows repeated up to a power of two, so that few sizes are ever compiled; a single one is
    left alone, since it may be long."""
    if len(points) == 1:
        return points
    rows = max(FEWEST, 1 << max(len(points) - 1, 0).bit_length())
    if not len(points):
        return np.zeros((rows, points.shape[1]))
    return points[np.minimum(np.arange(rows), len(points) - 1)]


@jit_for_few_runs
def _compiled(function: Callable, points: Any) -> Any:
    return jax.vmap(function)(points)


@jit_for_few_runs
def _compiled_both(function: Callable, points: Any) -> Any:
    return jax.vmap(lambda w: (function(w), jax.jacfwd(function)(w)))(points)
