"""A radius that is a schedule of the step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ...checks import require_function
from ...errors import InvalidInput
from ..parameters import has_parameter
from .method import AbstractMethod, AbstractMethodWithMemory, require_own_ascent


class Counted(NamedTuple):
    """What `base` remembers, and the number of steps begun."""

    memory: PyTree
    count: jax.Array


class ScheduledRadius(AbstractMethodWithMemory):
    """`base` with the radius `schedule(t)` at step t, which counts from 0 (an optax schedule).

    Its step is another one later: it has no flow, and verdicts follow runs from their first step.
    """

    base: AbstractMethod
    schedule: Callable[[Any], Any]

    def __init__(self, base: AbstractMethod, schedule: Callable[[Any], Any]):
        self.base = require_own_ascent(base, "a schedule of the radius")
        self.schedule = require_function(schedule, "schedule(step)")
        if not has_parameter(base, "rho"):
            raise InvalidInput(f"{type(base).__name__} has no radius for a schedule to set.")

    def init(self, w):
        return Counted(self.base.init(w), jnp.zeros((), jnp.result_type(float)))

    def _now(self, count: Any) -> AbstractMethod:
        return self.base.at_radius(self.schedule(count))

    def ascend(self, memory, gradient, w):
        ahead, kept = self._now(memory.count).ascend(memory.memory, gradient, w)
        return ahead, Counted(kept, memory.count)

    def descend(self, gradient, w, ahead):
        return self.base.descend(gradient, w, ahead)

    def conclude(self, memory, gradient, w, direction):
        now = self._now(memory.count)
        direction, kept = now.conclude(memory.memory, gradient, w, direction)
        return direction, Counted(kept, memory.count + 1)

    @property
    def discontinuous(self):
        return self.base.discontinuous

    @property
    def counts(self):
        return True

    @property
    def linear(self):
        return self.base.linear

    @property
    def radius(self):
        return None

    @property
    def kin(self):
        return self.base.kin

    @property
    def label(self):
        return f"{type(self.base).__name__}, ρ by schedule"
