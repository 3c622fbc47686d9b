"""Where stability changes along a branch: an eigenvalue's real part crosses zero."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...bisection import bisect_on_host
from ...compiling import jit_for_few_runs
from ...dynamics.systems.flow import Flow
from ..finding.newton import newton_from
from ..finding.preimages import AtRadius
from ..judging.spectrum import eigenvalues
from .branches import Stretch


class Crossing(NamedTuple):
    """At `rho`, at the point `w` (d,), an eigenvalue ("crossing") or a pair ("hopf") crosses."""

    rho: float
    w: np.ndarray
    type: str


def crossings_at_point(
    flow: Flow, w: np.ndarray, grid: np.ndarray, real_parts: np.ndarray
) -> list[Crossing]:
    """Crossings at a point that does not move; `real_parts` (n, d) descending over the grid."""
    return _crossings(flow, lambda rho: jnp.asarray(w), grid, real_parts)


def crossings_on(
    flow: Flow, stretch: Stretch, grid: np.ndarray, real_parts: np.ndarray
) -> list[Crossing]:
    """Crossings on a stretch of hallucinated points between the radii of `grid`."""
    knots = stretch.points

    def point(rho):
        guess = [np.interp(float(rho), knots[:, -1], column) for column in knots[:, :-1].T]
        return _solve(stretch.equation, jnp.asarray(guess), rho)[: stretch.dim]

    return _crossings(flow, point, grid, real_parts)


def _crossings(flow: Flow, point: Callable, grid, real_parts) -> list[Crossing]:
    found: list[Crossing] = []
    for low, high, k in _brackets(grid, real_parts):
        rho = _sign_change(lambda rho, k=k: _spectrum(flow, point(rho), rho)[0][k], low, high)
        if any(abs(rho - other.rho) <= 1e-12 * rho for other in found):
            continue  # the other one of a pair
        w = point(jnp.asarray(rho))
        turns = abs(float(_spectrum(flow, w, jnp.asarray(rho))[1][k])) > 0
        found.append(Crossing(rho, np.asarray(w), "hopf" if turns else "crossing"))
    return found


def _brackets(grid: np.ndarray, real_parts: np.ndarray) -> list[tuple[float, float, int]]:
    """(low, high, k) wherever the k-th real part has opposite signs at neighbouring radii."""
    signs = np.sign(real_parts)
    n, k = np.nonzero(signs[:-1] * signs[1:] < 0)
    found = [(float(grid[i]), float(grid[i + 1]), int(j)) for i, j in zip(n, k, strict=True)]
    # a grid point that hits the crossing exactly
    hits = np.argwhere(signs[1:-1] == 0)
    found += [(float(grid[i]), float(grid[i + 2]), int(j)) for i, j in hits]
    return sorted(found)


def _sign_change(function: Callable, low: float, high: float) -> float:
    """ρ to rounding, where function(ρ) changes sign between low and high."""
    above = lambda rho: float(function(jnp.asarray(rho))) > 0  # noqa: E731
    first = above(low)
    return sum(bisect_on_host(lambda rho: above(rho) == first, low, high)) / 2


@jit_for_few_runs
def _spectrum(flow: Flow, w, rho):
    """Real and imaginary parts of the flow's eigenvalues, real parts descending."""
    values = eigenvalues(jax.jacfwd(flow.at_radius(rho).velocity)(w))[::-1]
    return values.real, values.imag


@jit_for_few_runs
def _solve(equation, z, rho):
    return newton_from(AtRadius(equation, rho), z, jnp.asarray(jnp.inf, z.dtype), 12)
