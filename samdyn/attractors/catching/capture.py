"""From which ρ on does a fixed point capture the trajectory that starts at a given point?"""

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
from ...losses.check import check_loss
from ...precision import in_double
from ...results.provenance import recorded
from ...results.result import Result
from .moves import Noisy

SECTIONS = 33  # radii that run side by side in each round


class CaptureThreshold(Result, eqx.Module):
    """The radii between which capture sets in: not captured at `low`, captured at `high`.

    `monotone` is False if the first round, over the whole range, saw capture come and go; then
    this is the first onset only. `rounds` counts the rounds of simulation.
    """

    low: float
    high: float
    monotone: bool
    rounds: int

    @property
    def rho(self) -> float:
        """The middle of the bracket."""
        return (self.low + self.high) / 2

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        bracket = {"rho": self.rho, "low": self.low, "high": self.high}
        return bracket | {"monotone": self.monotone, "rounds": self.rounds}

    def __str__(self) -> str:
        note = "" if self.monotone else " (capture comes and goes above it)"
        return f"captured from ρ = {self.rho:.8g} ± {(self.high - self.low) / 2:.1g}{note}"


@of_system("StepMap(loss, method, learning_rate)")
@recorded
@in_double
@np.errstate(over="ignore", invalid="ignore")  # of runs that diverge, which are not captured
def threshold(
    system: AbstractSystem,
    parameter: str,
    between: tuple[float, float],
    *,
    start: Any,
    target: Any,
    steps: int,
    within: float = 0.05,
    rtol: float = 1e-6,
    seed: int = 0,
) -> CaptureThreshold:
    """The smallest value of "rho" `between` (low, high) with which `start` ends at `target`.

    `start` and `target` (d,). A run of `steps` steps of a `StepMap`, `OptaxStepMap` or
    `StochasticStepMap` (with one set of random numbers, from `seed`, for all values) is captured if
    it ends within `within` of `target`. The bracket narrows until it is shorter than `rtol` of its
    upper end; 33 values run at a time.

    `InvalidInput` for a flow, another parameter or a range that is none; `ComputationFailed` if the
    ends do not straddle an onset.
    """
    low, high = _range(between)
    require_one_value(system)
    step_map = _steps_of(system, seed)
    if path_of(system, parameter)[-1] != "rho":
        raise InvalidInput(f"threshold varies rho, not {parameter}.")
    start, target = jnp.asarray(require_flat(start)), jnp.asarray(require_flat(target, "a target"))
    loss = loss_of(system)
    if loss is not None:
        check_loss(loss, start)
    if target.shape != start.shape:
        raise InvalidInput(f"target has shape {target.shape}, the start {start.shape}.")
    monotone, rounds = True, 0
    while high - low > rtol * high:
        radii = np.linspace(low, high, SECTIONS)
        ends = _ends(step_map, jnp.asarray(radii), start, jnp.asarray(steps))
        captured = np.linalg.norm(np.asarray(ends) - np.asarray(target), axis=1) <= within
        if captured[0] or not np.any(captured):
            word = "already at the lowest" if captured[0] else "at no"
            raise ComputationFailed(f"captured {word} radius of [{low:g}, {high:g}].")
        first = int(np.argmax(captured))
        monotone &= bool(np.all(captured[first:]))
        low, high, rounds = float(radii[first - 1]), float(radii[first]), rounds + 1
    return CaptureThreshold(low, high, monotone, rounds)


def _range(between: Any) -> tuple[float, float]:
    low, high = map(float, between)
    if not 0 <= low < high < np.inf:
        raise InvalidInput(f"rho must range from low to high, 0 ≤ low < high, not {between}.")
    return low, high


def _steps_of(system: Any, seed: int) -> AbstractMap:
    if isinstance(system, AbstractStochasticMap):
        return Noisy(system, jax.random.PRNGKey(seed))
    if isinstance(system, AbstractMap):
        return system
    raise InvalidInput(f"threshold runs the steps of a map, not {told(system)}.")


@eqx.filter_jit
def _ends(step_map: AbstractMap, radii, start, steps):
    none = jnp.zeros((0,), steps.dtype)
    return jax.vmap(lambda rho: run_steps(step_map.at(rho=rho), start, steps, none).w)(radii)
