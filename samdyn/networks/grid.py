"""The grid of a study: its axes, checked, and the cells that they make."""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..dynamics.methods import perturbation
from ..errors import InvalidInput


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

    @property
    def lanes(self) -> list[tuple[float, int]]:
        return [(rho, seed) for rho in self.rho for seed in self.seeds]

    @property
    def cost(self) -> float:
        """Roughly proportional to its time; a step costs about as much as 30 examples more."""
        gradients = 1 if self.method == "gd" else 2
        return float(gradients * len(self.lanes) * self.steps * (30 + self.batch_size))


def cells_of(grid, learning_rate, lr_rule, budget, examples) -> list[Cell]:
    found = []
    for method in grid["methods"]:
        for size in grid["batch_size"]:
            steps = budget["steps"] or budget["epochs"] * (examples // size)
            for gamma in grid["momentum"]:
                rate = learning_rate * (1 - gamma) if lr_rule == "effective" else learning_rate
                radii = (0.0,) if method == "gd" else grid["rho"]
                found.append(
                    Cell(len(found), method, size, gamma, rate, steps, radii, grid["seeds"])
                )
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
    values = [values] if isinstance(values, str | numbers.Number) else list(values)
    if not values:
        raise InvalidInput(f"a study needs one {name} or more.")
    return tuple(dict.fromkeys(check(value) for value in values))


def method(name: str) -> str:
    """The name, if a method has it."""
    perturbation(name, 0.0)
    return name


def radius(value: Any) -> float:
    """A finite number ≥ 0."""
    return _number(value, lambda x: x >= 0, "rho must be a finite number ≥ 0")


def fraction(value: Any) -> float:
    """A momentum, in [0, 1)."""
    return _number(value, lambda x: 0 <= x < 1, "momentum must lie in [0, 1)")


def rate(value: Any) -> float:
    """A finite number > 0."""
    return _number(value, lambda x: x > 0, "the learning rate must be a finite number > 0")


def _number(value: Any, accepts: Callable, told: str) -> float:
    if not (math.isfinite(value) and accepts(value)):
        raise InvalidInput(f"{told}, not {value:g}.")
    return float(value)


def whole(value: Any, name: str = "batch size") -> int:
    """A whole number ≥ 1."""
    if isinstance(value, bool) or not (math.isfinite(value) and value >= 1 and value == int(value)):
        raise InvalidInput(f"the {name} must be a whole number ≥ 1, not {value}.")
    return int(value)


def seed_of(value: Any) -> int:
    """A whole number ≥ 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise InvalidInput(f"a seed must be a whole number ≥ 0, not {value}.")
    return int(value)
