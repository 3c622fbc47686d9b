"""What a method is: which direction is descended, and what is remembered between steps.

Flow, StepMap and every analysis take the same object, so a new method is one small class and
every command has it:

    class MySAM(AbstractMethod):
        rho: jax.Array = samdyn.radius()
        def perturb(self, gradient, w):
            return ...          # w^p, a pytree like w

`gradient` is a function of the parameters: that of the loss, of a minibatch, or of a model of
noise. A method never sees the loss, and so can be asked with any of them.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from ...checks import require_kind, require_numbers
from ...errors import InvalidInput
from .. import tree
from ..parameters import has_parameter, parameters, with_parameters

Gradient = Callable[[PyTree], PyTree]
DERIVED = ("direction", "update")  # what follows from the rest, and no subclass may say otherwise


class AbstractMethod(eqx.Module):
    """Where gradients are taken, w ↦ w^p, and which way the descent then goes.

    **To be said**: `perturb`. A method that keeps something between steps derives from
    `AbstractMethodWithMemory`. `descend` where it does not simply descend g(w^p), and `conclude`
    where what is descended, or kept, depends on both.

    **To be declared**, because analyses cannot see it; each default claims nothing:

    * `ascent`: what w^p is in closed form, if the method descends g(w^p): "none" for w,
      "gradient" for w + ρg, "unit" for w + ρg/‖g‖ (0 at g = 0), None for anything else.
    * `discontinuous`: w^p − w need not tend to 0 as w tends to a critical point, so that no
      Jacobian exists there.
    * `smooth`: there is a Jacobian at critical points, however near to one it begins to hold.
    * `differentiates_ascent`: `descend` takes derivatives of w^p.
    * `linear`: `descend` is linear in the gradient, so that noise passes through it.
    * `asks_gradient`: what is descended comes from the gradient that is given; without it no noise.
    * `counts`: its step is another one later, by its number.
    * `smoothed`: the mean of w^p under Gaussian noise of the gradient.

    `samdyn.testing.check_method` compares what is declared with what is computed.
    """

    @abc.abstractmethod
    def perturb(self, gradient: Gradient, w: PyTree) -> PyTree:
        """w^p, a pytree like w, from a gradient function and w."""

    def descend(self, gradient: Gradient, w: PyTree, ahead: PyTree) -> PyTree:
        """The direction that is descended, from gradients at w and at w^p, which is `ahead`.

        Linear in `gradient`, unless `differentiates_ascent` or `linear` says otherwise.
        """
        del w
        return gradient(ahead)

    def init(self, w: PyTree) -> PyTree:
        """What is remembered before the first step; None where nothing is."""
        del w
        return None

    def ascend(self, memory: PyTree, gradient: Gradient, w: PyTree) -> tuple[PyTree, PyTree]:
        """(w^p, memory⁺)."""
        return self.perturb(gradient, w), memory

    def conclude(
        self, memory: PyTree, gradient: Gradient, w: PyTree, direction: PyTree
    ) -> tuple[PyTree, PyTree]:
        """(what is descended, memory⁺), from what `ascend` keeps and `descend` gives."""
        del gradient, w
        return direction, memory

    def smoothed(self, mean_unit: Callable, gradient: Gradient, w: PyTree) -> PyTree | None:
        """The mean of w^p where the gradient at w has Gaussian noise; None where not known.

        `mean_unit(v)` is the mean of (v + ξ)/‖v + ξ‖ over that noise. Asked for of discontinuous
        methods only: a smooth one is taken at its mean gradient.
        """
        del mean_unit, gradient, w

    def update(self, memory: PyTree, gradient: Gradient, w: PyTree) -> tuple[PyTree, PyTree]:
        """(the direction that is descended at w, memory⁺)."""
        ahead, memory = self.ascend(memory, gradient, w)
        return self.conclude(memory, gradient, w, self.descend(gradient, w, ahead))

    def direction(self, gradient: Gradient, w: PyTree) -> PyTree:
        """The direction that is descended at w, with nothing remembered: the flow's negative."""
        return self.update(self.init(w), gradient, w)[0]

    @property
    def remembers(self) -> bool:
        """Whether something is kept between steps."""
        return False

    @property
    def ascent(self) -> str | None:
        return None

    @property
    def discontinuous(self) -> bool:
        return False

    @property
    def smooth(self) -> bool:
        return self.ascent in ("none", "gradient")

    @property
    def differentiates_ascent(self) -> bool:
        return False

    @property
    def linear(self) -> bool:
        return not self.differentiates_ascent

    @property
    def asks_gradient(self) -> bool:
        return True

    @property
    def counts(self) -> bool:
        return False

    @property
    def radius(self) -> Any:
        """ρ, at which 0 means gradient descent; None where there is no such number."""
        return getattr(self, "rho", None)

    @property
    def published_as(self) -> "AbstractMethod | None":
        """GD or USAM where the theorems of arXiv 2301.06308 speak of this method."""
        return self if self.ascent in ("none", "gradient") else None

    @property
    def label(self) -> str:
        """What figures call it, such as "USAM, ρ = 0.05"."""
        name, rho = type(self).__name__, getattr(self, "rho", None)
        return name if rho is None or np.ndim(rho) else f"{name}, ρ = {float(rho):g}"

    @property
    def kin(self) -> "AbstractMethod":
        """The method whose colour it has in figures."""
        return self

    def parameters(self) -> dict[str, Any]:
        """Its numbers by name."""
        return parameters(self)

    def at(self, **values: Any) -> "AbstractMethod":
        """The same method with other values of the named numbers (or arrays, to vmap over)."""
        return with_parameters(self, values)

    def at_radius(self, rho: Any) -> "AbstractMethod":
        """The same method with another ρ; itself, where it has none."""
        return with_parameters(self, {"rho": rho}) if has_parameter(self, "rho") else self

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in DERIVED:
            if name in vars(cls):
                raise InvalidInput(
                    f"{cls.__name__} defines {name}, which follows from perturb (or ascend) and "
                    "descend: define those instead."
                )


