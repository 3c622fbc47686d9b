"""What a Python function says, for those that JAX calls back and cannot trace.

Its bytecode, constants, defaults and closure count, and the variables and functions of its own
module that it reads; its name, file, lines and comments do not. What it reads elsewhere is known
by name only: functions of other modules, attributes of objects, files.
"""

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

Tell = Callable[[Any], str]  # how a value that is no function is told


def code_of(function: Callable, tell: Tell) -> str:
    """What `function` does, as text."""
    return "".join(_said(function, tell, getattr(function, "__module__", None), set()))


def _said(value: Any, tell: Tell, module: str | None, seen: set[int]) -> Iterator[str]:
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, types.CodeType):
        yield from _bytecode(value, tell)
    elif isinstance(value, types.ModuleType):
        yield f"module {value.__name__};"
    elif not callable(value):
        yield f"{tell(value)};"
    elif isinstance(value, type | types.BuiltinFunctionType) or id(value) in seen:
        yield f"{_named(value)};"
    else:
        seen.add(id(value))
        for part in _parts(value, module):
            yield from _said(part, tell, module, seen)


def _parts(function: Any, module: str | None) -> list[Any]:
    """What a callable is made of."""
    if isinstance(function, functools.partial):
        return [function.func, function.args, *_flat(function.keywords)]
    if isinstance(function, types.MethodType):
        return [function.__func__, function.__self__]
    if not isinstance(function, types.FunctionType):  # an object with __call__
        return [_named(type(function)), type(function).__call__, *_flat(_fields(function))]
    cells = [_content(cell) for cell in function.__closure__ or ()]
    if (function.__module__ or "").startswith("jax."):  # what it wraps is somebody else's
        return [_named(function), *cells]
    defaults = [*(function.__defaults__ or ()), *_flat(function.__kwdefaults__ or {})]
    read = [
        function.__globals__[name]
        for name in function.__code__.co_names
        if name in function.__globals__
    ]
    known = [value if _is_near(value, module) else _named(value) for value in read]
    return [function.__code__, *defaults, *cells, *known]


def _is_near(value: Any, module: str | None) -> bool:
    """Whether a variable of a module is looked into: data, and functions of that module."""
    data = bool | int | float | complex | str | bytes | tuple | list | dict | None
    ours = isinstance(value, types.FunctionType) and value.__module__ == module
    return ours or isinstance(value, data) or hasattr(value, "__array__")


def _flat(mapping: dict[str, Any]) -> list[Any]:
    return [part for name in sorted(mapping) for part in (name, mapping[name])]


def _fields(value: Any) -> dict[str, Any]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    known = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return known | getattr(value, "__dict__", {})


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return "empty"


def _bytecode(code: types.CodeType, tell: Tell) -> Iterator[str]:
    yield f"{code.co_code.hex()} {code.co_names};"
    for constant in code.co_consts:
        inner = isinstance(constant, types.CodeType)
        yield from _bytecode(constant, tell) if inner else [f"{tell(constant)};"]


def _named(value: Any) -> str:
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value))
    return f"{module}.{name}"
