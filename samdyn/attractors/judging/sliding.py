"""Normalised SAM at a critical point: no Jacobian exists, so stability comes from sliding.

The field jumps at a critical point c. As δ → 0 it tends to F₀(δ) = −g(c + ρu) with
u = Hδ/‖Hδ‖, a field that depends on the direction only (a Filippov equilibrium). With
V = ½‖w − c‖², V' = δ·F₀ < 0 in every direction means that all trajectories nearby reach c in
finite time. On a quadratic V' = −δᵀHδ − ρ‖Hδ‖ ≤ ‖Hδ‖(‖δ‖ − ρ): every nondegenerate critical
point, saddles and maxima too, attracts from within ρ.

Where V' is not of one sign the direction itself is followed: with q = Hδ = ‖q‖u,
u' = (I − uuᵀ)HF₀ and (log‖q‖)' = uᵀHF₀ in the time τ with dτ = dt/‖q‖. The variable u resolves
the layer of width λ_min/λ_max in the direction of δ, in which SAM's field turns.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...compiling import jit_for_few_runs
from ...dynamics.stiff import integrate
from ...dynamics.systems.flow import Flow
from ...programs.batch import OnPoints
from .inward import inward_everywhere
from .jump import LIMIT
from .spectrum import hessian_at
from .verdict import Verdict

DIRECTIONS = 2048
NEAR = 1e-6  # of ρ: where the limit δ → 0 is evaluated if no closed form serves
SETTLING = 40.0  # e-folds of the slowest rate ρλ²
FEW = 16  # directions followed where V' is not of one sign
FAR = 4.0  # of ρ: how far the capture radius is looked for
AT_ONCE = 16  # grid steps between the distances that are looked at first

# Of ‖F₀‖: a V' that is smaller is rounding. A method that normalises a part of w only has such
# directions: there F₀ neither pulls nor pushes, and the next order decides.
SIDEWAYS = 1e-10
UNDECIDED = (
    "sliding: in some direction the field, in the limit, neither approaches nor leaves the point, "
    "so that the next order decides"
)


class LimitField(eqx.Module):
    """F₀: δ ↦ the field at c + εδ as ε → 0."""

    flow: Flow
    c: Any
    hessian: Any
    rho: Any

    def __call__(self, direction):
        return _limit_field(self.flow, self.c, self.hessian, self.rho, direction)


class Rates(eqx.Module):
    """(q, s) ↦ (u', (log‖q‖)') where u = q/‖q‖, in the time τ; s is what has been summed up."""

    field: LimitField
    inverse: Any  # of the Hessian

    def __call__(self, y):
        u = y[:-1] / jnp.linalg.norm(y[:-1])
        speed = self.field.hessian @ self.field(self.inverse @ u)
        growth = jnp.vdot(u, speed)
        return jnp.append(speed - growth * u, growth)


def sliding_verdict(
    flow: Flow, c: Float[np.ndarray, " d"], rho: float, enclosure: np.ndarray | None = None
) -> Verdict:
    """The verdict for the flow of a discontinuous perturbation at a nondegenerate critical c.

    `capture_radius` is that of a ball inside the basin (V falls along the flow everywhere in
    it), looked for up to 4ρ. With an `enclosure` (d, 2) of c the verdict on normalised SAM is
    proven where bounds over all directions have one sign.
    """
    if rho == 0:
        raise ValueError("at rho = 0 the field is that of gradient descent: nothing slides")
    hessian, directions = _local_frame(flow, c)
    limit = LimitField(flow, c, hessian, np.asarray(rho, float))
    inward, speed = _inward(directions, OnPoints(limit, c.size).values(directions))
    weakest = float(np.max(inward))
    count = len(directions)
    if np.any(np.abs(inward) <= SIDEWAYS * speed):
        return Verdict("unknown", UNDECIDED)
    if weakest < 0:
        capture = _first_outward(flow, c, directions, rho)
        text = (
            f"sliding: ‖w − c‖ falls at {-weakest:.6g} or faster in each of {count} directions, "
            "and reaches c in finite time"
        )
        proven = _is_proven(flow, rho, enclosure, 1)
        return Verdict("attractor", text, capture_radius=capture, proven=proven)
    if np.min(inward) > 0:
        text = f"sliding: ‖w − c‖ grows in each of {count} directions"
        return Verdict("repeller", text, proven=_is_proven(flow, rho, enclosure, -1))
    return _by_exponents(_exponents(limit, _few(directions)))


def _is_proven(flow: Flow, rho: float, enclosure: np.ndarray | None, sign: int) -> bool:
    """Whether the distance falls (1), or grows (−1), in every direction, not only those sampled."""
    if enclosure is None or flow.method.ascent != "unit":
        return False
    return inward_everywhere(flow.loss, enclosure, rho) == sign


def _local_frame(flow: Flow, c) -> tuple[np.ndarray, np.ndarray]:
    """The Hessian at c and the directions that are sampled there."""
    matrix = hessian_at(flow.loss, c)
    return matrix, unit_directions(matrix)


def _few(directions: np.ndarray) -> np.ndarray:
    return directions[:: max(1, len(directions) // FEW)]


def _by_exponents(exponent: np.ndarray) -> Verdict:
    """The verdict from (log‖q‖)' along directions followed, nan where the solver gave up."""
    resolved = exponent[np.isfinite(exponent)]
    shrinking = float(np.mean(resolved < 0)) if resolved.size else 0.0
    text = (
        "sliding: the distance alone does not decide; of "
        f"{resolved.size} directions followed, {shrinking:.1%} shrink onto the point"
    )
    if not resolved.size:
        return Verdict("unknown", "sliding: no direction could be followed")
    if shrinking == 1:
        return Verdict("attractor", text)
    if shrinking == 0:
        text += "; a set that does shrink may be too thin to be met by them"
        return Verdict("unknown", text)
    return Verdict("saddle", text)


