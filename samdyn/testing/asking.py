"""What all checks ask in the same way: is it so, is it like w, is it the same when compiled?"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..dynamics.parameters import parameters, with_parameters
from ..dynamics.tree import as_dtype
from ..errors import InvalidInput, brief

ROUNDING = 1e-9  # in float64, of the larger of 1 and what is compared
SURE = 5.0  # standard errors: one check in two million is wrong by chance


def require(fulfilled: Any, sentence: str) -> None:
    """`InvalidInput` with the sentence unless all of it is so."""
    if not np.all(np.asarray(fulfilled)):
        raise InvalidInput(sentence)


def attempt(what: str, function: Callable, *given: Any) -> Any:
    """function(*given); `InvalidInput` that says what failed, where somebody's code raises."""
    try:
        return function(*given)
    except InvalidInput:
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise InvalidInput(f"{what} failed: {brief(error)}.") from error


def require_like(made: Any, like: Any, what: str) -> None:
    """`InvalidInput` unless it is a pytree of the structure, shapes and dtypes of another."""
    forms = [jax.tree.structure(part) for part in (made, like)]
    require(forms[0] == forms[1], f"{what} must be {forms[1]}, it is {forms[0]}.")
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(like), strict=True):
        is_shape, is_dtype = jnp.shape(one), jnp.result_type(one)
        shape, dtype = jnp.shape(other), jnp.result_type(other)
        require(is_shape == shape, f"{what} must have shape {shape}, it has {is_shape}.")
        require(is_dtype == dtype, f"{what} must be {dtype}, it is {is_dtype}.")


def flat(tree: Any) -> np.ndarray:
    """All its numbers as one array in double precision."""
    leaves = [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves) if leaves else np.zeros(0)


def same(one: Any, other: Any, tolerance: float = ROUNDING) -> bool:
    """Whether two pytrees hold the same numbers to rounding (not-a-number is like itself)."""
    a, b = flat(one), flat(other)
    if a.shape != b.shape:
        return False
    size = max(1.0, np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
    return bool(np.allclose(a, b, rtol=0, atol=tolerance * size, equal_nan=True))


def require_compiled(function: Callable, points: Any, what: str) -> None:
    """`InvalidInput` unless `function` of a point is the same alone, compiled, and vmapped over
    points stacked along a first axis."""
    rows = [jax.tree.map(lambda leaf, i=i: leaf[i], points) for i in range(2)]
    alone = [attempt(what, function, row) for row in rows]
    jitted = [attempt(f"{what} under jax.jit", eqx.filter_jit(function), row) for row in rows]
    require(same(jitted, alone), f"{what} is another one under jax.jit.")
    mapped = attempt(f"{what} under jax.vmap", eqx.filter_vmap(function), points)
    mapped = [jax.tree.map(lambda leaf, i=i: leaf[i], mapped) for i in range(2)]
    require(same(mapped, alone), f"{what} is another one under jax.vmap.")


def require_numbers_vary(thing: Any, function: Callable, w: Any) -> None:
    """`InvalidInput` unless each of its numbers can be set by name, without a new compilation."""
    traces, kind = [], type(thing).__name__

    @eqx.filter_jit
    def traced(thing, w):
        traces.append(1)
        return function(thing, w)

    # of systems and methods their own: a plain step also has a momentum, 0
    numbers = thing.parameters() if hasattr(thing, "parameters") else parameters(thing)
    set_ = getattr(thing, "at", functools.partial(_with, thing))
    thing = as_dtype(thing, jnp.float64)
    before = traced(thing, w)
    for name, value in numbers.items():
        told = f"{kind} with another {name} (a number that it holds: a static field if it is not)"
        changed = as_dtype(attempt(told, lambda n=name, v=value: set_(**{n: v})), jnp.float64)
        found = attempt(told, lambda n=name, c=changed: _numbers(c)[n])
        require(found == value, f"{kind}.at({name}={value:g}) has {name} = {found:g}.")
        if jax.tree.structure(changed) != jax.tree.structure(thing) and _was_implied(thing, name):
            continue
        count, after = len(traces), attempt(told, traced, changed, w)
        require(
            len(traces) == count,
            f"{kind} compiles anew for another {name}: make it an array when it is constructed, "
            "by samdyn.radius() or a converter.",
        )
        require(same(after, before), f"{kind}.at({name}={value:g}) changes more than {name}.")


def _with(thing: Any, **values: Any) -> Any:
    return with_parameters(thing, values)


def _numbers(thing: Any) -> dict[str, Any]:
    return thing.parameters() if hasattr(thing, "parameters") else parameters(thing)


def _was_implied(thing: Any, name: str) -> bool:
    """Whether a number is not there before it is set, as the momentum of a plain step."""
    return name not in parameters(thing)


def curved(w: Any) -> Any:
    """A loss with a saddle and a fourth power, of any pytree of floats."""
    v = ravel_pytree(w)[0]
    curvatures = jnp.asarray(np.resize([2.0, -1.0, 0.5, 3.0], v.size), v.dtype)
    tilt = jnp.asarray(0.3, v.dtype) * jnp.sum(v) ** 2
    return jnp.sum(curvatures * v**2 + v**4 / 2) / 2 + tilt / 2


def quadratic(w: Any) -> Any:
    """A saddle without more, of an array (d,)."""
    curvatures = jnp.asarray(np.resize([2.0, -1.0, 0.5], w.size), w.dtype)
    return jnp.sum(curvatures * w**2) / 2


def points_in(dim: int, count: int, seed: int = 0, dtype: Any = jnp.float64) -> jax.Array:
    """Random points (count, dim) of size 1."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, dim)), dtype)


def as_pytree(v: jax.Array) -> dict[str, jax.Array]:
    """Four numbers or more as a pytree of two arrays, one of them a matrix."""
    return {"bias": v[:2], "weight": v[2:][None, :]}
