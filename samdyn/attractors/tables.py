"""Results as text that fits on one screen."""

from typing import TYPE_CHECKING

from ..dynamics.systems.system import loss_of
from ..text import with_warnings

if TYPE_CHECKING:
    from .catching.basins import Basins
    from .following.branches import Branch
    from .following.sweep import Sweep
    from .report import PointStability, Stability

MOST_ROWS = 24

SYMBOL = {"attractor": "●", "repeller": "○", "saddle": "◐", "degenerate": "◇"}
SYMBOL |= {"unknown": "?", "not a fixed map": "↻"}


def columns(rows: list[list[str]]) -> str:
    """Rows of cells as left-aligned columns two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def point_text(w) -> str:
    """(x, y) with zeros that are only rounding shown as 0."""
    shown = [0.0 if abs(x) < 1e-12 else float(x) for x in w[:6]]
    return "(" + ", ".join(f"{x:.6g}" for x in shown) + (", …" if len(w) > 6 else "") + ")"


def stability_table(result: "Stability") -> str:
    """The table that `samdyn stability` prints: one line a point, then the reasons."""
    with_step = any(point.step is not None for point in result.points)
    with_flow = any(point.flow is not None for point in result.points) or not result.points
    with_loss = loss_of(result.flow) is not None
    shown = [True, True, True, with_loss, with_flow, with_step, with_loss]
    header = ["", "w", "type", "loss", "flow", "step", "critical ρ (USAM)"]
    rows = [header, *(_row(number, item) for number, item in enumerate(result.points, 1))]
    rows = [[cell for cell, keep in zip(row, shown, strict=True) if keep] for row in rows]
    lines = [columns(rows), ""] if result.points else [_none(result), ""]
    lines += _reasons(result)
    lines.append(_completeness(result))
    return with_warnings(result.warnings, "\n".join(lines))


def _none(result: "Stability") -> str:
    """That nothing was found, and what this says."""
    if result.complete.consistent:
        return "No fixed point in this box."
    return (
        "No fixed point was found, and one may be in this box: minima at kinks, where the gradient "
        "jumps, are not looked for."
    )


def _row(number: int, item: "PointStability") -> list[str]:
    point = item.point
    kind = point.critical_type or {"step": "of the step only"}.get(point.kind, point.kind)
    if point.continuum is not None:
        kind = "degenerate, a continuum"
    where = [str(number), point_text(point.w), kind, f"{point.loss:.6g}"]
    critical = "–" if item.critical_rho is None else f"{item.critical_rho:.6g}"
    return [*where, _verdict(item.flow), _verdict(item.step), critical]


def _verdict(verdict) -> str:
    if verdict is None:
        return "–"
    text = f"{SYMBOL[verdict.verdict]} {verdict.verdict}"
    if verdict.orbit is not None:
        text += f", {verdict.orbit}"
    return text


def _reasons(result: "Stability") -> list[str]:
    shown = result.points[:12]
    lines = []
    for number, item in enumerate(shown, 1):
        told = [("flow", item.flow), ("step", item.step)]
        why = [f"{name}: {verdict.why}" for name, verdict in told if verdict is not None]
        lines += [f"{number}  {why[0]}", *(f"   {text}" for text in why[1:])]
        if item.rho_window is not None and any(end is not None for end in item.rho_window):
            lines.append(f"   {_window(item)}")
    if len(result.points) > len(shown):
        lines.append(f"   … and {len(result.points) - len(shown)} more points")
    return lines


def _window(item: "PointStability") -> str:
    """Where the step contracts, and of what that is a range."""
    assert item.rho_window is not None
    low, high = (None if end is None else f"{end:.6g}" for end in item.rho_window)
    radius = "ρ" if item.window_of == "rho" else "ρ/‖g‖ (‖g‖ changes along a run)"
    where = " and ".join(
        [f"above {low}"] * (low is not None) + [f"below {high}"] * (high is not None)
    )
    return f"window: the step contracts every direction for {radius} {where}"


def _completeness(result: "Stability") -> str:
    complete = result.complete
    word = {True: "complete", False: "INCOMPLETE", None: "completeness unknown"}[
        complete.consistent
    ]
    return f"{word}: {complete.method}"


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


def _spans(result: "Sweep", branch: "Branch") -> str:
    """Such as "saddle 0–0.036, attractor 0.037–0.1"."""
    spans: list[list] = []
    for rho, name in zip(result.rho, branch.verdict, strict=True):
        if spans and spans[-1][0] == name:
            spans[-1][2] = rho
        else:
            spans.append([name, rho, rho])
    named = [span for span in spans if span[0] is not None]
    return ", ".join(f"{SYMBOL[name]} {name} {low:.4g}–{high:.4g}" for name, low, high in named)


def basins_table(result: "Basins") -> str:
    """The attractors with their share of the starts."""
    rows = [["id", "w", "type", "share", "95 % interval"]]
    for one in result.attractors:
        kind = one.critical_type or "hallucinated"
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
