"""The mean of a unit vector that has noise: what normalised methods do on average.

E[x/‖x‖] for x ~ N(m, Σ), differentiable in m, also at m = 0 where x/‖x‖ jumps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import tree

NODES = 64


def mean_unit_isotropic(m: Float[Array, " d"], variance: Float[Array, ""]) -> Float[Array, " d"]:
    """E[x/‖x‖] for x ~ N(m, variance·I); m/‖m‖ without noise, 0 at m = 0.

    erf in one dimension, Bessel functions in two, the integral of `mean_unit` beyond.
    """
    square = jnp.sum(m**2)
    noisy = variance > _negligible(m.dtype) * square
    v = jnp.where(noisy, variance, 1)
    if m.size == 1:
        smooth = jax.lax.erf(m / jnp.sqrt(2 * v))
    elif m.size == 2:
        x = square / (4 * v)
        bessel = jax.lax.bessel_i0e(x) + jax.lax.bessel_i1e(x)
        smooth = m * jnp.sqrt(jnp.pi / (8 * v)) * bessel
    else:
        shrink = lambda m, v, s: (m / (1 + s * v), m.size * jnp.log1p(s * v))  # noqa: E731
        smooth = _integral(m, v, v * m.size, shrink)
    return jnp.where(noisy, smooth, tree.unit(m))


def mean_unit(m: Float[Array, " d"], covariance: Float[Array, "d d"]) -> Float[Array, " d"]:
    """E[x/‖x‖] for x ~ N(m, Σ), d ≥ 2; m/‖m‖ without noise.

    From 1/‖x‖ = (2/√π) ∫₀^∞ exp(−t²‖x‖²) dt and Gaussian integration over x:

        E[x/‖x‖] = (2/√π) ∫₀^∞ A⁻¹m det(A)^−½ exp(−t² mᵀA⁻¹m) dt,   A = I + 2t²Σ.
    """
    spread = jnp.trace(covariance)
    noisy = spread > _negligible(m.dtype) * jnp.sum(m**2)
    identity = jnp.eye(m.size, dtype=m.dtype)
    covariance = jnp.where(noisy, covariance, identity)
    shrink = _shrink_2x2 if m.size == 2 else _shrink
    smooth = _integral(m, covariance, jnp.where(noisy, spread, m.size), shrink)
    return jnp.where(noisy, smooth, tree.unit(m))


def _negligible(dtype) -> float:
    """Variance over ‖m‖² at which the noise is lost to rounding."""
    return float(jnp.finfo(dtype).eps) ** 2


def _integral(m, covariance, spread, shrink) -> Float[Array, " d"]:
    """The integral over t by the trapezoidal rule in y, 2t² = sinh²(y)/a, a = ‖m‖² + tr Σ.

    The integrand is even and analytic in y, so the rule converges exponentially. It is cut
    where exp(−½ sinh²(y)‖m‖²/(1 + sinh²(y) tr Σ)) is below rounding, or at sinh y = 10⁶ (300 in
    float32), where the other factors are small. `shrink(m, Σ, s)` returns (A⁻¹m, log det A) for
    A = I + sΣ.
    """
    a = jax.lax.stop_gradient(jnp.sum(m**2) + spread)
    m, covariance, spread = m / jnp.sqrt(a), covariance / a, jax.lax.stop_gradient(spread) / a
    furthest = max(1e-12, 100 * float(jnp.finfo(m.dtype).eps))
    margin = jnp.maximum(1 - 77 * spread, 76 * furthest)  # ‖m‖² − 76 tr Σ
    step = jnp.arcsinh(jnp.sqrt(76 / margin)) / NODES
    y = step * jnp.arange(NODES + 1).astype(m.dtype)
    s = jnp.sinh(y) ** 2
    x, log_determinant = jax.vmap(shrink, (None, None, 0))(m, covariance, s)
    exponent = -0.5 * (log_determinant + s * jnp.sum(x * m[None, :], axis=1))
    ends = jnp.where(jnp.arange(NODES + 1) == 0, 0.5, 1.0).astype(m.dtype)
    weights = jnp.sqrt(2 / jnp.pi).astype(m.dtype) * step * ends * jnp.cosh(y) * jnp.exp(exponent)
    return jnp.sum(weights[:, None] * x, axis=0)


def _shrink_2x2(m, covariance, s):
    a, b, c = 1 + s * covariance[0, 0], s * covariance[0, 1], 1 + s * covariance[1, 1]
    determinant = 1 + s * (covariance[0, 0] + covariance[1, 1]) + s**2 * _det_2x2(covariance)
    x = jnp.stack([c * m[0] - b * m[1], a * m[1] - b * m[0]]) / determinant
    return x, jnp.log(determinant)


def _det_2x2(matrix):
    return jnp.maximum(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] ** 2, 0)


def _shrink(m, covariance, s):
    lower = jnp.linalg.cholesky(jnp.eye(m.size, dtype=m.dtype) + s * covariance)
    x = jax.scipy.linalg.cho_solve((lower, True), m)
    return x, 2 * jnp.sum(jnp.log(jnp.diagonal(lower)))
