"""Does a kink of the loss attract? Its type tells, or what slides along its edge.

Where neither is known the field about it is asked, at several distances.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...dynamics.systems.map import AbstractMap, StepOnState
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.step_map import StepMap
from ...dynamics.systems.system import loss_of
from ...programs.batch import OnPoints
from ..proving.fields import GradientAndLoss
from ..proving.sides import EdgeSystem, SystemWithSides
from ..proving.system import Unprovable
from .sliding import unit_directions
from .verdict import Verdict

BESIDE = 1e-4  # of how far along an edge the field is asked: how far from it
NEARER = tuple(10.0**-k for k in range(3, 9))  # of 1 + ‖w‖
SETTLED = 0.01  # of the largest rate of sliding: by how much it may still change
AT_REST = 1e-4  # of the field beside an edge: what slides more slowly there rests
NEWTON = 8
NOT_AT_REST = "at which this method does not rest: what it does there is not decided"
STEADY = 0.5  # of a rate at the first distance: what at the last is no less than that is steady
DISTANCES = (1e-4, 1e-5, 1e-6)  # of 1 + ‖w‖
STEPS, STARTS = 2000, 64
REACH = 4.0  # of the longest step beside the point: held runs stay within that


BY_TYPE = {
    "minimum": ("attractor", "a minimum across the edge and along it, to which descent slides"),
    "maximum": ("repeller", "a maximum across the edge and along it"),
    "saddle": ("saddle", "the loss falls in some directions, and descent from there never returns"),
}


def kink_verdict(
    flow: AbstractODE, w: np.ndarray, critical_type: str | None = None, proven: bool = False
) -> Verdict:
    """The flow's verdict at a kink w (d,).

    For descent itself, without an ascent, its `critical_type` decides where that is `proven`, and
    that of a saddle, from which the loss is seen to fall, in any case. Else V = ½‖δ‖² falls, or
    grows, in every direction, as fast near w as farther away, if the field jumps there:
    where its rate vanishes towards w, V may have the other sign between two directions, along an
    edge that is curved.
    """
    if critical_type is not None and not flow.ascends and (proven or critical_type == "saddle"):
        name, why = BY_TYPE[critical_type]
        return Verdict(name, f"a kink: {why}", proven=proven)
    edge = _edge_at(flow, w) if flow.ascends else None
    if edge is not None:
        return _on_edge(flow, w, edge)
    inward, strongest = _inward(flow, w)
    count, slowest = inward.shape[1], np.min(np.abs(inward), axis=1)
    jumps = strongest[-1] >= STEADY * strongest[0]
    alike = slowest[-1] >= STEADY * slowest[0] or not jumps
    if np.all(inward < 0) and alike:
        text = (
            f"a kink, sliding: ‖w − c‖ falls at {-np.max(inward):.6g} or faster in each of {count} "
            "directions"
        ) + (", and reaches c in finite time" if jumps else "")
        return Verdict("attractor", text)
    if np.all(inward > 0) and alike:
        return Verdict("repeller", f"a kink: ‖w − c‖ grows in each of {count} directions")
    text = (
        f"a kink: ‖w − c‖ falls in {np.mean(inward < 0):.1%} of {count} directions and grows in "
        "the others, which does not decide what paths do"
    )
    if alike or not (np.all(inward < 0) or np.all(inward > 0)):
        return Verdict("unknown", text)
    text = "a kink: the rate at which ‖w − c‖ changes vanishes towards c, which does not decide"
    return Verdict("unknown", text)


def _edge_at(flow: AbstractODE, w: np.ndarray) -> EdgeSystem | None:
    """The one edge of the loss near w (d,)."""
    loss, reach = loss_of(flow), BESIDE * NEARER[-1] * (1 + np.linalg.norm(w))
    if loss is None:
        return None
    try:
        system = SystemWithSides(GradientAndLoss(loss), w.size)
        return system.edge(w - reach, w + reach)
    except Unprovable:
        return None


class Slide(NamedTuple):
    """Beside an edge: the field's part along its normal on either side, at w and the points about
    it, `up` and `down` (n,), the part of what slides at w along the edge, `along` (d − 1,), the
    `rates` of sliding (d − 1,), and the `largest` component of the field."""

    up: np.ndarray
    down: np.ndarray
    along: np.ndarray
    rates: np.ndarray
    largest: float


def _on_edge(flow: AbstractODE, w: np.ndarray, edge: EdgeSystem) -> Verdict:
    """By the field on both sides of the one edge through w: it pushes towards the edge or away from
    it, and along it paths slide with that mixture of both sides that stays on it (Filippov).

    It is asked nearer and nearer to w until the rates no longer change.
    """
    slides = [_slide(flow, w, edge, near * float(1 + np.linalg.norm(w))) for near in NEARER]
    for one, other in pairwise(slides):
        size = np.max(np.abs(other.rates), initial=0.0)
        if np.all(np.abs(one.rates - other.rates) <= SETTLED * size) and _same_sides(other):
            return _by_slide(other)
    return Verdict("unknown", f"a kink of the loss, {NOT_AT_REST}")


def _slide(flow: AbstractODE, w: np.ndarray, edge: EdgeSystem, reach: float) -> Slide:
    normal = edge.with_jacobians(np.append(w, 0.5)[None])[1][0, -1, :-1]
    normal = normal / np.linalg.norm(normal)
    tangents = np.linalg.svd(normal[None])[2][1:]
    about = _to_edge(
        edge, np.concatenate([w[None], w + reach * tangents, w - reach * tangents]), normal
    )
    field = OnPoints(flow.velocity, w.size).values
    above, below = (field(about + side * BESIDE * reach * normal) for side in (1, -1))
    up, down = above @ normal, below @ normal
    share = (down / (down - up))[:, None]
    along = (share * above + (1 - share) * below) @ tangents.T
    half = len(tangents)
    slopes = (along[1 : half + 1] - along[half + 1 :]).T / (2 * reach)
    known = half > 0 and bool(np.all(np.isfinite(slopes)))
    rates = np.sort(np.real(np.linalg.eigvals(slopes))) if known else np.full(half, np.nan)
    largest = float(np.max(np.abs(np.concatenate([above, below]))))
    return Slide(up, down, along[0], rates, largest)


def _same_sides(slide: Slide) -> bool:
    """Whether both sides push towards the edge, or both away, and what slides at w rests."""
    up, down = slide.up, slide.down
    opposed = up[0] * down[0] < 0 and np.all(up * up[0] > 0) and np.all(down * down[0] > 0)
    return bool(opposed and np.max(np.abs(slide.along), initial=0.0) <= AT_REST * slide.largest)


def _by_slide(slide: Slide) -> Verdict:
    fastest = np.max(np.abs(slide.rates), initial=0.0)
    if np.any(np.abs(slide.rates) <= SETTLED * fastest):
        return Verdict("unknown", "a kink: a rate of sliding along its edge is too near to 0")
    held = bool(slide.up[0] < 0)
    text = "a kink: the field pushes " + ("towards" if held else "away from") + " its edge"
    if len(slide.rates):
        told = ", ".join(f"{rate:.4g}" for rate in slide.rates)
        text += f", along which paths slide with rates {told}"
    signs = {-1.0 if held else 1.0, *np.sign(slide.rates)}
    if len(signs) > 1:
        return Verdict("saddle", text)
    return Verdict("attractor" if held else "repeller", text)


def _to_edge(edge: EdgeSystem, points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Points (n, d) moved along the normal onto the edge, by Newton."""
    for _ in range(NEWTON):
        values, slopes = edge.with_jacobians(np.pad(points, [(0, 0), (0, 1)], constant_values=0.5))
        points = points - (values[:, -1] / (slopes[:, -1, :-1] @ normal))[:, None] * normal
    return points


