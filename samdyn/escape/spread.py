"""How far does noise carry the optimizer from a critical point? Simulated, exact, and published.

`spread` runs many paths of the noisy step map from the point and squares their displacement
along each eigenvector of the Hessian there. Beside it stand the variances of the linearised
step and of its SDE (`linear.py`), and those that arXiv 2301.06308 states (`published.py`).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array

from ..arguments import of_system
from ..checks import require_flat, require_kind, require_one_value
from ..compiling import jit_for_few_runs
from ..dynamics import resolution
from ..dynamics.methods.method import AbstractMethod
from ..dynamics.systems.stochastic_map import StochasticStepMap
from ..dynamics.tree import as_dtype
from ..errors import ComputationFailed, InvalidInput
from ..losses.dimension import check_indices
from ..results.provenance import recorded
from .engine.stepping.generator import normal_pair, path_key, random_words, seed_words
from .exact.contradiction import CHANCE
from .exact.linear import map_variance, sde_variance
from .exact.moments import affordable, noise_depends_on_w, sde_moments, step_moments
from .exact.published import kim_theorem_2, kim_theorem_3
from .spread_result import Exact, Published, Spread
from .statistics import Z95

LANES = 4096  # paths that run side by side: memory does not grow with their number
CRITICAL = 1e-6  # gradient over the largest curvature: a critical point is no farther away
CARRIED = 1e-3  # of a variance: more by the gradient at the point, and it is not noise's alone
NOISELESS = 1e-24  # of the largest variance: rounding where there is no noise
HEAVY = 30  # kurtosis, 3 for a normal law: beyond it fourth powers tell little themselves
DIAGONAL = 1e-8  # of the largest rate: less does not couple two eigendirections
ENOUGH = 100  # paths from which on their fourth powers are trusted
MANY = 2e7  # path-steps: below, compiling for a second device costs more than it saves


@of_system("StochasticStepMap(loss, method, learning_rate, noise)")
@recorded
def spread(
    system: StochasticStepMap,
    at: Any,
    *,
    time: float | int,
    paths: int = 200_000,
    seed: int = 0,
    dtype: Any = jnp.float64,
) -> Spread:
    """Mean squared displacement from the critical point `at` (d,) after round(time/η) steps.

    `system` is a `StochasticStepMap` with heavy-ball momentum or none. Every path starts at the
    point with momentum 0 and takes its steps, with the true gradient of the loss and the noise of
    the place where it is. The exact values are those of the step linearised at the point, the
    change of its noise with w included (`moments.py`). The published formulas are given the
    variance of the noise at the point; for `Fisher` that is |λ|/B, as they are printed. The numbers
    depend on the system, `seed` and `dtype`, not on the number of devices.

    `InvalidInput` where `dtype` can't resolve the noise of a step about the point, or where the
    gradient left at the point moves w by a share of that which the noise does.
    """
    require_kind(system, StochasticStepMap, "a StochasticStepMap")
    if system.momentum.heavy_ball is None:
        raise InvalidInput(
            f"spread knows heavy-ball momentum or none, not {type(system.momentum).__name__}."
        )
    require_one_value(system)
    with jax.enable_x64(True):
        at = jnp.asarray(require_flat(at, "the point"), jnp.float64)
        check_indices(system.loss, at)
        eigenvalues, vectors = _critical_point(system.loss, at)
        step_map = as_dtype(system, jnp.float64)
        steps = _steps(time, step_map)
        _require_resolution(step_map, at, dtype)
        exact, paper = _theory(step_map, at, eigenvalues, vectors, steps)
        simulated = as_dtype(step_map, dtype), at.astype(dtype), vectors
        variance, fourth, finite = _simulate(*simulated, steps, paths, seed)
    ci95, interval = _intervals(variance, fourth, finite)
    taken = float(step_map.learning_rate) * steps
    return Spread(
        *(np.asarray(at), eigenvalues, vectors, taken, steps, paths, paths - finite),
        *(variance, ci95, interval, exact, paper),
        _warnings(variance, ci95, fourth, exact.map),
    )


def _warnings(variance, ci95, fourth, linear: np.ndarray | None) -> tuple[str, ...]:
    """Where the interval may be too short, and where the linearised step is another one."""
    told, moves = [], variance > NOISELESS * np.max(variance)
    kurtosis = fourth / np.where(moves, variance, 1) ** 2
    heavy = moves & (kurtosis > HEAVY)
    if np.any(heavy):
        told.append(
            f"along {np.sum(heavy)} of {heavy.size} eigendirections a few paths make most of the "
            f"variance (kurtosis {np.max(kurtosis[heavy]):.3g}, 3 for a normal law): there the "
            "interval is likely to be too short."
        )
    if linear is None:
        return tuple(told)
    wider = scipy.stats.norm.isf(CHANCE / 2 / variance.size) / Z95
    low, high = (variance + wider * (end - variance) for end in ci95.T)
    apart = moves & ~heavy & ((linear < low) | (linear > high))
    if np.any(apart):
        i = int(np.argmax(apart * np.abs(linear - variance) / np.where(moves, variance, 1)))
        told.append(
            f"along {np.sum(apart)} of {apart.size} eigendirections the step linearised at the "
            f"point spreads otherwise, {linear[i]:.6g} where {variance[i]:.6g} is simulated: paths "
            "go as far as the loss is not quadratic, and the exact values are not theirs."
        )
    return tuple(told)


def _critical_point(loss: Callable, at: Array) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvalues (d,) ascending, eigenvectors as columns) of the Hessian where g = 0."""
    if at.ndim != 1:
        raise InvalidInput(f"the point must be an array of shape (d,), not {at.shape}.")
    gradient, hessian = map(np.asarray, _gradient_and_hessian(loss, at))
    if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))):
        raise ComputationFailed("the loss has no finite gradient and Hessian at the point.")
    values, vectors = np.linalg.eigh(hessian)
    slope = float(np.linalg.norm(gradient))
    if slope > CRITICAL * np.max(np.abs(values)):
        where = ", ".join(f"{x:.9g}" for x in np.asarray(at))
        raise InvalidInput(
            f"({where}) is no critical point, its gradient has length {slope:.3g}; "
            "`samdyn stability` finds the critical points in all digits."
        )
    return values, vectors


