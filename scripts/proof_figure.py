"""The boxes of one search: how Beale's three critical points are proven to be all there are.

    python scripts/proof_figure.py

writes figures/proof_boxes.png: every box that branch and prune looked at for zeros of the gradient,
darker the oftener it was cut, and what SAM's flow has there: the critical points, and hallucinated
ones on the circles about them.
"""

import pathlib

import jax
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Circle

import samdyn
from samdyn.attractors.proving.branch import zeros_in
from samdyn.attractors.proving.fields import GradientAndLoss
from samdyn.attractors.proving.system import System
from samdyn.plot.legends import axes_legend
from samdyn.plot.markers import mark_points
from samdyn.plot.style import ORANGE, frame, new_figure, styled

OUT = pathlib.Path(__file__).parent.parent / "figures" / "proof_boxes.png"
RHO = 0.5


def levels(loss) -> tuple[list[np.ndarray], np.ndarray, int]:
    """The boxes (n, 2, 2) of every level, the box, and how many the proof took."""
    box, seen = np.array(loss.box, float), []
    system = System(GradientAndLoss(loss), 2)
    found = zeros_in(
        system,
        box[None, :, 0],
        box[None, :, 1],
        watch=lambda low, high: seen.append(np.stack([low, high], axis=-1)),
    )
    return seen, box, found.boxes  # all but those about zeros that were known by then


def corners(boxes: np.ndarray) -> np.ndarray:
    """The four corners (n, 4, 2) of boxes (n, 2, 2)."""
    (left, right), (down, up) = boxes[:, 0].T, boxes[:, 1].T
    sides = [(left, down), (right, down), (right, up), (left, up)]
    return np.stack([np.stack(side, axis=1) for side in sides], axis=1)


@styled
def draw() -> None:
    loss = samdyn.get_loss("beale")
    seen, box, count = levels(loss)
    result = samdyn.stability(samdyn.Flow(loss, samdyn.SAM(RHO)), box=box)
    figure, axes = new_figure(1, 1, width=4.0, height=3.9)
    axis = axes[0, 0]
    for depth, boxes in enumerate(seen):
        shade = str(0.97 - 0.75 * min(depth / 18, 1))
        axis.add_collection(
            PolyCollection(corners(boxes), facecolor=shade, edgecolor="white", linewidth=0.15)
        )
    for item in result.points:
        if item.point.kind == "critical":
            look = {"fill": False, "edgecolor": ORANGE, "linewidth": 1.0}
            axis.add_patch(Circle(tuple(item.point.w), RHO, **look))
    axis.plot([], [], color=ORANGE, linewidth=1.0, label="distance ρ from a critical point")
    mark_points(axis, result)
    frame(axis, box)
    axis.set_title(f"Beale: {count:,d} boxes prove three critical points; SAM, ρ = {RHO:g}")
    axes_legend(axis, most=2)
    samdyn.save(figure, OUT)


if __name__ == "__main__":
    with jax.enable_x64(True):
        draw()
