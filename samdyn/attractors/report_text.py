"""The report of fixed points as text that fits on one screen."""

from typing import TYPE_CHECKING

from ..text import columns, point_text, with_warnings
from .judging.symbols import SYMBOL

if TYPE_CHECKING:
    from .report import PointStability, Stability


def stability_table(result: "Stability") -> str:
    """The table that `samdyn stability` prints: one line a point, then the reasons."""
    with_step = any(point.step is not None for point in result.points)
    header = [
        "",
        "w",
        "type",
        "loss",
        "flow",
        *(["step"] if with_step else []),
        "critical ρ (USAM)",
    ]
    rows = [header]
    for number, item in enumerate(result.points, 1):
        rows.append(_row(number, item, with_step))
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


def _row(number: int, item: "PointStability", with_step: bool) -> list[str]:
    point = item.point
    kind = point.critical_type or {"step": "of the step only"}.get(point.kind, point.kind)
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
