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

from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...bisection import bisect_traced
from ...compiling import jit_for_few_runs
from ...dynamics.systems.flow import Flow
from .jump import LIMIT
from .spectrum import hessian_at
from .verdict import Verdict

DIRECTIONS = 2048
NEAR = 1e-6  # of ρ: where the limit δ → 0 is evaluated if no closed form serves
SETTLING = 40.0  # e-folds of the slowest rate ρλ²
FEW = 16  # directions followed where V' is not of one sign
FAR = 4.0  # of ρ: how far the capture radius is looked for


# Of ‖F₀‖: a V' that is smaller is rounding. A method that normalises a part of w only has such
# directions: there F₀ neither pulls nor pushes, and the next order decides.
SIDEWAYS = 1e-10
UNDECIDED = (
    "sliding: in some direction the field, in the limit, neither approaches nor leaves the point, "
    "so that the next order decides"
)


class _Local(NamedTuple):
    inward: Array  # V'/‖δ‖ as δ → 0, (n,)
    speed: Array  # ‖F₀‖, (n,)
    first_outward: Array  # smallest distance at which V' ≥ 0, inf if none up to FAR·ρ, (n,)


def sliding_verdict(flow: Flow, c: Float[Array, " d"], rho: float) -> Verdict:
    """The verdict for the flow of a discontinuous perturbation at a nondegenerate critical c.

    `capture_radius` is that of a ball inside the basin (V falls along the flow everywhere in
    it), looked for up to 4ρ.
    """
    if rho == 0:
        raise ValueError("at rho = 0 the field is that of gradient descent: nothing slides")
    hessian, directions = _local_frame(flow, c)
    radius = jnp.asarray(rho, c.dtype)
    local = jax.tree.map(np.asarray, _local_analysis(flow, c, hessian, directions, radius))
    weakest = float(np.max(local.inward))
    count = len(directions)
    if np.any(np.abs(local.inward) <= SIDEWAYS * local.speed):
        return Verdict("unknown", UNDECIDED)
    if weakest < 0:
        capture = float(min(np.min(local.first_outward), FAR * rho))
        text = (
            f"sliding: ‖w − c‖ falls at {-weakest:.6g} or faster in each of {count} directions, "
            "and reaches c in finite time"
        )
        return Verdict("attractor", text, capture_radius=capture)
    if np.min(local.inward) > 0:
        text = f"sliding: ‖w − c‖ grows in each of {count} directions"
        return Verdict("repeller", text)
    return _by_exponents(np.asarray(_exponents(flow, c, hessian, _few(directions), radius)))


def _local_frame(flow: Flow, c) -> tuple[Array, Array]:
    """The Hessian at c and the directions that are sampled there."""
    matrix = hessian_at(flow.loss, c)
    return matrix, jnp.asarray(unit_directions(np.asarray(matrix)), c.dtype)


def _few(directions: Array) -> Array:
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


def sliding_names(flow: Flow, c: Float[Array, " d"], rho: Float[np.ndarray, " n"]) -> np.ndarray:
    """`sliding_verdict` by name for many radii > 0, (n,)."""
    hessian, directions = _local_frame(flow, c)
    extremes = _extremes(flow, c, hessian, directions, jnp.asarray(rho))
    weakest, strongest, sideways = (np.asarray(x) for x in extremes)
    conditions = [sideways, weakest < 0, strongest > 0]
    names = np.select(conditions, ["unknown", "attractor", "repeller"], "follow").astype(object)
    for i in np.flatnonzero(names == "follow"):
        exponent = _exponents(flow, c, hessian, _few(directions), jnp.asarray(rho[i]))
        names[i] = _by_exponents(np.asarray(exponent)).verdict
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


@jit_for_few_runs
def _exponents(flow: Flow, c, hessian, directions, rho):
    """Mean of (log‖q‖)' over the later half of a long path, from each direction (n, d)."""

    def rates(t, y, args):
        del t, args
        u = y[:-1] / jnp.linalg.norm(y[:-1])
        speed = hessian @ _limit_field(flow, c, hessian, rho, jnp.linalg.solve(hessian, u))
        growth = jnp.vdot(u, speed)
        return jnp.append(speed - growth * u, growth)

    slowest = rho * jnp.min(jnp.abs(jnp.linalg.eigvalsh(hessian))) ** 2
    end = SETTLING / slowest

    def exponent(direction):
        u = hessian @ direction
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rates),
            diffrax.Kvaerno3(),
            jnp.zeros_like(end),
            end,
            dt0=None,
            y0=jnp.append(u / jnp.linalg.norm(u), 0.0),
            saveat=diffrax.SaveAt(ts=jnp.stack([end / 2, end])),
            stepsize_controller=diffrax.PIDController(rtol=1e-4, atol=1e-6),
            max_steps=2048,
            throw=False,
        )
        assert solution.ys is not None
        halfway, last = solution.ys[:, -1]
        done = solution.result == diffrax.RESULTS.successful
        return jnp.where(done, (last - halfway) / (end / 2), jnp.nan)

    return jax.vmap(exponent)(directions)


@jit_for_few_runs
def _local_analysis(flow: Flow, c, hessian, directions, rho) -> _Local:
    """V' near c in each direction, and how far out it stays negative."""

    def outward(direction, distance):
        return jnp.vdot(direction, flow.velocity(c + distance * direction))

    distances = rho * jnp.linspace(0.01, FAR, 800, dtype=c.dtype)

    def first_outward(direction):
        values = jax.vmap(lambda distance: outward(direction, distance))(distances)
        bad = values >= 0
        first = jnp.argmax(bad)
        low = jnp.where(first > 0, distances[jnp.maximum(first - 1, 0)], 0)
        high = distances[first]
        low, _ = bisect_traced(lambda x: outward(direction, x) < 0, low, high)
        return jnp.where(jnp.any(bad), low, jnp.inf)

    field = jax.vmap(lambda e: _limit_field(flow, c, hessian, rho, e))(directions)
    inward, speed = _inward(directions, field)
    return _Local(inward, speed, jax.vmap(first_outward)(directions))


def _inward(directions, field) -> tuple[Array, Array]:
    """V'/‖δ‖ and ‖F₀‖ in each direction."""
    return jnp.sum(directions * field, axis=1), jnp.linalg.norm(field, axis=1)
