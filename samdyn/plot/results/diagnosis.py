"""Both ends of the Hessian's spectrum, and the radii from which a method pulls back."""

from typing import Any

from matplotlib.axes import Axes

from ...results.drawing import drawer
from ..drawing import Key, drawing
from ..style import ALARM, BLACK, GREY, looks, thick


@drawer("Diagnosis", house=True)
@drawing(4.2, 1.1)
def draw_diagnosis(diagnosis: Any, ax: Axes, **style: Any) -> Key:
    """The lowest and the largest eigenvalue with their residuals, about 0; the verdict above.

    Vermilion curves down, open marks have no certain sign. `style` is that of the marks.
    """
    ends = (diagnosis.ends.low, diagnosis.ends.high)
    for row, end in enumerate(ends):
        colour = ALARM if end.sign < 0 else BLACK
        look = looks({"marker": "o", "color": colour, "ls": "", "gid": "eigenvalue"}, style)
        look = look if end.sign else {**look, "markerfacecolor": "none"}
        ax.errorbar(end.value, row, xerr=end.residual + end.error, capsize=2.5, **look)
    ax.axvline(0, color=GREY, lw=thick(0.6), zorder=0, gid="zero")
    ax.set_yticks([0, 1], ["lowest", "largest"])
    ax.set_ylim(-0.6, 1.6)
    ax.set_xlabel("eigenvalue of the Hessian")
    rate = diagnosis.escape_rate
    held = "" if rate is None else f"\nplain steps leave at rate {rate.sgd:.3g}"
    ax.set_title(f"{diagnosis.verdict}, {diagnosis.dim} parameters{held}")
    return Key()
