"""How minibatch noise enters the two gradients of a perturbed step.

A step of SAM takes a gradient to find w^p, and another one at w^p. Whether both see the same
minibatch decides the noise and the mean of the step, more than the covariance itself does:

    same-batch    one minibatch for both gradients: what practice runs
    fresh         noise in the outer gradient only
    independent   two minibatches
    paper         the gradient of l(w^p(w)) with the Jacobian of w^p, noise at w^p (2301.06308)

`step` is the random descent direction of the optimizer, exactly; `drift` and `disperse` are its
mean and its noise to the order that a diffusion of weak order 1 needs when ρ = O(√η).
"""

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .. import catalogue
from ..checks import require_kind
from ..errors import InvalidInput
from . import tree
from .methods.method import AbstractMethod, Gradient
from .methods.perturbed_loss import PerturbedLossGradient
from .noise.noise import AbstractNoise
from .noise.smoothing import mean_unit, mean_unit_isotropic


class Minibatch(NamedTuple):
    """One minibatch: its `gradient` as a function of the parameters, and its `noise`, by which that
    differs from the gradient of the mean loss. `modelled` tells that the noise is drawn from a
    model, and is the derivative of nothing."""

    gradient: Gradient
    noise: Gradient
    modelled: bool = True


class AbstractCoupling(eqx.Module):
    """Where the noise of a minibatch enters. `name` is the word the command line uses.

    A subclass says `step`, which is enough for the noisy step maps; `drift` and `disperse` make
    the diffusion. `minibatches` is how many a step draws, `outer_only` that the ascent sees the
    gradient of the mean loss, `on_data` whether real minibatches can follow it. Without noise a
    step is the method's own, unless the coupling is a model that no data follow. All this is
    compared by `samdyn.testing.check_coupling`.

    Additive noise is none of a coupling's business: it belongs to the SDE itself.
    """

    name: ClassVar[str] = ""
    minibatches: ClassVar[int] = 1
    outer_only: ClassVar[bool] = False
    on_data: ClassVar[bool] = True

    @abc.abstractmethod
    def step(
        self,
        method: AbstractMethod,
        memory: PyTree,
        batches: Sequence[Minibatch],
        mean: Gradient,
        w: PyTree,
    ) -> tuple[PyTree, PyTree]:
        """(the random descent direction, memory⁺) from `minibatches` minibatches and the gradient
        of the mean loss."""

    def drift(
        self, loss: Callable, method: AbstractMethod, noise: AbstractNoise, w: PyTree
    ) -> PyTree:
        """The mean descent direction: minus the drift of the diffusion."""
        del loss, method, noise, w
        raise InvalidInput(self._no_diffusion())

    def disperse(
        self,
        loss: Callable,
        method: AbstractMethod,
        noise: AbstractNoise,
        w: PyTree,
        z: Float[Array, " draws"],
    ) -> PyTree:
        """The noise of the descent direction, linear in z, which is cut evenly into minibatches."""
        del loss, method, noise, w, z
        raise InvalidInput(self._no_diffusion())

    def draws(self, noise: AbstractNoise, w: PyTree) -> int:
        """How many standard normals one step needs."""
        return self.minibatches * noise.draws(w)

    def cut(self, z: Array) -> list[Array]:
        """What each minibatch gets of the random numbers of a step."""
        return jnp.split(z, self.minibatches) if self.minibatches > 1 else [z]

    def modelled_step(
        self,
        loss: Callable,
        method: AbstractMethod,
        noise: AbstractNoise,
        memory: PyTree,
        w: PyTree,
        z: Float[Array, " draws"],
    ) -> tuple[PyTree, PyTree]:
        """`step` on minibatches whose noise is drawn by `noise` from the standard normals z."""
        mean = jax.grad(loss)
        batches = [_modelled(loss, mean, noise, part) for part in self.cut(z)]
        return self.step(method, memory, batches, mean, w)

    def _no_diffusion(self) -> str:
        return (
            f"the coupling {self.name or type(self).__name__} says no drift and disperse, so its "
            "diffusion is not known; use dynamics map."
        )


def _modelled(loss: Callable, mean: Gradient, noise: AbstractNoise, z: Array) -> Minibatch:
    draw = lambda v: noise.draw(loss, v, z)  # noqa: E731
    return Minibatch(lambda v: _add(mean(v), draw(v)), draw)


class _NoiseInBoth(AbstractCoupling):
    """Both gradients are noisy: the first minibatch is the outer one, the last the inner one."""

    def step(self, method, memory, batches, mean, w):
        outer, inner = batches[0], batches[-1]
        if outer.modelled or outer is not inner:
            _refuse_differentiated(method, self)
        ahead, memory = method.ascend(memory, inner.gradient, w)
        return method.conclude(memory, outer.gradient, w, method.descend(outer.gradient, w, ahead))

    def drift(self, loss, method, noise, w):
        ascent, zero = _mean_ascent(loss, method, noise, w, self)
        return method.descend(jax.grad(loss), w, ascent(zero))

    def disperse(self, loss, method, noise, w, z):
        ascent, zero = _mean_ascent(loss, method, noise, w, self)
        parts = self.cut(z)
        descend = lambda xi: method.descend(jax.grad(loss), w, ascent(xi))  # noqa: E731
        _, through_ascent = jax.jvp(descend, (zero,), (noise.draw(loss, w, parts[-1]),))
        outside = lambda v: noise.draw(loss, v, parts[0])  # noqa: E731
        return _add(through_ascent, method.descend(outside, w, ascent(zero)))


