"""Gradient noise: what one minibatch gradient adds to the gradient of the loss.

A model says how its noise is drawn, ξ = L(w) z with standard normals z, and what its covariance
Σ(w) = L Lᵀ is. The batch size is part of both. How ξ enters the two gradients of a perturbed
step is the coupling's business (`coupling.py`).
"""

import abc
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...checks import require_kind, require_numbers
from ...errors import InvalidInput
from .. import tree


def _scale(s: Any) -> Any:
    if np.ndim(s) > 1:
        raise InvalidInput(
            f"the size of noise is one number, not a matrix of shape {np.shape(s)}: of a matrix "
            "make an SDE(drift, dispersion), or a noise of your own (AbstractNoise)."
        )
    return tree.as_array(require_numbers(s, "noise must be a finite number >= 0", lambda x: x >= 0))


def _batch_size(size: Any) -> Any:
    if isinstance(size, jax.core.Tracer):
        return size
    values = np.asarray(size)
    numeric = np.issubdtype(values.dtype, np.number)
    if not numeric or not np.all(np.isfinite(values) & (values >= 1) & (values % 1 == 0)):
        raise InvalidInput(f"the batch size must be an integer >= 1, like 32, not {size}.")
    return tree.as_array(size)


class AbstractNoise(eqx.Module):
    """The noise of one minibatch gradient at w, for w any pytree with d numbers in it.

    `isotropic` models have Σ = (trace/d) I wherever w is. `additive` is True for a coefficient
    of the SDE itself, which no coupling touches. A draw is linear in z, and `covariance`, `trace`
    and `response` follow from it; they are said apart because they are asked for often.
    `samdyn.testing.check_noise` compares them.
    """

    additive: ClassVar[bool] = False
    isotropic: ClassVar[bool] = False

    def draws(self, w: PyTree) -> int:
        """How many standard normals one draw needs: d, unless the model says otherwise."""
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(w))

    @abc.abstractmethod
    def draw(self, loss: Callable, w: PyTree, z: Float[Array, " draws"]) -> PyTree:
        """ξ = L(w) z, a pytree like w."""

    @abc.abstractmethod
    def covariance(self, loss: Callable, w: PyTree) -> Float[Array, "d d"]:
        """Σ(w), in the order of the flattened w."""

    @abc.abstractmethod
    def trace(self, loss: Callable, w: PyTree) -> Float[Array, ""]:
        """tr Σ(w), differentiable in w."""

    @abc.abstractmethod
    def response(self, loss: Callable, w: PyTree, shift: Callable[[PyTree], PyTree]) -> PyTree:
        """E[Dξ(w)·shift(ξ)]: the mean noise at a point that the same noise has shifted.

        `shift` is linear and symmetric. With shift ξ ↦ ρξ this is (ρ/2)∇ tr Σ where ξ is the
        gradient of something, as that of every minibatch is.
        """


def require_noise(given: Any) -> AbstractNoise:
    """`given`; `InvalidInput` unless it is a noise."""
    return require_kind(given, AbstractNoise, "a noise such as samdyn.Isotropic(1.0)")


class _Homogeneous(AbstractNoise):
    """Σ = v I, the same everywhere."""

    isotropic = True

    @abc.abstractmethod
    def deviation(self) -> Array:
        """√v."""

    def draw(self, loss, w, z):
        _, flat, unravel = tree.flatten(loss, w)
        return unravel(self.deviation().astype(flat.dtype) * z.astype(flat.dtype))

    def covariance(self, loss, w):
        _, flat, _ = tree.flatten(loss, w)
        return jnp.eye(flat.size, dtype=flat.dtype) * self.deviation().astype(flat.dtype) ** 2

    def trace(self, loss, w):
        _, flat, _ = tree.flatten(loss, w)
        return flat.size * self.deviation().astype(flat.dtype) ** 2

    def response(self, loss, w, shift):
        return jax.tree.map(jnp.zeros_like, w)


class Additive(_Homogeneous):
    """The coefficient S of an SDE dX = b dt + S dW, whatever the step size or the coupling.

    It is not the noise of a gradient: per unit of time Σ = S² I, and one step of size η moves
    w by S√η z.
    """

    s: jax.Array = eqx.field(converter=_scale)

    additive = True

    def deviation(self):
        return self.s


class Isotropic(_Homogeneous):
    """Σ = (s²/B) I: every component of an example's gradient has standard deviation s."""

    s: jax.Array = eqx.field(converter=_scale)
    batch_size: jax.Array = eqx.field(converter=_batch_size, default=1)

    def deviation(self):
        s = tree.number(self.s)
        return s / jnp.sqrt(self.batch_size.astype(s.dtype))


