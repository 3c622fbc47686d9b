"""What an explorer shows: systems of the plane side by side, where, and how each is written down.

A scene is what the page, the server and the widget are made of. Its radius is a value of the
slider; learning rate and momentum are those that steps are taken with.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from .. import catalogue
from ..attractors.finding.point import as_box
from ..checks import require_numbers
from ..dynamics.methods.method import AbstractMethod
from ..dynamics.methods.names import named_method
from ..dynamics.momentum import HeavyBall, NoMomentum
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.step_map import StepMap
from ..dynamics.systems.system import loss_of
from ..errors import InvalidInput
from ..losses.formula import Formula
from ..losses.loss import Loss

RADII = 49  # values of the slider
SHARE = 0.02  # of the box: the radius to begin with where none was given
MOST = 6  # panels


class Scene(NamedTuple):
    """`flows` are compared on `box`, (2, 2), with `radii` (n,) on the slider, at the number `at`.

    `command` is what LOSS is on the command line and `python` an expression that gives it, None
    where there is none.
    """

    flows: tuple[AbstractODE, ...]
    box: np.ndarray
    name: str
    radii: np.ndarray
    at: int
    learning_rate: float
    momentum: float
    command: str | None = None
    python: str | None = None

    @property
    def loss(self) -> Any:
        """The loss of the first system; None where it has none."""
        return loss_of(self.flows[0])


def scene_of(
    systems: Any,
    box: Any = None,
    name: str | None = None,
    rho: float | None = None,
    command: str | None = None,
) -> Scene:
    """The scene of a system or several of one loss. `InvalidInput` where they are none.

    Systems are flows (`Flow`, `ODE`) or step maps without more memory than their momentum. The
    radius goes from 0 to four times `rho`, or the largest that a method has.
    """
    systems = list(systems) if isinstance(systems, Sequence) else [systems]
    if not 1 <= len(systems) <= MOST:
        raise InvalidInput(f"the explorer shows 1 to {MOST} systems, not {len(systems)}.")
    flows = tuple(_flow(system) for system in systems)
    loss = loss_of(flows[0])
    if any(loss_of(flow) is not loss for flow in flows):
        raise InvalidInput("the explorer compares systems of one loss.")
    box = plane_of(getattr(loss, "box", None) if box is None else box)
    rho = _radius(flows, box) if rho is None else rho
    require_numbers(rho, "rho of the explorer must be a finite number > 0", lambda x: x > 0)
    radii = np.linspace(0, 4 * rho, RADII)
    if command is None and isinstance(loss, Loss):
        command = loss.name
    rates = [_step_of(system) for system in systems if isinstance(system, StepMap)]
    if len(set(rates)) > 1:
        raise InvalidInput("the explorer has one learning rate and one momentum for all panels.")
    rate, momentum = rates[0] if rates else (0.0, 0.0)
    return Scene(
        *(flows, box, name or _name(flows[0]), radii, int(np.argmin(np.abs(radii - rho)))),
        *(rate, momentum, command, python_of_loss(loss, command)),
    )


def _flow(system: Any) -> AbstractODE:
    if isinstance(system, StepMap):
        return Flow(system.loss, system.method)  # says why where it remembers something
    if not isinstance(system, AbstractODE):
        raise InvalidInput(
            f"the explorer shows flows (Flow, ODE) and step maps of the plane, not "
            f"{type(system).__name__}."
        )
    return system


def plane_of(box: Any) -> np.ndarray:
    """A box (2, 2) of numbers. `InvalidInput` where it is none, or of other than two dimensions."""
    if box is None:
        raise InvalidInput(
            "box is missing: this has none of its own. Give [(low, high), (low, high)]."
        )
    box = np.asarray(as_box(box), float)
    if len(box) != 2:
        raise InvalidInput(f"the explorer shows a plane, and this has {len(box)} dimensions.")
    return box


def _radius(flows: Sequence[AbstractODE], box: np.ndarray) -> float:
    """The largest radius; a share of the box where all are 0 or there is none."""
    given = [float(flow.parameters()["rho"]) for flow in flows if "rho" in flow.parameters()]
    return max(given, default=0.0) or usual_radius(box)


def usual_radius(box: np.ndarray) -> float:
    """A radius to begin with, of one digit."""
    return float(f"{SHARE * float(np.max(box[:, 1] - box[:, 0])):.1g}")


def _step_of(step: StepMap) -> tuple[float, float]:
    if isinstance(step.momentum, NoMomentum):
        return float(step.learning_rate), 0.0
    if not isinstance(step.momentum, HeavyBall):
        raise InvalidInput(
            f"the explorer's steps have a heavy ball, not {type(step.momentum).__name__}."
        )
    return float(step.learning_rate), float(step.momentum.gamma)


def _name(flow: AbstractODE) -> str:
    loss = loss_of(flow)
    if isinstance(loss, Loss):
        return loss.name
    if isinstance(loss, Formula):
        return loss.text
    return getattr(loss, "__name__", None) or type(flow).__name__


def label(flow: AbstractODE) -> str:
    """What stands above a panel."""
    return type(flow.method).__name__ if isinstance(flow, Flow) else type(flow).__name__


def python_of_loss(loss: Any, command: str | None) -> str | None:
    """An expression that gives the loss."""
    if command is not None:
        return f"samdyn.get_loss({command!r})"
    if isinstance(loss, Loss):
        return f"samdyn.get_loss({loss.name!r})"
    return f"lambda w: {loss.python}" if isinstance(loss, Formula) else None


def python_of_method(flow: AbstractODE) -> str | None:
    """An expression that gives the method, with RHO where its radius stands; None where it has
    none, because it is not one of samdyn's own."""
    return _written(flow.method, "rho" in flow.parameters()) if isinstance(flow, Flow) else None


def command_of_method(flow: AbstractODE) -> str | None:
    """What --method calls the method; None where it is not one of those, or has other numbers."""
    if not isinstance(flow, Flow):
        return None
    rho = float(flow.parameters().get("rho", 0.0))
    for name in catalogue.METHODS:
        if "K" not in name and eqx.tree_equal(named_method(name, rho), flow.method):
            return name
    return None


def _written(value: Any, has_radius: bool) -> str | None:
    """A method, or something in its fields, as Python writes it; None where that is unknown."""
    import samdyn

    if eqx.is_array(value):
        return repr(np.asarray(value).tolist())
    if isinstance(value, int | float | str | bool | None):
        return repr(value)
    name = type(value).__name__
    if not isinstance(value, AbstractMethod) or getattr(samdyn, name, None) is not type(value):
        return None
    parts = {field: _written(getattr(value, field), has_radius) for field in _fields(value)}
    if has_radius and "rho" in parts:
        parts["rho"] = "RHO"
    if None in parts.values():
        return None
    return f"samdyn.{name}({', '.join(f'{field}={part}' for field, part in parts.items())})"


def _fields(method: AbstractMethod) -> list[str]:
    return [field.name for field in dataclasses.fields(method)]
