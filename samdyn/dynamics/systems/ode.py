"""Flows: anyone's own ordinary differential equation, with the vector field that diffrax takes."""

import abc
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import PyTree

from ...checks import require_function
from ..parameters import as_args
from .system import AbstractSystem


class AbstractODE(AbstractSystem):
    """dw/dt = velocity(w), autonomous. `samdyn.testing.check_ode` looks at what verbs rely on."""

    @abc.abstractmethod
    def velocity(self, w: PyTree) -> PyTree:
        """dw/dt at w, a pytree like w."""

    def __call__(self, t: Any, w: PyTree, args: Any = None) -> PyTree:
        """The vector field as diffrax calls it."""
        del t, args
        return self.velocity(w)

    def perturbed(self, w: PyTree) -> PyTree:
        """Where else than at w the loss decides about the velocity: w^p; w itself by default."""
        return w

    @property
    def ascends(self) -> bool:
        """Whether w^p may differ from w: then a fixed point need not be critical."""
        return False

    @property
    def jumps(self) -> bool:
        """Whether the velocity may be discontinuous at a fixed point."""
        return False

    def critical(self) -> Callable:
        """The field of which every zero is a fixed point: the gradient, else the velocity."""
        return self.velocity


class ODE(AbstractODE):
    """Anyone's own flow dw/dt = field(t, w, args), with `field` as diffrax has it.

    `field` must not depend on t where fixed points are asked for; verbs call it with t = 0.
    `args` is any pytree; the numbers in it are the parameters of the system.
    """

    _field: Callable
    args: Any

    def __init__(self, field: Callable, args: Any = None):
        self._field, self.args = require_function(field, "field(t, w, args)"), as_args(args)

    def __call__(self, t, w, args=None):
        return self._field(t, w, self.args if args is None else args)

    def velocity(self, w):
        return self(jnp.zeros(()), w)
