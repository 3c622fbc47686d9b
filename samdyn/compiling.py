"""Compile in little time what runs only a few times.

Most functions of a verdict run once on a handful of points, and wait longer for XLA than they run.
On CPUs its older way of writing fused loops compiles in about two thirds of the time, and what it
writes runs a few per cent slower (scripts/benchmarks/verbs.py measures the whole).
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.core import Tracer

_OPTIONS: Any = {"compiler_options": {"xla_cpu_use_fusion_emitters": False}}


def jit_for_few_runs(function: Callable[..., Any]) -> Callable[..., Any]:
    """`eqx.filter_jit(function)`, compiled in less time on CPUs and slightly slower there."""
    usual, quick = eqx.filter_jit(function), eqx.filter_jit(function, **_OPTIONS)

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        if _has_option() and not _within_a_trace():
            with contextlib.suppress(ValueError):  # as in a trace, where options are refused
                return quick(*arguments)
        return usual(*arguments)

    return run


_nothing = jax.jit(lambda: 0)  # the cheapest thing to ask: 6 µs, where an empty array takes 90


def _within_a_trace() -> bool:
    """Whether what is computed now is written down: there options are refused, after the tracing.

    Without asking first everything within another compiled function would be traced twice, and
    what is two levels within four times.
    """
    return isinstance(_nothing(), Tracer)


def _has_option() -> bool:
    device: Any = getattr(jax.config, "jax_default_device", None) or jax.default_backend()
    return _accepts(getattr(device, "platform", device))


@functools.cache
def _accepts(platform: str) -> bool:
    """Whether the installed XLA has the option: they come and go with its versions."""
    if platform != "cpu":
        return False
    try:
        with jax.default_device(jax.devices("cpu")[0]):
            jax.jit(lambda: 0).lower().compile(**_OPTIONS)
    except jax.errors.JaxRuntimeError:
        return False
    return True
