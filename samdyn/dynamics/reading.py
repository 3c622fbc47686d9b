"""Does a function's program read its argument at all? Asked of what JAX traces, without values."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def reads(function: Callable, w: Any) -> bool:
    """Whether the result of function(w) is computed from w, an array of which the shape counts."""
    like = jax.ShapeDtypeStruct(jnp.shape(w), jnp.result_type(w))
    traced = jax.make_jaxpr(function)(like).jaxpr
    return is_used(traced, traced.invars)


def is_used(traced: Any, variables: Sequence[Any]) -> bool:
    """Whether an output of a jaxpr is computed from one of its input `variables`."""
    needed = {id(x) for x in traced.outvars}
    for equation in reversed(traced.eqns):
        if any(id(x) in needed for x in equation.outvars):
            needed |= {id(x) for x in equation.invars}
    return any(id(variable) in needed for variable in variables)
