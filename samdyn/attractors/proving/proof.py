"""The fixed points of a flow in a box, proven: which are there for sure, and where there is none.

Critical points are the zeros of the gradient. A method whose w^p − w is smooth rests at the zeros
of its field. Normalised SAM's field jumps at critical points, and is never enclosed: SAM rests at a
point w that is not critical where w^p is critical, so that w lies on the sphere of radius ρ about a
critical point c, with its gradient pointing at c. There are finitely many such spheres that meet
the box, since c lies within ρ of it; on each the equations are smooth.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from ...dynamics.systems.flow import Flow
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.system import loss_of
from ...programs.batch import OnPoints
from ...programs.enclosing.interval_rules import NotEnclosed
from .branch import MOST_WORK, Zeros, zeros_in
from .edges import on_edges
from .fields import FieldAndLoss, FieldBeyond, GradientAndLoss, OnFace, Place, Preimage
from .sides import SystemWithSides
from .system import System, Unprovable
from .undecided import merged

HIGHEST = 3  # dimensions: beyond it boxes grow too many
REACH = 0.25  # of the box's sides: how far beyond it critical points are looked for, at first
ACROSS = (
    "what rests where the perturbed point crosses an edge of the loss, or where the gradient turns "
    "at one, was not looked for"
)
UNTOLD = "zeros of higher order, or too near to be told apart, or a jump over 0"
MOST_CENTRES = 64  # undecided boxes about which spheres are looked at
# A side, of a grid whose cells at ρ from what is undecided are searched.
NEAR_CELLS = {1: 256, 2: 32, 3: 10}


class Proven(NamedTuple):
    """Boxes (n, d) that hold exactly one fixed point each; of which kind it is, and, where that is
    "kink", of which type each."""

    low: np.ndarray
    high: np.ndarray
    kind: str
    types: tuple[str, ...] = ()


class Proof(NamedTuple):
    """`points` that are there for sure, and boxes (m, d, 2) that stayed `undecided`, with the
    reasons; in the rest of the box there is no fixed point, but for what `doubt` says was not
    looked for. `boxes` were looked at."""

    points: tuple[Proven, ...]
    undecided: np.ndarray
    why: tuple[str, ...]
    boxes: int
    doubt: str = ""


def proof_in(flow: AbstractODE, box: np.ndarray) -> Proof:
    """The proof for a box (d, 2). `Unprovable` with the reason where none can be tried."""
    if len(box) > HIGHEST:
        raise Unprovable(f"no proof is tried in {len(box)} dimensions")
    loss = loss_of(flow)
    if loss is None:
        return _proof(
            [_zeros_of(FieldAndLoss(flow, None), box, SystemWithSides)], ["fixed point"], box
        )
    system = SystemWithSides(GradientAndLoss(loss), len(box))
    if flow.ascends and not system.opens_in(_reached(flow, box)):
        return _proof_of_ascending(flow, box)
    edges = on_edges(system, _remembered(_Asked(system, box)), box)
    kinks = Proven(edges.low, edges.high, "kink", edges.types)
    if not flow.ascends:
        proof = _proof([edges.rest], ["critical"], box)
        return proof._replace(points=(*proof.points, kinks))
    proof = _proof_of_ascending(flow, box)
    return proof._replace(points=(*proof.points, kinks), doubt=ACROSS)


def _reached(flow: AbstractODE, box: np.ndarray) -> np.ndarray:
    """A box that holds a box and all of its perturbed points."""
    if isinstance(flow, Flow) and flow.method.ascent == "unit":
        ahead = box + 1.001 * float(flow.method.radius) * np.array([-1.0, 1.0])
    else:
        try:
            found = OnPoints(flow.perturbed, len(box)).on_boxes(box[None, :, 0], box[None, :, 1])
            ahead = np.stack([found.low[0], found.high[0]], axis=1)
        except NotEnclosed:
            ahead = np.broadcast_to([-np.inf, np.inf], box.shape)
    return np.stack([np.minimum(box, ahead)[:, 0], np.maximum(box, ahead)[:, 1]], axis=1)


def _proof_of_ascending(flow: AbstractODE, box: np.ndarray) -> Proof:
    if isinstance(flow, Flow) and flow.method.ascent == "unit":
        return _proof_of_sam(flow, box)
    if isinstance(flow, Flow) and flow.method.ascent == "gradient":
        return _proof_by_preimages(flow, box)
    loss = loss_of(flow)
    critical, field = _critical(loss, box), _zeros_of(FieldAndLoss(flow, loss), box)
    return _proof([critical, _apart(field, critical)], ["critical", "hallucinated"], box)


def _critical(loss: Any, box: np.ndarray) -> Zeros:
    """Critical points of the loss, but for those on edges."""
    system = SystemWithSides(GradientAndLoss(loss), len(box))
    return on_edges(system, _remembered(_Asked(system, box)), box).rest


def _apart(zeros: Zeros, others: Zeros) -> Zeros:
    """Those zeros whose boxes do not meet one of the others'."""
    own = np.ones(len(zeros.low), bool)
    for low, high in zip(others.low, others.high, strict=True):
        own &= ~np.all((zeros.high >= low) & (zeros.low <= high), axis=1)
    return zeros._replace(low=zeros.low[own], high=zeros.high[own])


