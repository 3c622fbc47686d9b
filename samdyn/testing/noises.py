"""Noise: has what is drawn the covariance, the trace and the response that are told?"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..dynamics.noise.noise import AbstractNoise, require_noise
from ..dynamics.tree import as_dtype
from .asking import (
    as_pytree,
    attempt,
    curved,
    points_in,
    require,
    require_compiled,
    require_like,
    same,
)


def check_noise(noise: Any, loss: Callable | None = None, at: Any = None) -> None:
    """`InvalidInput`, one sentence, unless a noise is what `AbstractNoise` asks.

    It is asked with `loss` at `at` and near it, by default with a loss of any pytree, at arrays
    (4,) and at a pytree. As ξ is linear in z, its covariance is compared exactly, from one draw
    for every z.
    """
    require_noise(noise)
    with jax.enable_x64(True):
        name = type(noise).__name__
        if at is None:
            v = points_in(4, 1)[0]
            starts = [v, as_pytree(v)]
        else:
            starts = [as_dtype(jax.tree.map(jnp.asarray, at), jnp.float64)]
        for w in starts:
            _drawn(noise, name, loss or curved, w)


def _drawn(noise: AbstractNoise, name: str, loss: Callable, w: Any) -> None:
    v, unravel = ravel_pytree(w)
    draws: Any = attempt(f"draws of {name}", noise.draws, w)
    whole = isinstance(draws, int) and draws >= 1
    require(whole, f"draws of {name} is a whole number ≥ 1, not {draws!r}.")
    z = points_in(draws, 2, 1)
    drawn = attempt(f"draw of {name}", noise.draw, loss, w, z[0])
    require_like(drawn, w, f"the noise that {name} draws")

    def at(v, z):
        return ravel_pytree(noise.draw(loss, unravel(v), z))[0]

    require(
        same(at(v, 2 * z[0] - 3 * z[1]), 2 * at(v, z[0]) - 3 * at(v, z[1])),
        f"the noise of {name} is not linear in z.",
    )
    require_compiled(
        lambda v: at(v, z[0]), v[None] + points_in(v.size, 2, 2) / 9, f"the draw of {name}"
    )
    points = [v, *(v[None] + points_in(v.size, 2, 3) / 3)]
    covariances = [_covariance(noise, name, loss, unravel, at, point) for point in points]
    _declared(noise, name, covariances)
    _response(noise, name, loss, unravel, at, v)


def _covariance(noise, name, loss, unravel, at, v) -> np.ndarray:
    w = unravel(v)
    columns = jax.vmap(lambda z: at(v, z))(jnp.eye(noise.draws(w), dtype=v.dtype))
    drawn = np.asarray(columns.T @ columns)
    told = np.asarray(attempt(f"covariance of {name}", noise.covariance, loss, w))
    shape = (v.size, v.size)
    require(
        told.shape == shape, f"covariance of {name} must have shape {shape}, it has {told.shape}."
    )
    require(same(told, drawn, 1e-7), f"covariance of {name} is not that of what it draws.")
    trace = lambda v: noise.trace(loss, unravel(v))  # noqa: E731
    value, slope = attempt(f"the derivative of trace of {name}", jax.value_and_grad(trace), v)
    require(same(value, np.trace(drawn), 1e-7), f"trace of {name} is not that of its covariance.")
    difference = (trace(v.at[0].add(1e-5)) - trace(v.at[0].add(-1e-5))) / 2e-5
    require(same(slope[0], difference, 1e-4), f"trace of {name} is not differentiable in w.")
    return drawn


def _declared(noise, name: str, covariances: list[np.ndarray]) -> None:
    for found in covariances:
        round_ = same(found, np.eye(len(found)) * np.trace(found) / len(found))
        require(
            round_ or not noise.isotropic,
            f"{name} declares isotropic, but its covariance is not a multiple of the identity.",
        )
        require(
            same(found, covariances[0]) or not noise.additive,
            f"{name} declares additive, but its covariance depends on w.",
        )


def _response(noise, name: str, loss, unravel, at, v) -> None:
    """E[Dξ·shift(ξ)], by one derivative for every z."""
    half = points_in(v.size, v.size, 4)
    for matrix in (0.1 * jnp.eye(v.size), (half + half.T) / 20):

        def along(z, matrix=matrix):
            shifted = jnp.sum(matrix * at(v, z)[None, :], axis=1)
            return jax.jvp(lambda v: at(v, z), (v,), (shifted,))[1]

        rows = jax.vmap(along)(jnp.eye(noise.draws(unravel(v)), dtype=v.dtype))

        def shift(xi, matrix=matrix):
            return unravel(jnp.sum(matrix * ravel_pytree(xi)[0][None, :], axis=1))

        told = attempt(f"response of {name}", noise.response, loss, unravel(v), shift)
        require_like(told, unravel(v), f"response of {name}")
        require(
            same(told, jnp.sum(rows, axis=0), 1e-7),
            f"response of {name} is not the mean of its noise at a point that it has shifted.",
        )
