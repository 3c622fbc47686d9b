"""The result of `diagnose`: its numbers, and the sentence that they amount to."""

import math
from typing import Any, NamedTuple

from ..spectra.ends import NEGATIVE, NONE_FOUND, SpectrumEnds
from ..spectra.radius import SpectralRadius
from .rates import EscapeRate

VERDICTS = {NEGATIVE: "saddle", NONE_FOUND: "no negative curvature found"}


class Diagnosis(NamedTuple):
    """Norms are Euclidean; `batch_gradient_norm` is the root mean square over the batches.

    `rho_eff` is how far the ascent goes for each unit of gradient. `rho_now` is the radius of
    normalised SAM above which the steepest negative direction is pulled back, `rho_window` the
    same for the given method, and up to which radius the top direction is stable. `hvps` counts
    Hessian products and products with the step's Jacobian (which take two under SAM).
    """

    dim: int
    loss: float
    gradient_norm: float
    batch_gradient_norm: float
    perturbed_gradient_norm: float
    ends: SpectrumEnds
    rho: float
    rho_eff: float
    rho_now: float | None
    rho_window: tuple[float | None, float | None]
    escape_rate: EscapeRate | None
    spectral_radius: SpectralRadius
    hallucinated: bool
    normalised: bool
    learning_rate: float
    hvps: int
    memory_bytes: int

    @property
    def verdict(self) -> str:
        """ "saddle", "no negative curvature found", or "unresolved"."""
        return VERDICTS.get(self.ends.curvature, "unresolved")

    @property
    def held(self) -> bool:
        """Whether the method pulls the steepest negative direction back."""
        negative = self.ends.curvature == NEGATIVE
        return negative and self.rho_eff * -self.ends.low.value > 1

    @property
    def sentence(self) -> str:
        """The verdict and what to change, in one sentence."""
        if self.hallucinated:
            return (
                f"This is no critical point but one that the ascent makes: the gradient vanishes "
                f"at the perturbed point and is {self.gradient_norm:.3g} here; lower rho."
            )
        if self.ends.curvature == NEGATIVE:
            return self._saddle()
        if self.ends.curvature == NONE_FOUND:
            return (
                f"No negative curvature found: the lowest eigenvalue is {_number(self.ends.low)}, "
                f"so no saddle holds this run; with 99 % confidence none is below "
                f"{self.ends.unseen:.2g}."
            )
        reach = self.ends.low.residual + self.ends.low.error + abs(self.ends.low.value)
        return (
            f"Unresolved: negative curvature, if any, is weaker than {reach:.2g}, which this "
            f"precision and {self.ends.products} products cannot tell from 0; "
            "take --dtype float64 or more krylov vectors."
        )

    def _saddle(self) -> str:
        bottom = f"negative curvature {_number(self.ends.low)}"
        rate = self.escape_rate
        assert rate is not None
        if self.held:
            low = self.rho_window[0] or 0.0
            slower = "" if rate.slowdown is None else f" (now {rate.slowdown:.3g} times slower)"
            why, cure = f"rho = {self.rho:.3g} is above {low:.3g}", "lower rho below that"
            if low < 1e-6 * self.rho:
                why, cure = "gradients vanish here, so that any rho does", "move away at random"
            return (
                f"A saddle holds this run: along its {bottom} the method pulls back, because "
                f"{why}; {cure}, or switch to plain steps, which grow e-fold in about "
                f"{self._steps()} steps{slower}."
            )
        if self.rho_eff > 0:
            assert rate.slowdown is not None
            return (
                f"Not held: along its {bottom} the method escapes "
                f"{rate.slowdown:.3g} times slower than plain steps, e-fold in about "
                f"{self._steps(rate.method)} steps; it would be held from rho = "
                f"{self.rho_window[0]:.3g} on."
            )
        return (
            f"A saddle, but plain steps leave it: along its {bottom} displacement grows e-fold "
            f"in about {self._steps()} steps."
        )

    def _steps(self, rate: float | None = None) -> str:
        """How many steps an e-fold takes."""
        rate = rate or (self.escape_rate.sgd if self.escape_rate else 0.0)
        steps = 1 / (rate * self.learning_rate) if rate > 0 else math.inf
        return f"{math.ceil(steps):,}" if math.isfinite(steps) else "infinitely many"

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        rate = self.escape_rate
        return {
            "sentence": self.sentence,
            "verdict": self.verdict,
            "dim": self.dim,
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "batch_gradient_norm": self.batch_gradient_norm,
            "perturbed_gradient_norm": self.perturbed_gradient_norm,
            "lambda_min": self.ends.low.to_dict(),
            "lambda_max": self.ends.high.to_dict(),
            "unseen_below": self.ends.unseen,
            "rho_now": self.rho_now,
            "rho_window": list(self.rho_window),
            "escape_rate": rate._asdict() if rate else dict.fromkeys(EscapeRate._fields),
            "spectral_radius": self.spectral_radius.to_dict(),
            "hallucinated": self.hallucinated,
            "converged": self.ends.converged and self.spectral_radius.converged,
            "hvps": self.hvps,
            "memory_bytes": self.memory_bytes,
        }

    def __str__(self) -> str:
        low, high = ("none" if end is None else f"{end:.4g}" for end in self.rho_window)
        rows = [
            ("parameters", f"{self.dim:,}"),
            ("loss", f"{self.loss:.6g}"),
            (
                "gradient norm",
                f"{self.gradient_norm:.3g}, of a batch {self.batch_gradient_norm:.3g}"
                f", at the ascent {self.perturbed_gradient_norm:.3g}",
            ),
            ("lambda_min", _number(self.ends.low)),
            ("lambda_max", _number(self.ends.high)),
            ("rho window", f"holds from {low}, top direction stable to {high}"),
            (
                "spectral radius",
                f"{self.spectral_radius.value:.8g} ± {self.spectral_radius.residual:.1g}",
            ),
        ]
        if self.escape_rate:
            rows.append(
                (
                    "escape rate",
                    f"plain {self.escape_rate.sgd:.3g}, "
                    f"method {self.escape_rate.method:.3g} per unit of η·steps",
                )
            )
        rows.append(("cost", f"{self.hvps} products, about {self.memory_bytes / 2**20:,.0f} MiB"))
        return "\n".join([self.sentence, "", *(f"{name:16} {text}" for name, text in rows)])


def _number(end: Any) -> str:
    return f"{end.value:.4g} ± {end.residual:.1g}"
