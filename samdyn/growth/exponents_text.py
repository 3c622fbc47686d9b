"""Exponents on one screen."""

from typing import TYPE_CHECKING

import numpy as np

from .rates import Rate

if TYPE_CHECKING:
    from .exponents import Exponents

WORDS = {"grows": "unstable", "decays": "stable", "unknown": "undecided"}


def table(found: "Exponents") -> str:
    """What is stable in which sense, then the numbers."""
    lines = [f"warning: {warning}" for warning in found.warnings]
    lines += [f"Growth per step of a perturbation of {_set(found)}; {found.outcomes}."]
    names = [("in the mean", found.mean), ("in mean square", found.mean_square)]
    names += [("almost surely", found.almost_sure)]
    names += [(f"moment {p:g}", rate) for p, rate in found.moments.items() if p != 2]
    lines += [_row(name, rate) for name, rate in names]
    if found.tangent_dim:
        moved = float(np.linalg.norm(found.drift))
        told = f"; the mean step moves the point by {moved:.3g} along it" if moved > 1e-15 else ""
        lines.append(f"transverse to a set of fixed points of dimension {found.tangent_dim}{told}")
    if found.covariance is not None:
        deviations = np.sqrt(np.diag(found.covariance))
        lines.append("settles to standard deviations " + _numbers(deviations))
    return "\n".join(lines)


def _set(found: "Exponents") -> str:
    points = "; ".join(_numbers(w) for w in found.points)
    return f"the period-{found.period} orbit {points}" if found.period > 1 else f"({points})"


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{x:.6g}" for x in values[:6]) + (", …" if len(values) > 6 else "")


def _row(name: str, rate: Rate) -> str:
    return f"  {name:16} {format(rate):24} {WORDS[rate.verdict]}"