def _proof_by_preimages(flow: Flow, box: np.ndarray) -> Proof:
    """Of a method that rests where w^p is critical, and nowhere else.

    Solving w^p = c for each critical point c asks for one Hessian, g(w^p) = 0 for the product of
    two. Where w^p lies beyond the box in which the c are known, the latter is what is left.
    """
    dim, size = len(box), box[:, 1] - box[:, 0]
    wide = box + REACH * size[:, None] * np.array([-1.0, 1.0])
    critical = _critical(flow.loss, wide)
    unsure = merged(np.stack([critical.open_low, critical.open_high], axis=-1), wide)
    inside = _within(critical, box)
    if len(unsure) > MOST_CENTRES:
        field = _zeros_of(FieldAndLoss(flow, flow.loss), box)
        return _proof([inside, _apart(field, inside)], ["critical", "hallucinated"], box)
    low = np.concatenate([critical.low, unsure[:, :, 0]])
    high = np.concatenate([critical.high, unsure[:, :, 1]])
    parts = [inside]
    if len(low):
        edges = (np.broadcast_to(box[:, k], (len(low), dim)) for k in (0, 1))
        begin = [np.concatenate([e, c], axis=1) for e, c in zip(edges, (low, high), strict=True)]
        found = zeros_in(System(Preimage(flow, flow.loss), dim, dim), begin[0], begin[1])
        parts.append(_apart(_places(found, critical.low, dim), inside))
    parts.append(_apart(_zeros_of(FieldBeyond(flow, flow.loss, wide), box), inside))
    return _proof(parts, ["critical", "hallucinated", "hallucinated"][: len(parts)], box)


def _places(zeros: Zeros, centres: np.ndarray, dim: int) -> Zeros:
    """Zeros without the centres that they carry; undecided where one may not be critical."""
    known = np.any(np.all(zeros.low[:, None, dim:] == centres, axis=-1), axis=1)
    return zeros._replace(
        low=zeros.low[known, :dim],
        high=zeros.high[known, :dim],
        open_low=np.concatenate([zeros.open_low[:, :dim], zeros.low[~known, :dim]]),
        open_high=np.concatenate([zeros.open_high[:, :dim], zeros.high[~known, :dim]]),
    )


def _zeros_of(function, box: np.ndarray, kind: type[System] = System) -> Zeros:
    return _remembered(_Asked(kind(function, len(box)), box))


class _Asked:
    """What is asked for; the critical points of a loss are asked for at each radius again."""

    def __init__(self, system: System, box: np.ndarray):
        self.system, self.box = system, box
        self._key = type(system), system.on_points.key, box.tobytes()

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key == other._key


@functools.lru_cache(maxsize=64)
def _remembered(asked: _Asked) -> Zeros:
    return zeros_in(asked.system, asked.box[None, :, 0], asked.box[None, :, 1])


def _proof(zeros: list[Zeros], kinds: list[str], box: np.ndarray) -> Proof:
    points = tuple(
        Proven(some.low, some.high, kind) for some, kind in zip(zeros, kinds, strict=True)
    )
    undecided, why = [], []
    for some in zeros:
        boxes = merged(np.stack([some.open_low, some.open_high], axis=-1), box)
        undecided.append(boxes)
        why += [some.why or UNTOLD] * len(boxes)
    looked_at = sum(some.boxes for some in zeros)
    return Proof(points, np.concatenate(undecided), tuple(why), looked_at)


def _proof_of_sam(flow: Flow, box: np.ndarray) -> Proof:
    rho = np.asarray(flow.method.radius, float)
    # as far as a power of two: many radii then ask for the same critical points
    reach = 2.0 ** np.ceil(np.log2(float(rho))) if float(rho) else 0.0
    sides = np.array([-1.0, 1.0]) * (1 + 1e-12)
    rounding = 4 * float(np.spacing(np.max(np.abs(box))))
    wide = box + (reach + rounding) * sides
    critical = _critical(flow.loss, wide)
    inside = _within(critical, box)
    critical = _within(critical, box + (float(rho) + rounding) * sides)
    if float(rho) == 0:
        return _proof([inside], ["critical"], box)
    unsure = merged(np.stack([critical.open_low, critical.open_high], axis=-1), wide)
    if len(unsure) > MOST_CENTRES:
        around = _on_spheres(flow, rho, critical.low, critical.high, len(critical.low), box)
        rest = _apart(_near_spheres(flow, float(rho), unsure, box), around)
        return _proof([inside, around, rest], ["critical", "hallucinated", "hallucinated"], box)
    low = np.concatenate([critical.low, unsure[:, :, 0]])
    high = np.concatenate([critical.high, unsure[:, :, 1]])
    around = _on_spheres(flow, rho, low, high, len(critical.low), box)
    return _proof([inside, around], ["critical", "hallucinated"], box)


