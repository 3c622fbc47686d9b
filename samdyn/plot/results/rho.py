"""What changes with a parameter: leading rates and branches of fixed points against it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...results.drawing import drawer
from ..drawing import Key, add_legend, drawing, drawn_into, given_axes, sorted_options
from ..naming import Curve
from ..style import (
    BLACK,
    CYCLE,
    DOUBT,
    GREY,
    axis_name,
    looks,
    new_figure,
    point_text,
    small,
    styled,
    thick,
)

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
WIDTH, HEIGHT = 4.2, 2.6  # inches
CLOSE = 0.04  # of the range: bifurcations nearer than this share one label
ROOMY = 0.2  # of the range: bifurcations that far apart have their labels side by side
COINCIDE = 0.004  # of the drawn range: curves nearer than this all along are one to the eye
CASING = 2.4  # points: by how much a curve under another is thicker
FLOW, STEP = "largest Re λ\nof the flow, 1/t", "spectral radius\nof the step"
LABELS = {"rho": "ρ", "learning_rate": "η"}


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


def _parameter(sweep) -> str:
    return LABELS.get(sweep.parameter) or sweep.parameter


def _width(branch) -> float:
    return thick(1.7 if branch.kind == "critical" else 1.1)


def _draw_branch(
    ax: Axes, at, values, branch, look: dict[str, Any], style: dict[str, Any], verdicts=None
) -> None:
    """One curve, whose dashes tell the verdict; `look` has its colour, width, zorder and label."""
    for number, (verdict, where) in enumerate(
        _runs(branch.verdict if verdicts is None else verdicts)
    ):
        colour = DOUBT if verdict in UNDECIDED else look["color"]
        house = {**look, "color": colour, "ls": LINE_STYLES[verdict], "gid": "branch"}
        house["label"] = f"_{look['label']}" if number else look["label"]
        ax.plot(at[where], values[where], **looks(house, style))


def _named(sweep, curves: Sequence[np.ndarray], style: dict[str, Any]) -> list[Curve]:
    """Each curve with the kind of its branch; curves that coincide share a name."""
    size = COINCIDE * float(np.ptp(_finite(curves)))
    named: list[Curve] = []
    for i, (branch, colour) in enumerate(zip(sweep.branches, _colours(sweep), strict=True)):
        same = [j for j, other in enumerate(curves) if _coincide(curves[i], other, size)]
        kinds = list(dict.fromkeys(_kind(sweep.branches[j]) for j in same))
        alone = len(same) <= 1
        name = _kind(branch) if alone else ", ".join(kinds)
        name = name if alone or len(same) == len(kinds) else f"{name} ({len(same)})"
        shown = looks({"color": colour}, style)["color"]
        first = alone or i == same[0]
        named.append(Curve(np.asarray(sweep.values), curves[i], name if first else None, shown))
    return named


def _finite(curves: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(1), *(curve[np.isfinite(curve)] for curve in curves)])


def _looks_of(sweep, curves: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Colour, width and zorder of each branch's curve (n,).

    Of curves that coincide each is thinner than the one below it, which shows on both sides.
    """
    size = COINCIDE * float(np.ptp(_finite(curves)))
    below = [
        sum(_coincide(curve, other, size) for other in curves[i + 1 :])
        for i, curve in enumerate(curves)
    ]
    return [
        {"color": colour, "lw": _width(branch) + CASING * over, "zorder": 2.5 - 0.1 * over}
        | {"label": name}
        for colour, branch, over, name in zip(
            _colours(sweep), sweep.branches, below, _branch_names(sweep), strict=True
        )
    ]


def _coincide(first: np.ndarray, other: np.ndarray, size: float) -> bool:
    both = np.isfinite(first) & np.isfinite(other)
    return bool(np.any(both)) and bool(np.max(np.abs(first - other)[both]) <= size)


def _colours(sweep) -> list[str]:
    return [CYCLE[i % len(CYCLE)] for i in range(len(sweep.branches))]


def _kind(branch) -> str:
    return branch.critical_type or branch.kind


def _branch_names(sweep) -> list[str]:
    """The kind of each branch, and where it begins if there are several of its kind."""
    kinds = [_kind(branch) for branch in sweep.branches]
    names = []
    for branch, kind in zip(sweep.branches, kinds, strict=True):
        present = np.flatnonzero(np.all(np.isfinite(branch.w), axis=1))
        alone = kinds.count(kind) == 1 or not len(present)
        names.append(kind if alone else f"{kind} {point_text(branch.w[present[0]])}")
    return names


