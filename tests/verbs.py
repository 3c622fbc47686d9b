"""The public verbs as the tests call them: a change of their interface touches this file only.

Each takes what the verb of the same name takes today.
"""

from typing import Any

import samdyn


def system(loss: Any, method: Any, how: dict[str, Any]) -> Any:
    """The system of a loss and a method: takes learning_rate, momentum or optimizer from `how`."""
    rate, momentum = how.pop("learning_rate", None), how.pop("momentum", 0.0)
    optimizer = how.pop("optimizer", None)
    if optimizer is not None:
        return samdyn.OptaxStepMap(loss, optimizer, method)
    if rate is None:
        return samdyn.Flow(loss, method)
    return samdyn.StepMap(loss, method, rate, momentum)


def stability(loss: Any, method: Any, **how: Any) -> Any:
    """Fixed points with their verdicts, in a `box` or `at` a point."""
    return samdyn.stability(system(loss, method, how), **how)


def sweep(loss: Any, method: Any, rhos: Any, **how: Any) -> Any:
    """Fixed points and verdicts over ρ."""
    return samdyn.sweep(system(loss, method, how), "rho", rhos, **how)


def basins(loss: Any, method: Any, *, box: Any, **how: Any) -> Any:
    """Where the starts of a grid end."""
    return samdyn.basins(system(loss, method, how), box, **how)


def capture_threshold(loss: Any, method: Any, *, rho: Any, **how: Any) -> Any:
    """The ρ from which a start is captured."""
    return samdyn.threshold(system(loss, method, how), "rho", rho, **how)


def integrate(flow: Any, start: Any, *times: Any, **how: Any) -> Any:
    """A path of a flow."""
    return samdyn.integrate(flow, start, *times, **how)


def iterate(step_map: Any, start: Any, *steps: Any, **how: Any) -> Any:
    """A run of a step map."""
    return samdyn.iterate(step_map, start, *steps, **how)


def portrait(loss: Any, methods: Any, box: Any, **how: Any) -> Any:
    """Phase portraits side by side."""
    settings = {name: how.pop(name) for name in ("learning_rate", "momentum") if name in how}
    systems = [system(loss, method, dict(settings)) for method in methods]
    if "duration" in how:
        how["time"] = how.pop("duration")
    return samdyn.portrait(systems, box, **how)


def escape_times(dynamics: Any, start: Any, region: Any, **how: Any) -> Any:
    """First exits of many paths."""
    return samdyn.escape_times(dynamics, start, region, **how)


def theory(dynamics: Any, start: Any, region: Any) -> Any:
    """Exact and published mean exit times."""
    return samdyn.theory(dynamics, start, region)


def spread(
    loss: Any,
    at: Any,
    method: Any,
    learning_rate: Any,
    noise: Any,
    coupling: Any = None,
    momentum: Any = None,
    **how: Any,
) -> Any:
    """Displacement from a critical point."""
    step = samdyn.StochasticStepMap(loss, method, learning_rate, noise, coupling, momentum)
    return samdyn.spread(step, at, **how)


def diagnose(
    loss: Any,
    params: Any,
    batches: Any,
    method: Any,
    learning_rate: Any,
    momentum: Any = 0.0,
    **how: Any,
) -> Any:
    """Does a saddle hold this training run?"""
    step = samdyn.StepMap(loss, method, learning_rate, momentum)
    return samdyn.diagnose(step, params, batches, **how)


def study(data: Any, methods: Any = ("gd", "sam"), *axes: Any, **how: Any) -> Any:
    """A grid of training runs."""
    names = ("rho", "momentum", "batch_size", "learning_rate", "lr_rule")
    how |= dict(zip(names, axes, strict=False))
    return samdyn.study(methods, data, **how)