class SameBatch(_NoiseInBoth):
    """One minibatch for both gradients, as every training code does it.

    For a smooth method the mean direction is that of l + (ρ/2)E‖g_B‖² (Compagnoni et al.,
    arXiv 2301.08203): minibatch noise is large where it is large again at w^p. For normalised
    SAM the noise also smooths the jump of g/‖g‖.
    """

    name = "same-batch"

    def drift(self, loss, method, noise, w):
        mean = super().drift(loss, method, noise, w)
        if noise.isotropic or method.ascent == "none":
            return mean
        ascent, zero = _mean_ascent(loss, method, noise, w, self)
        shift = lambda xi: jax.jvp(ascent, (zero,), (xi,))[1]  # noqa: E731
        return _add(mean, _ahead_only(method, noise.response(loss, w, shift), w, ascent(zero)))


class Independent(_NoiseInBoth):
    """Two independent minibatches, the first for the outer gradient."""

    name = "independent"
    minibatches = 2


class _NoiseOutside(AbstractCoupling):
    """The ascent is exact; the noise is that of a minibatch at w^p."""

    outer_only = True

    @abc.abstractmethod
    def mean(self, method: AbstractMethod) -> AbstractMethod:
        """The method whose direction the step has on average, exactly."""

    def step(self, method, memory, batches, mean, w):
        followed = self.mean(method)
        ahead, memory = followed.ascend(memory, mean, w)
        if not followed.differentiates_ascent:
            direction = followed.descend(batches[0].gradient, w, ahead)
            return followed.conclude(memory, batches[0].gradient, w, direction)
        return _add(followed.descend(mean, w, ahead), batches[0].noise(ahead)), memory

    def drift(self, loss, method, noise, w):
        return self.mean(method).direction(jax.grad(loss), w)

    def disperse(self, loss, method, noise, w, z):
        followed, outside = self.mean(method), lambda v: noise.draw(loss, v, z)
        ahead = followed.perturb(jax.grad(loss), w)
        if followed.differentiates_ascent:
            return outside(ahead)
        return followed.descend(outside, w, ahead)


class Fresh(_NoiseOutside):
    """w^p from the exact gradient, noise in the outer gradient only."""

    name = "fresh"

    def mean(self, method):
        return method


class Paper(_NoiseOutside):
    """The gradient of l(w^p(w)) including the Jacobian of w^p, which running code drops."""

    name = "paper"
    on_data = False

    def mean(self, method):
        return method if method.differentiates_ascent else PerturbedLossGradient(method)


COUPLINGS = {name: entry.load()() for name, entry in catalogue.COUPLINGS.items()}


def as_coupling(given: object) -> AbstractCoupling:
    """A coupling object as it is, None as `SameBatch()`; `InvalidInput` for anything else."""
    if given is None:
        return SameBatch()
    return require_kind(given, AbstractCoupling, "a coupling such as samdyn.SameBatch()")


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _ahead_only(method: AbstractMethod, change: PyTree, w: PyTree, ahead: PyTree) -> PyTree:
    """How the direction changes where the gradient at w^p alone changes."""
    zero = jax.tree.map(jnp.zeros_like, change)
    return method.descend(lambda v: change if v is ahead else zero, w, ahead)


def _refuse_differentiated(method: AbstractMethod, coupling: AbstractCoupling) -> None:
    if method.differentiates_ascent:
        raise InvalidInput(
            f"{type(method).__name__} does not descend the gradient at w^p, so "
            f"{coupling.name} noise is not defined for it; use fresh or paper."
        )


def _mean_ascent(loss, method, noise, w, coupling) -> tuple[Callable, PyTree]:
    """(ξ ↦ the mean w^p when ξ is added to the gradient, ξ = 0).

    Smooth methods are taken at the mean gradient. Normalised ones jump there, and their mean over
    the noise of the minibatch is taken instead.
    """
    _refuse_differentiated(method, coupling)
    gradient, zero = jax.grad(loss), jax.tree.map(jnp.zeros_like, w)
    if not method.discontinuous:
        return lambda xi: method.perturb(lambda v: _add(gradient(v), xi), w), zero
    _, g, unravel = tree.flatten(loss, gradient(w))
    of_flat = _mean_unit_of(loss, noise, w, g.size)
    mean_of = lambda v: unravel(of_flat(tree.flatten(loss, v)[1]))  # noqa: E731
    if method.smoothed(mean_of, gradient, w) is None:
        raise InvalidInput(
            f"{type(method).__name__} with {coupling.name} noise has no diffusion here, "
            "because its mean over the noise is not known; use dynamics map."
        )
    return lambda xi: method.smoothed(mean_of, lambda v: _add(gradient(v), xi), w), zero


def _mean_unit_of(loss, noise, w, dim: int) -> Callable:
    if noise.isotropic or dim == 1:
        variance = noise.trace(loss, w) / dim
        return lambda m: mean_unit_isotropic(m, variance)
    covariance = noise.covariance(loss, w)
    return lambda m: mean_unit(m, covariance)
