"""What the verbs take, by the name of the argument: one table, so that all refuse the same things.

A verb is wrapped by `of_system`. What it is given is looked at before it runs; what its loss or
field makes of it, only where the verb failed: a good call pays nothing for that.
"""

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from .checks import is_real, require_arrays, require_numbers, require_point, require_whole, told
from .errors import ComputationFailed, InvalidInput, brief

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")
_Verb = Callable[_Given, _Found]

MOST_STEPS = 2**31 - 1  # their counter has 32 bits


def of_system(wrapping: str, several: bool = False) -> Callable[[_Verb], _Verb]:
    """Of a verb that takes a system, or `several`: refuses a loss or a method, and says how to wrap
    it; and what the table refuses of its other arguments."""

    def accept(verb: str, given: Any) -> None:
        if not (several and isinstance(given, list | tuple)):
            require_system(verb, given, wrapping)

    return lambda verb: checked(verb, lambda given: accept(verb.__name__, given))


def checked(
    verb: Callable[_Given, _Found], accept: Callable[[Any], None] = lambda given: None
) -> Callable[_Given, _Found]:
    """Of a verb: refuses what the table does, and what its system can't be asked at."""
    signature = inspect.signature(verb)
    first = next(iter(signature.parameters))

    @functools.wraps(verb)
    def run(*arguments: _Given.args, **options: _Given.kwargs) -> _Found:
        system = arguments[0] if arguments else options.get(first)
        accept(system)
        try:
            given = signature.bind(*arguments, **options).arguments
        except TypeError:  # one is missing or unknown: Python says which
            return verb(*arguments, **options)
        for name, value in given.items():
            if name in EXPECTED and value is not signature.parameters[name].default:
                EXPECTED[name](value, name)
        try:
            return verb(*arguments, **options)
        except (InvalidInput, ComputationFailed):
            raise
        except Exception as error:
            reason = _cannot_move(system, given)
            if reason is None:
                raise
            raise InvalidInput(reason) from error

    return run


def require_system(verb: str, given: Any, wrapping: str) -> None:
    """`InvalidInput` unless `given` may be a system: not a loss, a method, a class, a number."""
    unwrapped = not hasattr(given, "parameters") or hasattr(given, "perturb")
    if unwrapped or isinstance(given, type):
        raise InvalidInput(f"{verb} takes a system, not {told(given)}: wrap it, {wrapping}.")


def _cannot_move(system: Any, given: dict[str, Any]) -> str | None:
    """Why a system can't be asked at the point that a verb was given; None if it can."""
    point = next((given[name] for name in ("start", "at", "params") if name in given), None)
    motion = _motion(system)
    if point is None or motion is None or given.get("batches") is not None:
        return None  # under batches it moves by more than the point alone
    try:
        with jax.enable_x64(True):
            w = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), _as_pytree(point))
            jax.eval_shape(motion, w)
    except (InvalidInput, ComputationFailed) as error:
        return str(error)
    except Exception as error:  # whatever somebody's code may raise
        shapes = ", ".join(str(np.shape(leaf)) for leaf in jax.tree.leaves(_as_pytree(point)))
        return f"{told(system)} can't be asked at a point of shape {shapes}: {brief(error)}."
    return None


def _motion(system: Any) -> Callable | None:
    """What a system makes of a point, before any noise; None where that isn't one function."""
    for name in ("velocity", "drift"):
        if hasattr(system, name):
            return getattr(system, name)
    noiseless = getattr(system, "noiseless", system)
    return (lambda w: noiseless(noiseless.init(w))) if hasattr(noiseless, "init") else None


def _as_pytree(point: Any) -> Any:
    """Lists of numbers are vectors, as the verbs read them."""
    return np.asarray(point, float) if isinstance(point, list | tuple) and is_real(point) else point


def _whole(least: int, most: int | None = None) -> Callable[[Any, str], Any]:
    return lambda given, name: require_whole(given, name, least, most)


def _number(told: str, accepts: Callable[[np.ndarray], Any]) -> Callable[[Any, str], Any]:
    def check(given: Any, name: str) -> None:
        what = f"{name} must {told}"
        if not isinstance(given, jax.core.Tracer) and np.ndim(_one(given, what)):
            raise InvalidInput(f"{what}, not an array of shape {np.shape(given)}.")
        require_numbers(given, what, accepts)

    return check


def _one(given: Any, what: str) -> Any:
    """`given`; `InvalidInput` for what NumPy can't take the shape of, or what is true or false."""
    if isinstance(given, bool) or not is_real(given):
        raise InvalidInput(f"{what}, not {told(given)}.")
    return given


