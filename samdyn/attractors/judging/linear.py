"""The linear part at a fixed point: its eigenvalues, and where they lie for sure."""

from collections.abc import Callable

import numpy as np

from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import AbstractMap, StepOnState
from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from ..finding.point import FixedPoint
from .enclosed import Discs, discs, jacobian_bounds, signs
from .spectrum import ordered_eigenvalues


def flow_eigenvalues(flow: AbstractODE, w: np.ndarray) -> np.ndarray:
    """Of the flow's Jacobian at w (d,): (d,) complex, by ascending real part."""
    return ordered_eigenvalues(OnPoints(flow.velocity, w.size).with_jacobians(w[None])[1][0])


def flow_discs(flow: AbstractODE, point: FixedPoint) -> Discs | None:
    """Where they lie for sure; None where that isn't known."""
    return None if point.enclosure is None else _discs(flow.velocity, point.enclosure)


def descent_signs(flow: AbstractODE, point: FixedPoint) -> np.ndarray | None:
    """The signs (d,) of gradient descent's rates, those of −H, which are certain in any units."""
    descends = isinstance(flow, Flow) and flow.method.ascent == "none"
    if point.enclosure is None or not descends:
        return None
    bounds = jacobian_bounds(flow.critical(), *point.enclosure.T)
    known = None if bounds is None else signs(*bounds)
    return None if known is None else -known


def multipliers(step_map: AbstractMap, w: np.ndarray) -> np.ndarray:
    """Of the step in its full state at rest at w (d,): (n,) complex, by ascending real part."""
    step = StepOnState(step_map, w.size)
    state = step.rest(w[None])[0]
    return ordered_eigenvalues(OnPoints(step, state.size).with_jacobians(state[None])[1][0])


def step_discs(step_map: AbstractMap, point: FixedPoint) -> Discs | None:
    """Where they lie for sure; None where that isn't known."""
    if point.enclosure is None:
        return None
    return _discs(StepOnState(step_map, point.w.size), resting_state(step_map, point))


def resting_state(step_map: AbstractMap, point: FixedPoint) -> np.ndarray:
    """The enclosure (n, 2) of the state at rest at an enclosed point."""
    step = StepOnState(step_map, point.w.size)
    state = np.repeat(step.rest(point.w[None])[0][:, None], 2, axis=1)
    state[: point.w.size] = point.enclosure
    return state


def _discs(function: Callable, enclosure: np.ndarray) -> Discs | None:
    bounds = jacobian_bounds(function, *enclosure.T)
    found = None if bounds is None else discs(*bounds)
    return found if found is not None and np.all(np.isfinite(found.radii)) else None
