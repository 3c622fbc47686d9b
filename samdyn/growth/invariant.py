"""The sets a perturbation of which is followed: fixed points, and the lines they may lie on.

A point is one of the mean step. Where it is not fixed by the step on every batch, runs are about it
only in the mean.
"""

from typing import NamedTuple

import numpy as np

from ..errors import InvalidInput
from .steps import AllSteps, Linearised

MOST = 50  # Newton's steps
STANDARD_ERRORS = 5.0  # of the mean displacement of draws that a fixed point may have
FIXED = 1e-8  # of how far the step moves what is a ρ, or a size, away: a step that moves nothing
STRIDE = 1e-3  # of the state's size: a step of Newton's that comes nearer to nothing
NULL = 1e-6  # of the largest: an eigenvalue of the displacement's Jacobian that may be 0
LENGTHS = (1e-1, 1e-2, 1e-3)  # of the point's size: how far lines of fixed points are followed
NOISE = 30.0  # roundings of the displacement that are none


class Resting(NamedTuple):
    """A fixed point of the mean step: its state (size,), the step there on each outcome, and the
    orthonormal directions `along` (size, k) in which fixed points lie next to it."""

    state: np.ndarray
    there: Linearised
    along: np.ndarray
    unsure: bool  # whether there are directions of which that could not be told


def displacement(steps: AllSteps, there: Linearised, state: np.ndarray) -> np.ndarray:
    """How far the mean step moves a state (size,)."""
    return steps.outcomes.weights @ (there.after - state)


def mean_jacobian(steps: AllSteps, there: Linearised) -> np.ndarray:
    """The Jacobian (size, size) of the mean step."""
    return np.einsum("n,nij->ij", steps.outcomes.weights, there.jacobians)


def resting_near(steps: AllSteps, w: np.ndarray) -> Resting:
    """The fixed point of the mean step that Newton reaches from w (dim,).

    Where outcomes were drawn, w itself. `InvalidInput` where there is none, or no Jacobian.
    """
    state = steps.rest(w)
    there = _defined(steps, state)
    if steps.outcomes.sampled:
        _require_rest_in_mean(steps, there, state)
        return Resting(state, there, np.zeros((steps.size, 0)), False)
    state, there = _newton(steps, state, there, w)
    along, unsure = _tangent(steps, state, there)
    return Resting(state, there, along, unsure)


def transverse(resting: Resting) -> np.ndarray:
    """The Jacobians (n, k, k) on what is orthogonal to the fixed points next to this one."""
    jacobians, along = resting.there.jacobians, resting.along
    if not along.size:
        return jacobians
    rest = np.linalg.svd(along, full_matrices=True)[0][:, along.shape[1] :]
    return rest.T @ jacobians @ rest


def _defined(steps: AllSteps, state: np.ndarray) -> Linearised:
    there = steps.at(state)
    if not (np.all(np.isfinite(there.after)) and np.all(np.isfinite(there.jacobians))):
        raise InvalidInput(
            f"the step has no finite value and Jacobian at {_point(state[: steps.dim])}."
        )
    return there


def _newton(
    steps: AllSteps, state: np.ndarray, there: Linearised, w: np.ndarray
) -> tuple[np.ndarray, Linearised]:
    """By least squares: on a line of fixed points the nearest one, about."""
    first, longest, before = state, None, np.zeros_like(state)
    for _ in range(MOST):
        gap = displacement(steps, there, state)
        slope = mean_jacobian(steps, there) - np.eye(steps.size)
        scale = np.linalg.norm(slope, axis=0)
        scale = np.where(scale > 0, scale, 1)
        change = np.linalg.lstsq(slope / scale, -gap, rcond=1e-10)[0] / scale
        size, moved = float(np.max(np.abs(state))), float(np.max(np.abs(change)))
        longest = moved if longest is None else longest
        # a gap that is rounding is none, unless Newton still strides towards infinity
        done = np.all(np.abs(gap) <= NOISE * rounding_of(steps, state, there))
        # at the end of its digits, where what is left of the gap is what they are worth
        stands = moved <= 1e-14 * size and np.all(
            np.abs(gap) <= 1e-8 * np.abs(slope) @ np.abs(state)
        )
        if stands or (done and moved <= STRIDE * (size + longest)):
            far = np.max(np.abs(before)) > STRIDE * (size + longest)
            if far and np.all(np.abs(slope @ before) <= NOISE * rounding_of(steps, state, there)):
                break  # it strode away until a stride changed nothing any more
            return state, there
        if moved <= 1e-14 * size:
            break
        before = change
        state = state + change
        there = steps.at(state)
        if not np.all(np.isfinite(there.jacobians)):
            break
    moves = displacement(steps, _defined(steps, first), first)[: steps.dim]
    raise InvalidInput(
        f"{_point(w)} is not a fixed point of the mean step, which moves it by "
        f"{np.linalg.norm(moves):.3g}, and Newton reaches none from there."
    )