def _steps(time: float | int, step_map: StochasticStepMap) -> int:
    """How many steps are nearest to `time`, at least one."""
    eta = float(step_map.learning_rate)
    steps = round(time / eta)
    if not 1 <= steps < 2**31:
        raise InvalidInput(f"the time {time:g} must be 1 … 2^31 − 1 steps of {eta:g}.")
    return steps


def _require_resolution(step_map: StochasticStepMap, at: Array, dtype: Any) -> None:
    z = jnp.asarray(np.random.default_rng(0).normal(size=(16, step_map.draws(at))))
    first = float(step_map.learning_rate) * np.asarray(_directions(step_map, at, z))
    length, name = np.sqrt(np.mean(first**2, axis=0)), np.dtype(dtype).name
    if name != "float64" and resolution.spacings(length, at, name) < resolution.SPACINGS:
        raise InvalidInput(f"{resolution.too_short(length, at, name)} Take float64 (--dtype).")
    resolution.dtype_for(length, at, "float64")


def _theory(
    step_map: StochasticStepMap, at: Array, eigenvalues: np.ndarray, vectors: np.ndarray, steps: int
) -> tuple[Exact, Published]:
    eta, method = float(step_map.learning_rate), step_map.method
    gamma = float(step_map.momentum.heavy_ball)
    factor = np.asarray(_noise_columns(step_map, at))
    nu = np.sum((vectors.T @ factor) ** 2, axis=1) / (eta if step_map.noise.additive else 1)
    paper = _published(method, eigenvalues, nu, eta, steps, gamma)
    if method.discontinuous and not _is_zero(method.radius):
        why = f"{type(method).__name__} jumps at a critical point: it has no linear theory."
        return Exact(None, None, why), paper
    if noise_depends_on_w(step_map, at):
        return _by_moments(step_map, at, vectors, steps), paper
    rate, noise, pull = _linearised(step_map, at, vectors)
    if rate is None or noise is None:
        why = "the step is not linear and diagonal in the Hessian's eigenvectors at the point."
        return Exact(None, None, why), paper
    sde = sde_variance(rate, noise, eta, eta * steps, gamma)
    values = map_variance(rate, noise, eta, steps, gamma)
    _require_rest(at, values, _carried(rate, pull, eta, steps, gamma))
    return Exact(sde, values, None), paper


