"""From the text of --inside to a region."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import InvalidInput
from ...text import point_text
from .regions import Above, AbstractRegion, Ball, Below, Predicate, Slab

FORMS = "ball:R, slab:AXIS:R, below:AXIS:C, above:AXIS:C or FILE.py:NAME"


def parse_region(text: str, start: Any, load_function: Callable[[str], Any]) -> AbstractRegion:
    """The region that `text` names on the command line, about `start` (d,).

    Forms: `ball:R`, `slab:AXIS:R`, `below:AXIS:C`, `above:AXIS:C`, `FILE.py:NAME`; for the last
    `load_function(text)` gives the function, as `samdyn.get_loss` does. AXIS counts from 0.
    """
    start = np.asarray(start, dtype=float)
    kind, *rest = text.split(":")
    if kind == "ball" and len(rest) == 1:
        return Ball(start, _positive(text, rest[0]))
    if kind == "slab" and len(rest) == 2:
        return Slab(start, _axis(text, rest[0], start.size), _positive(text, rest[1]))
    if kind in ("below", "above") and len(rest) == 2:
        side = Below if kind == "below" else Above
        return side(_axis(text, rest[0], start.size), _finite(text, rest[1]))
    if ":" in text and (".py:" in text or "." in kind):
        return _from_function(text, load_function(text), start)
    raise InvalidInput(f"there is no region {text!r}: {FORMS} is accepted.")


def _from_function(text: str, function: Callable, start: np.ndarray) -> Predicate:
    try:
        value = jax.eval_shape(function, jnp.asarray(start))
        shape, boolean = value.shape, value.dtype == jnp.bool_
        real = boolean or not jnp.issubdtype(value.dtype, jnp.complexfloating)
    except Exception as error:
        brief = str(error).strip().split("\n")[0]
        told = f"{type(error).__name__}: {brief}"
        raise InvalidInput(
            f"{text} cannot be evaluated by JAX at {point_text(start)}: {told}"
        ) from error
    if shape != () or not real:
        raise InvalidInput(f"{text} must return one truth value or real number, not {value}.")
    return Predicate(function)


def _finite(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(f"region {text!r}: {part!r} is not a finite number.")
    return value


def _positive(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"region {text!r}: R must be a finite number > 0, not {part!r}.")
    return value


def _axis(text: str, part: str, dim: int) -> int:
    try:
        axis = int(part)
    except ValueError:
        axis = -1
    if not 0 <= axis < dim:
        accepted = "0" if dim == 1 else f"0 to {dim - 1}"
        raise InvalidInput(
            f"region {text!r}: AXIS must be {accepted} in dimension {dim}, not {part!r}."
        )
    return axis
