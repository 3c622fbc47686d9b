"""What stands for a thing that no file can hold: its description, and its source if known."""

import dataclasses
import functools
import inspect
import linecache
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

from ...errors import InvalidInput
from .lambdas import lambda_text

LONGEST = 120  # characters of a lambda that is told by its own line
MOST = 64  # numbers of an array, entries of a list, that are told
DEEPEST = 8


@dataclasses.dataclass(frozen=True)
class Described:
    """In a loaded result, the place of a function or of another object that was not stored.

    `text` says what it was, `source` is the text that defined it, or None. Calling it is
    `InvalidInput`.
    """

    text: str
    source: str | None = None

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise InvalidInput(
            f"this result was read from a file, which keeps the text of {self.text!r} only: give "
            "the function itself."
        )


def describe(value: Any) -> Described:
    """The description of anything at all."""
    if isinstance(value, Described):
        return value
    defined = type(value) if isinstance(value, eqx.Module) else value
    return Described(text_of(value), source_of(defined) if callable(defined) else None)


def text_of(value: Any) -> str:
    """What `describe` says of a thing, without looking for the text that defines it."""
    if isinstance(value, Described):
        return value.text
    if isinstance(value, eqx.Module):
        return _pformat(value)
    return name_of(value) if callable(value) else _short_repr(value)


def name_of(function: Callable) -> str:
    """The name of a function; of a lambda its text, or else where that is."""
    plain: Any = _inner(function)
    name = getattr(plain, "__qualname__", None) or type(plain).__name__
    if not name.endswith("<lambda>"):
        return name
    source = source_of(plain)
    if source is not None and len(source) <= LONGEST:
        return " ".join(source.split())
    code = plain.__code__
    return f"lambda of line {code.co_firstlineno} in {code.co_filename}"


def source_of(function: Any) -> str | None:
    """The text that defines a function, or a class; of any other callable its class's."""
    plain: Any = _inner(function)
    code = getattr(plain, "__code__", None)
    if not (inspect.isroutine(plain) or inspect.isclass(plain)):
        plain = type(plain)
    text = _text(getattr(plain, "__code__", plain))  # a function would be kept with its closure
    if text is None:
        return None
    if code is not None and code.co_name == "<lambda>":
        return lambda_text(text, code) or (text if "lambda" in text.split("\n")[0] else None)
    return text if plain.__name__ in text else None  # the file has changed, or is another one


@functools.lru_cache(maxsize=256)
def _text(defined: Any) -> str | None:
    """The lines of a function's code, or a class, as they were when first asked for: later they
    may differ from what runs, and finding them takes 5 ms."""
    try:
        return textwrap.dedent(_lines(defined)).strip()
    except (
        OSError,
        TypeError,
        SyntaxError,
        tokenize.TokenError,
    ):  # typed into a shell, built in, compiled
        return None


def _lines(defined: Any) -> str:
    """As `inspect.getsource`, which to find the module of a code object asks every module that
    there is for its file, and thereby imports those that wait until they are used."""
    if not inspect.iscode(defined):
        return inspect.getsource(defined)
    lines = linecache.getlines(defined.co_filename)[defined.co_firstlineno - 1 :]
    if not lines:
        raise OSError("the source is not known")
    return "".join(inspect.getblock(lines))


def _inner(function: Any) -> Any:
    """Below partial applications and wrappers."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else function


def told(value: Any, depth: int = 0) -> Any:
    """An argument as JSON types: numbers and text, objects by class and fields, large arrays by
    shape."""
    if value is None or (isinstance(value, bool | int | float | str) and not _is_array(value)):
        return value
    if _is_array(value):
        return _told_array(value)
    if depth >= DEEPEST:
        return _short_repr(value)
    if isinstance(value, dict):
        return {str(key): told(item, depth + 1) for key, item in _first(value.items())}
    named = _fields(value)
    if named is not None:
        kind = {"class": type(value).__name__}
        return kind | {name: told(item, depth + 1) for name, item in named.items()}
    if isinstance(value, tuple | list):
        return [told(item, depth + 1) for item in _first(value)]
    return text_of(value)


def callables_in(value: Any, depth: int = 0) -> Iterator[Any]:
    """Every callable that an argument holds, those of its fields before itself."""
    if depth >= DEEPEST or _is_array(value) or isinstance(value, str):
        return
    parts = list(value.values()) if isinstance(value, dict) else value
    named = _fields(value)
    if named is not None:
        parts = list(named.values())
    if isinstance(parts, tuple | list):
        for part in parts[:MOST]:
            yield from callables_in(part, depth + 1)
    if callable(value) and not hasattr(value, "dtype"):  # jnp.float32 is callable
        yield value


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass or a named tuple, by name; None for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()  # pyright: ignore[reportAttributeAccessIssue]
    return None


def _first(items: Any) -> list:
    return list(items)[:MOST]


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | jax.Array)


def _told_array(value: Any) -> Any:
    if not _is_numeric(value) or np.size(value) > MOST or isinstance(value, Tracer):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return np.asarray(value).tolist()


def _is_numeric(value: Any) -> bool:
    return isinstance(value.dtype, np.dtype) and value.dtype.kind in "biuf"


def _pformat(value: Any) -> str:
    try:
        return eqx.tree_pformat(value, short_arrays=False)
    except Exception:
        return type(value).__name__


def _short_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = type(value).__name__
    return text if len(text) <= LONGEST else f"{type(value).__name__} {text[:LONGEST]}…"