def unit_directions(hessian: np.ndarray) -> np.ndarray:
    """Unit vectors (n, d): a fan or a random sphere, its image under H⁻¹, and ± eigenvectors."""
    d = len(hessian)
    if d == 1:
        return np.array([[-1.0], [1.0]])
    if d == 2:
        angle = np.arange(DIRECTIONS // 2) * (4 * np.pi / DIRECTIONS)
        fan = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:
        fan = np.random.default_rng(0).standard_normal((DIRECTIONS // 2, d))
    _, axes = np.linalg.eigh(hessian)
    spread = np.linalg.solve(hessian, (fan / np.linalg.norm(fan, axis=1, keepdims=True)).T).T
    stack = np.concatenate([axes.T, -axes.T, fan, spread])
    return stack / np.linalg.norm(stack, axis=1, keepdims=True)


def sliding_names(flow: Flow, c: Any, rho: Float[np.ndarray, " n"]) -> np.ndarray:
    """`sliding_verdict` by name for many radii > 0, (n,)."""
    hessian, directions = _local_frame(flow, c)
    arrays = [jnp.asarray(array) for array in (c, hessian, directions, rho)]
    extremes = _extremes(flow, *arrays)
    weakest, strongest, sideways = (np.asarray(x) for x in extremes)
    conditions = [sideways, weakest < 0, strongest > 0]
    names = np.select(conditions, ["unknown", "attractor", "repeller"], "follow").astype(object)
    for i in np.flatnonzero(names == "follow"):
        limit = LimitField(flow, np.asarray(c), hessian, np.asarray(rho[i]))
        names[i] = _by_exponents(_exponents(limit, _few(directions))).verdict
    return names


def _limit_field(flow: Flow, c, hessian, rho, direction):
    """F₀: the field at c + εδ as ε → 0, where δ is `direction`."""
    if flow.method.differentiates_ascent:  # it needs the Jacobian of w^p
        return flow.at_radius(rho).velocity(c + NEAR * rho * direction)

    def gradient(w):
        """g, and where it vanishes that of a displacement which tends to 0."""
        return jnp.where(jnp.all(w == c), hessian @ (LIMIT * direction), jax.grad(flow.loss)(w))

    return -flow.method.at_radius(rho).direction(gradient, c)


@jit_for_few_runs
def _extremes(flow: Flow, c, hessian, directions, rho):
    def at(rho):
        field = jax.vmap(lambda e: _limit_field(flow, c, hessian, rho, e))(directions)
        inward, speed = _inward(directions, field)
        return jnp.max(inward), jnp.min(inward), jnp.any(jnp.abs(inward) <= SIDEWAYS * speed)

    return jax.lax.map(at, rho, batch_size=64)


def _exponents(limit: LimitField, directions: np.ndarray) -> np.ndarray:
    """Mean of (log‖q‖)' over the later half of a long path, from each direction (n, d)."""
    hessian = np.asarray(limit.hessian)
    slowest = float(limit.rho) * np.min(np.abs(np.linalg.eigvalsh(hessian))) ** 2
    end = SETTLING / slowest
    along = directions @ hessian.T
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    starts = np.concatenate([along, np.zeros((len(along), 1))], axis=1)
    rates = Rates(limit, np.linalg.inv(hessian))
    sums = integrate(rates, starts, np.array([end / 2, end]))[:, :, -1]
    return (sums[:, 1] - sums[:, 0]) / (end / 2)


def _first_outward(flow: Flow, c: np.ndarray, directions: np.ndarray, rho: float) -> float:
    """The smallest distance from c, up to FAR·ρ, at which V' ≥ 0 in one of the directions.

    Between two distances `AT_ONCE` grid steps apart V' is looked at closely where it could reach
    0 if it bent four times as much as it does anywhere on that ray.
    """
    field, distances = OnPoints(flow.velocity, c.size), rho * np.linspace(0.01, FAR, 801)

    def inward(some: np.ndarray, distance: np.ndarray) -> np.ndarray:
        moved = c + distance[..., None] * some
        return np.sum(field.values(moved.reshape(-1, c.size)).reshape(moved.shape) * some, axis=-1)

    ends = inward(directions[:, None], distances[None, ::AT_ONCE])
    bend = np.max(np.abs(np.diff(ends, 2, axis=1)), axis=1, keepdims=True)
    close = ~(np.maximum(ends[:, :-1], ends[:, 1:]) + 4 * bend / 8 < 0)
    for place in np.flatnonzero(np.any(close, axis=0)):
        first, last = place * AT_ONCE, (place + 1) * AT_ONCE
        low = distances[first - 1] if first else 0.0
        found = _smallest_outward(inward, directions[close[:, place]], low, distances[last])
        if found is not None:
            return found
    return FAR * rho


def _smallest_outward(inward: Callable, some: np.ndarray, low: float, high: float) -> float | None:
    """The last distance before V' ≥ 0 in one of the directions, in (low, high], to the last digit:
    the step of a grid that holds it is divided again and again."""
    while True:
        grid = np.linspace(low, high, AT_ONCE + 2)
        outward = ~(inward(some[:, None], grid[None, 1:]) < 0)
        if not np.any(outward):
            return None
        step = int(np.argmax(np.any(outward, axis=0)))
        some, low, high = some[outward[:, step]], float(grid[step]), float(grid[step + 1])
        if not low < (low + high) / 2 < high:
            return low


def _inward(directions: Any, field: Any) -> tuple[Any, Any]:
    """V'/‖δ‖ and ‖F₀‖ in each direction; of NumPy or JAX, as they are given."""
    return (directions * field).sum(axis=1), (field**2).sum(axis=1) ** 0.5
