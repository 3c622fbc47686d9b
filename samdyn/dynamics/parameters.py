"""The numbers that an object depends on, by name: what can be read, and set without recompiling.

A number is known by its path, "method.rho", by the last part of it, "rho", and by the part before
it where that holds no other number: "momentum" for "momentum.gamma". A name that fits several
numbers is an error that lists them.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.core
import numpy as np

from ..errors import InvalidInput
from . import tree

Path = tuple[str, ...]


def parameters(of: Any) -> dict[str, Any]:
    """Name → value of every number in `of`: by its shortest unique name, else by its path.

    Values are floats, or arrays (n,) after `with_parameters` was given some.
    """
    paths = list(_numbers(of, ()))
    return {_shortest(path, paths): _plain(_get(of, path)) for path in paths}


def with_parameters(of: Any, values: Mapping[str, Any]) -> Any:
    """`of` with other values of the named numbers, each a number or an array to `jax.vmap` over."""
    for name, value in values.items():
        of = _set(of, path_of(of, name), value)
    return of


def has_parameter(of: Any, name: str) -> bool:
    """Whether exactly one number is called so."""
    return len(_fitting(name, list(_numbers(of, ())))) == 1


def path_of(of: Any, name: str) -> Path:
    """The path of the number called `name`; `InvalidInput` unless there is exactly one."""
    paths = list(_numbers(of, ()))
    found = _fitting(name, paths)
    if len(found) == 1:
        return found[0]
    kind = type(of).__name__
    if found:
        told = ", ".join(map(_text, found))
        raise InvalidInput(f"{name!r} is the name of several numbers of this {kind}: {told}.")
    known = ", ".join(_shortest(path, paths) for path in paths) or "none"
    raise InvalidInput(f"this {kind} has no parameter {name!r}; its parameters are: {known}.")


def _fitting(name: str, paths: list[Path]) -> list[Path]:
    """The paths that a name stands for: itself, else all that it may be short for."""
    asked = tuple(name.split("."))
    if asked in paths:
        return [asked]
    last = [path for path in paths if path[-len(asked) :] == asked]
    return last or [path for path in paths if asked in _owners(path, paths)]


def _owners(path: Path, paths: list[Path]) -> Iterator[Path]:
    """The names of the objects that hold the number at `path` and no other number."""
    for end in range(1, len(path)):
        if sum(other[:end] == path[:end] for other in paths) == 1:
            yield path[:end]
            yield path[end - 1 : end]


def _shortest(path: Path, paths: list[Path]) -> str:
    for size in range(1, len(path)):
        if _fitting(_text(path[-size:]), paths) == [path]:
            return _text(path[-size:])
    return _text(path)


def _text(path: Path) -> str:
    return ".".join(path)


def _numbers(node: Any, path: Path) -> Iterator[Path]:
    """The paths of all numbers: fields of Modules, values of mappings, items of sequences."""
    for name, part in _parts(node):
        here = (*path, name)
        if _is_number(part):
            yield here
        else:
            yield from _numbers(part, here)


def _parts(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, eqx.Module):
        for field in dataclasses.fields(node):
            if not field.metadata.get("static", False) and hasattr(node, field.name):
                yield field.name.lstrip("_"), getattr(node, field.name)
    elif isinstance(node, Mapping):
        yield from ((str(key), value) for key, value in node.items())
    elif isinstance(node, list | tuple):
        yield from ((str(index), value) for index, value in enumerate(node))


def _is_number(part: Any) -> bool:
    """A real number, an array of one, or one that is being traced or mapped over."""
    if isinstance(part, bool | str | bytes) or part is None:
        return False
    if isinstance(part, int | float | np.number):
        return True
    if not isinstance(part, jax.Array | np.ndarray):
        return False
    return np.ndim(part) == 0 and np.dtype(part.dtype).kind in "fiu"


def _plain(value: Any) -> Any:
    return value if isinstance(value, jax.core.Tracer) else np.asarray(value)[()].item()


def _get(node: Any, path: Path) -> Any:
    for name in path:
        node = dict(_parts(node))[name]
    return node


def _set(node: Any, path: Path, value: Any) -> Any:
    """`node` with the number at `path` replaced; a field's own converter refuses what it must."""
    name, *rest = path
    if isinstance(node, eqx.Module):
        field = next(f for f in dataclasses.fields(node) if f.name.lstrip("_") == name)
        old = getattr(node, field.name)
        new = _set(old, tuple(rest), value) if rest else _converted(field, value)
        return eqx.tree_at(lambda n: getattr(n, field.name), node, new)
    if isinstance(node, Mapping):
        new = {
            k: _set(v, tuple(rest), value) if rest else tree.as_array(value)
            for k, v in node.items()
            if str(k) == name
        }
        return {**node, **new}
    items = list(node)
    index = int(name)
    items[index] = _set(items[index], tuple(rest), value) if rest else tree.as_array(value)
    return type(node)(*items) if hasattr(node, "_fields") else type(node)(items)


def _converted(field: Any, value: Any) -> Any:
    converter = field.metadata.get("converter")
    return tree.as_array(value) if converter is None else converter(value)


def as_args(args: Any) -> Any:
    """Numbers in `args` as arrays that trace; everything else as it is."""
    convert = lambda leaf: tree.as_array(leaf) if isinstance(leaf, float) else leaf  # noqa: E731
    return jax.tree.map(convert, args)
