"""Arguments, checked in one place: what was given, in one sentence, where it cannot work."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from .errors import ComputationFailed, InvalidInput, brief


def told(given: Any) -> str:
    """What was given, in a few words; a noisy step with what to take instead."""
    if hasattr(given, "noiseless"):
        return f"a {type(given).__name__}: give its noiseless step, .noiseless"
    if isinstance(given, eqx.Module):
        return f"a {type(given).__name__}"
    if isinstance(given, type):
        return f"the class {given.__name__}"
    if callable(given):
        return f"the function {getattr(given, '__name__', type(given).__name__)}"
    return " ".join(f"{given!r:.60}".split())


def require_field(field: Callable, w: Any) -> None:
    """`InvalidInput` unless `field` can be called as a vector field, field(t, w, args), at w."""
    try:
        jax.eval_shape(lambda t, w: field(t, w, None), jnp.zeros(()), w)
    except (InvalidInput, ComputationFailed):
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise InvalidInput(
            "a vector field field(t, w, args), such as an ODE or Flow(loss, method), is needed, "
            f"not {told(field)}, which failed when it was called so: {brief(error, field)}."
        ) from error


def require_one_argument(loss: Callable, what: str) -> None:
    """`InvalidInput` where `loss`, called `what`, cannot be called with one argument alone."""
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):  # of a function that is not Python's
        return
    try:
        signature.bind(None)
    except TypeError:
        needed = ", ".join(signature.parameters)
        raise InvalidInput(
            f"{what} is called with one array w of shape (d,), and this one takes ({needed}): "
            "give lambda w: f(w[0], w[1]), or with its data Flow(lambda w: f(w, batch), …)."
        ) from None


def require_function(given: Any, what: str) -> Callable:
    """`given`; `InvalidInput` unless it can be called."""
    if callable(given) and not isinstance(given, type):
        return given
    raise InvalidInput(f"a function {what} is needed, not {told(given)}.")


def require_kind(given: Any, kind: type, example: str) -> Any:
    """`given`; `InvalidInput` unless it is of that kind, of which `example` is one."""
    if isinstance(given, kind):
        return given
    raise InvalidInput(f"{example} is needed, not {told(given)}.")


def require_numbers(value: Any, what: str, accepts: Callable[[np.ndarray], Any]) -> Any:
    """`value`, numbers or one that is traced; `InvalidInput`, "what, not …", unless accepted."""
    if not isinstance(value, jax.core.Tracer):
        values = _real(value)
        if values is None:
            varies = callable(value) and not isinstance(value, type)
            hint = ": a schedule belongs to an optimizer, OptaxStepMap(loss, optimizer)"
            raise InvalidInput(f"{what}, not {told(value)}{hint * varies}.")
        wrong = ~(np.isfinite(values) & accepts(values))
        if np.any(wrong):
            raise InvalidInput(f"{what}, not {values[wrong].flat[0]:g}.")
    return value


def is_real(value: Any) -> bool:
    """Whether it is a real number or an array of such, as far as NumPy can tell."""
    return isinstance(value, jax.core.Tracer) or _real(value) is not None


def _real(value: Any) -> np.ndarray | None:
    """The value as an array of real numbers; None for what is none."""
    try:
        values = np.asarray(value)
        return None if values.dtype.kind in "OUSc" else values.astype(float)
    except (TypeError, ValueError):
        return None


def require_arrays(given: Any, what: str = "a start") -> Any:
    """`given`, a pytree of numbers, traced or not; `InvalidInput` for anything else."""
    leaves = jax.tree.leaves(given)
    traced = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]
    if all(t or _real(leaf) is not None for t, leaf in zip(traced, leaves, strict=True)) and leaves:
        return given
    raise InvalidInput(f"{what} is an array of numbers, or a pytree of them, not {told(given)}.")


def require_point(given: Any, what: str = "a start") -> Any:
    """`given`, a pytree of finite numbers; `InvalidInput` for anything else."""
    try:
        leaves = [np.asarray(leaf, float) for leaf in jax.tree.leaves(given)]
    except (TypeError, ValueError):
        leaves = []
    if not leaves or given is None:
        raise InvalidInput(
            f"{what} is an array of numbers, or a pytree of them, not {told(given)}."
        )
    for leaf in leaves:
        if not np.all(np.isfinite(leaf)):
            raise InvalidInput(f"{what} has finite numbers alone, not {leaf}.")
    return given


def require_flat(given: Any, what: str = "a start") -> np.ndarray:
    """`given` as an array (d,) of finite numbers; `InvalidInput` for anything else."""
    require_point(given, what)
    point = given if isinstance(given, list | tuple | np.ndarray | jax.Array) else None
    array = None if point is None or not is_real(point) else np.asarray(point, float)
    if array is None or array.ndim != 1:
        shape = "" if array is None else f" of shape {array.shape}"
        raise InvalidInput(f"{what} is one array of shape (d,), not {told(given)}{shape}.")
    return array


def require_whole(given: Any, what: str, least: int = 1, most: int | None = None) -> int:
    """`given` as an int; `InvalidInput` unless it is a whole number ≥ `least` (≤ `most`)."""
    try:
        number = operator.index(given)
    except TypeError:
        number = None
    high = "" if most is None else f" … {most}"
    if number is None or isinstance(given, bool) or number < least or number > (most or number):
        raise InvalidInput(f"{what} must be a whole number ≥ {least}{high}, not {told(given)}.")
    return number


def require_one_value(system: Any) -> None:
    """`InvalidInput` where a setting of a system holds several numbers, to be mapped over."""
    for name, value in settings(system):
        if np.ndim(value) > 0 and not isinstance(value, jax.core.Tracer):
            raise InvalidInput(
                f"{name} is an array of shape {np.shape(value)}, and a verb takes one value: vary "
                "it by sweep, or by a loop over system.at(…)."
            )


def settings(node: Any, path: str = "") -> Any:
    """(dotted path, value) of every setting in a Module: its fields that have a converter."""
    if not isinstance(node, eqx.Module):
        return
    for field in node.__dataclass_fields__.values():
        value, here = getattr(node, field.name, None), f"{path}{field.name}"
        if field.metadata.get("setting"):
            yield here, value
        else:
            yield from settings(value, f"{here}.")