def _is_zero(radius: Any) -> bool:
    return radius is not None and float(radius) == 0


def _carried(
    rate: np.ndarray, pull: np.ndarray, eta: float, steps: int, gamma: float
) -> np.ndarray:
    """How far (d,) the linearised step moves w without noise, where it descends `pull` (d,)."""
    move = np.zeros((len(rate), 3, 3))  # of (w, m, 1)
    move[:, 1, :] = np.stack([rate, np.full_like(rate, gamma), pull], axis=1)
    move[:, 0, :] = [1, 0, 0] - eta * move[:, 1, :]
    move[:, 2, 2] = 1
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.linalg.matrix_power(move, steps)[:, 0, 2]


def _require_rest(at: Array, variance: np.ndarray, carried: np.ndarray) -> None:
    """Refuse a point so far beside a critical one that its own gradient competes with the noise."""
    with np.errstate(over="ignore", invalid="ignore"):
        noisy = np.isfinite(variance) & (variance > NOISELESS * np.max(variance))
        too_far = noisy & (carried**2 > CARRIED * variance)
    if np.any(too_far):
        i = int(np.argmax(np.where(too_far, carried**2, 0)))
        where = ", ".join(f"{x:.9g}" for x in np.asarray(at))
        raise InvalidInput(
            f"({where}) is not near enough to a critical point for noise as small as this: in this "
            f"time its gradient alone carries w by {abs(carried[i]):.3g}, the noise by "
            f"{np.sqrt(variance[i]):.3g}; `samdyn stability` finds the critical points in all "
            "digits."
        )


def _by_moments(step_map: StochasticStepMap, at: Array, vectors: np.ndarray, steps: int) -> Exact:
    """For noise that changes with w; in the eigenvectors of the Hessian, coupled or not."""
    if not affordable(step_map, at):
        why = "the noise depends on w, and the step has too many numbers for exact moments."
        return Exact(None, None, why)
    along = lambda p: np.einsum("ia,ij,ja->a", vectors, p, vectors)  # noqa: E731
    map_values = along(step_moments(step_map, at, steps))
    sde_values = along(sde_moments(step_map, at, float(step_map.learning_rate) * steps))
    if not (np.all(np.isfinite(map_values)) and np.all(np.isfinite(sde_values))):
        return Exact(None, None, "the second moments of the linearised step overflow.")
    return Exact(sde_values, map_values, None)