def _within(zeros: Zeros, box: np.ndarray) -> Zeros:
    """What of it meets a smaller box."""
    here = _meets(zeros.low, zeros.high, box)
    opened = _meets(zeros.open_low, zeros.open_high, box)
    return zeros._replace(
        low=zeros.low[here],
        high=zeros.high[here],
        open_low=zeros.open_low[opened],
        open_high=zeros.open_high[opened],
    )


def _meets(low: np.ndarray, high: np.ndarray, box: np.ndarray) -> np.ndarray:
    return np.all((high >= box[:, 0]) & (low <= box[:, 1]), axis=1)


def _near_spheres(flow: Flow, rho: float, centres: np.ndarray, box: np.ndarray) -> Zeros:
    """Zeros of SAM's own field in what of the box may lie at ρ from a centre in boxes (k, d, 2).

    There the gradient must not vanish; where it may, nothing is known.
    """
    dim, count = len(box), NEAR_CELLS[len(box)]
    edges = np.linspace(box[:, 0], box[:, 1], count + 1)
    cells = np.stack(np.meshgrid(*[np.arange(count)] * dim, indexing="ij"), axis=-1)
    cells = cells.reshape(-1, dim)
    axes = np.arange(dim)
    low, high = edges[cells, axes], edges[cells + 1, axes]
    near = np.zeros(len(low), bool)
    for centre in centres:
        gap = np.maximum(0, np.maximum(low - centre[:, 1], centre[:, 0] - high))
        reach = np.maximum(high - centre[:, 0], centre[:, 1] - low)
        least, most = (np.linalg.norm(x, axis=1) for x in (gap, reach))
        near |= (least <= rho * (1 + 1e-12)) & (most >= rho * (1 - 1e-12))
    if not np.any(near):
        none = np.empty((0, dim))
        return Zeros(none, none, none, none, none, none, 0)
    system = System(FieldAndLoss(flow, flow.loss), dim)
    found = zeros_in(system, low[near], high[near], most=MOST_WORK / 4)
    return found._replace(why=found.why or "critical points that are not isolated lie at ρ from it")


def _on_spheres(flow, rho, low, high, sure: int, box: np.ndarray) -> Zeros:
    """Points that are not critical, on the spheres about centres in boxes (k, d); the first
    `sure` of which hold a critical point for sure."""
    dim, none = len(box), np.empty((0, len(box)))
    found = Zeros(none, none, none, none, none, none, 0)
    if not len(low):
        return found
    for axis in range(dim):
        face = OnFace(flow.loss, rho, axis)
        zeros = zeros_in(System(face, dim - 1, dim + 1), *faces(low, high))
        found = _joined(found, zeros, face, low[:sure], box)
    return found


def faces(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends (2k, 2d) of what `fields.seen` is given about centres in boxes (k, d)."""
    whole, side = np.ones((2 * len(low), low.shape[1] - 1)), np.repeat([[-1.0], [1.0]], len(low), 0)
    begin, end = (np.concatenate([centre, centre]) for centre in (low, high))
    return np.hstack([-whole, begin, side]), np.hstack([whole, end, side])


def _joined(
    found: Zeros, zeros: Zeros, face: OnFace, centres: np.ndarray, box: np.ndarray
) -> Zeros:
    """What was found so far, with the zeros on two faces, as places in the box."""
    dim = len(box)
    known = np.any(np.all(zeros.low[:, None, dim - 1 : -1] == centres, axis=-1), axis=1)
    place = OnPoints(Place(face), 2 * dim)

    def at(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = place.on_boxes(low, high)
        return there.low, there.high

    low, high = at(zeros.low, zeros.high)
    new = _meets(low, high, box)
    for under, over in zip(found.low, found.high, strict=True):  # on an edge of two faces
        new &= ~np.all((low <= over) & (high >= under), axis=1)
    unsure = new & ~known
    open_low, open_high = at(zeros.open_low, zeros.open_high)
    left = _meets(open_low, open_high, box)
    return found._replace(
        low=np.concatenate([found.low, low[new & known]]),
        high=np.concatenate([found.high, high[new & known]]),
        open_low=np.concatenate([found.open_low, open_low[left], low[unsure]]),
        open_high=np.concatenate([found.open_high, open_high[left], high[unsure]]),
        boxes=found.boxes + zeros.boxes,
        why=found.why or zeros.why,
    )
