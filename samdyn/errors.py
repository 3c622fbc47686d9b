"""The two ways a call can fail, each told in one sentence."""

import inspect
import traceback
from collections.abc import Callable
from typing import Any


class InvalidInput(ValueError):
    """The caller gave something that cannot work: says what, where and what would be right."""


class ComputationFailed(RuntimeError):
    """The input was fine but no answer came out: says why (a loss that is NaN, no convergence)."""


def brief(error: BaseException, code: str | Callable | None = None) -> str:
    """An error in somebody else's `code`, a file or a function, in a few words, with the line."""
    text = str(error).strip().split("\n")[0].rstrip(".")
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    file = code if isinstance(code, str) else _file_of(code)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if file and frame.filename == file]
    return f"{told} (line {lines[-1]})" if lines else told


def _file_of(code: Any) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(code))
    except TypeError:  # an object with __call__, a partial function
        return None
