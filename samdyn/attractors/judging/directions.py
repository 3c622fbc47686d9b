"""Along which direction of the plane a saddle attracts most."""

import numpy as np

from ...dynamics.systems.ode import AbstractODE
from ...programs.batch import OnPoints
from .verdict import Verdict

NEAR = 1e-6  # how near to a jump of the field the limit is taken, in units of w


def saddle_direction(flow: AbstractODE, verdict: Verdict, w: np.ndarray) -> np.ndarray | None:
    """Where a saddle of the flow, or of the step alone, attracts; None where that isn't known.

    `verdict` is the flow's at w (2,).
    """
    if verdict.verdict == "saddle":  # what grows along the flow grows with every step
        return attracting_direction(flow, w)
    if verdict.verdict == "attractor" and verdict.eigenvalues is not None:
        pairs = eigenpairs(flow, w)  # the step oversteps the fastest direction
        return pairs[-1][1] if pairs else None
    return None


def attracting_direction(flow: AbstractODE, w: np.ndarray) -> np.ndarray:
    """The unit vector (2,) along which a saddle attracts most.

    Where the field jumps there is no Jacobian; then it is the direction along which the
    distance falls fastest close by.
    """
    w = np.asarray(w, float)
    if flow.jumps and _is_critical(flow, w):
        return _direction_of_fastest_approach(flow, w)
    return eigenpairs(flow, w)[0][1]


def _is_critical(flow: AbstractODE, point: np.ndarray) -> bool:
    (value,), (slope,) = OnPoints(flow.critical(), point.size).with_jacobians(point[None])
    return bool(np.linalg.norm(value) <= 1e-6 * np.linalg.norm(slope))


def _direction_of_fastest_approach(flow: AbstractODE, point: np.ndarray) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    fan = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    velocity = OnPoints(flow.velocity, point.size).values(point + NEAR * fan)
    return fan[np.argmin(np.sum(fan * velocity, axis=1))]


def eigenpairs(flow: AbstractODE, w: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """(eigenvalue, unit eigenvector) of the flow's Jacobian at w (2,), ascending, if real."""
    values, vectors = np.linalg.eig(OnPoints(flow.velocity, w.size).with_jacobians(w[None])[1][0])
    if np.any(np.imag(values) != 0):
        return []
    order = np.argsort(np.real(values))
    return [(float(np.real(values[i])), np.real(vectors[:, i])) for i in order]
