"""Verdicts are computed in double precision, whatever JAX's default is, without changing it."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def in_double(verb: Callable[..., Any]) -> Callable[..., Any]:
    """`verb`, run inside `jax.enable_x64`: arrays that it makes are float64."""

    @functools.wraps(verb)
    def run(*arguments: Any, **options: Any) -> Any:
        with jax.enable_x64(True):
            return verb(*arguments, **options)

    return run
