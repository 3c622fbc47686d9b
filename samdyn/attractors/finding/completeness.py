"""Are all fixed points found? The degree test of `winding.py`, for the gradient and the field."""

import numpy as np

from ...dynamics.systems.defined import where_defined
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from .point import FIXED, Completeness, FixedPoint
from .winding import DegreeCheck, check_degree, point_indices


def doubted(
    flow: AbstractODE, box: np.ndarray, points: tuple[FixedPoint, ...]
) -> tuple[FixedPoint, ...]:
    """The points, with a doubt where the winding number about one is not the sign of det H.

    Of the Hessian at critical points, of the field's Jacobian at hallucinated ones: that number
    is ±1 at every nondegenerate zero. Another one tells of a zero of higher order (a fold), or
    of several zeros too near to be told apart.
    """
    if len(box) > 2:
        return points
    isolated = [p for p in points if p.continuum is None]
    critical = [p for p in isolated if p.kind == "critical"]
    found = {}
    kinds = (("critical", flow.critical(), critical), ("hallucinated", flow.velocity, isolated))
    if loss_of(flow) is None:
        kinds = ((FIXED, flow.velocity, isolated),)
    for kind, field, some in kinds:
        judged = {id(p) for p in some if p.kind == kind and p.critical_type != "degenerate"}
        if not judged:
            continue
        places = np.array([p.w for p in some])
        indices = point_indices(where_defined(flow, field), places, box)
        found |= {id(p): i for p, i in zip(some, indices, strict=True) if id(p) in judged}
    return tuple(_with_doubt(p, found.get(id(p), np.nan)) for p in points)


def _with_doubt(point: FixedPoint, index: float) -> FixedPoint:
    """The point, doubted where `index` is known and not its own."""
    critical = point.kind == "critical"
    own = float(np.prod(np.sign(point.hessian_eigenvalues))) if critical else point.orientation
    if not np.isfinite(index) or index == own:
        return point
    what = f"the gradient about this point is {index:.0f}, that of a {point.critical_type}"
    if not critical:
        what = f"the field about this point is {index:.0f}, that of its linear part"
    text = (
        f"the winding number of {what} is {own:.0f}: it is a zero of higher order, or several "
        "that are too near to be told apart"
    )
    return point._replace(critical_type="degenerate" if critical else None, doubt=text)


def degree_checks(
    flow: AbstractODE, box: np.ndarray, points: tuple[FixedPoint, ...]
) -> list[DegreeCheck]:
    """The degree test of the gradient with the critical points, and of the field with all."""
    curves = [point.continuum for point in points if point.continuum is not None]
    isolated = [point for point in points if point.continuum is None]
    critical = [point for point in isolated if point.kind in ("critical", "kink")]

    def check(field, some):
        return check_degree(field, box, np.array([p.w for p in some]).reshape(-1, len(box)), curves)

    if loss_of(flow) is None:
        return [check(flow.velocity, isolated)]
    checks = [check(where_defined(flow, flow.critical()), critical)]
    if flow.ascends:
        checks.append(check(where_defined(flow, flow.velocity), isolated))
    return checks


def completeness(checks: list[DegreeCheck], dim: int, curves: bool = False) -> Completeness:
    """The verdict on a set of points from its degree tests.

    Skipped sub-boxes leave it unknown, unless `curves` of fixed points explain them.
    """
    skipped = max(check.skipped for check in checks)
    compared = min(check.compared for check in checks)
    name = "winding number of the field on" if dim == 2 else "sign changes of the field on"
    text = f"{name} {compared} sub-boxes"
    if skipped:
        text += f" ({skipped} more not checked: a point or a curve of them on their border)"
    mismatches = tuple(m for check in checks for m in check.mismatches)
    if mismatches:
        worst = mismatches[0]
        sides = " × ".join(f"[{low:.4g}, {high:.4g}]" for low, high in worst.box)
        text += (
            f"; differs in {len(mismatches)}, first in {sides}: "
            f"degree {worst.degree}, points found account for {worst.found}"
        )
    unexplained = compared == 0 or (skipped > 0 and not curves)
    consistent = False if mismatches else None if unexplained else True
    return Completeness(True, text, consistent, mismatches)
