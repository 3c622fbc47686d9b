"""From which radius on a start is captured: the bracket, on the axis of ρ."""

from typing import Any

from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..style import BLUE, axes_legend, new_figure, styled

AROUND = 2.0  # widths of the bracket that are shown on either side


@drawer("CaptureThreshold", house=True)
@styled
def draw_capture(threshold: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The bracket within which capture sets in; `style` is that of the band."""
    ax = ax or new_figure(height=1.1)[1][0, 0]
    low, high = threshold.low, threshold.high
    room = AROUND * (high - low)
    look: dict[str, Any] = {
        "color": BLUE,
        "alpha": 0.4,
        "lw": 0,
        "label": f"capture {'sets in' if threshold.sets_in else 'ends'}",
    }
    ax.axvspan(low, high, **(look | style))
    ax.set_xlim(low - room, high + room)
    ax.set_xticks([low, high], [f"{low:.8g}", f"{high:.8g}"])
    ax.set_yticks([])
    inside = "captured" if threshold.monotone else "captured, not everywhere"
    sides = ("not captured", inside) if threshold.sets_in else (inside, "not captured")
    for x, text in zip((low - room / 2, high + room / 2), sides, strict=True):
        ax.text(x, 0.5, text, transform=ax.get_xaxis_transform(), ha="center", va="center")
    ax.set_xlabel("ρ" if threshold.parameter == "rho" else threshold.parameter)
    axes_legend(ax)
    return ax
