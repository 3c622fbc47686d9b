"""From eigenvalues to a verdict, with the reason in words."""

from typing import NamedTuple

import numpy as np

# An eigenvalue counts as zero (a multiplier as lying on the unit circle) below this fraction of
# the largest one: far above rounding, far below anything that matters in a run.
ZERO = 1e-9


class Verdict(NamedTuple):
    """`verdict` is "attractor", "repeller", "saddle" or "degenerate"; `why` says it in words.

    `eigenvalues` are those of the flow's Jacobian, or the step map's multipliers, shape (n,)
    complex; None where no Jacobian exists. `capture_radius`, `orbit`, `amplitude` and `period`
    belong to the critical points of normalised SAM, where a Jacobian does not decide; `orbit`
    is "period-2", "escapes", or "chaotic" for any other bounded orbit, whose `period` is given
    where it has one. `centre` is the middle of a period-2 orbit, which may lie off the point.
    """

    verdict: str
    why: str
    eigenvalues: np.ndarray | None = None
    capture_radius: float | None = None
    orbit: str | None = None
    amplitude: float | None = None
    period: int | None = None
    centre: np.ndarray | None = None


def flow_verdict(eigenvalues: np.ndarray, smallest_scale: float = 0.0) -> Verdict:
    """The verdict for a flow from the eigenvalues of its Jacobian, shape (d,) complex.

    `smallest_scale` is the size below which the largest eigenvalue is itself rounding.
    """
    real = np.real(eigenvalues)
    scale = max(float(np.max(np.abs(eigenvalues))), smallest_scale)
    signs = np.where(np.abs(real) <= ZERO * scale, 0, np.sign(real)).astype(int)
    name = _by_signs(signs)
    lead = float(np.max(real))
    text = {
        "attractor": f"every direction contracts, the slowest at rate {lead:.6g}",
        "repeller": f"every direction grows, the slowest at rate {float(np.min(real)):.6g}",
        "saddle": f"{np.sum(signs > 0)} of {signs.size} directions grow, "
        f"the fastest at rate {lead:.6g}",
        "degenerate": "a rate is zero, so the linear part decides nothing",
    }[name]
    return Verdict(name, text, eigenvalues)


def flow_verdict_names(eigenvalues: np.ndarray, smallest_scale: float = 0.0) -> np.ndarray:
    """`flow_verdict` by name, for many Jacobians at once: eigenvalues (n, d) complex."""
    real = np.real(eigenvalues)
    scale = np.maximum(np.max(np.abs(eigenvalues), axis=1, keepdims=True), smallest_scale)
    signs = np.where(np.abs(real) <= ZERO * scale, 0, np.sign(real))
    lowest, highest = signs.min(axis=1), signs.max(axis=1)
    conditions = [np.any(signs == 0, axis=1), highest < 0, lowest > 0]
    return np.select(conditions, ["degenerate", "attractor", "repeller"], "saddle")


def map_verdict(multipliers: np.ndarray) -> Verdict:
    """The verdict for a step map from its multipliers, shape (n,) complex.

    Adam and its like are not differentiable where their second moment is zero: degenerate.
    """
    if not np.all(np.isfinite(multipliers)):
        text = "the step is not differentiable here, so it has no multipliers"
        return Verdict("degenerate", text)
    modulus = np.abs(multipliers)
    scale = float(np.max(np.abs(multipliers - 1)))
    signs = np.where(np.abs(modulus - 1) <= ZERO * scale, 0, np.sign(modulus - 1)).astype(int)
    name = "degenerate" if scale == 0 else _by_signs(signs)
    largest = multipliers[np.argmax(modulus)]
    text = {
        "attractor": f"all multipliers lie inside the unit circle, the largest {_show(largest)}",
        "repeller": f"all multipliers lie outside the unit circle, the largest {_show(largest)}",
        "saddle": f"{np.sum(signs > 0)} of {signs.size} multipliers lie outside the unit circle, "
        f"the largest {_show(largest)}",
        "degenerate": "a multiplier lies on the unit circle, so the linear part decides nothing",
    }[name]
    return Verdict(name, text, multipliers)


def _by_signs(signs: np.ndarray) -> str:
    if np.any(signs == 0):
        return "degenerate"
    if np.all(signs < 0):
        return "attractor"
    return "repeller" if np.all(signs > 0) else "saddle"


def _show(z: complex) -> str:
    if z.imag == 0:
        return f"{z.real:.6g}"
    return f"{z.real:.6g}{z.imag:+.6g}i (modulus {abs(z):.6g})"
