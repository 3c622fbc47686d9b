"""A training problem by path: FILE.py:NAME, a function that returns a mapping."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import ComputationFailed, InvalidInput, brief


class Problem(NamedTuple):
    """loss(params, batch), the params, the batches, their weights or None."""

    loss: Callable
    params: Any
    batches: list[Any]
    weights: Any


def is_problem(thing: Any) -> bool:
    """Whether it is a function that can be called with nothing, and no loss of w."""
    if not callable(thing) or isinstance(thing, type):
        return False
    try:
        given = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return False
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(one.default is not one.empty or one.kind in several for one in given)


def load_problem(name: str, dtype: str, command: str) -> Problem:
    """The problem FILE.py:NAME, floats in `dtype`."""
    from ..dynamics.systems.system import AbstractSystem
    from ..dynamics.tree import as_dtype
    from ..losses.registry import load_function

    if ":" not in name:
        raise InvalidInput(f"{name!r} is neither FILE.py:NAME nor MODULE:NAME.")
    function = load_function(name)
    if isinstance(function, AbstractSystem):
        raise InvalidInput(
            f"{command} is of a loss over batches, and {name} is a "
            f"{type(function).__name__}: stability judges it."
        )
    made = _call(function, name, dtype)
    needed = ("params", "loss", "batches")
    mapping = isinstance(made, Mapping)
    missing = [name for name in needed if not mapping or name not in made]
    if missing:
        what = f"{', '.join(missing)} missing" if mapping else f"it returned {type(made).__name__}"
        raise InvalidInput(f"{name} must return a mapping with {', '.join(needed)}; {what}.")
    if not callable(made["loss"]):
        raise InvalidInput(f'"loss" of {name} must be a function loss(params, batch).')
    params = as_dtype(made["params"], dtype)
    batches = made["batches"]
    if not hasattr(batches, "__len__"):
        raise InvalidInput(f'"batches" of {name} must be a list: it does not tell its end.')
    batches = [as_dtype(batch, dtype) for batch in batches]
    return Problem(made["loss"], params, batches, made.get("weights"))


def _call(function: Callable, name: str, dtype: str) -> Any:
    """What the user's function returns; an error in it is told in one line."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        told = brief(error, function)
        hint = " The file runs in double precision; --dtype float32 runs it in single."
        hint = hint if dtype == "float64" and "float" in told else ""
        raise ComputationFailed(f"{name} failed: {told}.{hint}") from error
