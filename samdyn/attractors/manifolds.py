"""The stable and unstable manifolds of a saddle of a flow in the plane, as curves."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..arguments import of_system
from ..checks import require_flat, require_one_value, told
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.system import AbstractSystem
from ..errors import InvalidInput
from ..precision import in_double
from ..results.provenance import recorded
from ..results.result import Result
from ..text import point_text
from .curves import Manifold, flow_curves
from .finding.point import as_box
from .report import stability
from .stability_result import PointStability


class Manifolds(Result, eqx.Module):
    """What `manifolds` returns: `point`, the saddle, and its `curves`, two stable halves and two
    unstable ones, each from the saddle outwards as far as `box` (2, 2)."""

    point: PointStability
    curves: tuple[Manifold, ...]
    box: Float[np.ndarray, "2 2"]

    @property
    def direction(self) -> np.ndarray | None:
        """The unit vector (2,) along which the saddle attracts; None without a stable curve."""
        first = next((c.points for c in self.curves if c.stable and len(c.points) > 1), None)
        if first is None:
            return None
        way = first[1] - first[0]
        return way / np.linalg.norm(way)

    def to_dict(self) -> dict[str, Any]:
        """JSON types: the saddle, and of each curve whether it is stable and its points."""
        curves = [{"stable": c.stable, "points": c.points.tolist()} for c in self.curves]
        return {"point": self.point.to_dict(), "box": self.box.tolist(), "curves": curves}

    def __str__(self) -> str:
        lines = [f"manifolds of the saddle {point_text(self.point.point.w)}"]
        for curve in self.curves:
            kind = "stable" if curve.stable else "unstable"
            lines.append(f"  {kind}: {len(curve.points)} points, to {point_text(curve.points[-1])}")
        return "\n".join(lines)

    def _table(self) -> list[dict[str, Any]]:
        """One row a point of a curve."""
        return [
            {"curve": i, "stable": curve.stable, "x": float(x), "y": float(y)}
            for i, curve in enumerate(self.curves)
            for x, y in curve.points
        ]


@of_system("Flow(loss, method)")
@recorded
@in_double
def manifolds(system: AbstractSystem, at: Any, *, box: Any = None) -> Manifolds:
    """The stable and unstable manifolds of the saddle that Newton reaches from `at` (2,).

    `system` is an `ODE` or a `Flow`, or a map that has a flow, in two dimensions. Curves are
    followed until they leave `box` (two pairs low, high; default: 4 wide about the saddle), or come
    to rest.

    `InvalidInput` for other systems and dimensions, and where the point is no saddle with a
    Jacobian: normalised SAM slides at critical points, and has no manifolds there.
    """
    flow = system if isinstance(system, AbstractODE) else getattr(system, "flow", None)
    if not isinstance(flow, AbstractODE):
        raise InvalidInput(f"manifolds are those of a flow, not of {told(system)}.")
    require_one_value(flow)
    if require_flat(at, "a point").size != 2:
        raise InvalidInput("manifolds are curves in the plane: give a point of two coordinates.")
    point = stability(flow, at=at).points[0]
    verdict = point.main
    if verdict.verdict != "saddle" or verdict.eigenvalues is None:
        raise InvalidInput(
            f"{point_text(point.point.w)} is no saddle with a Jacobian, but {verdict.verdict}: "
            f"{verdict.why}."
        )
    w = point.point.w
    sides = as_box(np.stack([w - 2, w + 2], axis=1) if box is None else box)
    return Manifolds(point, tuple(flow_curves(flow, [point], sides)[0]), sides)
