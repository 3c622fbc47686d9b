"""Momentum-SAM: the gradient is taken further along the step that was just made."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .. import tree
from .friendly import as_share
from .method import AbstractMethodWithMemory, radius


class MSAM(AbstractMethodWithMemory):
    """w^p = w − ρ v/‖v‖, then v ← μv + g(w^p), μ = `decay`; w^p = w at v = 0, as in the first step.

    One gradient a step. v is the optimizer's own momentum buffer, so that μ is to be that of the
    step: `StepMap(loss, MSAM(rho, mu), rate, momentum=mu)`; with μ = 0 it is what was descended
    last. The sign is that of the authors' code (MarlonBecker/MSAM): v sums gradients, so that w^p
    lies downhill, where SAM's lies uphill. Their code keeps w^p as the parameters between steps;
    here w is what a step leaves, and the runs are the same.

    Source: Becker, Altrock & Risse, arXiv 2401.12033.
    """

    rho: jax.Array = radius()
    decay: jax.Array = eqx.field(converter=as_share, default=0.0)

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def ascend(self, memory, gradient, w):
        del gradient
        return tree.ascend(w, -self.rho, tree.unit(memory)), memory

    def conclude(self, memory, gradient, w, direction):
        del gradient, w
        return direction, tree.add_scaled(direction, self.decay, memory)

    @property
    def discontinuous(self):
        return True
