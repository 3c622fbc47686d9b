"""What rests on an edge of the loss, proven, with its type by signs that are certain.

On an edge a = b between two smooth sides 0 lies between g₊ and g₋: λg₊ + (1 − λ)g₋ = 0 and a = b
are d + 1 equations in (w, λ), whose zero interval Newton proves. Across the edge the loss rises on
both sides, or falls; along it its curvature is that of λl₊ + (1 − λ)l₋, whose gradient vanishes.
"""

from typing import Any, NamedTuple

import numpy as np

from .branch import Zeros, zeros_in
from .sides import EdgeSystem, SystemWithSides
from .system import Unprovable
from .undecided import isolated, merged

MOST = 64  # such points
ROUNDING = 1e-12  # of the curvatures


class OnEdges(NamedTuple):
    """Enclosures (k, d) of one critical point on an edge each, and their `types`; `rest` are the
    zeros that were given, without the open boxes that these explain."""

    low: np.ndarray
    high: np.ndarray
    types: tuple[str, ...]
    rest: Zeros


def on_edges(system: SystemWithSides, zeros: Zeros, box: np.ndarray) -> OnEdges:
    """The critical points among what stayed open in a box (d, 2), where they lie on one edge."""
    boxes = np.stack([zeros.open_low, zeros.open_high], axis=-1)
    found, types, left = [], [], np.ones(len(boxes), bool)
    hulls = isolated(merged(boxes, box), box) if system.has_decisions else []
    for hull in hulls[:MOST]:
        inside = np.all((boxes[..., 0] >= hull[:, 0]) & (boxes[..., 1] <= hull[:, 1]), axis=1)
        known = _on_edge(system, hull, box[:, 1] - box[:, 0])
        if known is None:
            continue
        left &= ~inside
        ends, name = known
        if name and np.all((ends[:, 0] <= box[:, 1]) & (ends[:, 1] >= box[:, 0])):
            found.append(ends)
            types.append(name)
    ends = np.array(found).reshape(-1, len(box), 2)
    rest = zeros._replace(open_low=zeros.open_low[left], open_high=zeros.open_high[left])
    return OnEdges(ends[..., 0], ends[..., 1], tuple(types), rest)


def _on_edge(
    system: SystemWithSides, hull: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, str] | None:
    """The enclosure (d, 2) and type of the one critical point in a tiny box; the type is "" where
    there is none for sure. None where neither is proven."""
    wider = hull + (hull[:, 1:] - hull[:, :1]) * np.array([-0.5, 0.5])
    try:
        edge = system.edge(wider[:, 0], wider[:, 1])
        if edge is None:
            return None
        begin, end = np.append(wider[:, 0], 0.0), np.append(wider[:, 1], 1.0)
        zeros = zeros_in(edge, begin[None], end[None])
    except Unprovable:
        return None
    if len(zeros.open_low) or len(zeros.low) > 1:
        return None
    if not len(zeros.low):
        return hull, ""
    (low,), (high,) = zeros.low, zeros.high
    if not 0 < low[-1] <= high[-1] < 1 or edge.jumps(low[:-1], high[:-1]):
        return None
    name = _type(edge, low, high, size)
    return None if name is None else (np.stack([low[:-1], high[:-1]], axis=1), name)


def _type(edge: EdgeSystem, low: np.ndarray, high: np.ndarray, size: np.ndarray) -> str | None:
    """The type at the zero in (low, high), each (d + 1,); None where a sign is too near to 0.

    Signs are those of derivatives by w/size, `size` (d,), so that units do not matter.
    """
    scale = np.outer(np.append(size, 1.0), np.append(size, 1.0))
    lower, upper = (ends[0] * scale for ends in edge.slopes(low[None], high[None]))
    middle, spread = lower / 2 + upper / 2, upper - lower
    d = edge.dim - 1
    change, normal = middle[:d, d], middle[d, :d]
    sizes = np.linalg.norm(change), np.linalg.norm(normal)
    loose = np.linalg.norm(spread[:d, d]), np.linalg.norm(spread[d, :d])
    across = change @ normal
    signs = [_sign(across, sizes[0] * loose[1] + sizes[1] * loose[0] + loose[0] * loose[1])]
    if d > 1:
        hessian = (middle[:d, :d] + middle[:d, :d].T) / 2
        tangents = np.linalg.svd(normal[None])[2][1:]
        # where the loss is continuous it gains nothing along the edge by changing sides
        along = np.linalg.norm(tangents @ change)
        if along > loose[0] + sizes[0] * (loose[1] / sizes[1] + ROUNDING):
            return None
        turned = 2 * np.linalg.norm(hessian) * loose[1] / sizes[1]
        doubt = turned + np.linalg.norm(spread[:d, :d]) + ROUNDING * np.linalg.norm(hessian)
        curvatures = np.linalg.eigvalsh(tangents @ hessian @ tangents.T)
        signs += [_sign(curvature, doubt) for curvature in curvatures]
    if 0 in signs and {1, -1} - set(signs):
        return None
    return "minimum" if min(signs) > 0 else "maximum" if max(signs) < 0 else "saddle"


def _sign(value: Any, doubt: Any) -> int:
    """1, −1, or 0 where it is not certain."""
    certain = abs(value) > doubt + 8 * np.finfo(float).eps * abs(value)
    return int(np.sign(value)) if certain else 0
