"""What a function reads beside its arguments: a number there may change after it was traced."""

import contextlib
import dis
import functools
import inspect
import types
from typing import Any

import equinox as eqx
import numpy as np

from ..program import ById

OURS = (__name__.split(".")[0], "jax", "jaxlib", "numpy", "scipy", "equinox", "optax", "diffrax")
LONGEST_READ = 4096  # entries of a list, or of a table, that are looked at


def read_by(value: Any) -> Any:
    """What somebody's function reads beside its arguments: from its module, its closure, its
    defaults, the object that it belongs to, and the functions that it calls, as far as that shows.

    Numbers count by their value, arrays by their bytes, all else by identity.
    """
    return _fingerprint(value, set()) if callable(value) and not _is_ours(value) else ()


def _is_ours(value: Any) -> bool:
    home = getattr(value, "__module__", None) or getattr(type(value), "__module__", None) or ""
    return home.split(".")[0] in OURS and not isinstance(value, functools.partial)


def _fingerprint(value: Any, seen: set[int]) -> Any:
    if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        return type(value).__name__, repr(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return value.shape, str(value.dtype), value.tobytes()
    if id(value) in seen or isinstance(value, type) or eqx.is_array(value):
        return ById(value)
    seen.add(id(value))
    if isinstance(value, list | tuple | set | frozenset) and len(value) <= LONGEST_READ:
        return type(value).__name__, tuple(_fingerprint(entry, seen) for entry in value)
    if isinstance(value, dict) and len(value) <= LONGEST_READ:
        return tuple(
            (ById(k) if not isinstance(k, str) else k, _fingerprint(v, seen))
            for k, v in value.items()
        )
    if isinstance(value, functools.partial):
        return _fingerprint([value.func, value.args, value.keywords], seen)
    if inspect.ismethod(value):
        return _fingerprint([value.__func__, value.__self__], seen)
    if inspect.isfunction(value):
        return _of_function(value, seen)
    if inspect.ismodule(value) or _is_ours(value):
        return ById(value)
    fields = getattr(value, "__dict__", None)
    call = _fingerprint(type(value).__call__, seen) if callable(value) else ()
    return ById(value), call, () if fields is None else _fingerprint(fields, seen)


def _of_function(function: Any, seen: set[int]) -> Any:
    if _is_ours(function):
        return ById(function)
    names = _names(function.__code__)
    found: dict[str, Any] = {}
    for name in names:
        value = function.__globals__.get(name)
        found[name] = value
        if inspect.ismodule(value) and (value.__name__ or "").split(".")[0] not in OURS:
            found |= {f"{name}.{n}": value.__dict__[n] for n in names if n in value.__dict__}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # not filled yet
            found[name] = cell.cell_contents
    for name in _written(function.__code__):  # a count of calls, which changes by being traced
        found.pop(name, None)
    told = tuple((name, _fingerprint(value, seen)) for name, value in sorted(found.items()))
    more = function.__defaults__, function.__kwdefaults__, getattr(function, "__wrapped__", None)
    return ById(function.__code__), told, tuple(_fingerprint(part, seen) for part in more)


def _codes(code: types.CodeType) -> list[types.CodeType]:
    """A function's code, with that of the functions written inside it."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [code, *(each for c in inner for each in _codes(c))]


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> frozenset[str]:
    """The names that a function may look up."""
    return frozenset(name for each in _codes(code) for name in each.co_names)


@functools.lru_cache(maxsize=1024)
def _written(code: types.CodeType) -> frozenset[str]:
    """The names that a function sets outside of itself."""
    steps = (step for each in _codes(code) for step in dis.get_instructions(each))
    return frozenset(s.argval for s in steps if s.opname in ("STORE_DEREF", "STORE_GLOBAL"))
