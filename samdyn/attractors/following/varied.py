"""A system whose one parameter is varied: what its flow and its step are at a value of it."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ...checks import told
from ...dynamics.parameters import path_of
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import AbstractMap, Displacement
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.optax_map import OptaxStepMap
from ...dynamics.systems.step_map import StepMap
from ...errors import InvalidInput
from ..finding.preimages import AbstractEquation

# What a parameter moves: the radius of the ascent and other numbers of the method move the
# hallucinated points, one of the loss moves all, one of the step alone none.
RADIUS, METHOD, LOSS, STEP = "radius", "method", "loss", "step"


class Varied(eqx.Module):
    """The flow whose points are followed, and the step that is judged beside it or None.

    `of` is "radius", "method", "loss" or "step": what the parameter `name` is one of. Of anyone's
    own map, which is `alone`, the flow is its displacement, and of no flow there is a verdict.
    """

    flow: AbstractODE
    step: AbstractMap | None
    name: str = eqx.field(static=True)
    of: str = eqx.field(static=True)
    alone: bool = eqx.field(static=True, default=False)

    def flow_at(self, value: Any) -> Any:
        """The flow with that value."""
        if self.alone:
            return Displacement(self.step_at(value))
        if self.of == RADIUS:
            return self.flow.at_radius(value)
        return self.flow if self.of == STEP else self.flow.at(**{self.name: value})

    def step_at(self, value: Any) -> Any:
        """The step with that value."""
        assert self.step is not None
        if self.of == RADIUS:
            return self.step.at_radius(value)
        return self.step.at(**{self.name: value})


def varied(system: Any, parameter: str) -> Varied:
    """`InvalidInput` for what is neither a flow nor a step, or has not that parameter."""
    if isinstance(system, StepMap) and system.flow is None:
        raise InvalidInput(
            f"sweep follows the fixed points of a flow, and {type(system.method).__name__} has "
            "none, since it remembers something: judge its step at each value by stability."
        )
    if isinstance(system, OptaxStepMap) or not isinstance(system, AbstractODE | AbstractMap):
        raise InvalidInput(f"sweep follows an ODE, Flow, Map or StepMap, not {told(system)}.")
    step = system if isinstance(system, AbstractMap) else None
    flow: Any = system if step is None else step.flow
    if isinstance(flow, Flow) and not flow.ascends and parameter.split(".")[-1] == "rho":
        return Varied(flow, step, parameter, RADIUS)  # gradient descent, whatever ρ
    kind = _kind(system, parameter)
    if step is not None and flow is None:
        return Varied(Displacement(step), step, parameter, LOSS, alone=True)
    return Varied(flow, step, parameter, kind)


def _kind(system: Any, parameter: str) -> str:
    if parameter not in system.parameters():
        path_of(system, parameter)  # says which parameters there are
    if not isinstance(system, Flow | StepMap):
        return LOSS
    if parameter == "momentum":
        return STEP
    path = path_of(system, parameter)
    if path[0] == "loss":
        return LOSS
    if path[0] == "method":
        return RADIUS if path[-1] == "rho" else METHOD
    return STEP


class GradientVanishes(AbstractEquation):
    """w ↦ the gradient of the loss with that value: its critical points."""

    varied: Varied

    def __call__(self, z: Float[Array, " n"], rho: Float[Array, ""]) -> Float[Array, " n"]:
        return jax.grad(self.varied.flow_at(rho).loss)(z)


class VelocityVanishes(AbstractEquation):
    """w ↦ the velocity with that value: every fixed point of the flow."""

    varied: Varied

    def __call__(self, z: Float[Array, " n"], rho: Float[Array, ""]) -> Float[Array, " n"]:
        return self.varied.flow_at(rho).velocity(z)
