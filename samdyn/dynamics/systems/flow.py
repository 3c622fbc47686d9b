"""The flow dw/dt = −(descent direction at w) of a method on a loss."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from ...errors import InvalidInput
from ...losses.gradient import Gradient
from ..methods.method import AbstractMethod, require_method
from .ode import AbstractODE


class Flow(AbstractODE):
    """The vector field f(t, w, args) = −(descent direction) of a loss under a method: −g(w^p).

    `w` is any pytree that `loss` takes; the result has its structure. Time is learning rate
    times steps. Normalised SAM's field is discontinuous at critical points and is 0 exactly
    there. A method that remembers something has no flow.
    """

    loss: Callable
    method: AbstractMethod = eqx.field(converter=require_method)

    def __check_init__(self):
        if self.method.remembers:
            raise InvalidInput(
                f"{type(self.method).__name__} remembers something from step to step, which has no "
                "time of its own, so it has no flow: take its StepMap."
            )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if {"velocity", "__call__"} & set(vars(cls)):
            raise InvalidInput(
                f"{cls.__name__} has a field of its own, and that of a Flow follows from its loss "
                "and method: take an ODE(field), or derive from AbstractODE."
            )

    def velocity(self, w: PyTree) -> PyTree:
        direction = self.method.direction(jax.grad(self.loss), w)
        return jax.tree.map(lambda d: -d, direction)

    def perturbed(self, w: PyTree) -> PyTree:
        """w^p, the point where the gradient is taken."""
        return self.method.perturb(jax.grad(self.loss), w)

    @property
    def ascends(self):
        return self.method.ascent != "none"

    @property
    def jumps(self):
        return self.method.discontinuous

    def critical(self):
        return Gradient(self.loss)


def flow_of(step: Any) -> Flow | None:
    """The flow of the loss and the method of a step; None where that remembers something."""
    return None if step.method.remembers else Flow(step.loss, step.method)
