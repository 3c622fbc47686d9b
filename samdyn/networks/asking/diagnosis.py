"""The result of `diagnose`: its numbers and judgements; their words are in `diagnosis_text.py`."""

from typing import Any

import equinox as eqx

from ...growth.rates import Growth
from ...results.result import Result
from ...spectra.ends import NEGATIVE, NONE_FOUND, Eigenvalue, SpectrumEnds
from ...spectra.radius import SpectralRadius
from .diagnosis_text import sentence, table
from .rates import ADVISED, EscapeRate
from .stationarity import Gains, Signal

VANISHING = 1e-6  # of rho: a radius below it is none
VERDICTS = {NEGATIVE: "saddle", NONE_FOUND: "no negative curvature found"}


class Diagnosis(Result, eqx.Module):
    """Norms are Euclidean; `batch_gradient_norm` is the harmonic mean over the `batches` batches.

    `rho_eff` is how far the mean ascent goes along the steepest negative direction for each unit
    of gradient there; a normalised method that overshoots along the top direction alternates
    there, which bounds it. `rho_now` is the radius of normalised SAM above which that direction
    is pulled back, `rho_window` the same for the given method (for plain steps: SAM), and up to
    which radius the top direction is stable.
    `bottom`, `plain_bottom` and `top` tell how runs that draw a batch at every step grow along the
    steepest negative direction, by the method and by plain steps, and along the top one, by the
    method; None where there is no such direction, or no Jacobian; `whole` the same over all
    directions at once. `gains` compares gradient
    and negative curvature, and `signal` tells how much of that gradient is no noise. `checked` says
    what is known of the loss, `weighing` how batches weigh.
    `escape_rate` is of the mean step, per unit of η·steps. `spectral_radius` is that of the mean
    step over the minibatches; nan where it has no Jacobian. `hvps` counts Hessian products and
    products with the step's Jacobian (which take two under SAM).
    """

    dim: int
    loss: float
    gradient_norm: float
    batch_gradient_norm: float
    perturbed_gradient_norm: float
    batches: int
    weighing: str
    checked: str
    ends: SpectrumEnds
    rho: float
    normalised: bool
    rho_eff: float
    rho_now: float | None
    rho_window: tuple[float | None, float | None]
    escape_rate: EscapeRate | None
    whole: Growth | None
    bottom: Growth | None
    plain_bottom: Growth | None
    top: Growth | None
    gains: Gains | None
    signal: Signal | None
    spectral_radius: SpectralRadius
    hallucinated: bool
    learning_rate: float
    momentum: float
    hvps: int
    memory_bytes: int

    @property
    def verdict(self) -> str:
        """ "saddle", "no negative curvature found", or "unresolved"."""
        if self.ends.curvature != NEGATIVE:
            return VERDICTS.get(self.ends.curvature, "unresolved")
        away = False if self.gains is None else self.gains.away(self.signal)
        if away:
            return "not at a saddle"
        if away is None and not self.held:
            return "unresolved"
        return "maximum" if self.ends.high.sign < 0 and self.ends.converged else "saddle"

    @property
    def held(self) -> bool:
        """Whether runs of the method come back along the steepest negative direction, and to rest.

        Softer directions, |λ| < 1/`rho_eff`, may still grow, slower than any did without.
        """
        back = self.pulled_back and not self.driven_out
        return (back or self.kept_by_noise) and (self.normalised or not self.overshoots)

    @property
    def kept_by_noise(self) -> bool:
        """Whether the mean step leaves, but almost every run does not: batches differ so much."""
        if self.bottom is None or self.pulled_back or self.ends.curvature != NEGATIVE:
            return False
        if self.top is not None and self.top.leaves and not self.normalised:
            return False
        return self.bottom.leaves is False and self.bottom.mean.value > 0

    @property
    def driven_out(self) -> bool:
        """Whether the mean step comes back, but almost every run does not. A normalised method
        that steps too far only alternates."""
        if self.bottom is None or self.normalised or self.ends.curvature != NEGATIVE:
            return False
        return bool(self.bottom.leaves) and self.bottom.mean.value < 0

    @property
    def pulled_back(self) -> bool:
        """Whether the mean step along the steepest negative direction points back."""
        return self.ends.curvature == NEGATIVE and self.rho_eff * -self.ends.low.value >= 1

    @property
    def overshoots(self) -> bool:
        """Whether the method is unstable along the direction of largest curvature. A normalised
        one then alternates there, with a smaller `rho_eff`; others diverge."""
        high = self.rho_window[1]
        if self.rho == 0 and self.top is not None:  # the window is about another method
            return self.top.mean.value > 0 and self.ends.high.sign > 0
        return high is not None and (high == 0 or self.rho > high)

    @property
    def rho_advised(self) -> float | None:
        """A fifth of the radius that holds: there the escape takes a quarter longer. None if any
        radius holds, or none does."""
        low = self.rho_window[0]
        return None if not low or low < VANISHING * self.rho else ADVISED * low

    @property
    def converged(self) -> bool:
        """Whether both ends and the spectral radius reached the tolerance asked for."""
        return self.ends.converged and self.spectral_radius.converged

    @property
    def sentence(self) -> str:
        """The verdict and what to change, in one sentence."""
        return sentence(self)

    def left(self) -> tuple[str, Eigenvalue, Growth] | None:
        """The end of the spectrum along which runs leave a minimum of the mean loss."""
        ends = ("largest", self.ends.high, self.top), ("lowest", self.ends.low, self.bottom)
        for name, end, growth in ends:
            if growth is not None and growth.leaves:
                return name, end, growth
        return None

    @property
    def left_by_batches(self) -> bool:
        """Whether runs leave a minimum of the mean loss along neither end of its spectrum."""
        if self.ends.curvature != NONE_FOUND or self.whole is None or self.normalised:
            return False
        return self.left() is None and bool(self.whole.leaves)

    @property
    def strays_rarely(self) -> bool:
        """Whether almost every run stays at a minimum of the mean loss, and their mean square does
        not: rare ones go far."""
        if self.ends.curvature != NONE_FOUND or self.whole is None or self.normalised:
            return False
        return self.whole.mean_square.sign == 1 and self.whole.almost_sure.sign == -1

    def _rate(self, which: str) -> dict[str, float] | None:
        """A rate of runs along the direction spoken of: the lowest where it is negative, else the
        end that runs leave along, or the top."""
        spoken = self.bottom if self.ends.curvature == NEGATIVE else None
        if self.ends.curvature == NONE_FOUND:
            left = self.left()
            spoken = self.top if left is None else left[2]
            if left is None and self.left_by_batches:
                spoken = self.whole
        return None if spoken is None else getattr(spoken, which).to_dict()

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        rate = self.escape_rate
        return {
            "sentence": self.sentence,
            "verdict": self.verdict,
            "held": self.held,
            "dim": self.dim,
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "batch_gradient_norm": self.batch_gradient_norm,
            "perturbed_gradient_norm": self.perturbed_gradient_norm,
            "lambda_min": self.ends.low.to_dict(),
            "lambda_max": self.ends.high.to_dict(),
            "unseen_below": self.ends.unseen,
            "mean_square": self._rate("mean_square"),
            "almost_sure": self._rate("almost_sure"),
            "checked": self.checked,
            "weighing": self.weighing,
            "rho_now": self.rho_now,
            "rho_window": list(self.rho_window),
            "rho_advised": self.rho_advised,
            "escape_rate": rate._asdict() if rate else dict.fromkeys(EscapeRate._fields),
            "spectral_radius": self.spectral_radius.to_dict(),
            "hallucinated": self.hallucinated,
            "interrupted": self.ends.interrupted,
            "converged": {
                "lambda": self.ends.converged,
                "spectral_radius": self.spectral_radius.converged,
            },
            "hvps": self.hvps,
            "memory_bytes": self.memory_bytes,
        }

    def __str__(self) -> str:
        return table(self)
