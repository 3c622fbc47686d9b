"""The result of `diagnose`: its numbers, and the sentence that they amount to."""

import math
from typing import Any, NamedTuple

from ..spectra.ends import NEGATIVE, NONE_FOUND, SpectrumEnds
from ..spectra.radius import SpectralRadius
from .rates import ADVISED, EscapeRate, escape_rate

VANISHING = 1e-6  # of rho: a radius below it is none
VERDICTS = {NEGATIVE: "saddle", NONE_FOUND: "no negative curvature found"}


class Diagnosis(NamedTuple):
    """Norms are Euclidean; `batch_gradient_norm` is the harmonic mean over the `batches` batches.

    `rho_eff` is how far the mean ascent goes along the steepest negative direction for each unit
    of gradient there; a normalised method that overshoots along the top direction alternates
    there, which bounds it. `rho_now` is the radius of normalised SAM above which that direction
    is pulled back, `rho_window` the same for the given method (for plain steps: SAM), and up to
    which radius the top direction is stable.
    `escape_rate` is per unit of η·steps. `spectral_radius` is that of the mean step over the
    minibatches; nan where it has no Jacobian. `hvps` counts Hessian products and products with
    the step's Jacobian (which take two under SAM).
    """

    dim: int
    loss: float
    gradient_norm: float
    batch_gradient_norm: float
    perturbed_gradient_norm: float
    batches: int
    ends: SpectrumEnds
    rho: float
    normalised: bool
    rho_eff: float
    rho_now: float | None
    rho_window: tuple[float | None, float | None]
    escape_rate: EscapeRate | None
    spectral_radius: SpectralRadius
    hallucinated: bool
    learning_rate: float
    momentum: float
    hvps: int
    memory_bytes: int

    @property
    def verdict(self) -> str:
        """ "saddle", "no negative curvature found", or "unresolved"."""
        return VERDICTS.get(self.ends.curvature, "unresolved")

    @property
    def held(self) -> bool:
        """Whether the method pulls the steepest negative direction back, and comes to rest.

        Softer directions, |λ| < 1/`rho_eff`, may still grow, slower than any did without.
        """
        return self.pulled_back and (self.normalised or not self.overshoots)

    @property
    def pulled_back(self) -> bool:
        """Whether the mean step along the steepest negative direction points back."""
        return self.ends.curvature == NEGATIVE and self.rho_eff * -self.ends.low.value >= 1

    @property
    def overshoots(self) -> bool:
        """Whether the method is unstable along the direction of largest curvature. A normalised
        one then alternates there, with a smaller `rho_eff`; others diverge."""
        high = self.rho_window[1]
        return high is not None and (high == 0 or self.rho > high)

    @property
    def critical(self) -> bool:
        """Whether the full gradient is small: no more than minibatch noise makes it, or so that
        what plain steps gain by it during an e-fold is below a hundredth of the loss."""
        noise = self.batch_gradient_norm / math.sqrt(self.batches)
        gain = self.gradient_norm**2 / abs(self.ends.low.value)
        return (self.batches > 1 and self.gradient_norm <= 3 * noise) or (
            gain <= 0.01 * abs(self.loss)
        )

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
        if self.hallucinated:
            return (
                f"This is no critical point but one that the ascent makes: the gradient vanishes "
                f"at the perturbed point and is {self.gradient_norm:.3g} here; lower rho."
            )
        if self.ends.curvature == NEGATIVE:
            return self._saddle()
        if self.ends.curvature == NONE_FOUND:
            steep = "no saddle" if self.ends.unseen >= 0 else "no steeper saddle"
            return (
                f"No negative curvature found: the lowest eigenvalue is {_number(self.ends.low)}; "
                f"{self.ends.surely}"
                f"{f', so that {steep} holds this run' if math.isfinite(self.ends.unseen) else ''}."
            )
        return self._unresolved()

    def _unresolved(self) -> str:
        low, spent = self.ends.low, f"{self.ends.products} products"
        if low.sign > 0 and not self.ends.converged:
            ended = "was interrupted" if self.ends.interrupted else "ended"
            return (
                f"Unresolved: the search {ended} after {spent} with the lowest eigenvalue still at "
                f"{_number(low)}; allow more products."
            )
        most = low.residual + low.error + abs(low.value)
        return (
            f"Unresolved: negative curvature, if any, is weaker than {most:.2g}, which this "
            f"precision and {spent} cannot tell from 0; take --dtype float64 or more krylov "
            "vectors."
        )

    def _saddle(self) -> str:
        bottom = f"negative curvature {_number(self.ends.low)}"
        if self.pulled_back:
            start = "A saddle holds this run: along its"
            if not self.critical:
                start = "If this run no longer moves, a saddle holds it: along its"
            if not self.held:
                start = "This saddle would hold the run if the step were not too large: along its"
            return f"{start} {bottom} the method pulls back, because {self._held()}"
        if self.rho > 0 and self.rho_eff != 0:
            return self._slowed(bottom)
        return (
            f"A saddle, but plain steps leave it: along its {bottom} displacement grows e-fold "
            f"in about {self._steps('sgd')} steps."
        )

    def _held(self) -> str:
        """Why, what to change, and what that brings."""
        assert self.escape_rate is not None
        plain, now = self._steps("sgd"), "now none does"
        if self.escape_rate.method > 0:
            now = f"now no direction does in less than {self._steps('method')}"
        if self.rho_advised is None:
            return (
                "gradients vanish here, so that any rho does; move away at random, or switch to "
                f"plain steps, which grow e-fold in about {plain} steps."
            )
        advised = f"with rho = {self.rho_advised:.3g} it grows e-fold in about {self._advised()}"
        return (
            f"rho = {self.rho:.3g} is above {self.rho_window[0]:.3g}; {advised} steps, with plain "
            f"steps in {plain}, while {now}."
        )

    def _slowed(self, bottom: str) -> str:
        rate, advised = self.escape_rate, self.rho_advised
        slowdown = rate.slowdown if rate and rate.slowdown else math.inf
        much = advised is not None and self.rho > advised
        better = f"; with rho = {advised:.3g} in {self._advised()}" if much else ""
        low = self.rho_window[0]
        until = "" if low is None else f"; it would be held from rho = {low:.3g} on"
        if self.overshoots:
            until = "; no radius holds it, because the top direction overshoots before"
        return (
            f"Not held{', but slowed' if much else ''}: along its {bottom} the method escapes "
            f"{slowdown:.3g} times slower than plain steps, e-fold in about "
            f"{self._steps('method')} steps{better}{until}."
        )

    def _steps(self, which: str) -> str:
        """How many steps an e-fold takes, by "sgd" or by the "method"."""
        return _efold(getattr(self.escape_rate, which), self.learning_rate)

    def _advised(self) -> str:
        """How many steps an e-fold takes with the advised radius."""
        lowest = self.ends.low.value
        rate = escape_rate(lowest, ADVISED / -lowest, self.learning_rate, self.momentum)
        return _efold(rate.method, self.learning_rate)

    def _radius(self) -> str:
        found = self.spectral_radius
        if math.isnan(found.value):
            return "none: not asked, or the step has no Jacobian where a gradient vanishes"
        return f"{found.value:.8g} ± {found.error:.1g}{_unsettled(found)}"

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
        low, high = ("none" if end is None else f"{end:.4g}" for end in self.rho_window)
        stable = "unstable at any" if self.rho_window[1] == 0 else f"stable to {high}"
        rows = [
            ("parameters", f"{self.dim:,}"),
            ("loss", f"{self.loss:.6g}"),
            (
                "gradient norm",
                f"{self.gradient_norm:.3g}, of a batch {self.batch_gradient_norm:.3g}"
                f", at the ascent {self.perturbed_gradient_norm:.3g}",
            ),
            ("lambda_min", _number(self.ends.low)),
            ("lambda_max", _number(self.ends.high) + _unsettled(self.ends)),
            ("rho window", f"holds from {low}, top direction {stable}"),
            ("spectral radius", self._radius()),
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


def _efold(rate: float, learning_rate: float) -> str:
    """1/rate in steps, for people."""
    steps = 1 / (rate * learning_rate) if rate > 0 else math.inf
    return f"{math.ceil(steps):,}" if math.isfinite(steps) else "infinitely many"


def _unsettled(found: SpectrumEnds | SpectralRadius) -> str:
    if found.converged:
        return ""
    return f", not to the tolerance asked for in {found.products} products"
