"""Several ascents in a row."""

from typing import Any

import equinox as eqx

from ...errors import InvalidInput
from .. import tree
from .method import AbstractMethod, AbstractMethodOnBase
from .sam import SAM
from .usam import USAM


class MultiStep(AbstractMethodOnBase):
    """`steps` ascents in a row, each with the radius of `base` divided by `steps`."""

    base: AbstractMethod
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.steps < 1:
            raise InvalidInput(f"a multi-step method needs 1 step or more, not {self.steps}.")
        if self.base.radius is None or self.base.remembers:
            kind = type(self.base).__name__
            raise InvalidInput(f"{kind} has no radius to divide among several ascents.")

    def perturb(self, gradient, w):
        part = self.base.at_radius(tree.number(self.base.radius) / self.steps)
        for _ in range(self.steps):
            w = part.perturb(gradient, w)
        return w

    @property
    def label(self):
        return f"{self.steps} ascents of {self.base.label}"


def sam_in_steps(rho: Any, steps: int) -> MultiStep:
    """SAM in `steps` ascents of rho/steps."""
    return MultiStep(SAM(rho), steps)


def usam_in_steps(rho: Any, steps: int) -> MultiStep:
    """USAM in `steps` ascents of rho/steps."""
    return MultiStep(USAM(rho), steps)