class Fisher(AbstractNoise):
    """Σ = |H(w)|/B, the Hessian with its negative eigenvalues folded (arXiv 2301.06308).

    ξ = |H|^½ z/√B with the symmetric root: closed forms for d ≤ 2, `eigh` beyond. Where an
    eigenvalue is 0 the root has no derivative; 0 stands in for it. This ξ is not the gradient
    of anything, so for d ≥ 2 `response` follows the root instead of ∇ tr Σ.
    """

    batch_size: jax.Array = eqx.field(converter=_batch_size, default=1)

    def draw(self, loss, w, z):
        h, unravel = _hessian(loss, w)
        root = _root(h) / jnp.sqrt(self.batch_size.astype(h.dtype))
        return unravel(jnp.sum(root * z.astype(h.dtype)[None, :], axis=1))

    def covariance(self, loss, w):
        h, _ = _hessian(loss, w)
        return _absolute(h) / self.batch_size.astype(h.dtype)

    def trace(self, loss, w):
        h, _ = _hessian(loss, w)
        return jnp.trace(_absolute(h)) / self.batch_size.astype(h.dtype)

    def response(self, loss, w, shift):
        _, flat, _ = tree.flatten(loss, w)

        def along(e):
            noise = lambda v: self.draw(loss, v, e)  # noqa: E731
            return jax.jvp(noise, (w,), (shift(noise(w)),))[1]

        each = jax.vmap(along)(jnp.eye(flat.size, dtype=flat.dtype))
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), each)


def _hessian(loss, w) -> tuple[Float[Array, "d d"], Callable]:
    flat_loss, flat, unravel = tree.flatten(loss, w)
    return jax.hessian(flat_loss)(flat), unravel


