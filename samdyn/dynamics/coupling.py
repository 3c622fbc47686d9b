"""How minibatch noise enters the two gradients of a perturbed step.

A step of SAM takes a gradient to find w^p, and another one at w^p. Whether both see the same
minibatch decides the noise and the mean of the step, more than the covariance itself does:

    same-batch    one minibatch for both gradients: what practice runs
    fresh         noise in the outer gradient only
    independent   two minibatches
    paper         the gradient of l(w^p(w)) with the Jacobian of w^p, noise at w^p (2301.06308)

`step_direction` is the random descent direction of the optimizer, exactly; `drift` and
`disperse` are its mean and its noise to the order that a diffusion of weak order 1 needs when
ρ = O(√η).
"""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..errors import InvalidInput
from . import tree
from .methods.method import GD, SAM, AbstractMethod, PerturbedLossGradient
from .noise.noise import AbstractNoise


class AbstractCoupling(eqx.Module):
    """Where the noise of a minibatch enters. `name` is the word the command line uses.

    Additive noise is none of a coupling's business: it belongs to the SDE itself.
    """

    name: ClassVar[str]

    def draws(self, noise: AbstractNoise, w: PyTree) -> int:
        """How many standard normals one step needs."""
        return noise.draws(w)

    @abc.abstractmethod
    def step_direction(
        self,
        loss: Callable,
        method: AbstractMethod,
        noise: AbstractNoise,
        w: PyTree,
        z: Float[Array, " draws"],
    ) -> PyTree:
        """The random descent direction of one step of the optimizer."""

    @abc.abstractmethod
    def drift(
        self, loss: Callable, method: AbstractMethod, noise: AbstractNoise, w: PyTree
    ) -> PyTree:
        """The mean descent direction: minus the drift of the diffusion."""

    @abc.abstractmethod
    def disperse(
        self,
        loss: Callable,
        method: AbstractMethod,
        noise: AbstractNoise,
        w: PyTree,
        z: Float[Array, " draws"],
    ) -> PyTree:
        """The noise of the descent direction, linear in z."""


class _NoiseInBoth(AbstractCoupling):
    """Both gradients are noisy: z is split into what the outer and the inner gradient see."""

    @abc.abstractmethod
    def split(self, z: Array) -> tuple[Array, Array]:
        """(outer, inner) normals."""

    def step_direction(self, loss, method, noise, w, z):
        _refuse_own_direction(method, self)
        outer, inner = (_noisy_gradient(loss, noise, part) for part in self.split(z))
        return outer(method.perturb(inner, w))

    def drift(self, loss, method, noise, w):
        ascent, zero = _mean_ascent(loss, method, noise, w, self)
        return jax.grad(loss)(ascent(zero))

    def disperse(self, loss, method, noise, w, z):
        ascent, zero = _mean_ascent(loss, method, noise, w, self)
        outer, inner = self.split(z)
        gradient = lambda xi: jax.grad(loss)(ascent(xi))  # noqa: E731
        _, through_ascent = jax.jvp(gradient, (zero,), (noise.draw(loss, w, inner),))
        return _add(through_ascent, noise.draw(loss, ascent(zero), outer))


class SameBatch(_NoiseInBoth):
    """One minibatch for both gradients, as every training code does it.

    For a smooth perturbation the mean direction is that of l + (ρ/2)E‖g_B‖² (Compagnoni et al.,
    arXiv 2301.08203): minibatch noise is large where it is large again at w^p. For normalised
    SAM the noise also smooths the jump of g/‖g‖.
    """

    name = "same-batch"

    def split(self, z):
        return z, z

    def drift(self, loss, method, noise, w):
        mean = super().drift(loss, method, noise, w)
        if noise.isotropic or isinstance(method, GD):
            return mean
        ascent, zero = _mean_ascent(loss, method, noise, w, self)
        shift = lambda xi: jax.jvp(ascent, (zero,), (xi,))[1]  # noqa: E731
        return _add(mean, noise.response(loss, w, shift))


class Independent(_NoiseInBoth):
    """Two independent minibatches. The first half of z belongs to the outer gradient."""

    name = "independent"

    def draws(self, noise, w):
        return 2 * noise.draws(w)

    def split(self, z):
        return z[: z.size // 2], z[z.size // 2 :]


class _NoiseOutside(AbstractCoupling):
    """The ascent is exact; the noise is that of a minibatch at w^p."""

    @abc.abstractmethod
    def mean(self, method: AbstractMethod) -> AbstractMethod:
        """The perturbation whose direction the step has on average, exactly."""

    def step_direction(self, loss, method, noise, w, z):
        return _add(
            self.drift(loss, method, noise, w),
            self.disperse(loss, method, noise, w, z),
        )

    def drift(self, loss, method, noise, w):
        return self.mean(method).direction(loss, w)

    def disperse(self, loss, method, noise, w, z):
        return noise.draw(loss, method.perturb(jax.grad(loss), w), z)


class Fresh(_NoiseOutside):
    """w^p from the exact gradient, noise in the outer gradient only."""

    name = "fresh"

    def mean(self, method):
        return method


class Paper(_NoiseOutside):
    """The gradient of l(w^p(w)) including the Jacobian of w^p, which running code drops."""

    name = "paper"

    def mean(self, method):
        own = has_own_direction(method)
        return method if own else PerturbedLossGradient(method)


COUPLINGS = {c.name: c for c in (SameBatch(), Fresh(), Independent(), Paper())}


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _noisy_gradient(loss, noise, z) -> Callable:
    return lambda v: _add(jax.grad(loss)(v), noise.draw(loss, v, z))


def has_own_direction(method: AbstractMethod) -> bool:
    """Whether it descends something else than the gradient at w^p."""
    own = type(method).direction is not AbstractMethod.direction
    return own and not isinstance(method, GD)


def _refuse_own_direction(method, coupling) -> None:
    if has_own_direction(method):
        raise InvalidInput(
            f"{type(method).__name__} does not descend the gradient at w^p, so "
            f"{coupling.name} noise is not defined for it; use fresh or paper."
        )


def _mean_ascent(loss, method, noise, w, coupling) -> tuple[Callable, PyTree]:
    """(ξ ↦ the mean w^p when ξ is added to the gradient, ξ = 0).

    Smooth perturbations are taken at the mean gradient. Normalised SAM jumps there, and its
    mean over the noise of the minibatch is taken instead (its `eps` apart).
    """
    _refuse_own_direction(method, coupling)
    gradient, zero = jax.grad(loss), jax.tree.map(jnp.zeros_like, w)
    if not method.discontinuous:
        return lambda xi: method.perturb(lambda v: _add(gradient(v), xi), w), zero
    if not isinstance(method, SAM):
        raise InvalidInput(
            f"{type(method).__name__} with {coupling.name} noise has no diffusion here, "
            "because its mean over the noise is not known; use dynamics map."
        )
    _, g, unravel = tree.flatten(loss, gradient(w))
    mean_unit = _mean_unit_of(loss, noise, w, g.size)

    def ascent(xi):
        u = mean_unit(g + tree.flatten(loss, xi)[1])
        return tree.add_scaled(w, method.rho, unravel(u))

    return ascent, zero


def _mean_unit_of(loss, noise, w, dim: int) -> Callable:
    if noise.isotropic or dim == 1:
        variance = noise.trace(loss, w) / dim
        return lambda m: mean_unit_isotropic(m, variance)
    covariance = noise.covariance(loss, w)
    return lambda m: mean_unit(m, covariance)


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
