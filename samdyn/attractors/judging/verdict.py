"""From eigenvalues to a verdict, with the reason in words."""

from typing import NamedTuple

import numpy as np

from .enclosed import Discs

# An eigenvalue counts as zero (a multiplier as lying on the unit circle) below this fraction of
# the largest one: far above rounding, far below anything that matters in a run.
ZERO = 1e-9


class Verdict(NamedTuple):
    """`verdict` is "attractor", "repeller", "saddle", "degenerate" or "unknown", for a step also
    "not a fixed map"; `why` says it in words.

    `eigenvalues` are those of the flow's Jacobian, or the step map's multipliers, shape (n,)
    complex; None where no Jacobian exists. `capture_radius`, `orbit`, `amplitude` and `period`
    belong to the critical points of normalised SAM, where a Jacobian does not decide; `orbit`
    is "period-2", "period-K" for a longer one that repeats itself, "escapes", or "chaotic" for any
    other bounded orbit, whose `amplitude` is the distance within which 99 % of its points lie;
    `period` is given where it has one. `centre` is the middle of a period-2
    orbit, which may lie off the point.
    Every start within `proven_radius` of an attractor ends there, for sure.
    A point of a set of fixed points of dimension `tangent_dim` is degenerate, and `transverse` the
    verdict across that set.
    """

    verdict: str
    why: str
    eigenvalues: np.ndarray | None = None
    capture_radius: float | None = None
    orbit: str | None = None
    amplitude: float | None = None
    period: int | None = None
    centre: np.ndarray | None = None
    proven: bool = False
    proven_radius: float | None = None
    transverse: str | None = None
    tangent_dim: int = 0


def flow_verdict(
    eigenvalues: np.ndarray,
    smallest_scale: float = 0.0,
    where: Discs | None = None,
    signs: np.ndarray | None = None,
) -> Verdict:
    """The verdict for a flow from the eigenvalues of its Jacobian, shape (d,) complex.

    `smallest_scale` is the size below which the largest eigenvalue is itself rounding. `where`
    they lie for sure may be given: then a rate is zero where it can't be told from zero.
    `signs` (d,) are those of the rates, where they are certain by other means.
    """
    real = np.real(eigenvalues)
    if not np.all(np.isfinite(eigenvalues)):
        return Verdict("unknown", "the field has no Jacobian here that is finite")
    if signs is not None:
        name = _by_bounds(signs, np.zeros_like(signs))
    elif where is not None:
        name = _by_bounds(np.real(where.centres), where.radii)
    else:
        name = str(flow_verdict_names(eigenvalues[None], smallest_scale)[0])
    certain = signs is not None or where is not None
    lead = float(np.max(real))
    text = {
        "attractor": f"every direction contracts, the slowest at rate {lead:.6g}",
        "repeller": f"every direction grows, the slowest at rate {float(np.min(real)):.6g}",
        "saddle": f"{np.sum(real > 0)} of {real.size} directions grow, "
        f"the fastest at rate {lead:.6g}",
        "degenerate": f"{_zero(where)}, so the linear part decides nothing",
    }[name]
    return Verdict(name, text, eigenvalues, proven=certain and name != "degenerate")


def _by_bounds(growth: np.ndarray, errors: np.ndarray) -> str:
    """The verdict from growth (d,) that is known within errors (d,)."""
    if np.any(np.abs(growth) <= errors):
        return "degenerate"
    if np.all(growth < 0):
        return "attractor"
    return "repeller" if np.all(growth > 0) else "saddle"


def _zero(where: Discs | None) -> str:
    """Which rate is too near to zero, and how near, where that is known."""
    if where is None:
        return "a rate is zero"
    rates = np.real(where.centres)
    least = int(np.argmin(np.abs(rates) - where.radii))
    return (
        f"a rate of {rates[least]:.3g} that may be off by {where.radii[least]:.3g} can't be told "
        "from zero"
    )


def flow_verdict_names(eigenvalues: np.ndarray, smallest_scale: float = 0.0) -> np.ndarray:
    """`flow_verdict` by name, for many Jacobians at once: eigenvalues (n, d) complex."""
    scale = np.maximum(np.max(np.abs(eigenvalues), axis=1), smallest_scale)
    return _by_signs(np.real(eigenvalues), scale)


def map_verdict(
    multipliers: np.ndarray, dim: int | None = None, where: Discs | None = None
) -> Verdict:
    """The verdict for a step map from its multipliers, shape (n,) complex; `where`
    they lie for sure may be given.

    On one parameter (`dim` 1) what grows is a repeller, although the momentum beside it shrinks.
    Adam and its like are not differentiable where their second moment is zero: degenerate.
    """
    if not np.all(np.isfinite(multipliers)):
        text = "the step is not differentiable here, so it has no multipliers"
        return Verdict("degenerate", text)
    modulus = np.abs(multipliers)
    scale = np.max(np.abs(multipliers - 1))
    name = str(_by_signs(modulus[None] - 1, scale[None])[0])
    if where is not None:
        name = _by_bounds(np.abs(where.centres) - 1, where.radii)
    if name == "saddle" and dim == 1:
        name = "repeller"
    largest = multipliers[np.argmax(modulus)]
    outside = "all" if np.all(modulus > 1) else f"{np.sum(modulus > 1)} of {modulus.size}"
    text = {
        "attractor": f"all multipliers lie inside the unit circle, the largest {_show(largest)}",
        "repeller": f"{outside} multipliers lie outside the unit circle, the largest "
        f"{_show(largest)}",
        "saddle": f"{outside} multipliers lie outside the circle, the largest {_show(largest)}",
        "degenerate": f"{_on_circle(where)}, so the linear part decides nothing",
    }[name]
    return Verdict(name, text, multipliers, proven=where is not None and name != "degenerate")


def map_verdict_names(multipliers: np.ndarray, dim: int) -> np.ndarray:
    """`map_verdict` by name, for many steps at once: multipliers (n, m) complex."""
    scale = np.max(np.abs(multipliers - 1), axis=1)
    names = _by_signs(np.abs(multipliers) - 1, scale).astype(object)
    return np.where((names == "saddle") & (dim == 1), "repeller", names)


def _on_circle(where: Discs | None) -> str:
    """Which multiplier is too near to the unit circle, and how near, where that is known."""
    if where is None:
        return "a multiplier lies on the unit circle"
    gaps = np.abs(np.abs(where.centres) - 1)
    least = int(np.argmin(gaps - where.radii))
    return (
        f"a multiplier lies {gaps[least]:.3g} from the unit circle, and may be off by "
        f"{where.radii[least]:.3g}"
    )


def _by_signs(growth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Verdicts (n,) from growth (n, d) by direction, zero where it is below ZERO·scale (n,)."""
    signs = np.where(np.abs(growth) <= ZERO * scale[:, None], 0, np.sign(growth))
    lowest, highest = signs.min(axis=1), signs.max(axis=1)
    undefined = ~np.all(np.isfinite(growth), axis=1)
    conditions = [undefined, np.any(signs == 0, axis=1), highest < 0, lowest > 0]
    return np.select(conditions, ["unknown", "degenerate", "attractor", "repeller"], "saddle")


def _show(z: complex) -> str:
    if z.imag == 0:
        return f"{z.real:.6g}"
    return f"{z.real:.6g}{z.imag:+.6g}i (modulus {abs(z):.6g})"
