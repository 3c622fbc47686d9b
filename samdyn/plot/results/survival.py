"""Survival: which share of the paths is still inside, as time passes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ...errors import InvalidInput
from ...escape.statistics import CENSORED, FAILED, RUNNING, Curve, Tail, kaplan_meier
from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import BLACK, CYCLE, looks, thick

CELLS = 500  # of an axis: what is finer is not drawn
DETAILS = ("band", "tail", "censored", "told")  # gids of what one run alone has in the legend
MOST_TICKS = 60  # of censored paths


class Staircase(NamedTuple):
    """Survival from 0 to the end of observation, each (m,); constant to the right of each `t`."""

    t: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@drawer("EscapeTimes", house=True)
@drawing(4.2, 2.6)
def draw_survival(
    result: Any,
    ax: Axes,
    *,
    log: bool = True,
    colour: str | None = None,
    label: str | None = None,
    **style: Any,
) -> Key:
    """The share of paths still inside against time, from an `EscapeTimes` result.

    The line is the Kaplan–Meier estimate, the band its pointwise 95 % interval, the dashes the
    exponential law fitted to the tail, and ticks on the line tell where paths were censored. On
    a logarithmic axis (`log`) an exponential law is straight; a curve that reaches 0 ends there.
    Several runs may share axes: each then has a colour and one line in the legend, and the axes
    show all. `style` is that of the line; its `color` holds for the band and the ticks as well.
    """
    earlier = [line for line in ax.lines if line.get_gid() == "survival"]
    chosen = CYCLE[len(earlier) % len(CYCLE)] if colour is None else colour
    look = looks({"color": chosen, "drawstyle": "steps-post", "zorder": 4}, style)
    chosen = look["color"]
    if label is None:
        label = f"run {len(earlier) + 1}" if earlier else "share inside"
    t, censored = _times(result)
    curve = kaplan_meier(result.times, result.status)
    stairs = _staircase(curve, float(np.max(t)), log)
    counts = result.summary
    name = f"{label}, {counts.escaped} of {counts.n} escaped"
    ax.plot(stairs.t, stairs.survival, label=name, gid="survival", **look)
    ax.fill_between(
        stairs.t, stairs.lower, stairs.upper, step="post", color=chosen, alpha=0.2, lw=0, zorder=2,
        label="95 % band", gid="band",
    )  # fmt: skip
    _draw_tail(ax, counts.tail, stairs, log)
    _draw_censored(ax, censored, curve, chosen)
    for exit in getattr(result, "exits", ())[:4]:
        ax.plot([], [], " ", label=f"{exit.share:.1%} left at {exit.where}", gid="told")
    if counts.failed:
        ax.plot([], [], " ", label=f"{counts.failed} failed and left out", gid="told")
    if earlier:
        _hide_details(ax)
    _dress(ax, stairs, log, earlier)
    return Key(ax.get_legend_handles_labels()[0], inside=True)  # the curve first, as drawn


def _hide_details(ax: Axes) -> None:
    """Of several runs the legend has one line each: what is said of one alone is hidden."""
    for part in ax.get_children():
        label = str(part.get_label())
        if part.get_gid() in DETAILS and not label.startswith("_"):
            part.set_label(f"_{label}")


def _times(result: Any) -> tuple[np.ndarray, np.ndarray]:
    """Times (m,) of all paths that did not fail, and the times (k,) of those censored."""
    times, status = np.asarray(result.times, float), np.asarray(result.status)
    good = np.isfinite(times) & (status != FAILED)
    if not np.any(good):
        raise InvalidInput("no path ended without failing: there is no survival to draw.")
    unseen = (status == CENSORED) | (status == RUNNING)
    return times[good], times[good & unseen]


def _staircase(curve: Curve, last: float, log: bool) -> Staircase:
    """The curve from (0, 1) to `last`, without steps too fine to be drawn."""
    columns = [np.concatenate([[1.0], values]) for values in curve[1:]]
    t = np.concatenate([[0.0], curve.t])
    if log:  # 0 has no place on the axis: the curve ends at the last exit
        t, *columns = (values[columns[0] > 0] for values in (t, *columns))
    height = np.log(columns[0]) if log else columns[0]
    keep = _visible(t, last) | _visible(height, np.ptp(height))
    t, *columns = (values[keep] for values in (t, *columns))
    return Staircase(np.append(t, last), *(np.append(values, values[-1]) for values in columns))


def _visible(values: np.ndarray, span: float) -> np.ndarray:
    """Which of monotone `values` (m,) begin another cell; both ends count as if they did."""
    cells = np.round(values / span * CELLS) if span > 0 else np.zeros_like(values)
    begins = np.concatenate([[True], np.diff(cells) != 0])
    begins[-1] = True
    return begins


def _draw_tail(ax: Axes, tail: Tail | None, stairs: Staircase, log: bool) -> None:
    """exp(−rate·(t − start)) from where the tail begins."""
    if tail is None or tail.rate is None or not stairs.t[-1] > tail.start:
        return
    at = int(np.searchsorted(stairs.t, tail.start, side="right")) - 1
    end = stairs.t[-1]
    if log:  # not below what n paths can show
        lowest = np.min(stairs.survival) / stairs.survival[at]
        end = min(end, tail.start - np.log(lowest / 2) / tail.rate)
    t = np.linspace(tail.start, end, 200)
    fitted = stairs.survival[at] * np.exp(-tail.rate * (t - tail.start))
    name = f"exponential tail, rate {tail.rate:.3g}"
    if tail.p_value is not None:
        name += f", p = {tail.p_value:.2g}"
    look: dict[str, Any] = {"color": BLACK, "lw": thick(1.0), "ls": (0, (4, 2)), "zorder": 5}
    ax.plot(t, fitted, label=name, gid="tail", **look)


def _draw_censored(ax: Axes, censored: np.ndarray, curve: Curve, colour: str) -> None:
    """Ticks on the curve where observation of a path ended before it left."""
    if not censored.size:
        return
    at = np.unique(censored)
    at = at[np.unique(np.linspace(0, at.size - 1, min(at.size, MOST_TICKS)).astype(int))]
    before = np.searchsorted(curve.t, at, side="right")
    height = np.concatenate([[1.0], curve.survival])[before]
    name = f"{censored.size} censored"
    style: dict[str, Any] = {"ms": 8, "mew": 1.3, "ls": "none", "zorder": 6, "clip_on": False}
    ax.plot(at, height, "|", color=colour, label=name, gid="censored", **style)


def _dress(ax: Axes, stairs: Staircase, log: bool, earlier: Sequence[Line2D]) -> None:
    """Axes that show these stairs and the earlier curves."""
    shown = [np.asarray(line.get_xydata()) for line in earlier]
    last = max([float(stairs.t[-1]), *(float(xy[-1, 0]) for xy in shown)])
    lowest = min([float(np.min(stairs.survival)), *(float(np.min(xy[:, 1])) for xy in shown)])
    ax.set_xlim(0, last if last > 0 else 1)
    ax.set_xlabel("time t = η · steps")
    ax.set_ylabel("share still inside")
    if not log:
        ax.set_ylim(0, 1.03)
        return
    ax.set_yscale("log")
    ax.set_ylim(lowest / 1.6, 1.25)
    ticks = LogLocator(subs=(1, 2, 5) if lowest > 5e-3 else (1,)).tick_values(lowest / 1.6, 1)
    ax.yaxis.set_major_locator(FixedLocator([share for share in ticks if share < 1.1]))
    ax.yaxis.set_minor_locator(NullLocator())  # or there would be shares above 1
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
