"""Where in a parameter does the fate of a start change: from which ρ on is it captured?

Of an exponent in place of a start the same is asked in `growth/edge.py`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...arguments import of_system
from ...checks import require_flat, require_one_value, told
from ...dynamics.iterate import run_steps
from ...dynamics.parameters import path_of
from ...dynamics.systems.map import AbstractMap
from ...dynamics.systems.stochastic_map import AbstractStochasticMap
from ...dynamics.systems.system import AbstractSystem, loss_of
from ...errors import ComputationFailed, InvalidInput
from ...growth.edge import Edge, edge
from ...losses.check import check_loss
from ...precision import in_double
from ...results.provenance import recorded
from ...results.result import Result
from .moves import Noisy

SECTIONS = 33  # radii that run side by side in each round


class CaptureThreshold(Result, eqx.Module):
    """The values of `parameter` between which capture sets in, at `low` not captured, at `high`
    captured; or, where not `sets_in`, ends.

    `monotone` is False if the first round, over the whole range, saw capture come and go; then
    this is the first change only. `rounds` counts the rounds of simulation.
    """

    low: float
    high: float
    monotone: bool
    rounds: int
    parameter: str = "rho"
    sets_in: bool = True

    @property
    def value(self) -> float:
        """The middle of the bracket."""
        return (self.low + self.high) / 2

    @property
    def rho(self) -> float:
        """The same, of a radius."""
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn threshold --json`."""
        found: dict[str, Any] = {"parameter": self.parameter, "value": self.value}
        found["error"] = (self.high - self.low) / 2
        if not self.monotone:
            found["warnings"] = ["capture comes and goes between the ends; this is the first."]
        return found

    def __str__(self) -> str:
        name = "ρ" if self.parameter == "rho" else self.parameter
        word = "from" if self.sets_in else "up to"
        note = "" if self.monotone else " (capture comes and goes above it)"
        return f"captured {word} {name} = {self.value:.8g} ± {(self.high - self.low) / 2:.1g}{note}"


@of_system("StepMap(loss, method, learning_rate)")
@recorded
@in_double
@np.errstate(over="ignore", invalid="ignore")  # of runs that diverge, which are not captured
def threshold(
    system: AbstractSystem,
    parameter: str,
    between: tuple[float, float],
    *,
    start: Any = None,
    target: Any = None,
    steps: int | None = None,
    within: float = 0.05,
    rtol: float = 1e-6,
    at: Any = None,
    kind: str | float | None = None,
    batches: Any = None,
    weights: Any = None,
    draws: int = 16_384,
    seed: int = 0,
) -> CaptureThreshold | Edge:
    """Where the fate of a start, or the sign of an exponent, changes in a parameter.

    `parameter` is any that the system has: "rho", "learning_rate", "momentum", a float field of the
    loss; `between` (low, high).

    With `at` and `kind` an `Edge`: where the rate of `exponents(system, at=at, batches=batches)` of
    that kind, "mean", "mean-square", "almost-sure" or a power p of ‖δ‖, is 0.

    With `start`, `target` and `steps` a `CaptureThreshold`: the first value with which `start` ends
    at `target`, or no longer does; without a target, where it ends at the upper value, or at the
    lower one if it diverges there. `start` and `target` (d,). A run of `steps` steps of a
    `StepMap`, `OptaxStepMap` or `StochasticStepMap` (with one set of random numbers, from `seed`,
    for all values) is captured if it ends within `within` of `target`. The bracket narrows until it
    is shorter than `rtol` of its upper end; 33 values run at a time.

    `InvalidInput` for a flow, a parameter that it does not have or a range that is none;
    `ComputationFailed` if nothing changes between the ends.
    """
    low, high = _range(between, parameter)
    require_one_value(system)
    if parameter not in system.parameters():
        path_of(system, parameter)  # a longer name of one; else it says which there are
    if start is not None and not (at is None and kind is None):
        raise InvalidInput("at and kind are of an exponent, a start is of a run: give one of both.")
    if at is not None:
        asked = {"batches": batches, "weights": weights, "draws": draws, "seed": seed}
        kind = "mean" if kind is None else kind
        return edge(system, parameter, (low, high), at=at, kind=kind, **asked)
    missing = [name for name, x in (("start", start), ("steps", steps)) if x is None]
    if missing:
        raise InvalidInput(
            f"threshold needs at=… and kind=…, of an exponent, or start=… and steps=…, of a "
            f"run: {' and '.join(missing)} missing."
        )
    step_map, start = _steps_of(system, seed), jnp.asarray(require_flat(start))
    loss = loss_of(system)
    if loss is not None:
        check_loss(loss, start)
    ends = lambda values: _ends(  # noqa: E731
        step_map, parameter, jnp.asarray(values), start, jnp.asarray(steps)
    )
    if target is None:
        target = _last_end(ends, parameter, (low, high))
    target = jnp.asarray(require_flat(target, "a target"))
    if target.shape != start.shape:
        raise InvalidInput(f"target has shape {target.shape}, the start {start.shape}.")
    captured = lambda values: (  # noqa: E731
        np.linalg.norm(np.asarray(ends(values)) - np.asarray(target), axis=1) <= within
    )
    return _closed_in(captured, parameter, low, high, rtol)


def _closed_in(
    captured: Callable, parameter: str, low: float, high: float, rtol: float
) -> CaptureThreshold:
    """The first change of `captured`, of values (n,), to `rtol` of the upper end."""
    monotone, rounds, sets_in = True, 0, True
    while high - low > rtol * max(abs(high), abs(low)):
        values = np.linspace(low, high, SECTIONS)
        inside = captured(values)
        if np.all(inside == inside[0]):
            name = "radius" if parameter == "rho" else parameter
            word = f"at every {name}" if inside[0] else f"at no {name}"
            raise ComputationFailed(f"captured {word} of [{low:g}, {high:g}].")
        sets_in = not inside[0] if rounds == 0 else sets_in
        first = int(np.argmax(inside != inside[0]))
        monotone &= bool(np.all(inside[first:] == inside[first]))
        low, high, rounds = float(values[first - 1]), float(values[first]), rounds + 1
    return CaptureThreshold(low, high, monotone, rounds, parameter, bool(sets_in))


def _last_end(ends: Callable, parameter: str, between: tuple[float, float]) -> np.ndarray:
    """Where the start ends at the upper value, or at the lower one."""
    for value in between[::-1]:
        (end,) = np.asarray(ends([value]))
        if np.all(np.isfinite(end)):
            return end
    raise ComputationFailed(f"the start diverges at both ends of {parameter}.")


def _range(between: Any, parameter: str) -> tuple[float, float]:
    low, high = map(float, between)
    if not -np.inf < low < high < np.inf or (parameter == "rho" and low < 0):
        raise InvalidInput(
            f"{parameter} must range from low to high, "
            f"{'0 ≤ ' * (parameter == 'rho')}low < high, not {between}."
        )
    return low, high


def _steps_of(system: Any, seed: int) -> AbstractMap:
    if isinstance(system, AbstractStochasticMap):
        return Noisy(system, jax.random.PRNGKey(seed))
    if isinstance(system, AbstractMap):
        return system
    raise InvalidInput(f"threshold runs the steps of a map, not {told(system)}.")


@eqx.filter_jit
def _ends(step_map: AbstractMap, parameter: str, values, start, steps):
    none = jnp.zeros((0,), steps.dtype)
    run = lambda x: run_steps(step_map.at(**{parameter: x}), start, steps, none).w  # noqa: E731
    return jax.vmap(run)(values)