def _absolute(h: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """|H|, of a symmetric matrix."""
    if len(h) == 1:
        return jnp.abs(h)
    if len(h) > 2:
        return _spectral(h, 1)
    size, unit, _ = _absolute_2x2(h)
    return size * unit


def _root(h: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """|H|^½, of a symmetric matrix."""
    if len(h) == 1:
        return _safe_sqrt(jnp.abs(h))
    if len(h) > 2:
        return _spectral(h, 2)
    # Cayley–Hamilton: √A = (A + √det A · I)/√(tr A + 2√det A), here with tr A = 1
    size, unit, determinant = _absolute_2x2(h)
    delta = _safe_sqrt(determinant)
    identity = jnp.eye(2, dtype=h.dtype)
    return _safe_sqrt(size) * (unit + delta * identity) / jnp.sqrt(1 + 2 * delta)


def _absolute_2x2(h: Float[Array, "2 2"]) -> tuple[Array, Array, Array]:
    """(tr A, A/tr A, det A/(tr A)²) for A = |H| = (H² + |det H| I)/tr A, and (0, 0, 0) at H = 0.

    tr A = |λ₁| + |λ₂| is the larger of |λ₁ + λ₂| and |λ₁ − λ₂|.
    """
    difference = _safe_sqrt((h[0, 0] - h[1, 1]) ** 2 + (h[0, 1] + h[1, 0]) ** 2)
    size = jnp.maximum(jnp.abs(h[0, 0] + h[1, 1]), difference)
    u = h / jnp.where(size > 0, size, 1)
    determinant = jnp.abs(u[0, 0] * u[1, 1] - u[0, 1] * u[1, 0])
    square = jnp.sum(u[:, :, None] * u[None, :, :], axis=1)
    return size, square + determinant * jnp.eye(2, dtype=h.dtype), determinant


def _safe_sqrt(x: Array) -> Array:
    """√x with derivative 0 at x = 0."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _spectral(h: Float[Array, "d d"], root: int) -> Float[Array, "d d"]:
    """|H|^(1/root), root 1 or 2, with finite first derivatives at repeated eigenvalues."""
    values, vectors = jnp.linalg.eigh(h)
    powers = jnp.abs(values) if root == 1 else jnp.sqrt(jnp.abs(values))
    return (vectors * powers[None, :]) @ vectors.T


@_spectral.defjvp
def _spectral_jvp(root, primals, tangents):
    """Daleckii–Krein, with (|a| − |b|)/(a − b) = (a + b)/(|a| + |b|): no case for a = b."""
    values, vectors = jnp.linalg.eigh(primals[0])
    sizes = jnp.abs(values)
    quotient = _ratio(values[:, None] + values[None, :], sizes[:, None] + sizes[None, :])
    powers = sizes
    if root == 2:
        powers = jnp.sqrt(sizes)
        quotient = _ratio(quotient, powers[:, None] + powers[None, :])
    inside = quotient * (vectors.T @ tangents[0] @ vectors)
    return (vectors * powers[None, :]) @ vectors.T, vectors @ inside @ vectors.T


def _ratio(above, below):
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)


class MeanLoss(eqx.Module):
    """w ↦ the mean of example_loss(w, example) over data, any pytree with leading axis n.

    The data are computed with in the precision of w.
    """

    example_loss: Callable
    data: PyTree = eqx.field(converter=lambda data: jax.tree.map(jnp.asarray, data))

    def __check_init__(self):
        examples(self.data)

    def __call__(self, w: PyTree) -> Float[Array, ""]:
        return jnp.mean(self.each(w))

    def each(self, w: PyTree) -> Float[Array, " n"]:
        """The loss of every example."""
        return jax.vmap(self.example_loss, (None, 0))(w, _cast_like(self.data, w))


def examples(data: PyTree) -> int:
    """n, the common length of every leaf of the data, or `InvalidInput`."""
    lengths = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(data)}
    if len(lengths) != 1 or 0 in lengths:
        raise InvalidInput("the first axis of every array in data must count the same examples.")
    return lengths.pop()


def _cast_like(data: PyTree, w: PyTree) -> PyTree:
    dtype = jnp.result_type(jax.tree.leaves(w)[0])
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf, data
    )


class Empirical(AbstractNoise):
    """The exact covariance of a minibatch mean of the examples' own gradients.

    Σ = C/B with C the covariance (divisor n) of the n gradients, times (n−B)/(n−1) for batches
    drawn without replacement. A draw costs one gradient of a weighted sum of the losses and
    takes n normals. The loss that belongs to it is `MeanLoss(example_loss, data)`.
    """

    example_loss: Callable
    data: PyTree = eqx.field(converter=lambda data: jax.tree.map(jnp.asarray, data))
    batch_size: jax.Array = eqx.field(converter=_batch_size)
    replacement: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        n = examples(self.data)
        if not (self.replacement or isinstance(self.batch_size, jax.core.Tracer)):
            check_without_replacement(np.max(np.asarray(self.batch_size)), n)

    @property
    def loss(self) -> MeanLoss:
        """The mean loss over the data."""
        return MeanLoss(self.example_loss, self.data)

    def draws(self, w):
        return examples(self.data)

    def draw(self, loss, w, z):
        z = z.astype(jnp.result_type(jax.tree.leaves(w)[0]))
        weights = (z - jnp.mean(z)) * jnp.sqrt(self._weight(z.dtype))
        return jax.grad(lambda v: jnp.sum(weights * self.loss.each(v)))(w)

    def covariance(self, loss, w):
        gradients = self._gradients(w)
        return self._weight(gradients.dtype) * (gradients.T @ gradients)

    def trace(self, loss, w):
        gradients = self._gradients(w)
        return self._weight(gradients.dtype) * jnp.sum(gradients**2)

    def response(self, loss, w, shift):
        _, _, unravel = tree.flatten(loss, w)
        shifted = jax.vmap(lambda g: tree.flatten(loss, shift(unravel(g)))[1])(self._gradients(w))
        return jax.grad(
            lambda v: self._weight(shifted.dtype) * jnp.sum(self._gradients(v) * shifted)
        )(w)

    def _weight(self, dtype) -> Array:
        """Σ over the sum of the outer products of the centred gradients."""
        n = examples(self.data)
        size = self.batch_size.astype(dtype)
        finite = 1 if self.replacement else (n - size) / max(n - 1, 1)
        return finite / (n * size)

    def _gradients(self, w: PyTree) -> Float[Array, "n d"]:
        """The gradient of every example less their mean."""
        _, flat, unravel = tree.flatten(self.loss, w)
        one = jax.grad(lambda v, example: self.example_loss(unravel(v), example))
        gradients = jax.vmap(one, (None, 0))(flat, _cast_like(self.data, w))
        return gradients - jnp.mean(gradients, axis=0)[None, :]


def check_without_replacement(batch_size: Any, n: int) -> None:
    """`InvalidInput` unless a batch of that size can be drawn from n examples."""
    if batch_size > n:
        raise InvalidInput(
            f"a batch of {batch_size:g} cannot be drawn from {n} examples without replacement."
        )