class AbstractMethodWithMemory(AbstractMethod):
    """A method that keeps something between steps, a pytree of arrays like nothing in particular.

    A subclass says `init` and `ascend`. Its step has a larger state and multipliers for it; it has
    no flow, because what is remembered has no time of its own. Numbers that are kept are floats,
    flags and counters too: integers are no part of the state that orbits and multipliers are of.
    """

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """What is remembered before the first step."""

    @abc.abstractmethod
    def ascend(self, memory: PyTree, gradient: Gradient, w: PyTree) -> tuple[PyTree, PyTree]:
        """(w^p, memory⁺) from what is remembered, a gradient function and w."""

    def perturb(self, gradient, w):
        return self.ascend(self.init(w), gradient, w)[0]

    @property
    def remembers(self):
        return True


class AbstractMethodOnBase(AbstractMethod):
    """A method made of another, `base`: it has its radius and its colour, and jumps where it does,
    unless it says otherwise."""

    base: eqx.AbstractVar[AbstractMethod]

    @property
    def radius(self):
        return self.base.radius

    @property
    def kin(self):
        return self.base.kin

    @property
    def discontinuous(self):
        return self.base.discontinuous


def require_own_ascent(base: AbstractMethod, what: str) -> AbstractMethod:
    """`base`; `InvalidInput` if what it descends does not come from the w^p that `what` changes."""
    if base.differentiates_ascent or not base.asks_gradient:
        raise InvalidInput(
            f"{what} changes w^p, and {type(base).__name__} does not descend the gradient there."
        )
    return base


def require_given_gradient(method: AbstractMethod) -> None:
    """`InvalidInput` for a method that noise of the gradient would not reach."""
    if not method.asks_gradient:
        raise InvalidInput(
            f"{type(method).__name__} takes gradients of losses of its own, which no noise "
            "reaches: it has a flow and a step only."
        )


def require_method(given: Any) -> AbstractMethod:
    """`given`; `InvalidInput` unless it is a method."""
    return require_kind(given, AbstractMethod, "a method such as samdyn.SAM(0.05)")


def as_radius(rho: Any) -> Any:
    """ρ as an array that traces; `InvalidInput` unless it is finite and ≥ 0."""
    return as_number(rho, "rho must be a finite number ≥ 0", lambda x: x >= 0)


def as_number(value: Any, told: str, accepts: Callable[[np.ndarray], Any]) -> Any:
    """A number, or several, as an array that traces; `InvalidInput`, `told` so, unless accepted."""
    return tree.as_array(require_numbers(value, told, accepts))


def radius(**default: Any) -> Any:
    """A field for a radius ρ ≥ 0, checked and made an array: no new value recompiles."""
    return eqx.field(converter=as_radius, metadata={"setting": True}, **default)
