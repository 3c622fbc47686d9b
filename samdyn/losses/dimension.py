"""Does a loss read the coordinates that it is given, and no others?

JAX clamps an index that is out of range: a loss of (x, y), given one coordinate, is evaluated at
(x, x) without a word. Two looks tell. The traced loss has every index that is known when it is
traced. Where one is out of range, or known only when the loss runs (in a loop, or from data), the
loss is evaluated with other numbers around the point: it may not notice, as a loss of a chain
does not that masks the neighbour beyond its last link.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import GatherScatterMode

from ..checks import require_one_argument
from ..errors import InvalidInput
from ..programs.batch import OnPoints
from .gradient import Gradient

_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_READS = ("dynamic_slice", "gather")
_BEYOND = (-1.7, 0.9, 40.0)  # what may stand beside the point without being noticed
_MARGIN = 64  # numbers on either side of it; an index farther off reads the last of them
LONGEST = 4096  # numbers in an index that is followed
UNKNOWN = -1  # an index that is known only when the loss runs


def check_indices(loss: Callable, w: jax.Array, what: str = "the loss") -> None:
    """`InvalidInput` where the loss, called `what`, uses a coordinate beyond those of w (d,)."""
    require_one_argument(loss, what)
    try:
        closed = jax.make_jaxpr(loss)(w)
    except Exception:  # what can't be traced is told where it is evaluated
        return
    found = set(_beyond(closed, w.size))
    if not found or not _notices(closed, w, max(found) > UNKNOWN):
        return
    number = max(found)
    which = f"coordinate {number} (counted from 0)" if number >= 0 else "a coordinate beyond those"
    raise InvalidInput(
        f"{what} takes {which} of a point of dimension {w.size}: give points and boxes of the "
        f"dimension of {what}."
    )


def unread(loss: Callable, w: jax.Array, box: np.ndarray | None = None) -> tuple[int, ...]:
    """Coordinates on which a loss of w (d,) does not depend, as far as its derivative tells.

    It is taken at points of `box` (d, 2), or about w at distances of 0.01, 1 and 100.
    """
    try:
        rng = np.random.default_rng(0)
        if box is None:
            shifts = [scale * rng.normal(size=(8, w.size)) for scale in (0.01, 1.0, 100.0)]
            rows = np.concatenate([np.asarray(w)[None], *(np.asarray(w) + s for s in shifts)])
        else:
            rows = rng.uniform(box[:, 0], box[:, 1], (64, w.size))
        slopes = OnPoints(Gradient(loss), w.size).values(rows)
    except Exception:  # told elsewhere
        return ()
    return tuple(int(i) for i in np.flatnonzero(np.all(slopes == 0, axis=0)))


def unread_warnings(loss: Callable, box: Any, at: Any) -> tuple[str, ...]:
    """A warning where the loss does not depend on a coordinate that `box` or `at` has."""
    box = None if box is None else np.asarray(box, float)
    w = np.asarray(at, float) if box is None else np.mean(box, axis=1)
    names = [f"w[{i}]" for i in unread(loss, jnp.asarray(w), box)]
    if not names:
        return ()
    return (
        f"the loss does not depend on {', '.join(names)} wherever it was tried: is its dimension "
        f"{w.size}?",
    )


def _is_read(equation: Any, shape: tuple[int, ...]) -> bool:
    """Whether this takes coordinates of something as long as the point, with no care for its end.

    A mode that says what stands beyond the end, "clip" or "fill" with a number, is such care.
    """
    if equation.primitive.name not in _READS or equation.invars[0].aval.shape != shape:
        return False
    if not jnp.issubdtype(equation.invars[0].aval.dtype, jnp.inexact):
        return False
    mode, fill = (equation.params.get(name) for name in ("mode", "fill_value"))
    filled = mode == GatherScatterMode.FILL_OR_DROP and fill is not None and not np.isnan(fill)
    # a mapped w[i] clips as well, without being asked to: a slice that keeps its axis
    clipped = mode == GatherScatterMode.CLIP
    clipped = clipped and bool(equation.params["dimension_numbers"].collapsed_slice_dims)
    return not (clipped or filled)


def _beyond(closed: Any, size: int) -> Iterator[int]:
    """Indices out of range, and UNKNOWN, with which vectors as long as the point are read."""
    known: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    yield from _walk(closed.jaxpr, known, size)


def _walk(jaxpr: Any, known: dict, size: int) -> Iterator[int]:
    """`known` maps variables to their values."""
    for equation in jaxpr.eqns:
        values = [atom.val if hasattr(atom, "val") else known.get(atom) for atom in equation.invars]
        if _is_read(equation, (size,)):
            span = equation.params["slice_sizes"][0]
            firsts = [UNKNOWN] if values[1] is None else np.ravel(values[1]).astype(int)
            yield from (int(i) + span - 1 for i in firsts if not 0 <= i <= size - span)
            continue
        bodies = list(_bodies(equation))
        if len(bodies) == 1 and len(bodies[0][0].invars) == len(values) and not _loops(equation):
            (body, consts) = bodies[0]
            below = dict(zip(body.constvars, consts, strict=True))
            below |= {v: x for v, x in zip(body.invars, values, strict=True) if x is not None}
            yield from _walk(body, below, size)
            outs = [out.val if hasattr(out, "val") else below.get(out) for out in body.outvars]
            known |= {v: x for v, x in zip(equation.outvars, outs, strict=True) if x is not None}
        elif bodies:
            for body, consts in bodies:
                yield from _walk(body, dict(zip(body.constvars, consts, strict=True)), size)
        elif all(x is not None for x in values) and _may_be_index(equation.outvars):
            try:
                known[equation.outvars[0]] = np.asarray(
                    equation.primitive.bind(*values, **equation.params)
                )
            except Exception:  # it stays unknown
                continue


def _may_be_index(outs: Sequence[Any]) -> bool:
    whole = not jnp.issubdtype(outs[0].aval.dtype, jnp.inexact)
    return len(outs) == 1 and whole and outs[0].aval.size <= LONGEST


def _loops(equation: Any) -> bool:
    return equation.primitive.name in ("scan", "while", "cond")


def _bodies(equation: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """The jaxprs inside an equation, with their constants."""
    names = ("cond_jaxpr", "body_jaxpr") if equation.primitive.name == "while" else _INNER
    found = [equation.params[name] for name in names if name in equation.params]
    for inner in equation.params.get("branches", found if names != _INNER else found[:1]):
        yield getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())


def _notices(closed: Any, w: jax.Array, otherwise: bool) -> bool:
    """Whether the loss is another when other numbers stand beside the point.

    `otherwise` is the answer where this can't be evaluated.
    """

    def value(beside):
        return jnp.stack(_evaluate(closed.jaxpr, closed.consts, [w], beside, w.size))

    try:
        values = np.asarray(jax.jit(jax.vmap(value))(jnp.asarray(_BEYOND, w.dtype)))
    except Exception:
        return otherwise
    return not all(np.array_equal(values[0], other, equal_nan=True) for other in values[1:])


def _evaluate(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any], beside, size: int):
    """`jaxpr` with every vector as long as the point read as if `beside` stood on its sides."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))
    value = lambda atom: atom.val if hasattr(atom, "val") else values[atom]  # noqa: E731

    def inside(inner, given):
        body, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
        return _evaluate(body, consts, given, beside, size)

    for equation in jaxpr.eqns:
        given = [value(atom) for atom in equation.invars]
        results = _bind(equation, given, inside, beside, size)
        values |= dict(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _bind(equation: Any, given: list, inside: Callable, beside, size: int) -> Sequence[Any]:
    """What one equation gives."""
    params, name = equation.params, equation.primitive.name
    if _is_read(equation, (size,)):
        sides = jnp.full(_MARGIN, beside, given[0].dtype)
        longer = jnp.concatenate([sides, given[0], sides])
        first = given[1] + np.asarray(_MARGIN, given[1].dtype)
        return [equation.primitive.bind(longer, first, *given[2:], **params)]
    if name == "scan":
        return _scan(params, given, inside)
    if name == "while":
        first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        return jax.lax.while_loop(
            lambda carry: inside(params["cond_jaxpr"], [*given[:first], *carry])[0],
            lambda carry: inside(params["body_jaxpr"], [*given[first:second], *carry]),
            given[second:],
        )
    if name == "cond":
        branches = [lambda *xs, b=branch: inside(b, xs) for branch in params["branches"]]
        return jax.lax.switch(given[0], branches, *given[1:])
    inner = next((params[key] for key in _INNER if key in params), None)
    if inner is not None:
        return inside(inner, given)
    result = equation.primitive.bind(*given, **params)
    return result if equation.primitive.multiple_results else [result]


def _scan(params: dict, given: list, inside: Callable) -> list:
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]

    def step(carry, x):
        results = inside(params["jaxpr"], [*given[:first], *carry, *x])
        count = params["num_carry"]
        return results[:count], results[count:]

    carry, stacked = jax.lax.scan(
        step, given[first:second], given[second:], params["length"], params["reverse"]
    )
    return [*carry, *stacked]
