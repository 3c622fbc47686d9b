"""What exact integrals and published formulas say about one escape problem, where they apply."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...arguments import of_system
from ...compiling import jit_for_few_runs
from ...dynamics.check import check_motion
from ...dynamics.regions.borders import find_border
from ...dynamics.regions.regions import AbstractRegion, Slab, as_region
from ...dynamics.systems.diffusion import Diffusion
from ...dynamics.systems.sde import AbstractSDE
from ...dynamics.systems.system import AbstractSystem
from ...errors import ComputationFailed, InvalidInput
from ...precision import in_double
from .exit_time_1d import exit_time, saddle_exit_time
from .linear import rates
from .published import kramers, saddle_logarithm

AT_REST = 1e-6  # of the curvature: a gradient below it counts as zero
LOOKS = 33  # points along an axis and beside it
TINY = 1e-12
SELDOM = 0.01  # of paths: so few may leave at the other border for Kramers' formula to be of use
LEAST = 1024  # numbers that a function is evaluated at together


@of_system("Diffusion(loss, method, learning_rate, noise)")
@in_double
def theory(system: AbstractSystem, start: Any, region: AbstractRegion) -> dict[str, float]:
    """Mean exit times by name, of what applies to this problem; an empty dict if nothing does.

    `exact`: quadrature, in one dimension without momentum. `kramers`: one dimension, constant
    noise, gradient descent, from a minimum over a maximum within the region, where hardly any
    path leaves on the other side. `exact_linear`,
    `paper_linear`, `logarithm_linear`: from a critical point along an eigendirection that the
    region is a slab about, where out to its border drift and noise are those of a quadratic
    loss; the second has the rate
    λ(1+ρλ)² of Theorem 2 of arXiv 2301.06308, the third is the small-noise logarithm.

    `start` is an array (d,). `InvalidInput` for a system without noise.
    """
    check_motion(system, start)
    if not isinstance(system, AbstractSDE) or system.inertial or system.interpretation != "Itô":
        return {}
    start, region = np.asarray(start, np.float64), as_region(region)
    values = _one_dimension(system, start, region) if start.size == 1 else {}
    return values | _linear(system, start, region)


def _one_dimension(diffusion: AbstractSDE, start: np.ndarray, region) -> dict[str, float]:
    drift, coefficient = (_on_arrays(f, diffusion) for f in (_drift, _coefficient))
    left, right = (find_border(region, start[0], sign) for sign in (-1, 1))
    try:
        found = exit_time(drift, coefficient, start[0], left, right)
    except (InvalidInput, ComputationFailed):
        return {}
    values = {"exact": found.mean} if np.isfinite(found.mean) else {}
    return values | _kramers(diffusion, coefficient, start[0], left, right)


def _kramers(diffusion, coefficient, start: float, left: float, right: float) -> dict[str, float]:
    if not _is_gradient_descent(diffusion) or not diffusion.additive:
        return {}
    slope, bend, value = (_on_arrays(f, diffusion.loss) for f in (_slope, _bend, _value))
    if bend(start) <= 0 or abs(slope(start)) > AT_REST * bend(start):
        return {}
    ways = [(_top(slope, start, end), end) for end in (left, right)]
    tops = [top for top, _ in ways if top is not None]
    if len(tops) != 1:
        return {}
    barrier = float(value(tops[0]) - value(start))
    noise = float(coefficient(start)) ** 2 / 2
    over, other = (left, right) if ways[0][0] is not None else (right, left)
    if _share(value, start, other, over, noise) > SELDOM:
        return {}
    return {"kramers": float(kramers(bend(start), bend(tops[0]), barrier, noise))}


def _is_gradient_descent(diffusion: AbstractSDE) -> bool:
    return isinstance(diffusion, Diffusion) and diffusion.method.ascent == "none"


def _share(value, start: float, one: float, other: float, noise: float) -> float:
    """The share of paths that leave at `one` before `other`, in a potential with that noise."""
    if not np.isfinite(one):
        return 0.0
    x = np.linspace(one, other, 20_001)
    weights = value(x) / noise
    weights = np.exp(weights - np.max(weights))
    beyond = np.abs(x - one) >= abs(start - one)
    return float(np.sum(weights[beyond]) / np.sum(weights))


def _top(slope, start: float, end: float) -> float | None:
    """The first maximum between `start` and `end`, to three digits of the way."""
    if not np.isfinite(end):
        return None
    x = np.linspace(start, end, 2001)[1:-1]
    uphill = slope(x) * np.sign(end - start) > 0
    change = np.flatnonzero(uphill[:-1] & ~uphill[1:])
    return float((x[change[0]] + x[change[0] + 1]) / 2) if change.size else None


def _linear(diffusion: AbstractSDE, start: np.ndarray, region) -> dict[str, float]:
    if not isinstance(region, Slab) or _jumps(diffusion):
        return {}
    point, axis = jnp.asarray(start), region.axis
    drift, slopes = (np.asarray(v) for v in _drift_and_slopes(diffusion, point))
    scale = np.abs(slopes).max(initial=0)
    beside = np.abs(np.delete(slopes[axis], axis)).max(initial=0)
    if not scale > 0 or beside > AT_REST * scale or np.abs(drift).max() > AT_REST * scale:
        return {}
    centre = float(np.asarray(region.centre)[axis])
    if abs(centre - start[axis]) > 0:
        return {}
    width, rate = float(region.half_width), -float(slopes[axis, axis])
    spread = float(np.linalg.norm(np.asarray(diffusion.matrix(point))[axis]))
    if spread == 0 or not _is_linear(diffusion, point, axis, rate, width):
        return {}
    values = {"exact_linear": float(saddle_exit_time(-rate, spread, width))}
    if isinstance(diffusion, Diffusion) and diffusion.method.published_as is not None:
        curvature = float(np.asarray(jax.hessian(diffusion.loss)(point))[axis, axis])
        paper = float(rates("paper", curvature, float(diffusion.method.radius)).rate)
        values["paper_linear"] = float(saddle_exit_time(-paper, spread, width))
    if rate < 0:
        values["logarithm_linear"] = float(saddle_logarithm(-rate, spread, width))
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _is_linear(diffusion: AbstractSDE, point: Any, axis: int, rate: float, width: float) -> bool:
    """Whether along `axis` drift is −rate·x and noise constant, from border to border.

    Looked at on the axis and beside it, at as much as the half width: the region is that wide.
    """
    shares = np.linspace(-1, 1, LOOKS)
    beside = np.random.default_rng(0).uniform(-width, width, (LOOKS, point.size))
    beside[: LOOKS // 2] = 0
    shifts = np.concatenate([np.zeros_like(beside), beside])
    shifts[:, axis] = width * np.concatenate([shares, shares])
    drift, noise = (np.asarray(v)[..., axis] for v in _rows(diffusion, point, jnp.asarray(shifts)))
    here = np.asarray(diffusion.matrix(point))[axis]
    with np.errstate(invalid="ignore"):
        straight = np.abs(drift + rate * shifts[:, axis]) <= AT_REST * max(abs(rate) * width, TINY)
        even = np.abs(noise - here) <= AT_REST * np.linalg.norm(here)
    return bool(np.all(straight) and np.all(even))


@jit_for_few_runs
def _rows(diffusion: AbstractSDE, point, shifts):
    """Drift (k, d) and noise (k, draws, d) about a point."""
    at = point[None] + shifts
    return jax.vmap(diffusion.drift)(at), jnp.swapaxes(jax.vmap(diffusion.matrix)(at), 1, 2)


def _jumps(diffusion: AbstractSDE) -> bool:
    return isinstance(diffusion, Diffusion) and diffusion.method.discontinuous


@jit_for_few_runs
def _drift_and_slopes(diffusion: AbstractSDE, point):
    return diffusion.drift(point), jax.jacfwd(diffusion.drift)(point)


def _drift(diffusion: AbstractSDE, x):
    return diffusion.drift(x[None])[0]


def _coefficient(diffusion: AbstractSDE, x):
    return jnp.sqrt(jnp.sum(diffusion.matrix(x[None]) ** 2))


def _value(loss, x):
    return loss(x[None])


def _slope(loss, x):
    return jax.grad(loss)(x[None])[0]


def _bend(loss, x):
    return jax.hessian(loss)(x[None])[0, 0]


@jit_for_few_runs
def _each(function, of, x):
    return jax.vmap(lambda x: function(of, x))(x)


def _on_arrays(function, of):
    """`function(of, x)` of arrays of any shape, compiled for a few sizes only."""

    def on_arrays(x):
        x = np.asarray(x, np.float64)
        size = max(LEAST, 1 << (x.size - 1).bit_length())
        padded = np.concatenate([x.ravel(), np.repeat(x.ravel()[-1:], size - x.size)])
        return np.asarray(_each(function, of, jnp.asarray(padded)))[: x.size].reshape(x.shape)

    return on_arrays
