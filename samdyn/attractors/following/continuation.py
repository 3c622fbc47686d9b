"""Follow a fixed point as ρ changes, through folds, by pseudo-arclength continuation.

A solution curve of equation(z, ρ) = 0 in (z, ρ) is stepped along its tangent and pulled back by
Newton on the equation together with the arclength condition, so that a fold (where ρ turns
round) is an ordinary point of the curve.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...bisection import bisect_traced
from ...compiling import jit_for_few_runs
from ..finding.preimages import AbstractEquation

LONGEST, FIRST, SHORTEST = 5e-3, 1e-4, 1e-9  # step, of the size of the box and the range of ρ
MOST_STEPS = 4096
SHARPEST = 0.3  # radians between successive tangents
CLOSED = 1e-12


class Frame(NamedTuple):
    """Where a curve is followed: scales of (z, ρ) (n + 1,), the box (d, 2), the range of ρ (2,)."""

    scale: Float[Array, " m"]
    box: Float[Array, "d 2"]
    rho: Float[Array, "2"]


class _Walk(NamedTuple):
    x: Array  # scaled (z, ρ)
    tangent: Array
    length: Array  # of the next step
    count: Array
    alive: Array
    path: Array  # (MOST_STEPS, n + 1), scaled


def follow(
    equation: AbstractEquation, w: np.ndarray, rho: float, frame: Frame
) -> Float[np.ndarray, "m n"]:
    """The curve of (z, ρ) through the fixed point `w` at `rho`, unscaled, ordered along it.

    It ends where it leaves the box or the range of ρ, where its solutions stop being fixed
    points (SAM: another critical point is met), or where it comes back to its start.
    """
    z = equation.lift(jnp.asarray(w), jnp.asarray(rho))
    x = jnp.append(z, rho) / frame.scale
    forwards, closed = _half(equation, frame, x, 1.0)
    if closed:
        return np.concatenate([forwards, forwards[:1]]) * np.asarray(frame.scale)
    backwards, _ = _half(equation, frame, x, -1.0)
    return np.concatenate([backwards[:0:-1], forwards]) * np.asarray(frame.scale)


def _half(equation, frame, x, sign) -> tuple[np.ndarray, bool]:
    walk = _walk(equation, frame, x, jnp.asarray(sign, x.dtype))
    path = np.asarray(walk.path)[: int(walk.count)]
    path = np.concatenate([np.asarray(x)[None], path])
    came_back = len(path) > 8 and np.linalg.norm(path[-1] - path[0]) < LONGEST
    return path, bool(came_back)


@jit_for_few_runs
def _walk(equation, frame: Frame, x, sign) -> _Walk:
    residual = _scaled(equation, frame)
    tangent = sign * _first_tangent(residual, x)
    path = jnp.zeros((MOST_STEPS, x.size), x.dtype)
    length = jnp.asarray(FIRST, x.dtype)
    start = _Walk(x, tangent, length, jnp.asarray(0, jnp.int32), jnp.asarray(True), path)

    def step(walk: _Walk) -> _Walk:
        after, error = correct(residual, walk.x, walk.tangent, walk.length)
        tangent = next_tangent(residual, after, walk.tangent)
        straight = jnp.vdot(tangent, walk.tangent) > jnp.cos(SHARPEST)
        good = (error < 1e-10) & straight & jnp.all(jnp.isfinite(after))
        inside = _inside(equation, frame, after)
        home = (walk.count > 8) & (jnp.linalg.norm(after - x) < 0.6 * walk.length)
        kept = walk.path.at[walk.count].set(jnp.where(good, after, walk.path[walk.count]))
        longer = jnp.minimum(1.5 * walk.length, LONGEST)
        length = jnp.where(good, longer, walk.length / 2)
        return _Walk(
            jnp.where(good, after, walk.x),
            jnp.where(good, tangent, walk.tangent),
            length,
            walk.count + good.astype(jnp.int32),
            jnp.where(good, inside & ~home, length > SHORTEST),
            kept,
        )

    return jax.lax.while_loop(lambda w: w.alive & (w.count < MOST_STEPS), step, start)


def _scaled(equation, frame):
    """The residual of scaled (z, ρ)."""

    def residual(x):
        z, rho = (x * frame.scale)[:-1], (x * frame.scale)[-1]
        return equation(z, rho)

    return residual


def _first_tangent(residual, x):
    """The null vector of the (n, n+1) Jacobian, with ρ increasing along it."""
    jacobian = jax.jacfwd(residual)(x)
    _, _, rows = jnp.linalg.svd(jacobian)
    tangent = rows[-1]
    return jnp.where(tangent[-1] < 0, -tangent, tangent)


def next_tangent(residual, x, tangent):
    """The unit tangent at x that goes on in the direction of `tangent`."""
    jacobian = jnp.concatenate([jax.jacfwd(residual)(x), tangent[None]])
    last = jnp.zeros_like(x).at[-1].set(1)
    tangent = jnp.linalg.solve(jacobian, last)
    return tangent / jnp.linalg.norm(tangent)


def correct(residual, x, tangent, length):
    """(the curve's point `length` ahead along the tangent, the size of its last correction)."""
    guess = x + length * tangent

    def newton(_, carry):
        y, _ = carry
        value = jnp.append(residual(y), jnp.vdot(tangent, y - guess))
        jacobian = jnp.concatenate([jax.jacfwd(residual)(y), tangent[None]])
        change = jnp.linalg.solve(jacobian, value)
        return y - change, jnp.linalg.norm(change)

    return jax.lax.fori_loop(0, 6, newton, (guess, jnp.asarray(jnp.inf, x.dtype)))


def _inside(equation, frame: Frame, x):
    z, rho = (x * frame.scale)[:-1], (x * frame.scale)[-1]
    w = z[: len(frame.box)]
    in_box = jnp.all((w >= frame.box[:, 0]) & (w <= frame.box[:, 1]))
    return in_box & (rho >= frame.rho[0]) & (rho <= frame.rho[1]) & (equation.valid(z) > 0)


class Fold(NamedTuple):
    """Where ρ turns round on a curve: the unscaled (z, ρ), and after which point of the curve."""

    x: np.ndarray
    index: int


def folds(equation: AbstractEquation, curve: np.ndarray, frame: Frame) -> list[Fold]:
    """The folds of a curve from `follow`, located by bisection on the tangent's ρ component."""
    turning = np.diff(np.sign(np.diff(curve[:, -1])))
    found = []
    for i in np.flatnonzero(turning):
        x = _locate_fold(
            equation, frame, *(jnp.asarray(curve[i + k]) / frame.scale for k in (0, 2))
        )
        found.append(Fold(np.asarray(x * frame.scale), int(i) + 1))
    return found


@jit_for_few_runs
def _locate_fold(equation, frame: Frame, before, after):
    residual = _scaled(equation, frame)
    along = (after - before) / jnp.linalg.norm(after - before)
    tangent = next_tangent(residual, before, along)
    span = jnp.linalg.norm(after - before)

    def at(length):
        x, _ = correct(residual, before, tangent, length)
        return x, next_tangent(residual, x, tangent)[-1]

    _, first = at(jnp.zeros_like(span))
    same = lambda length: at(length)[1] * first > 0  # noqa: E731
    low, high = bisect_traced(same, jnp.zeros_like(span), span, 50)
    return at((low + high) / 2)[0]
