"""A sweep as text that fits on one screen."""

from typing import TYPE_CHECKING

from ...text import MOST_ROWS, columns, point_text, with_warnings
from ..judging.symbols import SYMBOL
from .branches import Branch

if TYPE_CHECKING:
    from .sweep import Sweep


def sweep_table(result: "Sweep") -> str:
    """The branches with the stretches of ρ over which each verdict holds, then the events."""
    rows = [["", "branch", "w at first ρ", "verdicts by ρ"]]
    for number, branch in enumerate(result.branches, 1):
        present = [i for i, name in enumerate(branch.verdict) if name is not None]
        kind = branch.critical_type or "hallucinated"
        rows.append([str(number), kind, point_text(branch.w[present[0]]), _spans(result, branch)])
    shown = rows[: MOST_ROWS + 1]
    lines = [columns(shown)]
    if len(rows) > len(shown):
        lines.append(f"… and {len(rows) - len(shown)} more branches")
    lines += ["", "No bifurcation in this range." if not result.bifurcations else "Bifurcations"]
    for event in result.bifurcations[:MOST_ROWS]:
        change = f"{event.before} → {event.after}"
        lines.append(f"  ρ = {event.rho:.10g}  {event.type} at {point_text(event.w)}: {change}")
    if len(result.bifurcations) > MOST_ROWS:
        lines.append(f"  … and {len(result.bifurcations) - MOST_ROWS} more")
    return with_warnings(result.warnings, "\n".join(lines))


def _spans(result: "Sweep", branch: Branch) -> str:
    """Such as "saddle 0–0.036, attractor 0.037–0.1"."""
    spans: list[list] = []
    for rho, name in zip(result.rho, branch.verdict, strict=True):
        if spans and spans[-1][0] == name:
            spans[-1][2] = rho
        else:
            spans.append([name, rho, rho])
    named = [span for span in spans if span[0] is not None]
    return ", ".join(f"{SYMBOL[name]} {name} {low:.4g}–{high:.4g}" for name, low, high in named)
