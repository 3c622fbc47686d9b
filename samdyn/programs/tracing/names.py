"""What a function is called in every process, if it is made of samdyn's own parts alone.

Such a function computes the same wherever samdyn's files are the same. Of anybody else's nothing
of the kind is known: the same name may mean something else in the next process.
"""

import dataclasses
import functools
import inspect
import sys
from typing import Any

import jax
import numpy as np

OURS = __name__.split(".")[0]


class Nameless(Exception):
    """Somebody else had a hand in it."""


def name_of(value: Any) -> str:
    """The name of a function, with all that it holds: numbers, texts, settings, other functions.

    Arrays count by their bytes, the shapes that stand for arrays (`jax.ShapeDtypeStruct`) by
    themselves. Raises `Nameless` where something in it is not samdyn's.
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, np.ndarray | np.generic | jax.Array) and value.dtype != object:
        return f"{value.dtype}{list(value.shape)} {np.asarray(value).tobytes().hex()}"
    if isinstance(value, list | tuple):
        return f"{_named(type(value))}({', '.join(map(name_of, value))})"
    if isinstance(value, dict):
        return _told("dict", {repr(key): entry for key, entry in value.items()})
    if isinstance(value, type) or inspect.isfunction(value):
        return _named(value)
    if isinstance(value, functools.partial):
        return f"partial({name_of([value.func, value.args, value.keywords])})"
    function, owner = (getattr(value, name, None) for name in ("__func__", "__self__"))
    if function is not None and owner is not None:  # a method of an object
        return f"{_named(function)} of {name_of(owner)}"
    if dataclasses.is_dataclass(value):
        known = {
            field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)
        }
        return _told(_named(type(value)), known)
    raise Nameless(repr(value))


def _told(what: str, parts: dict[str, Any]) -> str:
    return f"{what}({', '.join(f'{name}={name_of(part)}' for name, part in parts.items())})"


def _named(value: Any) -> str:
    """The module and name of a class or a function, under which it is found there."""
    if value in (list, tuple):
        return value.__name__
    module, name = value.__module__, value.__qualname__
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if module.split(".")[0] != OURS or found is not value:
        raise Nameless(f"{module}.{name}")
    return f"{module}.{name}"
