"""Does a loss read the coordinates that it is given, and no others?

JAX clamps an index that is out of range: a loss of (x, y), given one coordinate, is evaluated at
(x, x) without a word. The traced loss tells: every index that is known when it is traced, and the
length of what it is taken from.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InvalidInput

_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_SAME = ("convert_element_type", "copy", "reshape")


def check_indices(loss: Callable, w: jax.Array) -> None:
    """`InvalidInput` where the loss takes a coordinate beyond those of w (d,)."""
    try:
        closed = jax.make_jaxpr(loss)(w)
    except Exception:  # what can't be traced is told where it is evaluated
        return
    found = list(_beyond(closed, w.size))
    if found:
        worst = max(found) if max(found) >= w.size else min(found) - w.size
        raise InvalidInput(
            f"the loss takes coordinate {worst} (counted from 0) of a point of dimension "
            f"{w.size}: give points and boxes of the dimension of the loss."
        )


def unread(loss: Callable, w: jax.Array) -> tuple[int, ...]:
    """Coordinates that a loss of w (d,) does not depend on, as far as its derivative tells."""
    try:
        rng = np.random.default_rng(0)
        rows = np.asarray(w) + np.concatenate([np.zeros((1, w.size)), rng.normal(size=(8, w.size))])
        slopes = np.asarray(jax.vmap(jax.grad(loss))(jnp.asarray(rows, w.dtype)))
    except Exception:  # told elsewhere
        return ()
    return tuple(int(i) for i in np.flatnonzero(np.all(slopes == 0, axis=0)))


def _beyond(closed: Any, size: int) -> Iterator[int]:
    """Indices out of range with which the input of a traced function is read."""
    known: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    yield from _walk(closed.jaxpr, known, {closed.jaxpr.invars[0]}, size)


def _walk(jaxpr: Any, known: dict, inputs: set, size: int) -> Iterator[int]:
    """`known` maps variables to values, `inputs` are those that are the point itself."""

    def value(atom: Any) -> Any:
        if hasattr(atom, "val"):
            return atom.val
        return known.get(atom)

    for equation in jaxpr.eqns:
        name = equation.primitive.name
        values = [value(atom) for atom in equation.invars]
        is_input = [not hasattr(a, "val") and a in inputs for a in equation.invars]
        if name in ("dynamic_slice", "gather") and is_input[0] and values[1] is not None:
            yield from (int(i) for i in np.ravel(values[1]) if not 0 <= i < size)
        inner = next((equation.params[k] for k in _INNER if k in equation.params), None)
        if inner is not None and name not in ("while", "scan", "cond"):
            body = getattr(inner, "jaxpr", inner)
            consts = getattr(inner, "consts", ())
            if len(body.invars) == len(equation.invars):
                below = dict(zip(body.constvars, consts, strict=True))
                below |= {v: x for v, x in zip(body.invars, values, strict=True) if x is not None}
                points = {v for v, yes in zip(body.invars, is_input, strict=True) if yes}
                yield from _walk(body, below, points, size)
                for outer, out in zip(equation.outvars, body.outvars, strict=True):
                    found = out.val if hasattr(out, "val") else below.get(out)
                    if found is not None:
                        known[outer] = found
            continue
        if all(x is not None for x in values) and len(equation.outvars) == 1:
            try:
                known[equation.outvars[0]] = np.asarray(
                    equation.primitive.bind(*values, **equation.params)
                )
            except Exception:  # not needed to know an index
                continue
        elif name in _SAME and is_input[0] and equation.outvars[0].aval.shape == (size,):
            inputs.add(equation.outvars[0])
