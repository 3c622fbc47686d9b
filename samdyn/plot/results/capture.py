"""From which radius on a start is captured: the bracket, on the axis of ρ."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import BLUE, looks

AROUND = 2.0  # widths of the bracket that are shown on either side


@drawer("CaptureThreshold", house=True)
@drawing(height=1.1)
def draw_capture(threshold: Any, ax: Axes, **style: Any) -> Key:
    """The bracket within which capture sets in; `style` is that of the band."""
    low, high = threshold.low, threshold.high
    room = AROUND * (high - low)
    look: dict[str, Any] = {
        "color": BLUE,
        "alpha": 0.4,
        "lw": 0,
        "gid": "bracket",
        "label": f"capture {'sets in' if threshold.sets_in else 'ends'}",
    }
    ax.axvspan(low, high, **looks(look, style, Patch))
    ax.set_xlim(low - room, high + room)
    ax.set_xticks([low, high], [f"{low:.8g} ", f" {high:.8g}"])
    for label, side in zip(ax.get_xticklabels(), ("right", "left"), strict=True):
        label.set_horizontalalignment(side)
    ax.set_yticks([])
    inside = "captured" if threshold.monotone else "captured,\nnot everywhere"
    sides = ("not captured", inside) if threshold.sets_in else (inside, "not captured")
    for x, text in zip((low - room / 2, high + room / 2), sides, strict=True):
        ax.text(
            x,
            0.5,
            text,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="center",
            gid="side",
        )
    ax.set_xlabel("ρ" if threshold.parameter == "rho" else threshold.parameter)
    return Key()