def _inward(flow: AbstractODE, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """V'/‖δ‖ at each distance and in each direction, (distances, n), and the largest ‖F‖ at each
    distance."""
    directions, field = unit_directions(np.eye(w.size)), OnPoints(flow.velocity, w.size)
    reach = np.array(DISTANCES) * (1 + np.linalg.norm(w))
    there = np.stack([field.values(w + r * directions) for r in reach])
    return np.sum(directions * there, axis=2), np.max(np.linalg.norm(there, axis=2), axis=1)


def kink_step_verdict(step_map: AbstractMap, w: np.ndarray) -> Verdict:
    """The step's verdict at a kink w (d,): runs from about a step away are followed.

    A step never rests there: it is thrown across, by the learning rate times the jump.
    """
    dim, step = w.size, StepOnState(step_map, w.size)
    rest = np.tile(step.rest(w[None]), (STARTS, 1))
    directions = unit_directions(np.eye(dim))
    directions = directions[:: max(1, len(directions) // STARTS)][:STARTS]
    rest = rest[: len(directions)]
    state = rest.copy()
    state[:, :dim] = w + DISTANCES[0] * (1 + np.linalg.norm(w)) * directions
    go = OnPoints(step, rest.shape[1]).values
    longest = float(np.max(np.linalg.norm(go(state)[:, :dim] - state[:, :dim], axis=1)))
    state[:, :dim] = w + longest * directions
    far = np.zeros(len(state))
    for number in range(STEPS):
        state = go(state)
        if number >= STEPS // 2:
            far = np.fmax(far, np.linalg.norm(state[:, :dim] - w, axis=1))
    gain = step_map.momentum.gain() if isinstance(step_map, StepMap) else 1.0
    reach = REACH * longest * max(1.0, gain)
    held = np.all(np.isfinite(state), axis=1) & (far <= reach)
    text = (
        f"a kink: {np.sum(held)} of {len(held)} runs from a step of {longest:.4g} away stay within "
        f"{reach:.4g} for {STEPS} steps"
    )
    if np.all(held):
        return Verdict("attractor", text, orbit="chaotic", amplitude=float(np.max(far)))
    return Verdict("saddle" if np.any(held) else "repeller", text, orbit="escapes")
