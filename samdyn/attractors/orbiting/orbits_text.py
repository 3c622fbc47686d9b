"""Orbits as text that fits on one screen."""

from typing import TYPE_CHECKING

import numpy as np

from ...text import MOST_ROWS, columns, point_text, with_warnings
from ..judging.symbols import SYMBOL

if TYPE_CHECKING:
    from .orbits import Orbits

WORDS = {True: "complete", False: "INCOMPLETE", None: "completeness unknown"}


def orbits_table(result: "Orbits") -> str:
    """One line an orbit, then how far the list can be trusted."""
    largest = "largest multiplier" if result.of == "map" else "largest beside 1"
    rows = [["", "period", "starts at", "amplitude", largest, "verdict"]]
    for number, orbit in enumerate(result.orbits, 1):
        name = orbit.verdict.verdict
        multiplier = _largest(orbit.multipliers, result.of == "flow")
        where = point_text(orbit.points[0])
        rows.append(
            [
                str(number),
                f"{orbit.period:.10g}",
                where,
                f"{orbit.amplitude:.6g}",
                multiplier,
                f"{SYMBOL[name]} {name}{', proven' if orbit.proven else ''}",
            ]
        )
    shown = rows[: MOST_ROWS + 1]
    lines = [columns(shown)] if result.orbits else ["No orbit was found."]
    if len(rows) > len(shown):
        lines.append(f"… and {len(rows) - len(shown)} more orbits")
    lines.append("")
    for period, complete in result.complete.items():
        of = f"period {period}: " if result.of == "map" else ""
        lines.append(f"{of}{WORDS[complete.consistent]}: {complete.method}")
    return with_warnings(result.warnings, "\n".join(lines))


def _largest(multipliers: np.ndarray, flow: bool) -> str:
    """Of a cycle without the one that is 1."""
    order = np.argsort(-np.abs(multipliers))
    values = multipliers[order]
    if flow:
        values = np.delete(values, int(np.argmin(np.abs(values - 1))))
    if not values.size:
        return "–"
    z = values[0]
    return f"{z.real:.6g}" if abs(z.imag) <= 1e-12 * abs(z) else f"{z.real:.6g}{z.imag:+.6g}i"
