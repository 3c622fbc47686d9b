"""Both ends of the Hessian's spectrum, and the radii from which a method pulls back."""

from typing import Any

from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..style import BLACK, GREY, VERMILION, looks, new_figure, styled


@drawer("Diagnosis", house=True)
@styled
def draw_diagnosis(diagnosis: Any, ax: Axes | None = None, **style: Any) -> Axes:
    """The lowest and the largest eigenvalue with their residuals, about 0; the verdict above.

    Vermilion curves down, open marks have no certain sign. `style` is that of the marks.
    """
    ax = ax or new_figure(width=4.2, height=1.1)[1][0, 0]
    ends = (diagnosis.ends.low, diagnosis.ends.high)
    for row, end in enumerate(ends):
        colour = VERMILION if end.sign < 0 else BLACK
        look = looks({"marker": "o", "color": colour, "ls": ""}, style)
        look = look if end.sign else {**look, "markerfacecolor": "none"}
        ax.errorbar(end.value, row, xerr=end.residual + end.error, capsize=2.5, **look)
    ax.axvline(0, color=GREY, lw=0.6, zorder=0)
    ax.set_yticks([0, 1], ["lowest", "largest"])
    ax.set_ylim(-0.6, 1.6)
    ax.set_xlabel("eigenvalue of the Hessian")
    rate = diagnosis.escape_rate
    held = "" if rate is None else f", plain steps leave at rate {rate.sgd:.3g}"
    ax.set_title(f"{diagnosis.verdict}, {diagnosis.dim} parameters{held}")
    return ax
