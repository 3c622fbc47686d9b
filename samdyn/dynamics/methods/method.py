"""Where the gradient is taken: GD at w, SAM and its relatives at a perturbed point w^p.

This is the one place where SAM is defined. Flow, StepMap and every analysis take the same
object, so a new variant is one small class here and every command has it:

    class MySAM(AbstractMethod):
        rho: Radius
        def perturb(self, gradient, w):
            return ...          # w^p, a pytree like w
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...errors import InvalidInput
from .. import tree


def _radius(rho: Any) -> Any:
    rho = tree.as_array(rho)
    if not isinstance(rho, jax.core.Tracer):
        values = np.asarray(rho)
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise InvalidInput(f"rho must be a finite number ≥ 0, not {_first_bad(values)}.")
    return rho


def _first_bad(values: np.ndarray) -> float:
    bad = ~np.isfinite(values) | (values < 0)
    return float(values[bad].flat[0])


def require_method(given: Any) -> "AbstractMethod":
    """`given`; `InvalidInput` unless it is a perturbation."""
    if isinstance(given, AbstractMethod):
        return given
    what = f"the class {given.__name__}" if isinstance(given, type) else repr(given)
    raise InvalidInput(f"a method such as samdyn.SAM(0.05) is needed, not {what:.60}.")


class AbstractMethod(eqx.Module):
    """Says where the gradient is taken, w ↦ w^p, and which way the descent then goes.

    A subclass implements `perturb`. `discontinuous` is True where w^p − w does not tend to 0
    as w tends to a critical point (the normalised variants): no Jacobian exists there, and the
    stability analysis uses sliding instead.
    """

    @abc.abstractmethod
    def perturb(self, gradient: Callable[[PyTree], PyTree], w: PyTree) -> PyTree:
        """w^p, from the gradient function and w."""

    def direction(self, loss: Callable, w: PyTree) -> PyTree:
        """The descent direction at w, g(w^p): the flow is its negative."""
        gradient = jax.grad(loss)
        return gradient(self.perturb(gradient, w))

    @property
    def discontinuous(self) -> bool:
        return False

    @property
    def radius(self) -> jax.Array:
        """ρ; 0 for gradient descent."""
        return self.rho  # pyright: ignore[reportAttributeAccessIssue]

    def at_radius(self, rho: Any) -> "AbstractMethod":
        """The same perturbation with another radius (a number, or an array to vmap over)."""
        return eqx.tree_at(lambda p: p.rho, self, _radius(rho))


class GD(AbstractMethod):
    """Gradient descent: w^p = w."""

    def perturb(self, gradient, w):
        del gradient
        return w

    def direction(self, loss, w):
        return jax.grad(loss)(w)

    @property
    def radius(self):
        return jnp.asarray(0.0)

    def at_radius(self, rho):
        del rho
        return self


class SAM(AbstractMethod):
    """Normalised SAM, what every training code runs: w^p = w + ρ g/(‖g‖ + eps), w^p = w at g = 0.

    Source: Foret, Kleiner, Mobahi & Neyshabur, arXiv 2010.01412.
    """

    rho: jax.Array = eqx.field(converter=_radius)
    eps: jax.Array = eqx.field(converter=_radius, default=0.0)

    def perturb(self, gradient, w):
        return tree.ascend(w, self.rho, tree.unit(gradient(w), self.eps))

    @property
    def discontinuous(self):
        return True


class USAM(AbstractMethod):
    """Unnormalised SAM, what theory papers analyse: w^p = w + ρ g.

    Source: Andriushchenko & Flammarion, arXiv 2206.06232.
    """

    rho: jax.Array = eqx.field(converter=_radius)

    def perturb(self, gradient, w):
        return tree.ascend(w, self.rho, gradient(w))


class ASAM(AbstractMethod):
    """Adaptive SAM: w^p = w + ρ T²g/‖Tg‖ with T = |w| + offset, coordinate by coordinate.

    Source: Kwon, Kim, Park & Choi, arXiv 2102.11600.
    """

    rho: jax.Array = eqx.field(converter=_radius)
    offset: jax.Array = eqx.field(converter=_radius, default=0.01)

    def perturb(self, gradient, w):
        widths = jax.tree.map(lambda x: jnp.abs(x) + self.offset.astype(x.dtype), w)
        ascent = tree.unit(jax.tree.map(jnp.multiply, widths, gradient(w)))
        return tree.ascend(w, self.rho, jax.tree.map(_times, widths, ascent))

    @property
    def discontinuous(self):
        return True


def _times(width: Any, v: Any) -> Any:
    return width.astype(v.dtype) * v


class MultiStep(AbstractMethod):
    """`steps` ascents in a row, each with the radius of `base` divided by `steps`."""

    base: AbstractMethod
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.steps < 1:
            raise InvalidInput(f"a multi-step method needs 1 step or more, not {self.steps}.")

    def perturb(self, gradient, w):
        part = self.base.at_radius(tree.number(self.base.radius) / self.steps)
        for _ in range(self.steps):
            w = part.perturb(gradient, w)
        return w

    @property
    def discontinuous(self):
        return self.base.discontinuous

    @property
    def radius(self):
        return self.base.radius

    def at_radius(self, rho):
        return MultiStep(self.base.at_radius(rho), self.steps)


class PerturbedLossGradient(AbstractMethod):
    """The true gradient of the perturbed loss w ↦ l(w^p(w)), Jacobian of w^p included.

    SAM drops that Jacobian. With base USAM this is the field whose rates λ(1+ρλ)² stand in
    Theorem 2 of arXiv 2301.06308; under it no saddle ever attracts.
    """

    base: AbstractMethod

    def perturb(self, gradient, w):
        return self.base.perturb(gradient, w)

    def direction(self, loss, w):
        gradient = jax.grad(loss)
        return jax.grad(lambda v: loss(self.base.perturb(gradient, v)))(w)

    @property
    def discontinuous(self):
        return self.base.discontinuous

    @property
    def radius(self):
        return self.base.radius

    def at_radius(self, rho):
        return PerturbedLossGradient(self.base.at_radius(rho))
