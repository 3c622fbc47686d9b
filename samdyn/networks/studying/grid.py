"""The grid of a study: its axes, checked, and the cells that they make."""

import math
import numbers
import reprlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...errors import InvalidInput


class Cell(NamedTuple):
    """What the lanes of one compiled run share; the lanes are `rho` × `seeds`, seeds fastest."""

    index: int
    method: str
    batch_size: int
    momentum: float
    lr: float
    steps: int
    rho: tuple[float, ...]
    seeds: tuple[int, ...]
    make: Any = None  # the method at a radius

    @property
    def lanes(self) -> list[tuple[float, int]]:
        return [(rho, seed) for rho in self.rho for seed in self.seeds]

    @property
    def cost(self) -> float:
        """Roughly proportional to its time; a step costs about as much as 30 examples more."""
        gradients = 1 if self.method == "gd" else 2
        return float(gradients * len(self.lanes) * self.steps * (30 + self.batch_size))


def cells_of(contenders, grid, learning_rate, lr_rule, budget, examples) -> list[Cell]:
    """The cells of a checked grid, in the order of methods (`contenders`), batch sizes, momenta.

    `examples` is the size of the training set: an epoch has ⌊examples/batch size⌋ steps.
    """
    found = []
    for contender in contenders:
        for size in grid["batch_size"]:
            steps = budget["steps"] or budget["epochs"] * (examples // size)
            for gamma in grid["momentum"]:
                rate = learning_rate * (1 - gamma) if lr_rule == "effective" else learning_rate
                radii = contender.radii(grid["rho"])
                shared = (len(found), contender.name, size, gamma, rate, steps)
                found.append(Cell(*shared, radii, grid["seeds"], contender.make))
    return found


def budget_of(epochs: Any, steps: Any) -> dict[str, int | None]:
    """{"epochs", "steps"}, one of them None; `InvalidInput` for both or for less than one."""
    if epochs is not None and steps is not None:
        raise InvalidInput("the budget is a number of epochs or of steps: give one of them.")
    if steps is not None:
        return {"epochs": None, "steps": whole(steps, "number of steps")}
    return {"epochs": whole(50 if epochs is None else epochs, "number of epochs"), "steps": None}


def axis(name: str, values: Any, check: Callable) -> tuple:
    """The values of one axis, each once, in the order given."""
    return tuple(dict.fromkeys(check(value) for value in listed(name, values)))


def listed(name: str, values: Any) -> list[Any]:
    """One value or several as a list, of one or more."""
    try:
        values = [values] if isinstance(values, str | numbers.Number) else list(values)
    except TypeError:  # neither a value nor several: the check tells what is accepted
        values = [values]
    if not values:
        raise InvalidInput(f"a study needs one {name} or more.")
    return values


def radius(value: Any) -> float:
    """A finite number ≥ 0."""
    return number(value, lambda x: x >= 0, "rho must be a finite number ≥ 0")


def fraction(value: Any) -> float:
    """A momentum, in [0, 1)."""
    return number(value, lambda x: 0 <= x < 1, "momentum must lie in [0, 1)")


def rate(value: Any) -> float:
    """A finite number > 0."""
    return number(value, lambda x: x > 0, "the learning rate must be a finite number > 0")


def number(value: Any, accepts: Callable, told: str) -> float:
    """The value as a float; `InvalidInput`, told so, unless it is finite and accepted."""
    found = _float(value)
    if not (math.isfinite(found) and accepts(found)):
        raise InvalidInput(f"{told}, not {_told(value)}.")
    return found


def _float(value: Any) -> float:
    """The value, and nan for what is no number."""
    if isinstance(value, str | bytes | bytearray | bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _told(value: Any) -> str:
    """A value in a message: short, in one line, and text in quotes."""
    return f"{value:g}" if isinstance(value, float) else reprlib.repr(value).replace("\n", " ")


def whole(value: Any, name: str = "batch size") -> int:
    """A whole number ≥ 1."""
    found = _float(value)
    if not (math.isfinite(found) and found >= 1 and found == int(found)):
        raise InvalidInput(f"the {name} must be a whole number ≥ 1, not {_told(value)}.")
    return int(value)


def seed_of(value: Any) -> int:
    """A whole number that a random key takes."""
    whole_one = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole_one or not 0 <= value < 2**63:
        told = "a seed must be a whole number ≥ 0 and below 2^63"
        raise InvalidInput(f"{told}, not {_told(value)}.")
    return int(value)
