"""Where stability changes along a branch: a rate crosses 0, a multiplier the unit circle."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...bisection import bisect_on_host
from ...compiling import jit_for_few_runs
from ...dynamics.systems.map import state_jacobian
from ...programs.newton import newton_from
from ..finding.preimages import AtRadius
from ..judging.spectrum import eigenvalues
from .branches import Stretch
from .varied import Varied

TURNS = 1e-6  # of a multiplier on the unit circle: an imaginary part that is none


class Crossing(NamedTuple):
    """At `value`, at the point `w` (d,): an eigenvalue of the flow ("crossing") or a pair ("hopf")
    crosses; or a multiplier of the step, −1 ("period-doubling") or a pair ("neimark-sacker"), whose
    `rotation` is its turn per step."""

    value: float
    w: np.ndarray
    type: str
    rotation: float | None = None


Place = Callable[[float], np.ndarray]  # of a branch, at a value


def at_rest(w: np.ndarray) -> Place:
    """That of a point that does not move."""
    return lambda value: np.asarray(w)


def on(stretch: Stretch) -> Place:
    """That of a stretch of a curve.

    Where another curve passes Newton is singular, and may end on that one or nowhere: then what
    continuation found is taken.
    """
    knots, dim = stretch.points, stretch.dim
    apart = float(np.max(np.linalg.norm(np.diff(knots[:, :dim], axis=0), axis=1), initial=0.0))

    def place(value: float) -> np.ndarray:
        guess = np.array([np.interp(value, knots[:, -1], column) for column in knots[:, :-1].T])
        found = np.asarray(_solve(stretch.equation, jnp.asarray(guess), jnp.asarray(value)))
        near = np.linalg.norm(found[:dim] - guess[:dim]) <= apart
        return found[:dim] if near else guess[:dim]

    return place


def flow_crossings(
    system: Varied, place: Place, grid: np.ndarray, values: np.ndarray
) -> list[Crossing]:
    """Of eigenvalues (n, d) of the flow, known over the grid."""
    real = -np.sort(-np.real(values), axis=1)
    found: list[Crossing] = []
    for low, high, k in _brackets(grid, real):
        rate = lambda x, k=k: _flow_rates(system, jnp.asarray(place(x)), jnp.asarray(x))[0][k]  # noqa: E731
        x = _sign_change(rate, low, high)
        if any(abs(x - other.value) <= 1e-12 * abs(x) for other in found):
            continue  # the other one of a pair
        w = place(x)
        turns = abs(float(_flow_rates(system, jnp.asarray(w), jnp.asarray(x))[1][k])) > 0
        found.append(Crossing(x, w, "hopf" if turns else "crossing"))
    return found


def step_crossings(
    system: Varied, place: Place, grid: np.ndarray, multipliers: np.ndarray
) -> list[Crossing]:
    """Of multipliers (n, m) of the step; those that pass 1 do where the flow's pass 0."""
    beyond = -np.sort(-np.abs(multipliers), axis=1) - 1
    found: list[Crossing] = []
    for low, high, k in _brackets(grid, beyond):
        z = lambda x, k=k: _multipliers(system, jnp.asarray(place(x)), jnp.asarray(x))[k]  # noqa: E731
        x = _sign_change(lambda x, z=z: abs(complex(z(x))) - 1, low, high)
        at = complex(z(x))
        turns = abs(at.imag) > TURNS
        if (at.real > 0 and not turns) or any(abs(x - o.value) <= 1e-10 * abs(x) for o in found):
            continue
        angle = abs(float(np.angle(at))) / (2 * np.pi)
        name = "neimark-sacker" if turns else "period-doubling"
        found.append(Crossing(x, place(x), name, angle if turns else None))
    return found


def _brackets(grid: np.ndarray, rates: np.ndarray) -> list[tuple[float, float, int]]:
    """(low, high, k) wherever the k-th rate has opposite signs at neighbouring values."""
    signs = np.sign(rates)
    n, k = np.nonzero(signs[:-1] * signs[1:] < 0)
    found = [(float(grid[i]), float(grid[i + 1]), int(j)) for i, j in zip(n, k, strict=True)]
    # a value of the grid that hits the crossing exactly
    hits = np.argwhere((signs[1:-1] == 0) & (signs[:-2] * signs[2:] < 0))
    found += [(float(grid[i]), float(grid[i + 2]), int(j)) for i, j in hits]
    return sorted(found)


def _sign_change(function: Callable[[float], float], low: float, high: float) -> float:
    """The value, to rounding, where function changes sign between low and high."""
    above = lambda x: float(function(x)) > 0  # noqa: E731
    first = above(low)
    return sum(bisect_on_host(lambda x: above(x) == first, low, high)) / 2


@jit_for_few_runs
def _flow_rates(system: Varied, w, value):
    """Real and imaginary parts of the flow's eigenvalues, real parts descending."""
    values = eigenvalues(jax.jacfwd(system.flow_at(value).velocity)(w))[::-1]
    return values.real, values.imag


@jit_for_few_runs
def _multipliers(system: Varied, w, value):
    """The step's multipliers, moduli descending."""
    found = eigenvalues(state_jacobian(system.step_at(value), w))
    return found[jnp.argsort(-jnp.abs(found), stable=True)]


@jit_for_few_runs
def _solve(equation, z, value):
    return newton_from(AtRadius(equation, value), z, jnp.asarray(jnp.inf, z.dtype), 12)
