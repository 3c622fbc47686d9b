"""What changes with a parameter: leading rates and branches of fixed points against it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...results.drawing import drawer
from ..style import BLACK, CYCLE, GREY, axis_name, looks, new_figure, point_text, styled

LINE_STYLES: dict[str, Any] = {
    "attractor": "-",
    "saddle": (0, (5, 1.6)),
    "repeller": (0, (1, 1.3)),
    "degenerate": "-",
    "unknown": (0, (3, 1.2, 1, 1.2)),
    "not a fixed map": (0, (3, 1.2, 1, 1.2)),
}
UNDECIDED = ("degenerate", "unknown", "not a fixed map")
TYPE_MARKERS = {
    "crossing": "o",
    "pitchfork": "^",
    "transcritical": "P",
    "fold": "s",
    "sliding": "*",
    "hopf": "D",
    "period-doubling": "v",
    "neimark-sacker": "h",
}
WIDTH = 5.4  # inches, legend included
CLOSE = 0.04  # of the range: bifurcations nearer than this share one label


def _runs(verdicts) -> Iterator[tuple[str, slice]]:
    """(verdict, where) for each stretch of one verdict, reaching on to the next one's start."""
    start = 0
    for i in range(1, len(verdicts) + 1):
        if i == len(verdicts) or verdicts[i] != verdicts[start]:
            if verdicts[start] is not None:
                # a common end point closes the gap, unless the branch ends there
                on = i < len(verdicts) and verdicts[i] is not None
                yield verdicts[start], slice(start, i + on)
            start = i


def _name(sweep) -> str:
    return "ρ" if sweep.parameter == "rho" else sweep.parameter


def _draw_branch(
    ax: Axes, at, values, branch, colour: str, style: dict[str, Any], verdicts=None
) -> None:
    width = 1.7 if branch.kind == "critical" else 1.1
    for verdict, where in _runs(branch.verdict if verdicts is None else verdicts):
        shade = GREY if verdict in UNDECIDED else colour
        look = looks({"color": shade, "ls": LINE_STYLES[verdict], "lw": width}, style)
        ax.plot(at[where], values[where], **look)


def _colours(sweep) -> list[str]:
    return [CYCLE[i % len(CYCLE)] for i in range(len(sweep.branches))]


def _branch_name(branch) -> str:
    """What it is, and where it begins."""
    present = np.flatnonzero(np.all(np.isfinite(branch.w), axis=1))
    if not len(present):
        return branch.critical_type or branch.kind
    return f"{branch.critical_type or branch.kind} {point_text(branch.w[present[0]])}"


def _branch_entries(sweep) -> list[Line2D]:
    entries = []
    for branch, colour in zip(sweep.branches, _colours(sweep), strict=True):
        width = 1.7 if branch.kind == "critical" else 1.1
        entries.append(Line2D([], [], color=colour, lw=width, label=_branch_name(branch)))
    return entries


def _verdict_entries(sweep) -> list[Line2D]:
    present = {v for b in sweep.branches for v in (*b.verdict, *(b.step_verdict or ()))}
    return [
        Line2D([], [], color=GREY if name in UNDECIDED else BLACK, ls=style, label=name)
        for name, style in LINE_STYLES.items()
        if name in present
    ]


def _type_entries(sweep) -> list[Line2D]:
    present = {b.type for b in sweep.bifurcations}
    return [
        Line2D([], [], ls="none", marker=marker, mfc="white", mec=BLACK, ms=5, label=name)
        for name, marker in TYPE_MARKERS.items()
        if name in present
    ]