def _linearised(
    step_map: StochasticStepMap, at: Array, vectors: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """(rate, noise variance, mean at the point) of the descent along each eigenvector, all (d,)."""
    by_w, by_z, here = map(np.asarray, _direction_parts(step_map, at))
    pull = vectors.T @ here
    rates = vectors.T @ by_w @ vectors
    noise = np.sum((vectors.T @ by_z) ** 2, axis=1)
    rate = np.diagonal(rates)
    coupled = np.max(np.abs(rates - np.diag(rate)))
    if not (np.all(np.isfinite(noise)) and coupled <= DIAGONAL * np.max(np.abs(rate))):
        return None, None, pull
    return rate, noise, pull


def _published(
    method: AbstractMethod,
    eigenvalues: np.ndarray,
    nu: np.ndarray,
    eta: float,
    steps: int,
    gamma: float,
) -> Published:
    """The formulas of arXiv 2301.06308, with ν (d,) in the place of |λ|/B."""
    base = method.published_as
    if base is None:
        why = f"the theorems are about gradient descent and USAM, not {type(method).__name__}."
        return Published(None, None, why)
    curvature = np.where(eigenvalues == 0, 1e-200, eigenvalues)  # they divide by it
    with np.errstate(divide="ignore"):
        batch = np.abs(curvature) / nu
    settings = curvature, float(base.radius), eta * steps, eta, batch
    theorem3 = np.asarray(kim_theorem_3(*settings, gamma)) if gamma > 0 else None
    return Published(np.asarray(kim_theorem_2(*settings)), theorem3, None)


def _simulate(
    step_map: StochasticStepMap, at: Array, vectors: np.ndarray, steps: int, paths: int, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean squares (d,), mean fourth powers (d,), and how many paths stayed finite."""
    words, basis = jnp.asarray(seed_words(seed)), jnp.asarray(vectors)
    devices = jax.local_devices()[: None if paths * steps > MANY else 1]
    total, finite = np.zeros((2, at.size)), 0
    for group in range(0, paths, LANES * len(devices)):
        running = [
            _run(step_map, at, basis, words, *jax.device_put((np.uint32(first), paths, steps), d))
            for first, d in zip(range(group, paths, LANES), devices, strict=False)
        ]
        for sums, count in running:
            total, finite = total + np.asarray(sums), finite + int(count)
    if finite == 0:
        raise ComputationFailed(f"all {paths} paths diverged within {steps} steps.")
    return total[0] / finite, total[1] / finite, finite


@eqx.filter_jit
def _run(step_map, at, basis, seed, first, paths, steps):
    """(Σx², Σx⁴) (2, d) over `LANES` paths from number `first` on, and how many are finite."""
    index = first + jnp.arange(LANES, dtype=jnp.uint32)
    key, draws = path_key(seed, index), step_map.draws(at)

    def advance(n, states):
        pairs = -(-draws // 2)
        counters = n.astype(jnp.uint32) * np.uint32(pairs) + np.arange(pairs, dtype=np.uint32)
        normals = [normal_pair(random_words(key, counters[i]), at.dtype) for i in range(pairs)]
        z = jnp.stack([z for pair in normals for z in pair], axis=1)[:, :draws]
        return jax.vmap(step_map.step)(states, z)

    states = jax.tree.map(lambda x: jnp.broadcast_to(x, (LANES, *x.shape)), step_map.init(at))
    moved = (jax.lax.fori_loop(0, steps, advance, states).w - at[None, :]).astype(basis.dtype)
    square = jnp.stack([jnp.sum(moved * basis[None, :, i], axis=1) for i in range(at.size)]) ** 2
    finite = (index < paths) & jnp.all(jnp.isfinite(square**2), axis=0)
    kept = jnp.where(finite[None, :], square, 0)
    return jnp.stack([jnp.sum(kept, axis=1), jnp.sum(kept**2, axis=1)]), jnp.sum(finite)


@jit_for_few_runs
def _gradient_and_hessian(loss, at):
    return jax.grad(loss)(at), jax.hessian(loss)(at)


@jit_for_few_runs
def _directions(step_map, at, normals):
    """The descent direction (k, d) for each row of `normals`."""
    return jax.vmap(lambda z: step_map.direction(step_map.init(at), z)[0])(normals)


@jit_for_few_runs
def _direction_parts(step_map, at):
    """Derivatives (d, d) by w and (d, draws) by the normals of the direction, and it (d,)."""
    zero = jnp.zeros(step_map.draws(at))
    descent = lambda w, z: (step_map.direction(step_map.init(w), z)[0],) * 2  # noqa: E731
    (by_w, by_z), here = jax.jacfwd(descent, (0, 1), has_aux=True)(at, zero)
    return by_w, by_z, here


@jit_for_few_runs
def _noise_columns(step_map, at):
    """The noise's factor (d, draws) at the point."""
    identity = jnp.eye(step_map.noise.draws(at))
    return jax.vmap(lambda z: step_map.noise.draw(step_map.loss, at, z), 0, 1)(identity)


def _intervals(square: np.ndarray, fourth: np.ndarray, n: int) -> tuple[np.ndarray, str]:
    """95 % intervals (d, 2) for mean squares (d,) of n paths, and how they were made.

    Squares of a normal law: chi-square with n degrees of freedom. Any law, if n is large: the
    degrees of freedom that give the mean its variance as measured (Satterthwaite 1946), which
    is n for a normal law and tends to mean ± 1.96 standard errors.
    """
    freedom, how = np.full(square.shape, float(n)), "chi-square, for a normal law"
    if n >= ENOUGH:
        how = "chi-square, degrees of freedom from fourth powers (any law)"
        scatter = np.maximum(fourth - square**2, 1e-12 * square**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(scatter > 0, 2 * n * square**2 / scatter, n)
    ends = [scipy.stats.chi2.ppf(q, freedom) for q in (0.975, 0.025)]
    return np.stack([freedom * square / end for end in ends], axis=1), how
