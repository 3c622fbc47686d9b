"""A field where the loss is finite, and nowhere else."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp

from .ode import AbstractODE
from .system import loss_of


class Defined(eqx.Module):
    """A field where the loss is finite, at w and, with `perturbed`, at w^p; nan elsewhere.

    A derivative may exist where its function does not: that of log is −1 at −1.
    """

    field: Callable
    loss: Callable
    perturbed: Callable | None = None

    def __call__(self, w):
        value = self.loss(w)
        if self.perturbed is not None:
            value = value + self.loss(self.perturbed(w))
        return jnp.where(jnp.isfinite(value), self.field(w), jnp.nan)


def where_defined(flow: AbstractODE, field: Callable, ahead: bool = False) -> Callable:
    """`field` where the flow's loss is finite; with `ahead` at w^p as well."""
    loss = loss_of(flow)
    if loss is None:
        return field
    return Defined(field, loss, flow.perturbed if ahead and flow.ascends else None)
