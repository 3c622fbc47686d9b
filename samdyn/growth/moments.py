"""Minibatches that are known by moments of their Hessians, as those of Gaussian data are."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics.systems.map import StepOnState
from ..dynamics.systems.step_map import StepMap
from ..errors import InvalidInput
from .stationary import settled


class CurvatureMoments(eqx.Module):
    """The first two moments of a minibatch's Hessian H at a point, in place of a list of batches.

    `mean` (d, d) is E H, `second` (d, d, d, d) is E H_ij H_kl; `gradient_noise` (d, d) the
    covariance of a minibatch's gradient at the point, None where every batch's vanishes.
    """

    mean: np.ndarray
    second: np.ndarray
    gradient_noise: np.ndarray | None = None

    def __check_init__(self):
        d = len(np.atleast_1d(self.mean))
        shapes = np.shape(self.mean), np.shape(self.second)
        if shapes != ((d, d), (d, d, d, d)):
            raise InvalidInput(
                f"curvature moments are of shapes (d, d) and (d, d, d, d), not {shapes[0]} and "
                f"{shapes[1]}."
            )

    @classmethod
    def gaussian(cls, covariance: Any, batch_size: int, label_noise: float = 0.0):
        """Of least squares ½(x·w − y)² with x normal of `covariance` (d, d) and a batch's mean.

        By Isserlis' theorem. y scatters about its mean with the standard deviation `label_noise`.
        """
        s = np.asarray(covariance, float)
        crossed = np.einsum("ik,jl->ijkl", s, s) + np.einsum("il,jk->ijkl", s, s)
        second = np.einsum("ij,kl->ijkl", s, s) + crossed / batch_size
        return cls(s, second, label_noise**2 * s / batch_size if label_noise else None)


class _Bowl(eqx.Module):
    hessian: jax.Array

    def __call__(self, w):
        return w @ self.hessian @ w / 2


class _Slope(eqx.Module):
    gradient: jax.Array

    def __call__(self, w):
        return jnp.vdot(self.gradient, w)


def squared_growth(
    step: Any, d: int, moments: CurvatureMoments
) -> tuple[float, float, np.ndarray | None]:
    """(rate of the mean, of the mean square, covariance (d, d) of w in the end or None)."""
    if not isinstance(step, StepMap) or step.method.ascent != "none":
        raise InvalidInput(
            "curvature moments are for a StepMap of GD: the step of another method is not linear "
            "in the Hessian, and needs more than two moments."
        )
    if len(moments.mean) != d:
        raise InvalidInput(
            f"the moments are of {len(moments.mean)} coordinates, the point has {d}."
        )
    plain, slopes = _linear_in_hessian(step, d)
    mean = plain + np.einsum("nmij,ij->nm", slopes, moments.mean)
    varied = moments.second - np.einsum("ij,kl->ijkl", moments.mean, moments.mean)
    pairs = np.einsum("ij,kl->ijkl", mean, mean)
    pairs = pairs + np.einsum("abij,cdkl,ijkl->abcd", slopes, slopes, varied, optimize=True)
    k = len(mean)
    square = pairs.transpose(0, 2, 1, 3).reshape(k * k, k * k)
    rates = [float(np.log(np.max(np.abs(np.linalg.eigvals(m))))) for m in (mean, square)]
    covariance = None
    if moments.gradient_noise is not None and rates[1] < 0:
        push = slopes_of_gradient(step, d)
        noise = push @ np.asarray(moments.gradient_noise) @ push.T
        covariance = settled(pairs, noise)[:d, :d]
    return rates[0], rates[1] / 2, covariance


def _linear_in_hessian(step: StepMap, d: int) -> tuple[np.ndarray, np.ndarray]:
    """The step's Jacobian on a bowl as `plain` (n, n) + `slopes` (n, n, d, d) · H."""

    state = _at_rest(step, d)

    def jacobian(hessian: jax.Array) -> jax.Array:
        on = eqx.tree_at(lambda s: s.loss, step, _Bowl((hessian + hessian.T) / 2))
        return jax.jacfwd(StepOnState(on, d))(state)

    none = jnp.zeros((d, d))
    return np.asarray(jacobian(none)), np.asarray(jax.jacfwd(jacobian)(none))


def slopes_of_gradient(step: StepMap, d: int) -> np.ndarray:
    """How a gradient (d,) that is added at the point moves the state, (n, d)."""

    state = _at_rest(step, d)

    def after(pull: jax.Array) -> jax.Array:
        on = eqx.tree_at(lambda s: s.loss, step, _Slope(pull))
        return StepOnState(on, d)(state)

    return np.asarray(jax.jacfwd(after)(jnp.zeros(d)))


def _at_rest(step: StepMap, d: int) -> jax.Array:
    return jnp.asarray(StepOnState(step, d).rest(np.zeros((1, d)))[0])
