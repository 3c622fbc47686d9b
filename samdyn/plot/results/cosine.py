"""How far the gradient at wᵖ agrees with the one at w, along a run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from ...errors import InvalidInput
from ..drawing import Key, drawing
from ..style import BLACK, CYCLE, METHOD_COLOURS, looks, thick

BINS = 160


class Envelope(NamedTuple):
    """Per bin of steps, each (m,): a middle step, and the least, median and largest value."""

    steps: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray


def envelope(steps: np.ndarray, values: np.ndarray, bins: int = BINS) -> Envelope:
    """The values (n,) at ascending `steps` (n,) ≥ 1 in bins of equal ratio.

    Early bins hold one step and show it as it is. A bin of several counts an even number of
    them, so that the median of an alternation is its middle and not one of its two sides.
    """
    edges = np.geomspace(steps[0], steps[-1] + 1, bins + 1)
    number = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, bins - 1)
    groups = [np.flatnonzero(number == k) for k in np.unique(number)]
    even = [g[: len(g) - len(g) % 2] if len(g) > 1 else g for g in groups]
    return Envelope(
        np.array([np.sqrt(float(steps[g[0]]) * float(steps[g[-1]])) for g in groups]),
        np.array([values[g].min() for g in groups]),
        np.array([np.median(values[g]) for g in even]),
        np.array([values[g].max() for g in groups]),
    )


def _checked(label: str, values: Any, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) that a logarithmic axis can show: step 0 and nan (a zero gradient) go."""
    values = np.asarray(values, dtype=float)
    if values.shape != steps.shape or steps.ndim != 1:
        raise InvalidInput(f"{label!r} has {values.size} cosines for {steps.size} steps.")
    keep = (steps >= 1) & np.isfinite(values)
    return steps[keep], values[keep]


def cosine_strip(
    cosines: Mapping[str, Any], steps: Any, ax: Axes | None = None, **style: Any
) -> Axes:
    """cos(g(w), g(wᵖ)) of each run, `cosines` label -> (n,), against its steps (n,), ascending.

    Below zero the step that is taken climbs the loss to first order. Where many steps share a
    place on the logarithmic axis the band spans all their values and the line is their median.
    `style` is that of the lines.
    """
    steps = np.asarray(steps)
    runs = {label: _checked(label, values, steps) for label, values in cosines.items()}
    return _draw_strip(runs, ax, **style)


@drawing(5.2, 2.0)
def _draw_strip(runs: dict[str, Any], ax: Axes, **style: Any) -> Key:
    ax.axhline(0, color=BLACK, lw=thick(0.6), zorder=1, gid="zero")
    for number, (label, (at, values)) in enumerate(runs.items()):
        name = label.split(",")[0].strip()
        colour = METHOD_COLOURS.get(name, CYCLE[number % len(CYCLE)])
        if at.size:
            _draw_run(ax, envelope(at, values), label, colour, style)
    ax.set_xscale("log")
    ax.set_ylim(-1.08, 1.08)
    ax.set_yticks([-1, 0, 1])
    ax.set_xlabel("step k")
    ax.set_ylabel("cos(g(w), g(wᵖ))")
    return Key()


def _draw_run(ax: Axes, run: Envelope, label: str, colour: str, style: dict[str, Any]) -> None:
    look = looks({"color": colour, "lw": thick(1.4), "zorder": 3, "label": label}, style)
    band: dict[str, Any] = {"color": look["color"], "alpha": 0.25, "lw": 0, "zorder": 2}
    ax.fill_between(run.steps, run.low, run.high, gid="range", **band)
    ax.plot(run.steps, run.median, **{"gid": "median", **look})
