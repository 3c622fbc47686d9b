"""A sweep as text that fits on one screen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...text import MOST_ROWS, columns, point_text, with_warnings
from ..judging.symbols import SYMBOL

if TYPE_CHECKING:
    from .sweep_result import Sweep


def sweep_table(result: "Sweep") -> str:
    """The branches with the stretches over which each verdict holds, then the events."""
    name = "ρ" if result.parameter == "rho" else result.parameter
    rows = [["", "branch", f"w at first {name}", f"verdicts by {name}"]]
    for number, branch in enumerate(result.branches, 1):
        present = [i for i, name in enumerate(branch.verdict) if name is not None]
        kind = branch.critical_type or branch.kind
        where = point_text(branch.w[present[0]])
        rows.append([str(number), kind, where, _spans(result, branch.verdict)])
        if branch.step_verdict is not None and branch.period == 1:
            rows.append(["", "", "", f"step: {_spans(result, branch.step_verdict)}"])
    shown = rows[: MOST_ROWS + 1]
    lines = [columns(shown)]
    if len(rows) > len(shown):
        lines.append(f"… and {len(rows) - len(shown)} more branches")
    lines += ["", "No bifurcation in this range." if not result.bifurcations else "Bifurcations"]
    for event in result.bifurcations[:MOST_ROWS]:
        change = f"{event.before} → {event.after}"
        whose = "the step" if event.period == 1 else f"the period-{event.period} orbit"
        kind = event.type if event.of == "flow" else f"{event.type} of {whose}"
        turn = "" if event.rotation is None else f", rotation {event.rotation:.6g}"
        place = point_text(event.w)
        lines.append(f"  {name} = {event.value:.10g}  {kind} at {place}: {change}{turn}")
    if len(result.bifurcations) > MOST_ROWS:
        lines.append(f"  … and {len(result.bifurcations) - MOST_ROWS} more")
    return with_warnings(result.warnings, "\n".join(lines))


def _spans(result: "Sweep", verdicts: Sequence[str | None]) -> str:
    """Such as "saddle 0–0.036, attractor 0.037–0.1"."""
    spans: list[list] = []
    for rho, name in zip(result.values, verdicts, strict=True):
        if spans and spans[-1][0] == name:
            spans[-1][2] = rho
        else:
            spans.append([name, rho, rho])
    named = [span for span in spans if span[0] is not None]
    return ", ".join(f"{SYMBOL[name]} {name} {low:.4g}–{high:.4g}" for name, low, high in named)