def _verdict_entries(sweep, step: bool | None = None) -> list[Line2D]:
    """One of each verdict that occurs: of the flow, of the `step`, or of both (None)."""
    present = set()
    for branch in sweep.branches:
        present |= set() if step else set(branch.verdict)
        present |= set() if step is False else set(branch.step_verdict or ())
    return [
        Line2D(
            [], [], color=DOUBT if name in UNDECIDED else BLACK, ls=style, lw=thick(1.1), label=name
        )
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


def _places(sweep) -> list[float]:
    """Where the bifurcations are, in ascending order."""
    return sorted({float(b.value) for b in sweep.bifurcations})


def _label_bifurcations(ax: Axes, sweep, text: bool = True) -> None:
    """Thin vertical lines; near ones share a label above the panel."""
    for rho in _places(sweep):
        ax.axvline(rho, color=GREY, lw=thick(0.6), zorder=0, gid="bifurcation")
    if not text:
        return
    width = CLOSE * float(np.ptp(sweep.values))
    groups: list[list[float]] = []
    for rho in _places(sweep):
        if groups and rho - groups[-1][0] <= width:
            groups[-1].append(rho)
        else:
            groups.append([rho])
    name = _parameter(sweep)
    label = f"{name} = " if len(name) == 1 else ""  # a longer one stands at the axis alone
    gaps = np.diff([group[0] for group in groups])
    flat = not gaps.size or float(np.min(gaps)) > ROOMY * float(np.ptp(sweep.values))
    for group in groups:
        names = list(dict.fromkeys(f"{rho:.4g}" for rho in group))
        shown = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        where = (group[0], 1.02)
        ax.annotate(
            f"{label}{shown}", where, xycoords=("data", "axes fraction"), rotation=90 * (not flat),
            ha="center", va="bottom", fontsize=small(0.82), color="#505050", gid="bifurcation",
        )  # fmt: skip


def _symlog_if_wide(ax: Axes, values: np.ndarray) -> None:
    """A linear axis, unless the rates span so much that the small ones would be one line."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if size.size and np.max(size) > 300 * np.quantile(size, 0.1):
        ax.set_yscale("symlog", linthresh=float(10 ** np.floor(np.log10(np.quantile(size, 0.1)))))


def _dress(ax: Axes, sweep, ylabel: str) -> None:
    ax.set_xlim(float(sweep.values[0]), float(sweep.values[-1]))
    ax.set_xlabel(_parameter(sweep))
    ax.set_ylabel(ylabel)


def _draw_rates(ax: Axes, sweep, style: dict[str, Any]) -> list[Curve]:
    ax.axhline(0, color=BLACK, lw=thick(0.6), zorder=0, gid="border")
    curves = [np.asarray(branch.leading_real_part) for branch in sweep.branches]
    for branch, values, look in zip(sweep.branches, curves, _looks_of(sweep, curves), strict=True):
        _draw_branch(ax, sweep.values, values, branch, look, style)
    _symlog_if_wide(ax, np.concatenate([np.zeros(1), *curves]))
    _dress(ax, sweep, FLOW)
    return _named(sweep, curves, style)


def _draw_radius(ax: Axes, sweep, style: dict[str, Any]) -> list[Curve]:
    """The step's spectral radius: below 1 a branch attracts."""
    ax.axhline(1, color=BLACK, lw=thick(0.6), zorder=0, gid="border")
    none = np.full(len(sweep.values), np.nan)
    curves = [none if b.spectral_radius is None else b.spectral_radius for b in sweep.branches]
    curves = [np.asarray(curve) for curve in curves]
    for branch, values, look in zip(sweep.branches, curves, _looks_of(sweep, curves), strict=True):
        if branch.spectral_radius is not None:
            _draw_branch(ax, sweep.values, values, branch, look, style, branch.step_verdict)
    _dress(ax, sweep, STEP)
    return _named(sweep, curves, style)


def _has_steps(sweep) -> bool:
    return any(branch.spectral_radius is not None for branch in sweep.branches)


@drawer("Sweep", house=True)
@drawing(WIDTH, HEIGHT)
def draw_sweep(sweep: Any, ax: Axes, **style: Any) -> Key:
    """The spectral radius of the step on each branch, of a flow the leading real part.

    Below 1, and below 0, the branch attracts. `sweep` is what `samdyn.sweep` returns. Line style
    tells the verdict; beside each curve stands the kind of its branch; of curves that coincide the
    lower one is thicker. A branch without a Jacobian (normalised SAM at a critical point) has no
    line here. `style` is that of every branch's line.
    """
    step = _has_steps(sweep)
    curves = (_draw_radius if step else _draw_rates)(ax, sweep, style)
    _label_bifurcations(ax, sweep)
    return Key(_verdict_entries(sweep, step), None, True, curves, _places(sweep))


@drawing(WIDTH, HEIGHT)
def draw_eigenvalues(sweep: Any, ax: Axes, **style: Any) -> Key:
    """The flow's leading real part on each branch, also where a step was swept."""
    curves = _draw_rates(ax, sweep, style)
    _label_bifurcations(ax, sweep)
    return Key(_verdict_entries(sweep, False), None, True, curves, _places(sweep))


def _draw_diagram(ax: Axes, sweep, axis: int, style: dict[str, Any]) -> list[Curve]:
    curves = [np.asarray(branch.w)[:, axis] for branch in sweep.branches]
    for branch, look in zip(sweep.branches, _looks_of(sweep, curves), strict=True):
        lines = branch.w[None] if branch.orbit is None else branch.orbit
        for points in lines:
            _draw_branch(ax, sweep.values, np.asarray(points)[:, axis], branch, look, style)
    mark: dict[str, Any] = {"ms": 5.5, "mfc": "white", "mec": BLACK, "zorder": 5, "clip_on": False}
    for b in sweep.bifurcations:
        ax.plot(b.value, b.w[axis], TYPE_MARKERS[b.type], gid="bifurcation", **mark)
    dim = sweep.branches[0].w.shape[1] if sweep.branches else 1
    orbits = any(branch.orbit is not None for branch in sweep.branches)
    of = "fixed points\nand orbits" if orbits else "fixed points"
    _dress(ax, sweep, f"{axis_name(axis, dim)} of the {of}")
    others = [points[:, axis] for b in sweep.branches if b.orbit is not None for points in b.orbit]
    clear = [Curve(np.asarray(sweep.values), np.asarray(y), None, BLACK) for y in others]
    return _named(sweep, curves, style) + clear


@drawing(WIDTH, HEIGHT)
def _bifurcations(sweep: Any, ax: Axes, axis: int = 0, **style: Any) -> Key:
    curves = _draw_diagram(ax, sweep, axis, style)
    _label_bifurcations(ax, sweep)
    entries = _verdict_entries(sweep) + _type_entries(sweep)
    return Key(entries, None, True, curves, _places(sweep))


def bifurcation_diagram(sweep: Any, axis: int = 0, ax: Axes | None = None, **style: Any) -> Axes:
    """Coordinate `axis` of each branch against ρ, and the bifurcations by their type.

    Solid attracts, dashed is a saddle, dotted repels, grey is degenerate. `style` is that of
    every branch's line.
    """
    return _bifurcations(sweep, ax, axis, **style)


@styled
def plot_sweep(
    sweep: Any, loss_name: str = "", axis: int = 0, ax: Any = None, **style: Any
) -> Figure:
    """The flow's rates above, then the step's spectral radius, then branches; on one axis.

    A map of no flow has no rates, a flow without a step no radius. `style` is that of every
    branch's line; `figsize`, `legend` and what `Axes.set` takes as well. `ax` has axes for each
    panel, from above.
    """
    options = sorted_options(style)
    panels = []
    steps = _has_steps(sweep)
    if not steps or any(np.any(np.isfinite(b.leading_real_part)) for b in sweep.branches):
        panels.append(_draw_rates)
    if steps:
        panels.append(_draw_radius)
    panels.append(lambda ax, sweep, style: _draw_diagram(ax, sweep, axis, style))
    if ax is None:
        size: dict[str, Any] = {"width": WIDTH, "height": 2.2, "figsize": options.figsize}
        axes = list(new_figure(1, len(panels), share=False, **size)[1][:, 0])
    else:
        axes = given_axes(ax, len(panels), "panels")
    keys = [Key(_verdict_entries(sweep)), *[Key([])] * (len(panels) - 2), Key(_type_entries(sweep))]
    drawn = []
    for panel, draw in zip(axes, panels, strict=True):
        with drawn_into(panel, options, "sweep"):
            drawn.append(draw(panel, sweep, options.style))
            _label_bifurcations(panel, sweep, text=panel is axes[0])
    figure: Any = axes[0].get_figure(root=True)
    if ax is None:
        _stack(figure, axes, loss_name)
    elif loss_name and not axes[0].get_title():
        _title_over_labels(axes[0], loss_name)
    for panel, key, curves in zip(axes, keys, drawn, strict=True):
        whole = key._replace(inside=True, curves=curves, verticals=_places(sweep))
        add_legend(panel, whole, options.legend, own=ax is None)
    return figure


def _title_over_labels(ax: Axes, title: str) -> None:
    """A panel's title, above the values of the bifurcations."""
    ax.get_figure(root=True).draw_without_rendering()  # pyright: ignore
    top = max([ax.bbox.y1, *(text.get_window_extent().y1 for text in ax.texts)])
    figure: Any = ax.get_figure(root=True)
    ax.set_title(title, pad=6 + 72 * (top - ax.bbox.y1) / figure.dpi)


def _stack(figure: Any, axes: Sequence[Axes], title: str) -> None:
    """Panels above one another with one horizontal axis, named below the last."""
    for panel in axes[:-1]:
        panel.tick_params(labelbottom=False)
        panel.set_xlabel("")
        panel.sharex(axes[-1])
    figure.align_ylabels()
    if title:
        figure.suptitle(title)
