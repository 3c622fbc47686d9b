"""What a diagnosis amounts to in one sentence, and its numbers as a table."""

import math
from typing import TYPE_CHECKING, Any

from ...growth.rates import Growth
from ...spectra.ends import NEGATIVE, NONE_FOUND, SpectrumEnds
from ...spectra.radius import SpectralRadius
from .rates import ADVISED, escape_rate

if TYPE_CHECKING:
    from .diagnosis import Diagnosis

EQUALLY = "every batch alike"
NEAR = 0.1  # relative: two radii that are one


def sentence(d: "Diagnosis") -> str:
    """The verdict and what to change, in one sentence."""
    if d.hallucinated:
        return (
            f"This is no critical point but one that the ascent makes: the gradient vanishes "
            f"at the perturbed point and is {d.gradient_norm:.3g} here; lower rho."
        )
    if d.ends.curvature == NEGATIVE:
        return _saddle(d)
    if d.ends.curvature == NONE_FOUND:
        steep = "no saddle" if d.ends.unseen >= 0 else "no steeper saddle"
        return (
            f"No negative curvature found: the lowest eigenvalue is {_number(d.ends.low)}; "
            f"{d.ends.surely}"
            f"{f', so that {steep} holds this run' if math.isfinite(d.ends.unseen) else ''}"
            f"{_left_along(d)}."
        )
    return _unresolved(d)


def _unresolved(d: "Diagnosis") -> str:
    low, spent = d.ends.low, f"{d.ends.products} products"
    if low.sign > 0 and not d.ends.converged:
        ended = "was interrupted" if d.ends.interrupted else "ended"
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


def _left_along(d: "Diagnosis") -> str:
    """Where a minimum of the mean loss is left along one of its two ends, a word of it."""
    left = d.left()
    if left is None:
        return _left_by_batches(d)
    name, end, growth = left
    how = f"the step is too large for its {name} curvature"
    if growth.mean.value < 0:
        how = "minibatches differ too much, though their mean step comes back"
    return (
        f". But runs leave this point along its {name} curvature, {_number(end)}, e-fold "
        f"in about {_steps(growth.almost_sure.value)} steps: {how}"
    )


def _left_by_batches(d: "Diagnosis") -> str:
    """The same, where neither end of the mean's spectrum lets runs leave; which rate speaks."""
    if d.whole is None or not (d.left_by_batches or d.strays_rarely):
        return ""
    square = f"{_steps(d.whole.mean_square.value)} steps"
    if d.strays_rarely:
        return (
            f". Almost every run that draws its minibatches stays; but in mean square, that is in "
            f"rare runs, displacements grow e-fold in about {square}"
        )
    mean = "though their mean step comes back" if d.whole.mean.value < 0 else "as does their mean"
    return (
        f". But almost every run leaves this point, e-fold in about "
        f"{_steps(d.whole.almost_sure.value)} steps, along directions in which minibatches differ "
        f"too much, {mean}"
    )


def _saddle(d: "Diagnosis") -> str:
    bottom = f"negative curvature {_number(d.ends.low)}"
    what = "maximum" if d.verdict == "maximum" else "saddle"
    if d.verdict == "not at a saddle":
        return _elsewhere(d, bottom)
    if d.verdict == "unresolved":
        return _too_few(d, bottom)
    if d.kept_by_noise:
        return _kept(d, f"A {what} of the mean loss", bottom)
    if d.pulled_back:
        start = f"A {what} holds this run: along its"
        if not d.held:
            start = f"This {what} would hold the run if the step were not too large: along its"
        if d.driven_out:
            return _driven(d, f"A {what}", bottom)
        plain = f"plain steps grow e-fold in about {_plain(d)} steps"
        return f"{start} {bottom} {plain}, and the method pulls back, because {_held(d)}"
    if d.rho > 0 and d.rho_eff != 0:
        return _slowed(d, bottom)
    return (
        f"A {what}, but plain steps leave it: along its {bottom} displacement grows e-fold "
        f"in about {_plain(d)} steps."
    )


