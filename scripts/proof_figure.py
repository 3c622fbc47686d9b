"""The boxes of one search: how Beale's three critical points are proven to be all there are.

    python scripts/proof_figure.py

writes figures/proof_boxes.png: every box that branch and prune looked at for zeros of the gradient,
darker the oftener it was cut, and SAM's hallucinated points on the spheres about the critical
points.
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
from samdyn.plot.style import BLACK, ORANGE, VERMILION, new_figure, styled

OUT = pathlib.Path(__file__).parent.parent / "figures" / "proof_boxes.png"
RHO = 0.5


def levels(loss) -> tuple[list[np.ndarray], np.ndarray]:
    """The boxes (n, 2, 2) of every level, and the box."""
    box, seen = np.array(loss.box, float), []
    system = System(GradientAndLoss(loss), 2)
    zeros_in(
        system,
        box[None, :, 0],
        box[None, :, 1],
        watch=lambda low, high: seen.append(np.stack([low, high], axis=-1)),
    )
    return seen, box


def corners(boxes: np.ndarray) -> np.ndarray:
    """The four corners (n, 4, 2) of boxes (n, 2, 2)."""
    (left, right), (down, up) = boxes[:, 0].T, boxes[:, 1].T
    sides = [(left, down), (right, down), (right, up), (left, up)]
    return np.stack([np.stack(side, axis=1) for side in sides], axis=1)


@styled
def draw() -> None:
    loss = samdyn.get_loss("beale")
    seen, box = levels(loss)
    result = samdyn.stability(samdyn.Flow(loss, samdyn.SAM(RHO)), box=box)
    figure, axes = new_figure(1, 1, width=4.4, height=4.4)
    axis = axes[0, 0]
    for depth, boxes in enumerate(seen):
        shade = str(0.97 - 0.75 * min(depth / 18, 1))
        axis.add_collection(
            PolyCollection(corners(boxes), facecolor=shade, edgecolor="white", linewidth=0.15)
        )
    for item in result.points:
        point = item.point
        if point.kind == "critical":
            axis.add_patch(Circle(tuple(point.w), RHO, fill=False, edgecolor=ORANGE, linewidth=1.2))
            axis.plot(*point.w, "o", color=VERMILION, markersize=5, markeredgecolor="white")
        else:
            axis.plot(*point.w, "X", color=BLACK, markersize=6, markeredgecolor="white")
    axis.set(xlim=box[0], ylim=box[1], xlabel="$w_0$", ylabel="$w_1$", aspect="equal")
    count = sum(map(len, seen))
    axis.set_title(f"Beale: {count:,d} boxes prove three critical points; SAM, ρ = {RHO:g}")
    figure.savefig(OUT)


if __name__ == "__main__":
    with jax.enable_x64(True):
        draw()