def _require_rest_in_mean(steps: AllSteps, there: Linearised, state: np.ndarray) -> None:
    moves = there.after - state
    error = np.std(moves, axis=0) / np.sqrt(len(moves))
    mean = displacement(steps, there, state)
    if np.any(np.abs(mean) > STANDARD_ERRORS * error + NOISE * rounding_of(steps, state, there)):
        raise InvalidInput(
            f"{_point(state[: steps.dim])} is not a fixed point of the mean step, which moves it "
            f"by about {np.linalg.norm(mean[: steps.dim]):.3g}."
        )


def rounding_of(steps: AllSteps, state: np.ndarray, there: Linearised) -> np.ndarray:
    """How far (size,) displacements may be off, from what the last digits of the state change."""
    eps = np.finfo(float).eps
    size = np.abs(state) + np.abs(steps.outcomes.weights @ there.after)
    return eps * (size + np.abs(mean_jacobian(steps, there)) @ np.abs(state))


def _tangent(steps: AllSteps, state: np.ndarray, there: Linearised) -> tuple[np.ndarray, bool]:
    """Orthonormal directions (size, k) along which fixed points lie next to the state; whether of
    some that could not be told."""
    slope = mean_jacobian(steps, there) - np.eye(steps.size)
    _, sizes, rows = np.linalg.svd(slope)
    if not sizes[0] > 0:
        return np.zeros((steps.size, 0)), False
    candidates = rows[sizes <= NULL * sizes[0]].T
    told = [_continues(steps, state, t) for t in candidates.T]
    along = candidates[:, [answer is True for answer in told]]
    return along, any(answer is None for answer in told)


def _continues(steps: AllSteps, state: np.ndarray, t: np.ndarray) -> bool | None:
    """Whether fixed points lie next to the state, both ways along the unit vector t (size,)."""
    size = float(np.max(np.abs(state))) or 1.0
    for length in LENGTHS:
        both = [_followed(steps, state, t, s * length * size) for s in (1, -1)]
        if None not in both:
            return all(both)
    return None


def _followed(steps: AllSteps, state: np.ndarray, t: np.ndarray, length: float) -> bool | None:
    """Whether there is a fixed point that lies `length` along t; None where Newton gets lost."""
    v = state + length * t
    for _ in range(MOST):
        there = steps.at(v)
        if not np.all(np.isfinite(there.jacobians)):
            return None
        gap = displacement(steps, there, v)
        if np.all(np.abs(gap) <= NOISE * rounding_of(steps, v, there)):
            return True
        slope = mean_jacobian(steps, there) - np.eye(steps.size)
        whole = np.concatenate([slope, t[None] * np.linalg.norm(slope)])
        wanted = np.append(-gap, np.linalg.norm(slope) * (length - t @ (v - state)))
        change = np.linalg.lstsq(whole, wanted, rcond=None)[0]
        v = v + change
        if np.linalg.norm(v - state) > 10 * abs(length):
            return None
        if np.linalg.norm(change) <= 1e-13 * (np.linalg.norm(v) + abs(length)):
            break
    there = steps.at(v)
    gap = np.abs(displacement(steps, there, v))
    return bool(np.all(gap <= NOISE * rounding_of(steps, v, there)))


def _point(w: np.ndarray) -> str:
    some = ", ".join(f"{x:.6g}" for x in w[:6])
    return f"({some}{', …' if len(w) > 6 else ''})"