def _elsewhere(d: "Diagnosis", bottom: str) -> str:
    assert d.gains is not None
    text = (
        f"Not at a saddle: while the {bottom} grows e-fold, in about {_plain(d)} plain "
        f"steps, the gradient lowers the loss by about {d.gains.gradient:.2g} and that "
        f"curvature by {d.gains.curvature:.2g}"
    )
    if d.held and not d.kept_by_noise:
        return f"{text}. If this run no longer moves, the method holds it: {_held(d)}"
    return f"{text}; a run that is stuck here is not stuck by this curvature."


def _too_few(d: "Diagnosis", bottom: str) -> str:
    assert d.gains is not None
    return (
        f"Unresolved: there is {bottom}, along which plain steps grow e-fold in about "
        f"{_plain(d)} steps, but whether this is near a saddle is not known: meanwhile the "
        f"gradient would lower the loss by up to {d.gains.gradient:.2g}, and that curvature "
        f"by {d.gains.curvature:.2g}, and {d.batches} batches are too few to tell the "
        "gradient from their noise; give more, or larger ones."
    )


def _kept(d: "Diagnosis", start: str, bottom: str) -> str:
    assert d.bottom is not None
    square = d.bottom.mean_square.value
    return (
        f"{start} that runs approach: along its {bottom} their mean step leads away, e-fold in "
        f"about {_steps(d.bottom.mean.value)} steps, but minibatches differ so much that "
        f"almost every run comes e-fold closer along it in about "
        f"{max(1, math.ceil(-1 / d.bottom.almost_sure.value))}"
        f"{', with rare ones far away' if square > 0 else ''}; larger batches or a smaller "
        "step let them leave. Softer directions are not asked."
    )


def _driven(d: "Diagnosis", start: str, bottom: str) -> str:
    assert d.bottom is not None
    return (
        f"{start} that runs leave: along its {bottom} the mean step of the method points back, "
        f"but minibatches differ so much that almost every run grows e-fold in about "
        f"{_steps(d.bottom.almost_sure.value)} steps."
    )


def _held(d: "Diagnosis") -> str:
    """Why, what to change, and what that brings."""
    assert d.escape_rate is not None
    now = "now none does"
    if d.escape_rate.method > 0:
        now = f"now no direction does in less than {_method_steps(d, 'method')}"
    if d.rho_advised is None:
        return (
            "gradients vanish here, so that any rho does; move away at random, or switch to "
            "plain steps."
        )
    advised = f"with rho = {d.rho_advised:.3g} it grows e-fold in about {_advised(d)}"
    return f"rho = {d.rho:.3g} is above {d.rho_window[0]:.3g}; {advised} steps, while {now}."


def _slowed(d: "Diagnosis", bottom: str) -> str:
    assert d.escape_rate is not None
    rate, advised = d.escape_rate, d.rho_advised
    slowdown = rate.slowdown if rate.slowdown else math.inf
    much = advised is not None and d.rho > advised and slowdown > 1
    better = f"; with rho = {advised:.3g} in {_advised(d)}" if much else ""
    until = _until(d)
    compared = f"{slowdown:.3g} times slower than these"
    if slowdown < 1:
        compared = f"{1 / slowdown:.3g} times faster than these"
    return (
        f"Not held{', but slowed' if much else ''}: along its {bottom} plain steps grow e-fold "
        f"in about {_plain(d)} steps, and the method escapes {compared}, in about "
        f"{_method_steps(d, 'method')}{better}{until}."
    )


def _until(d: "Diagnosis") -> str:
    """From which radius on it would be held.

    A displacement is pulled back from `rho_window` on. A run whose gradients lie along the
    direction itself may be turned farther out, by a normalised method from `rho_now` on.
    """
    low, now = d.rho_window[0], d.rho_now
    if d.normalised and low is not None and now is not None and now < (1 - NEAR) * low:
        return f"; it would be held from somewhere between rho = {now:.3g} and {low:.3g} on"
    if d.overshoots:
        return "; no radius holds it, because the top direction overshoots before"
    return "" if low is None else f"; it would be held from rho = {low:.3g} on"


