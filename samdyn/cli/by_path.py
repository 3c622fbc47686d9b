"""Things by path, FILE.py:NAME or MODULE:NAME: taken as they are, or called with what they take."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import ComputationFailed, InvalidInput, brief

Kinds = inspect._ParameterKind


class Offer(NamedTuple):
    """An option whose value may be handed on; `default` is what it has where nobody gave it."""

    option: str
    value: Any
    default: Any = None


def made(
    option: str,
    text: str,
    kind: type,
    what: str,
    offers: Mapping[str, Offer] | None = None,
    first: str | None = None,
) -> Any:
    """What `text` names, or gives when it is called; `InvalidInput` unless it is of `kind`.

    `offers` are the arguments that it may take, by name; the one called `first` is handed on to
    its first argument whatever that is called. A value that was given and is not taken is refused.
    """
    from ..losses.registry import load_object

    thing, taken, offers = load_object(text), {}, offers or {}
    if not isinstance(thing, kind) and callable(thing):
        taken = _taken(thing, offers, first)
        thing = _called(option, text, thing, taken, offers)
    if not isinstance(thing, kind):
        raise InvalidInput(f"{option} {text} must be, or give when it is called, {what}.")
    for name, offer in offers.items():
        if name not in taken and offer.value != offer.default:
            raise InvalidInput(
                f"{offer.option} has no meaning with {option} {text}, which takes none."
            )
    return thing


def _taken(function: Callable, offers: Mapping[str, Offer], first: str | None) -> dict[str, str]:
    """Name of an offer → the argument of `function` that takes it."""
    arguments = _arguments(function)
    found = {name: name for name in offers if name in arguments}
    leading = next(iter(arguments.values()), None)
    if first is not None and first not in found and leading and leading.default is leading.empty:
        found[first] = leading.name
    return found


def _arguments(function: Callable) -> dict[str, inspect.Parameter]:
    """Those that can be given by name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a function that is not Python's
        return {}
    several = Kinds.VAR_POSITIONAL, Kinds.VAR_KEYWORD, Kinds.POSITIONAL_ONLY
    return {name: one for name, one in parameters.items() if one.kind not in several}


def _called(option: str, text: str, function: Callable, taken, offers) -> Any:
    values = {taken[name]: offers[name].value for name in taken}
    values = {argument: value for argument, value in values.items() if value is not None}
    options = {argument: offers[name].option for name, argument in taken.items()}
    for name, one in _arguments(function).items():
        if name not in values and one.default is one.empty:
            how = f"needs {options[name]}" if name in options else f"needs {name}: give an instance"
            raise InvalidInput(f"{option} {text} {how}.")
    try:
        return function(**values)
    except (InvalidInput, ComputationFailed):
        raise
    except (Exception, SystemExit) as error:  # whatever somebody's code may raise
        raise ComputationFailed(f"{text} failed: {brief(error, function)}.") from error
