"""The public verbs as the tests call them: a change of their interface touches this file only.

Each takes what the verb of the same name takes today.
"""

from typing import Any

import samdyn


def stability(loss: Any, method: Any, **how: Any) -> Any:
    """Fixed points with their verdicts, in a `box` or `at` a point."""
    return samdyn.stability(loss, method, **how)


def sweep(loss: Any, method: Any, rhos: Any, **how: Any) -> Any:
    """Fixed points and verdicts over ρ."""
    return samdyn.sweep(loss, method, rhos, **how)


def basins(loss: Any, method: Any, **how: Any) -> Any:
    """Where the starts of a grid end."""
    return samdyn.basins(loss, method, **how)


def capture_threshold(loss: Any, method: Any, *where: Any, **how: Any) -> Any:
    """The ρ from which a start is captured."""
    return samdyn.capture_threshold(loss, method, *where, **how)


def integrate(flow: Any, start: Any, *times: Any, **how: Any) -> Any:
    """A path of a flow."""
    return samdyn.integrate(flow, start, *times, **how)


def iterate(step_map: Any, start: Any, *steps: Any, **how: Any) -> Any:
    """A run of a step map."""
    return samdyn.iterate(step_map, start, *steps, **how)


def portrait(loss: Any, methods: Any, box: Any, **how: Any) -> Any:
    """Phase portraits side by side."""
    return samdyn.portrait(loss, methods, box, **how)


def escape_times(dynamics: Any, start: Any, region: Any, **how: Any) -> Any:
    """First exits of many paths."""
    return samdyn.escape_times(dynamics, start, region, **how)


def theory(dynamics: Any, start: Any, region: Any) -> Any:
    """Exact and published mean exit times."""
    return samdyn.theory(dynamics, start, region)


def spread(dynamics: Any, *where: Any, **how: Any) -> Any:
    """Displacement from a critical point."""
    return samdyn.spread(dynamics, *where, **how)


def diagnose(loss: Any, params: Any, batches: Any, method: Any, *settings: Any, **how: Any) -> Any:
    """Does a saddle hold this training run?"""
    return samdyn.diagnose(loss, params, batches, method, *settings, **how)


def study(*grid: Any, **how: Any) -> Any:
    """A grid of training runs."""
    return samdyn.study(*grid, **how)
