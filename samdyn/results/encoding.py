"""Nested values as JSON and arrays, and back. Nothing in a file is ever executed.

None, truth values, numbers, text, lists and mappings with text for keys are themselves. Anything
else is an object with the key "$", which names what it is: "array", "tuple", "object", …. Classes
are found by name, among those marked `storable` and the public ones of samdyn; a function, and an
object of any other class, is kept as its description (`Described`).
"""

import dataclasses
import importlib
import math
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .problem.described import Described, describe

TAG = "$"
_CLASSES: dict[str, type] = {}
_NAMES: dict[type, str] = {}
_Kind = TypeVar("_Kind", bound=type)


def storable(kind: _Kind, name: str | None = None) -> _Kind:
    """Mark a class: a named tuple or a dataclass, kept by its fields under its name."""
    name = name or _default_name(kind)
    known = _CLASSES.get(name)
    if known is not None and _path(known) != _path(kind):
        raise TypeError(f"{_path(known)} is kept as {name!r} already: give {_path(kind)} another.")
    if known is None or not issubclass(kind, known):  # equinox makes a subclass to build one
        _CLASSES[name], _NAMES[kind] = kind, name
    return kind


def _default_name(kind: type) -> str:
    ours = kind.__module__.split(".")[0] == __name__.split(".")[0]
    return kind.__name__ if ours else _path(kind)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def name_of_class(kind: type) -> str | None:
    """The name that a class is kept under; None for one that is not."""
    if kind in _NAMES:
        return _NAMES[kind]
    name = kind.__name__
    plain = issubclass(kind, eqx.Module) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    return name if plain and name not in _CLASSES and _public(name) is kind else None


def class_named(name: str) -> type | None:
    """The class kept under a name; None if there is none here."""
    found = _CLASSES.get(name) or _public(name)
    found = _CLASSES.get(name, found)  # it may have been marked while it was imported
    return found if isinstance(found, type) else None


def _public(name: str) -> Any:
    """What samdyn calls `name`, imported if it was not yet."""
    package = importlib.import_module(__name__.split(".")[0])
    return getattr(package, name, None) if name.isidentifier() else None


def encode(value: Any, arrays: list[np.ndarray]) -> Any:
    """`value` as JSON types; its arrays are appended to `arrays`."""
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return _encode_array(value, arrays)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: "float", "value": str(value)}
    if isinstance(value, complex):
        return {TAG: "complex", "value": [encode(x, arrays) for x in (value.real, value.imag)]}
    if type(value) is list:
        return [encode(item, arrays) for item in value]
    if type(value) is tuple:
        return {TAG: "tuple", "items": [encode(item, arrays) for item in value]}
    if type(value) is dict:
        return _encode_dict(value, arrays)
    if isinstance(value, Described):
        return {TAG: "described", "text": value.text, "source": value.source}
    name = name_of_class(type(value))
    if name is None:
        return encode(describe(value), arrays)
    return encode_object(name, fields_of(value), arrays)


def encode_object(name: str, fields: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """An object of the class kept under `name`, by its fields."""
    kept = {key: encode(item, arrays) for key, item in fields.items()}
    return {TAG: "object", "class": name, "fields": kept}


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass or a named tuple that are set."""
    if isinstance(value, tuple):
        return value._asdict()  # pyright: ignore[reportAttributeAccessIssue]
    names = [field.name for field in dataclasses.fields(value)]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _encode_dict(value: dict, arrays: list[np.ndarray]) -> dict[str, Any]:
    if TAG not in value and all(type(key) is str for key in value):
        return {key: encode(item, arrays) for key, item in value.items()}
    items = [[encode(key, arrays), encode(item, arrays)] for key, item in value.items()]
    return {TAG: "dict", "items": items}


def _encode_array(value: Any, arrays: list[np.ndarray]) -> dict[str, Any]:
    """By its number; numbers that NumPy's format does not know (bfloat16) as their bits."""
    by = "jax" if isinstance(value, jax.Array) else "numpy"
    kind = "scalar" if isinstance(value, np.generic) else "array"
    if not isinstance(value.dtype, np.dtype) or value.dtype.kind == "O":  # random keys, objects
        return encode(Described(f"{value.dtype}[{','.join(map(str, value.shape))}]"), arrays)
    plain = np.asarray(value)
    if plain.dtype.kind == "V" and plain.dtype.fields is None:
        plain = plain.view(f"u{plain.dtype.itemsize}")
    arrays.append(plain)
    return {TAG: kind, "of": by, "number": len(arrays) - 1, "dtype": value.dtype.name}


def decode(value: Any, arrays: list[np.ndarray]) -> Any:
    """The value that `encode` was given. KeyError, TypeError or ValueError where it is damaged."""
    if isinstance(value, list):
        return [decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: decode(item, arrays) for key, item in value.items()}
    return _DECODERS[value[TAG]](value, arrays)


def _decode_array(value: dict, arrays: list[np.ndarray]) -> Any:
    found = arrays[value["number"]]
    if found.dtype.name != value["dtype"] and found.dtype.kind == "u":
        found = found.view(jnp.dtype(value["dtype"]))
    if value[TAG] == "scalar":
        return found[()]
    if value["of"] == "numpy":
        return found
    with jax.enable_x64(True):  # float64 stays what it was
        return jnp.asarray(found)


def _decode_object(value: dict, arrays: list[np.ndarray]) -> Any:
    kind = class_named(value["class"])
    fields = {key: decode(item, arrays) for key, item in value["fields"].items()}
    if kind is None or name_of_class(kind) != value["class"]:
        return Described(f"a {value['class']}, which is not known here")
    return kind(**fields) if issubclass(kind, tuple) else build(kind, fields)


def build(kind: type, fields: dict[str, Any]) -> Any:
    """An object with these fields as they are: nothing is converted or checked again."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        if field.name in fields:
            object.__setattr__(made, field.name, fields[field.name])
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(made, field.name, field.default)
    return made


_DECODERS: dict[str, Any] = {
    "float": lambda value, _: float(value["value"]),
    "complex": lambda value, arrays: complex(*decode(value["value"], arrays)),
    "tuple": lambda value, arrays: tuple(decode(value["items"], arrays)),
    "dict": lambda value, arrays: {
        decode(key, arrays): decode(item, arrays) for key, item in value["items"]
    },
    "described": lambda value, _: Described(value["text"], value["source"]),
    "array": _decode_array,
    "scalar": _decode_array,
    "object": _decode_object,
}
