"""Growth rates of a perturbation, with what is known of their errors."""

import math
from typing import NamedTuple

from ..results.encoding import storable

ROUNDING = 1e-14  # of a logarithm near 0


@storable
class Rate(NamedTuple):
    """A growth rate per step (natural logarithm of ‖displacement‖); `error` is 2 standard errors.

    The error is 0 where the value is exact, and infinite, with the value nan, where none is known.
    """

    value: float
    error: float

    @property
    def sign(self) -> int | None:
        """1 where it grows, −1 where it decays; None where the error does not tell."""
        if math.isnan(self.value) or abs(self.value) <= max(self.error, ROUNDING):
            return None
        return 1 if self.value > 0 else -1

    @property
    def verdict(self) -> str:
        """ "grows", "decays" or "unknown"."""
        return {1: "grows", -1: "decays", None: "unknown"}[self.sign]

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it; a value that is not finite is null."""
        finite = lambda x: x if math.isfinite(x) else None  # noqa: E731
        return {"value": finite(self.value), "error": finite(self.error)}

    def __format__(self, digits: str) -> str:
        """The value to so many digits, by default 6, with its error."""
        if math.isnan(self.value):
            return "unknown"
        told = f"{self.value:.{digits or 6}g}"
        return told + (f" ± {self.error:.1g}" if self.error else "")

    def __str__(self) -> str:
        return format(self)


UNKNOWN = Rate(math.nan, math.inf)


@storable
class Growth(NamedTuple):
    """Rates of the mean, of the root mean square, and of almost every run."""

    mean: Rate
    mean_square: Rate
    almost_sure: Rate

    @property
    def leaves(self) -> bool | None:
        """Whether runs leave: None where the error does not tell."""
        sign = self.almost_sure.sign
        return None if sign is None else sign > 0
