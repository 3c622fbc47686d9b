"""Does a kink of the loss attract? The field about it tells, at several distances."""

import numpy as np

from ...dynamics.systems.map import AbstractMap, StepOnState
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.step_map import StepMap
from ...programs.batch import OnPoints
from .sliding import unit_directions
from .verdict import Verdict

DISTANCES = (1e-4, 1e-5, 1e-6)  # of 1 + ‖w‖
STEPS, STARTS = 2000, 64
REACH = 4.0  # of the longest step beside the point: held runs stay within that


def kink_verdict(flow: AbstractODE, w: np.ndarray, critical_type: str | None = None) -> Verdict:
    """The flow's verdict at a kink w (d,): V = ½‖δ‖² falls, or grows, in every direction.

    Else descent itself, without an ascent, tells one thing more: where the loss falls from w, as at
    a "saddle" (its `critical_type`), it stays below, and never comes back.
    """
    inward = _inward(flow, w)
    count = inward.shape[1]
    if np.all(inward < 0):
        text = (
            f"a kink, sliding: ‖w − c‖ falls at {-np.max(inward):.6g} or faster in each of {count} "
            "directions, and reaches c in finite time"
        )
        return Verdict("attractor", text)
    if np.all(inward > 0):
        return Verdict("repeller", f"a kink: ‖w − c‖ grows in each of {count} directions")
    if critical_type == "saddle" and not flow.ascends:
        text = "a kink: the loss falls in some directions, and descent from there never returns"
        return Verdict("saddle", text)
    text = (
        f"a kink: ‖w − c‖ falls in {np.mean(inward < 0):.1%} of {count} directions and grows in "
        "the others, which does not decide what paths do"
    )
    return Verdict("unknown", text)


def _inward(flow: AbstractODE, w: np.ndarray) -> np.ndarray:
    """V'/‖δ‖ at each distance and in each direction, (distances, n)."""
    directions, field = unit_directions(np.eye(w.size)), OnPoints(flow.velocity, w.size)
    reach = np.array(DISTANCES) * (1 + np.linalg.norm(w))
    return np.stack([np.sum(directions * field.values(w + r * directions), axis=1) for r in reach])


def kink_step_verdict(step_map: AbstractMap, w: np.ndarray) -> Verdict:
    """The step's verdict at a kink w (d,): runs from about a step away are followed.

    A step never rests there: it is thrown across, by the learning rate times the jump.
    """
    dim, step = w.size, StepOnState(step_map, w.size)
    rest = np.tile(step.rest(w[None]), (STARTS, 1))
    directions = unit_directions(np.eye(dim))
    directions = directions[:: max(1, len(directions) // STARTS)][:STARTS]
    rest = rest[: len(directions)]
    state = rest.copy()
    state[:, :dim] = w + DISTANCES[0] * (1 + np.linalg.norm(w)) * directions
    go = OnPoints(step, rest.shape[1]).values
    longest = float(np.max(np.linalg.norm(go(state)[:, :dim] - state[:, :dim], axis=1)))
    state[:, :dim] = w + longest * directions
    far = np.zeros(len(state))
    for number in range(STEPS):
        state = go(state)
        if number >= STEPS // 2:
            far = np.fmax(far, np.linalg.norm(state[:, :dim] - w, axis=1))
    gain = step_map.momentum.gain() if isinstance(step_map, StepMap) else 1.0
    reach = REACH * longest * max(1.0, gain)
    held = np.all(np.isfinite(state), axis=1) & (far <= reach)
    text = (
        f"a kink: {np.sum(held)} of {len(held)} runs from a step of {longest:.4g} away stay within "
        f"{reach:.4g} for {STEPS} steps"
    )
    if np.all(held):
        return Verdict("attractor", text, orbit="chaotic", amplitude=float(np.max(far)))
    return Verdict("saddle" if np.any(held) else "repeller", text, orbit="escapes")