def _legend(ax: Axes, entries: list[Line2D]) -> None:
    if entries:
        ax.legend(handles=entries, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _label_bifurcations(ax: Axes, sweep, text: bool = True) -> None:
    """Thin vertical lines; near ones share a label above the panel."""
    for rho in sorted({float(b.value) for b in sweep.bifurcations}):
        ax.axvline(rho, color=GREY, lw=0.6, zorder=0)
    if not text:
        return
    width = CLOSE * float(np.ptp(sweep.values))
    groups: list[list[float]] = []
    for rho in sorted({float(b.value) for b in sweep.bifurcations}):
        if groups and rho - groups[-1][0] <= width:
            groups[-1].append(rho)
        else:
            groups.append([rho])
    label = f"{_name(sweep)} = " if len(_name(sweep)) == 1 else ""  # else the axis says it
    for group in groups:
        names = list(dict.fromkeys(f"{rho:.4g}" for rho in group))
        shown = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        where = (group[0], 1.02)
        ax.annotate(
            f"{label}{shown}", where, xycoords=("data", "axes fraction"), rotation=90,
            ha="center", va="bottom", fontsize=6.5, color="#505050",
        )  # fmt: skip


def _symlog_if_wide(ax: Axes, values: np.ndarray) -> None:
    """A linear axis, unless the rates span so much that the small ones would be one line."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if size.size and np.max(size) > 300 * np.quantile(size, 0.1):
        ax.set_yscale("symlog", linthresh=float(10 ** np.floor(np.log10(np.quantile(size, 0.1)))))


def _wide_axes() -> Axes:
    return new_figure(width=WIDTH, height=2.6)[1][0, 0]


def _draw_rates(ax: Axes, sweep, style: dict[str, Any]) -> None:
    ax.axhline(0, color=BLACK, lw=0.6, zorder=0)
    for branch, colour in zip(sweep.branches, _colours(sweep), strict=True):
        _draw_branch(ax, sweep.values, np.asarray(branch.leading_real_part), branch, colour, style)
    _symlog_if_wide(
        ax, np.concatenate([np.zeros(1), *(b.leading_real_part for b in sweep.branches)])
    )
    ax.set_xlim(float(sweep.values[0]), float(sweep.values[-1]))
    ax.set_xlabel(_name(sweep))
    ax.set_ylabel("largest Re λ of the flow, 1/t")


def _draw_radius(ax: Axes, sweep) -> None:
    """The step's spectral radius: below 1 a branch attracts."""
    ax.axhline(1, color=BLACK, lw=0.6, zorder=0)
    for branch, colour in zip(sweep.branches, _colours(sweep), strict=True):
        if branch.spectral_radius is not None:
            at, radius = sweep.values, np.asarray(branch.spectral_radius)
            _draw_branch(ax, at, radius, branch, colour, {}, branch.step_verdict)
    ax.set_xlim(float(sweep.values[0]), float(sweep.values[-1]))
    ax.set_xlabel(_name(sweep))
    ax.set_ylabel("spectral radius of the step")


@drawer("Sweep", house=True)
@styled
def draw_eigenvalues(sweep: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The leading real part of each branch against ρ: below zero the branch attracts.

    `sweep` is what `samdyn.sweep` returns. Line style tells the verdict, colour the branch. A
    branch without a Jacobian (normalised SAM at a critical point) has no line here. `style` is
    that of every branch's line.
    """
    ax = ax or _wide_axes()
    _draw_rates(ax, sweep, style)
    _label_bifurcations(ax, sweep)
    _legend(ax, _branch_entries(sweep) + _verdict_entries(sweep))
    return ax


def _draw_diagram(ax: Axes, sweep, axis: int, style: dict[str, Any]) -> None:
    for branch, colour in zip(sweep.branches, _colours(sweep), strict=True):
        lines = branch.w[None] if branch.orbit is None else branch.orbit
        for points in lines:
            _draw_branch(ax, sweep.values, np.asarray(points)[:, axis], branch, colour, style)
    for b in sweep.bifurcations:
        marker = TYPE_MARKERS[b.type]
        ax.plot(b.value, b.w[axis], marker, ms=5.5, mfc="white", mec=BLACK, zorder=5, clip_on=False)
    dim = sweep.branches[0].w.shape[1] if sweep.branches else 1
    ax.set_xlim(float(sweep.values[0]), float(sweep.values[-1]))
    ax.set_xlabel(_name(sweep))
    orbits = any(branch.orbit is not None for branch in sweep.branches)
    of = "fixed points and orbits" if orbits else "fixed points"
    ax.set_ylabel(f"{axis_name(axis, dim)} of the {of}")


@styled
def bifurcation_diagram(sweep: Any, axis: int = 0, ax: Axes | None = None, **style: Any) -> Axes:
    """Coordinate `axis` of each branch against ρ, and the bifurcations by their type.

    Solid attracts, dashed is a saddle, dotted repels, grey is degenerate. `style` is that of
    every branch's line.
    """
    ax = ax or _wide_axes()
    _draw_diagram(ax, sweep, axis, style)
    _label_bifurcations(ax, sweep)
    _legend(ax, _branch_entries(sweep) + _verdict_entries(sweep) + _type_entries(sweep))
    return ax


@styled
def plot_sweep(sweep: Any, loss_name: str = "", axis: int = 0) -> Figure:
    """The flow's rates above, then the step's spectral radius, then branches; on one axis.

    A map of no flow has no rates, a flow without a step no radius.
    """
    panels = []
    steps = any(branch.spectral_radius is not None for branch in sweep.branches)
    if not steps or any(np.any(np.isfinite(b.leading_real_part)) for b in sweep.branches):
        panels.append(lambda ax: _draw_rates(ax, sweep, {}))
    if steps:
        panels.append(lambda ax: _draw_radius(ax, sweep))
    figure, axes = new_figure(1, len(panels) + 1, width=WIDTH, height=2.4, share=False)
    *upper, bottom = axes[:, 0]
    top = upper[0]
    for ax, draw in zip(upper, panels, strict=True):
        draw(ax)
        _label_bifurcations(ax, sweep, text=ax is top)
    for ax in (*upper[1:], bottom):
        ax.sharex(top)
    for ax in upper:
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    _draw_diagram(bottom, sweep, axis, {})
    _label_bifurcations(bottom, sweep, text=False)
    _legend(top, _branch_entries(sweep))
    _legend(bottom, _verdict_entries(sweep) + _type_entries(sweep))
    if loss_name:
        figure.suptitle(loss_name, fontsize=9)
    return figure
