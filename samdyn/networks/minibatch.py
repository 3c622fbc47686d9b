"""The mean step of a method that ascends on each minibatch by itself, as training does.

Near a saddle the full gradient vanishes and those of the minibatches do not. How far SAM ascends
is then said by the minibatches, and the mean of their steps, not the step of the mean loss, says
whether a displacement grows. It is smooth there, too.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ..dynamics.perturbation import AbstractPerturbation
from ..spectra.batches import BatchedLoss


class OnMinibatches(AbstractPerturbation):
    """The perturbation `each`, taken with every minibatch of a `BatchedLoss` by itself."""

    each: AbstractPerturbation

    def perturb(self, gradient, w):
        return self.each.perturb(gradient, w)

    def direction(self, loss, w):
        """The mean of the minibatches' descent directions at w (dim,)."""

        def add(total, batch):
            return total + self.each.direction(lambda v: loss.loss(v, batch), w), None

        total, _ = jax.lax.scan(add, jnp.zeros_like(w), loss.stacked)
        return total / loss.count


class Along(NamedTuple):
    """What happens along a direction v: `tangent` = vᵀ D v, D the Jacobian of the mean direction
    of descent, that direction itself, `descent` = vᵀ d, and `gradient` = vᵀ g of the mean loss.
    """

    tangent: jax.Array
    descent: jax.Array
    gradient: jax.Array


@eqx.filter_jit
def along(
    mean: BatchedLoss, perturbation: AbstractPerturbation, w: jax.Array, v: jax.Array
) -> Along:
    """The mean step of the method at w (dim,) along the unit vector v (dim,)."""
    direction = lambda w: OnMinibatches(perturbation).direction(mean, w)  # noqa: E731
    d, change = jax.jvp(direction, (w,), (v,))
    return Along(v @ change, v @ d, v @ jax.grad(mean)(w))
