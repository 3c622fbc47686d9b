"""The report of fixed points as text that fits on one screen."""

from typing import TYPE_CHECKING

from ..dynamics.systems.system import loss_of
from ..text import columns, point_text, with_warnings
from .judging.symbols import SYMBOL

if TYPE_CHECKING:
    from .stability_result import PointStability, Stability


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
    if result.complete.undecided:
        return "No fixed point was found, and one may be in what is undecided of this box."
    return (
        "No fixed point was found, and one may be in this box: minima at kinks, where the gradient "
        "jumps, are found in up to three dimensions only, of functions that have a program."
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
    if verdict.transverse is not None:
        text += f", {verdict.transverse} across"
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
        lines += _under_batches(item)
        lines += _radii(told)
        if item.rho_window is not None and any(end is not None for end in item.rho_window):
            lines.append(f"   {_window(item)}")
    if len(result.points) > len(shown):
        lines.append(f"   … and {len(result.points) - len(shown)} more points")
    return lines


def _under_batches(item: "PointStability") -> list[str]:
    """What steps that draw a minibatch do."""
    if item.growth is None:
        return []
    rates = (
        ("in mean square", item.growth.mean_square),
        ("almost surely", item.growth.almost_sure),
    )
    parts = [f"{name} {item.verdict_of(rate)} ({rate} a step)" for name, rate in rates]
    return [f"   under minibatches: {', '.join(parts)}"]


def _radii(told: list) -> list[str]:
    """From how far away starts end at the point for sure."""
    known = [(name, v.proven_radius) for name, v in told if v is not None and v.proven_radius]
    text = " and ".join(f"{radius:.3g} under the {name}" for name, radius in known)
    return [f"   proven: whatever starts within {text} ends here"] if known else []


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