def _several(one: Callable[[Any, str], Any], what: str) -> Callable[[Any, str], Any]:
    """A check of each in a sequence, which is `what`."""

    def check(given: Any, name: str) -> None:
        if isinstance(given, str | bytes | dict) or not hasattr(given, "__len__"):
            raise InvalidInput(f"{name} is a list of {what}, not {told(given)}.")
        if getattr(given, "ndim", 1) == 0:
            raise InvalidInput(f"{name} is a list of {what}, not one number.")
        for each in given:
            one(each, f"each of {name}")

    return check


def _word(given: Any, name: str) -> None:
    if not isinstance(given, str):
        raise InvalidInput(f"{name} is a name in quotes, not {told(given)}.")


def _values(given: Any, name: str) -> None:
    if not is_real(given) or np.ndim(given) != 1:
        raise InvalidInput(f"{name} are numbers, an array of shape (n,), not {told(given)}.")


def _range(given: Any, name: str) -> None:
    if not is_real(given) or np.shape(given) != (2,):
        raise InvalidInput(f"a range is two numbers (low, high), not {told(given)}.")


def _arrival(given: Any, name: str) -> None:
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise InvalidInput(f"{name} is a pair (point, radius), not {told(given)}.")
    require_arrays(given[0], "the point of arrival")


def _folder(given: Any, name: str) -> None:
    if not isinstance(given, str | os.PathLike) or not str(given).strip():
        raise InvalidInput(f"{name} is the path of a folder, not {told(given)}.")


def _flag(given: Any, name: str) -> None:
    if not isinstance(given, bool | np.bool_):
        raise InvalidInput(f"{name} is True or False, not {told(given)}.")


def _float_type(given: Any, name: str) -> None:
    try:
        right = not isinstance(given, np.ndarray | jax.Array) and given is not None
        right = right and np.dtype(given) in (np.dtype("float32"), np.dtype("float64"))
    except (TypeError, ValueError):
        right = False
    if not right:
        raise InvalidInput(f"{name} is float32 or float64, not {told(given)}.")


def _device(given: Any, name: str) -> None:
    if not isinstance(given, jax.Device):
        raise InvalidInput(f"{name} is one of jax.devices(), not {told(given)}.")


def _options(given: Any, name: str) -> None:
    if not isinstance(given, dict):
        raise InvalidInput(f"{name} is a dictionary, not {told(given)}.")


def _kind(given: Any, name: str) -> None:
    if not isinstance(given, str):
        _POSITIVE(given, f"{name}, a power p or a word like 'mean-square',")


def _powers(given: Any, name: str) -> None:
    if not is_real(given) or np.ndim(given) > 1:
        raise InvalidInput(f"{name} are numbers p > 0, like (2, 4), not {told(given)}.")
    require_numbers(given, f"{name} are numbers p > 0, like (2, 4)", lambda x: x > 0)


_POSITIVE = _number("be a finite number > 0", lambda x: x > 0)
_NUMBER = _number("be a finite number", lambda x: True)
_STEPS = _whole(0, MOST_STEPS)

EXPECTED: dict[str, Callable[[Any, str], Any]] = {
    "parameter": _word,
    "values": _values,
    "between": _range,
    "kind": _kind,
    "moments": _powers,
    "draws": _whole(32, 2**24),
    "max_products": _whole(1),
    "grid": _whole(1),
    "steps": _STEPS,
    "paths": _whole(1, 2**32 - 1),
    "points": _whole(1, 2**24),
    "seed": _whole(0),
    "at_steps": _several(_STEPS, "steps"),
    "starts": _several(require_point, "points"),
    "names": _several(_word, "names"),
    "time": _POSITIVE,
    "max_time": _POSITIVE,
    "t0": _NUMBER,
    "t1": _NUMBER,
    "dt": _POSITIVE,
    "rtol": _POSITIVE,
    "atol": _POSITIVE,
    "diverged": _POSITIVE,
    "max_steps": _whole(1, MOST_STEPS),
    "within": _number("be a finite number ≥ 0", lambda x: x >= 0),
    "target_error": _number("lie in (0, 1)", lambda x: (x > 0) & (x < 1)),
    "dtype": _float_type,
    "out": _folder,
    "resume": _flag,
    "distributed": _flag,
    "check": _flag,
    "block": _whole(1, 2**24),
    "workers": _whole(1, 2**10),
    "n_batches": _whole(1),
    "arrive": _arrival,
    "target": require_arrays,
    "devices": _several(_device, "devices"),
    "options": _options,
}
