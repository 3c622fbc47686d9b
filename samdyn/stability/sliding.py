"""Normalised SAM at a critical point: no Jacobian exists, so stability comes from sliding.

The field jumps at a critical point c. As δ → 0 it tends to F₀(δ/‖δ‖) = −g(c + ρu) with
u = Hδ/‖Hδ‖, a field that depends on the direction only (a Filippov equilibrium). With
V = ½‖w − c‖², V' = δ·F₀ < 0 in every direction means that all trajectories nearby reach c in
finite time. On a quadratic V' = −δᵀHδ − ρ‖Hδ‖ ≤ ‖Hδ‖(‖δ‖ − ρ): every nondegenerate critical
point, saddles and maxima too, attracts from within ρ.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..dynamics.flow import Flow
from .verdict import Verdict

DIRECTIONS = 2048
NEAR = 1e-6  # of ρ: where the limit δ → 0 is evaluated
FAR = 4.0  # of ρ: how far the capture radius is looked for


class _Local(NamedTuple):
    inward: Array  # V'/‖δ‖ as δ → 0, (n,)
    first_outward: Array  # smallest distance at which V' ≥ 0, inf if none up to FAR·ρ, (n,)
    exponent: Array  # mean of d log‖δ‖/dτ over the later part of a path, (n,)


def sliding_verdict(flow: Flow, c: Float[Array, " d"], rho: float) -> Verdict:
    """The verdict for the flow of a discontinuous perturbation at a nondegenerate critical c.

    Where V' is not of one sign the homogeneous field near c is followed in log-polar
    coordinates, from every direction that was sampled. `capture_radius` is that of a ball
    inside the basin (V falls along the flow everywhere in it), looked for up to 4ρ.
    """
    if rho == 0:
        raise ValueError("at rho = 0 the field is that of gradient descent: nothing slides")
    hessian = jax.hessian(flow.loss)(c)
    directions = jnp.asarray(unit_directions(np.asarray(hessian)), c.dtype)
    local = jax.tree.map(
        np.asarray, _local_analysis(flow, c, directions, jnp.asarray(rho, c.dtype))
    )
    weakest = float(np.max(local.inward))
    count = len(directions)
    if weakest < 0:
        radius = float(min(np.min(local.first_outward), FAR * rho))
        text = (
            f"sliding: ‖w − c‖ falls at {-weakest:.6g} or faster in each of {count} directions, "
            "and reaches c in finite time"
        )
        return Verdict("attractor", text, capture_radius=radius)
    if np.min(local.inward) > 0:
        text = f"sliding: ‖w − c‖ grows in each of {count} directions"
        return Verdict("repeller", text)
    return _by_exponents(local.exponent)


def _by_exponents(exponent: np.ndarray) -> Verdict:
    shrinking = float(np.mean(exponent < 0))
    text = (
        "sliding: the distance alone does not decide; followed in log-polar coordinates from "
        f"{exponent.size} directions, {shrinking:.1%} shrink onto the point"
    )
    if shrinking == 1:
        return Verdict("attractor", text)
    return Verdict("repeller" if shrinking == 0 else "saddle", text)


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


@eqx.filter_jit
def _local_analysis(flow: Flow, c, directions, rho) -> _Local:
    def outward(direction, distance):
        return jnp.vdot(direction, flow.field(c + distance * direction))

    def limit_field(direction):
        return flow.field(c + NEAR * rho * direction)

    distances = rho * jnp.concatenate(
        [jnp.asarray([NEAR], c.dtype), jnp.linspace(0.01, FAR, 800, dtype=c.dtype)]
    )

    def first_outward(direction):
        values = jax.vmap(lambda distance: outward(direction, distance))(distances)
        bad = values >= 0
        first = jnp.argmax(bad)
        low, high = distances[jnp.maximum(first - 1, 0)], distances[first]

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            inside = outward(direction, middle) < 0
            return jnp.where(inside, middle, low), jnp.where(inside, high, middle)

        low, _ = jax.lax.fori_loop(0, 60, halve, (low, high))
        return jnp.where(jnp.any(bad), low, jnp.inf)

    inward = jax.vmap(lambda direction: outward(direction, NEAR * rho))(directions)
    speed = jnp.max(jax.vmap(lambda e: jnp.linalg.norm(limit_field(e)))(directions))
    step = 0.05 / jnp.where(speed > 0, speed, 1)

    def exponent(direction):
        def move(e, _):
            field = limit_field(e)
            radial = jnp.vdot(e, field)
            e = e + step * (field - radial * e)
            return e / jnp.linalg.norm(e), radial

        _, radial = jax.lax.scan(move, direction, None, length=2000)
        return jnp.mean(radial[1000:])

    return _Local(inward, jax.vmap(first_outward)(directions), jax.vmap(exponent)(directions))
