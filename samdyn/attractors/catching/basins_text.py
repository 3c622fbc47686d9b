"""Basins as text that fits on one screen."""

from typing import TYPE_CHECKING

from ...text import columns, point_text, with_warnings

if TYPE_CHECKING:
    from .basins_result import Basins


def basins_table(result: "Basins") -> str:
    """The attractors with their share of the starts."""
    rows = [["id", "w", "type", "share", "95 % interval"]]
    for one in result.attractors:
        kind = one.critical_type or one.kind
        low, high = one.ci95
        share = f"{one.fraction:.4%}"
        rows.append([str(one.id), point_text(one.w), kind, share, f"{low:.4%} – {high:.4%}"])
    rest = [("undecided", result.undecided), ("diverged", result.diverged)]
    rest.append(("left the box", result.left_box))
    lines = [columns(rows), ""]
    lines.append(", ".join(f"{name} {share:.4%}" for name, share in rest))
    speed = result.path_steps / max(result.seconds, 1e-9)
    lines.append(f"{result.path_steps:.3g} path-steps in {result.seconds:.3g} s ({speed:.3g}/s)")
    if result.interrupted:
        lines.append("Interrupted: open paths count as undecided.")
    return with_warnings(result.warnings, "\n".join(lines))
