"""Results as text that fits on one screen."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import PointStability, Stability

SYMBOL = {"attractor": "●", "repeller": "○", "saddle": "◐", "degenerate": "◇"}


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
    header = ["", "w", "type", "loss", "flow", *(["step"] if with_step else []), "critical ρ"]
    rows = [header]
    for number, item in enumerate(result.points, 1):
        rows.append(_row(number, item, with_step))
    lines = [columns(rows), ""] if result.points else ["No fixed point in this box.", ""]
    lines += _reasons(result)
    lines.append(_completeness(result))
    return "\n".join(lines)


def _row(number: int, item: "PointStability", with_step: bool) -> list[str]:
    point = item.point
    kind = point.critical_type or "hallucinated"
    if point.continuum is not None:
        kind = "degenerate, a continuum"
    row = [str(number), point_text(point.w), kind, f"{point.loss:.6g}", _verdict(item.flow)]
    if with_step:
        assert item.step is not None
        row.append(_verdict(item.step))
    return [*row, "–" if item.critical_rho is None else f"{item.critical_rho:.6g}"]


def _verdict(verdict) -> str:
    text = f"{SYMBOL[verdict.verdict]} {verdict.verdict}"
    if verdict.orbit is not None:
        text += f", {verdict.orbit}"
    return text


def _reasons(result: "Stability") -> list[str]:
    shown = result.points[:12]
    lines = []
    for number, item in enumerate(shown, 1):
        lines.append(f"{number}  flow: {item.flow.why}")
        if item.step is not None:
            lines.append(f"   step: {item.step.why}")
    if len(result.points) > len(shown):
        lines.append(f"   … and {len(result.points) - len(shown)} more points")
    return lines


def _completeness(result: "Stability") -> str:
    complete = result.complete
    word = {True: "complete", False: "INCOMPLETE", None: "completeness unknown"}[
        complete.consistent
    ]
    return f"{word}: {complete.method}"
