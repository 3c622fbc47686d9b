"""Second moments of a noisy step whose noise depends on w, exactly for the linearised step.

About the start y₀ of the state y, a step with normals z is δ⁺ = b(z) + M(z) δ: the derivative M
depends on z where the noise depends on w. With the mean μ = E δ and P = E δδᵀ

    P⁺ = E[M P Mᵀ] + E[M μ bᵀ] + E[b μᵀ Mᵀ] + E[b bᵀ],   μ⁺ = E[M] μ + E[b].

This is linear in (P, μ, 1). The expectations are a cubature of degree 5 (Stroud & Secrest 1963),
which is exact: for GD and USAM b and M are of degree 2 in z at most (one minibatch enters both
gradients), and so their products of degree 4.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree

from ...compiling import jit_for_few_runs
from ...dynamics.systems.diffusion import Diffusion
from ...dynamics.systems.stochastic_map import StochasticStepMap

MOST_DRAWS = 48  # normals of a step: the cubature has 2·draws² + 1 points
MOST_STATE = 24  # numbers in the state: the moments are about their square
CONSTANT = 1e-12  # of the step's derivative: less does not depend on the noise


def affordable(step_map: StochasticStepMap, at: jax.Array) -> bool:
    """Whether the moments are few enough to be computed."""
    size = ravel_pytree(step_map.init(at))[0].size
    return step_map.draws(at) <= MOST_DRAWS and size <= MOST_STATE


def noise_depends_on_w(step_map: StochasticStepMap, at: jax.Array) -> bool:
    """Whether the derivative of a step by w depends on the normals."""
    z = np.random.default_rng(0).normal(size=(4, step_map.draws(at)))
    slopes = np.asarray(_direction_slopes(step_map, at, jnp.asarray(np.vstack([0 * z[:1], z]))))
    return bool(np.max(np.abs(slopes - slopes[:1])) > CONSTANT * np.max(np.abs(slopes)))


def step_moments(step_map: StochasticStepMap, at: jax.Array, steps: int) -> np.ndarray:
    """E δδᵀ (d, d) of the parameters after `steps` steps from the point, momentum 0."""
    nodes, weights = cubature(step_map.draws(at))
    kicks, slopes = map(np.asarray, _step_parts(step_map, at, jnp.asarray(nodes)))
    n = kicks.shape[1]
    whole = np.zeros((n * n + n + 1,) * 2)
    mean, lean = np.einsum("k,kij->ij", weights, slopes), weights @ kicks
    both = np.einsum("k,kia,kjb->ijab", weights, slopes, slopes).reshape(n * n, n * n)
    cross = np.einsum("k,kia,kj->ija", weights, slopes, kicks)
    whole[: n * n, : n * n] = both
    whole[: n * n, n * n : -1] = (cross + cross.swapaxes(0, 1)).reshape(n * n, n)
    whole[: n * n, -1] = np.einsum("k,ki,kj->ij", weights, kicks, kicks).ravel()
    whole[n * n : -1, n * n : -1], whole[n * n : -1, -1], whole[-1, -1] = mean, lean, 1
    with np.errstate(over="ignore", invalid="ignore"):
        column = np.linalg.matrix_power(whole, steps)[: n * n, -1]
    return column.reshape(n, n)[: at.size, : at.size]


def sde_moments(step_map: StochasticStepMap, at: jax.Array, time: float) -> np.ndarray:
    """E δδᵀ (d, d) of the parameters at `time`, of the linearised diffusion of the same step."""
    diffusion = Diffusion(
        step_map.loss,
        step_map.method,
        step_map.learning_rate,
        step_map.noise,
        step_map.coupling,
        step_map.momentum,
    )
    lean, pull, kicks, slopes = map(np.asarray, _diffusion_parts(diffusion, at))
    n, identity = lean.size, np.eye(lean.size)
    whole = np.zeros((n * n + n + 1,) * 2)
    both = np.einsum("ia,jb->ijab", pull, identity) + np.einsum("ia,jb->ijab", identity, pull)
    both += np.einsum("ika,jkb->ijab", slopes, slopes)
    cross = np.einsum("ia,j->ija", identity, lean) + np.einsum("ika,jk->ija", slopes, kicks)
    whole[: n * n, : n * n] = both.reshape(n * n, n * n)
    whole[: n * n, n * n : -1] = (cross + cross.swapaxes(0, 1)).reshape(n * n, n)
    whole[: n * n, -1] = (kicks @ kicks.T).ravel()
    whole[n * n : -1, n * n : -1], whole[n * n : -1, -1] = pull, lean
    with np.errstate(over="ignore", invalid="ignore"):
        column = scipy.linalg.expm(whole * time)[: n * n, -1]
    return column.reshape(n, n)[: at.size, : at.size]


def cubature(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (2n² + 1, n) and weights of degree 5 for n standard normals, n ≥ 1."""
    if n == 1:  # Gauss–Hermite
        return np.array([[0.0], [3**0.5], [-(3**0.5)]]), np.array([2 / 3, 1 / 6, 1 / 6])
    axis, nodes = np.eye(n), [np.zeros((1, n))]
    nodes += [sign * (n + 2) ** 0.5 * axis for sign in (1, -1)]
    first, second = np.triu_indices(n, 1)
    for one in (1, -1):
        for other in (1, -1):
            nodes.append(((n + 2) / 2) ** 0.5 * (one * axis[first] + other * axis[second]))
    weights = [2 / (n + 2), (4 - n) / (2 * (n + 2) ** 2), 1 / (n + 2) ** 2]
    return np.vstack(nodes), np.repeat(weights, [1, 2 * n, 2 * n * (n - 1)])


@jit_for_few_runs
def _direction_slopes(step_map, at, normals):
    """Derivatives (k, d, d) of the descent direction by w, for each row of `normals`."""
    return jax.vmap(jax.jacfwd(lambda w, z: step_map.direction(step_map.init(w), z)[0]), (None, 0))(
        at, normals
    )


@jit_for_few_runs
def _step_parts(step_map, at, normals):
    """(kicks (k, n), derivatives (k, n, n)) of a step from the start, for rows of `normals`."""
    flat, unravel = ravel_pytree(step_map.init(at))

    def advance(y, z):
        return ravel_pytree(step_map.step(unravel(y), z))[0]

    one = lambda z: (advance(flat, z) - flat, jax.jacfwd(advance)(flat, z))  # noqa: E731
    return jax.vmap(one)(normals)


@jit_for_few_runs
def _diffusion_parts(diffusion, at):
    """Drift (n,), its derivative (n, n), noise columns (n, draws), theirs (n, draws, n)."""
    flat, unravel = ravel_pytree(diffusion.init(at))
    drift = lambda y: ravel_pytree(diffusion.drift(unravel(y)))[0]  # noqa: E731
    columns = lambda y: diffusion.matrix(unravel(y))  # noqa: E731
    return drift(flat), jax.jacfwd(drift)(flat), columns(flat), jax.jacfwd(columns)(flat)