def _plain(d: "Diagnosis") -> str:
    """How many plain steps an e-fold takes in almost every run, or else in the mean."""
    if d.plain_bottom is None:
        return _method_steps(d, "sgd")
    runs = d.plain_bottom.almost_sure.value
    if d.plain_bottom.leaves is None:
        return f"{_method_steps(d, 'sgd')} (in the mean; what runs do is too close to tell)"
    if not d.plain_bottom.leaves:
        return f"{_method_steps(d, 'sgd')} (in the mean; almost every run shrinks)"
    return _steps(runs)


def _method_steps(d: "Diagnosis", which: str) -> str:
    """How many steps an e-fold takes, by "sgd" or by the "method"."""
    return _efold(getattr(d.escape_rate, which), d.learning_rate)


def _advised(d: "Diagnosis") -> str:
    """How many steps an e-fold takes with the advised radius."""
    lowest = d.ends.low.value
    rate = escape_rate(lowest, ADVISED / -lowest, d.learning_rate, d.momentum)
    return _efold(rate.method, d.learning_rate)


def _radius(d: "Diagnosis") -> str:
    found = d.spectral_radius
    if math.isnan(found.value):
        return "none: not asked, or the step has no Jacobian where a gradient vanishes"
    return f"{found.value:.8g} ± {found.error:.1g}{_unsettled(found)}"


def table(d: "Diagnosis") -> str:
    """The sentence, and below it the numbers."""
    low, high = ("none" if end is None else f"{end:.4g}" for end in d.rho_window)
    stable = "unstable at any" if d.rho_window[1] == 0 else f"stable to {high}"
    rows = [
        ("parameters", f"{d.dim:,}"),
        ("loss", f"{d.loss:.6g}"),
        (
            "gradient norm",
            f"{d.gradient_norm:.3g}, of a batch {d.batch_gradient_norm:.3g}"
            f", at the ascent {d.perturbed_gradient_norm:.3g}",
        ),
        ("lambda_min", _number(d.ends.low)),
        ("lambda_max", _number(d.ends.high) + _unsettled(d.ends)),
        ("rho window", f"holds from {low}, top direction {stable}"),
        ("spectral radius", _radius(d)),
    ]
    if d.escape_rate:
        rows.append(
            (
                "escape rate",
                f"plain {d.escape_rate.sgd:.3g}, "
                f"method {d.escape_rate.method:.3g} per unit of η·steps",
            )
        )
    named = (("runs along bottom", d.bottom), ("runs along top", d.top), ("runs", d.whole))
    rows += [(name, _rates(growth)) for name, growth in named if growth is not None]
    if d.signal is not None:
        rows.append(
            (
                "gradient",
                f"{d.signal.share:.2g} ± {d.signal.error:.1g} of its square is no noise "
                f"of the {d.batches} batches",
            )
        )
    if d.gains is not None:
        rows.append(
            (
                "in an e-fold",
                f"the gradient lowers the loss by {d.gains.gradient:.2g}, negative "
                f"curvature by {d.gains.curvature:.2g}",
            )
        )
    rows.append(("loss checked", d.checked))
    if d.weighing != EQUALLY:
        rows.append(("mean over", d.weighing))
    rows.append(("cost", f"{d.hvps} products, about {d.memory_bytes / 2**20:,.0f} MiB"))
    return "\n".join([sentence(d), "", *(f"{name:16} {text}" for name, text in rows)])


def _number(end: Any) -> str:
    return f"{end.value:.4g} ± {end.residual:.1g}"


def _rates(growth: Growth) -> str:
    names = ("mean", "mean square", "almost surely")
    parts = [f"{name} {rate:4}" for name, rate in zip(names, growth, strict=True)]
    return f"{', '.join(parts)} per step"


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
