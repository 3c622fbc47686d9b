"""The result of `diagnose`: its numbers, and the sentence that they amount to."""

import math
from typing import Any, NamedTuple

from ..spectra.ends import NEGATIVE, NONE_FOUND, Eigenvalue, SpectrumEnds
from ..spectra.radius import SpectralRadius
from .random_growth import Growth, Rate
from .rates import ADVISED, EscapeRate, escape_rate
from .stationarity import Gains, Signal

EQUALLY = "every batch alike"
NEAR = 0.1  # relative: two radii that are one
VANISHING = 1e-6  # of rho: a radius below it is none
VERDICTS = {NEGATIVE: "saddle", NONE_FOUND: "no negative curvature found"}


class Diagnosis(NamedTuple):
    """Norms are Euclidean; `batch_gradient_norm` is the harmonic mean over the `batches` batches.

    `rho_eff` is how far the mean ascent goes along the steepest negative direction for each unit
    of gradient there; a normalised method that overshoots along the top direction alternates
    there, which bounds it. `rho_now` is the radius of normalised SAM above which that direction
    is pulled back, `rho_window` the same for the given method (for plain steps: SAM), and up to
    which radius the top direction is stable.
    `bottom`, `plain_bottom` and `top` tell how runs that draw a batch at every step grow along the
    steepest negative direction, by the method and by plain steps, and along the top one, by the
    method; None where there is no such direction, or no Jacobian. `gains` compares gradient
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
                f"{f', so that {steep} holds this run' if math.isfinite(self.ends.unseen) else ''}"
                f"{self._left_along()}."
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

    def _left(self) -> tuple[str, Eigenvalue, Growth] | None:
        """The end of the spectrum along which runs leave a minimum of the mean loss."""
        ends = ("largest", self.ends.high, self.top), ("lowest", self.ends.low, self.bottom)
        for name, end, growth in ends:
            if growth is not None and growth.leaves:
                return name, end, growth
        return None

    def _left_along(self) -> str:
        """Where a minimum of the mean loss is left along one of its two ends, a word of it."""
        left = self._left()
        if left is None:
            return ""
        name, end, growth = left
        how = f"the step is too large for its {name} curvature"
        if growth.mean.value < 0:
            how = "minibatches differ too much, though their mean step comes back"
        return (
            f". But runs leave this point along its {name} curvature, {_number(end)}, e-fold "
            f"in about {_steps(growth.almost_sure.value)} steps: {how}"
        )

    def _saddle(self) -> str:
        bottom = f"negative curvature {_number(self.ends.low)}"
        what = "maximum" if self.verdict == "maximum" else "saddle"
        if self.verdict == "not at a saddle":
            return self._elsewhere(bottom)
        if self.verdict == "unresolved":
            return self._too_few(bottom)
        if self.kept_by_noise:
            return self._kept(f"A {what} of the mean loss", bottom)
        if self.pulled_back:
            start = f"A {what} holds this run: along its"
            if not self.held:
                start = f"This {what} would hold the run if the step were not too large: along its"
            if self.driven_out:
                return self._driven(f"A {what}", bottom)
            plain = f"plain steps grow e-fold in about {self._plain()} steps"
            return f"{start} {bottom} {plain}, and the method pulls back, because {self._held()}"
        if self.rho > 0 and self.rho_eff != 0:
            return self._slowed(bottom)
        return (
            f"A {what}, but plain steps leave it: along its {bottom} displacement grows e-fold "
            f"in about {self._plain()} steps."
        )

    def _elsewhere(self, bottom: str) -> str:
        assert self.gains is not None
        text = (
            f"Not at a saddle: while the {bottom} grows e-fold, in about {self._plain()} plain "
            f"steps, the gradient lowers the loss by about {self.gains.gradient:.2g} and that "
            f"curvature by {self.gains.curvature:.2g}"
        )
        if self.held and not self.kept_by_noise:
            return f"{text}. If this run no longer moves, the method holds it: {self._held()}"
        return f"{text}; a run that is stuck here is not stuck by this curvature."

    def _too_few(self, bottom: str) -> str:
        assert self.gains is not None
        return (
            f"Unresolved: there is {bottom}, along which plain steps grow e-fold in about "
            f"{self._plain()} steps, but whether this is near a saddle is not known: meanwhile the "
            f"gradient would lower the loss by up to {self.gains.gradient:.2g}, and that curvature "
            f"by {self.gains.curvature:.2g}, and {self.batches} batches are too few to tell the "
            "gradient from their noise; give more, or larger ones."
        )

    def _kept(self, start: str, bottom: str) -> str:
        assert self.bottom is not None
        square = self.bottom.mean_square.value
        return (
            f"{start} that runs approach: along its {bottom} their mean step leads away, e-fold in "
            f"about {_steps(self.bottom.mean.value)} steps, but minibatches differ so much that "
            f"almost every run comes e-fold closer along it in about "
            f"{max(1, math.ceil(-1 / self.bottom.almost_sure.value))}"
            f"{', with rare ones far away' if square > 0 else ''}; larger batches or a smaller "
            "step let them leave. Softer directions are not asked."
        )

    def _driven(self, start: str, bottom: str) -> str:
        assert self.bottom is not None
        return (
            f"{start} that runs leave: along its {bottom} the mean step of the method points back, "
            f"but minibatches differ so much that almost every run grows e-fold in about "
            f"{_steps(self.bottom.almost_sure.value)} steps."
        )

    def _held(self) -> str:
        """Why, what to change, and what that brings."""
        assert self.escape_rate is not None
        now = "now none does"
        if self.escape_rate.method > 0:
            now = f"now no direction does in less than {self._steps('method')}"
        if self.rho_advised is None:
            return (
                "gradients vanish here, so that any rho does; move away at random, or switch to "
                "plain steps."
            )
        advised = f"with rho = {self.rho_advised:.3g} it grows e-fold in about {self._advised()}"
        return (
            f"rho = {self.rho:.3g} is above {self.rho_window[0]:.3g}; {advised} steps, while {now}."
        )

    def _slowed(self, bottom: str) -> str:
        assert self.escape_rate is not None
        rate, advised = self.escape_rate, self.rho_advised
        slowdown = rate.slowdown if rate.slowdown else math.inf
        much = advised is not None and self.rho > advised and slowdown > 1
        better = f"; with rho = {advised:.3g} in {self._advised()}" if much else ""
        until = self._until()
        compared = f"{slowdown:.3g} times slower than these"
        if slowdown < 1:
            compared = f"{1 / slowdown:.3g} times faster than these"
        return (
            f"Not held{', but slowed' if much else ''}: along its {bottom} plain steps grow e-fold "
            f"in about {self._plain()} steps, and the method escapes {compared}, in about "
            f"{self._steps('method')}{better}{until}."
        )

    def _until(self) -> str:
        """From which radius on it would be held.

        A displacement is pulled back from `rho_window` on. A run whose gradients lie along the
        direction itself may be turned farther out, by a normalised method from `rho_now` on.
        """
        low, now = self.rho_window[0], self.rho_now
        if self.normalised and low is not None and now is not None and now < (1 - NEAR) * low:
            return f"; it would be held from somewhere between rho = {now:.3g} and {low:.3g} on"
        if self.overshoots:
            return "; no radius holds it, because the top direction overshoots before"
        return "" if low is None else f"; it would be held from rho = {low:.3g} on"

    def _plain(self) -> str:
        """How many plain steps an e-fold takes in almost every run, or else in the mean."""
        if self.plain_bottom is None:
            return self._steps("sgd")
        runs = self.plain_bottom.almost_sure.value
        if self.plain_bottom.leaves is None:
            return f"{self._steps('sgd')} (in the mean; what runs do is too close to tell)"
        if not self.plain_bottom.leaves:
            return f"{self._steps('sgd')} (in the mean; almost every run shrinks)"
        return _steps(runs)

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

    def _rate(self, which: str) -> dict[str, float] | None:
        """A rate of runs along the direction spoken of: the lowest where it is negative, else the
        end that runs leave along, or the top."""
        spoken = self.bottom if self.ends.curvature == NEGATIVE else None
        if self.ends.curvature == NONE_FOUND:
            left = self._left()
            spoken = self.top if left is None else left[2]
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
        for name, growth in (("bottom", self.bottom), ("top", self.top)):
            if growth is not None:
                rows.append((f"runs along {name}", _rates(growth)))
        if self.signal is not None:
            rows.append(
                (
                    "gradient",
                    f"{self.signal.share:.2g} ± {self.signal.error:.1g} of its square is no noise "
                    f"of the {self.batches} batches",
                )
            )
        if self.gains is not None:
            rows.append(
                (
                    "in an e-fold",
                    f"the gradient lowers the loss by {self.gains.gradient:.2g}, negative "
                    f"curvature by {self.gains.curvature:.2g}",
                )
            )
        rows.append(("loss checked", self.checked))
        if self.weighing != EQUALLY:
            rows.append(("mean over", self.weighing))
        rows.append(("cost", f"{self.hvps} products, about {self.memory_bytes / 2**20:,.0f} MiB"))
        return "\n".join([self.sentence, "", *(f"{name:16} {text}" for name, text in rows)])


def _number(end: Any) -> str:
    return f"{end.value:.4g} ± {end.residual:.1g}"


def _rates(growth: Growth) -> str:
    names = ("mean", "mean square", "almost surely")
    parts = [f"{name} {_rate(rate)}" for name, rate in zip(names, growth, strict=True)]
    return f"{', '.join(parts)} per step"


def _rate(rate: Rate) -> str:
    return f"{rate.value:.4g}" + (f" ± {rate.error:.1g}" if rate.error else "")


def _steps(rate: float) -> str:
    """1/rate, a rate per step, for people."""
    return _efold(rate, 1.0)


def _efold(rate: float, learning_rate: float) -> str:
    """1/rate in steps, for people."""
    steps = 1 / (rate * learning_rate) if rate > 0 else math.inf
    return f"{math.ceil(steps):,}" if math.isfinite(steps) else "infinitely many"


def _unsettled(found: SpectrumEnds | SpectralRadius) -> str:
    if found.converged:
        return ""
    return f", not to the tolerance asked for in {found.products} products"
