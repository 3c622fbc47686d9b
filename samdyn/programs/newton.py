"""Newton's method from many starts at once, with steps that stay finite at singular Jacobians."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..compiling import jit_for_few_runs
from .batch import OnPoints, padded
from .lanes import by_machine

ITERATIONS = 100
# Relative to ‖J‖²: small enough for quadratic convergence at condition numbers up to 1e6, large
# enough that a step along a null direction (a curve of fixed points) is zero, not noise.
REGULARISATION = 1e-14
REGULAR = 1e10  # condition: with a larger one a direction counts as null, and is not followed
MANY = 8192  # starts that are worth the compiler's time, where NumPy takes half a second for them
ARRIVED = 2 * np.finfo(float).eps  # of each coordinate: a shorter step changes nothing


def newton(
    field: Callable, starts: Float[np.ndarray, "n d"], longest_step: float, exact: bool = False
) -> Float[np.ndarray, "n d"]:
    """Where `field` (R^d → R^d) sends each start after at most 100 regularised Newton steps.

    Each step is (JᵀJ + εI)⁻¹JᵀF, shortened to `longest_step`: of a curve of zeros it takes the
    nearest. With `exact` it is J⁻¹F wherever that can be known, in whatever units: that finds the
    end of a thin valley, and runs along curves. Rows that diverge are not finite.
    """
    starts = np.asarray(starts, float)
    on_points = OnPoints(field, starts.shape[1])
    if on_points.program is None:
        rows, longest = jnp.asarray(padded(starts)), jnp.asarray(float(longest_step))
        return np.asarray(_compiled(field, rows, longest))[: len(starts)]
    if len(starts) >= MANY and not exact:
        found = _by_machine(field, starts, float(longest_step))
        if found is not None:
            return found
    return newton_on(lambda w, rows: on_points.with_jacobians(w), starts, longest_step, exact)


def newton_on(
    with_jacobians: Callable,
    starts: Float[np.ndarray, "n d"],
    longest_step: float,
    exact: bool = False,
    most: int = ITERATIONS,
) -> Float[np.ndarray, "n d"]:
    """The same, where `with_jacobians(points, which)` gives values (n, d) and Jacobians (n, d, d)
    of the rows `which` (n,); `most` steps are taken."""
    ends, moving = starts.copy(), np.arange(len(starts))
    step, longest = _regular_step if exact else _regularised, float(longest_step)
    with np.errstate(all="ignore"):
        for _ in range(most):
            if not moving.size:
                break
            w = ends[moving]
            change = step(*with_jacobians(w, moving))
            length = np.linalg.norm(change, axis=1)
            change = change * np.where(length > longest, longest / length, 1)[:, None]
            ends[moving] = w - change
            on = np.any(np.abs(change) > ARRIVED * np.abs(w), axis=1)
            moving = moving[on & np.all(np.isfinite(change), axis=1)]
    return ends


def _regular_step(value: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """The exact step where the Jacobian, in units that bring its rows and columns to one size, is
    regular; else the regularised one in these units."""
    rows = np.max(np.abs(jacobian), axis=2)
    rows = np.where(rows > 0, rows, 1)
    columns = np.max(np.abs(jacobian) / rows[..., None], axis=1)
    columns = np.where(columns > 0, columns, 1)
    scaled, right = jacobian / rows[..., None] / columns[:, None], value / rows
    regular = _condition(scaled) < REGULAR
    change = _solved(np.where(regular[:, None, None], scaled, np.eye(value.shape[1])), right)
    if not np.all(regular):
        change = np.where(regular[:, None], change, _regularised(right, scaled))
    return change / columns


def _condition(matrix: np.ndarray) -> np.ndarray:
    """The condition numbers (n,) of matrices (n, d, d); infinite where one isn't finite."""
    sound = np.all(np.isfinite(matrix), axis=(1, 2))
    sizes = np.linalg.svd(np.where(sound[:, None, None], matrix, 0), compute_uv=False)
    return np.where(sound & (sizes[:, -1] > 0), sizes[:, 0] / sizes[:, -1], np.inf)


def _regularised(value: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    square = np.einsum("nki,nkj->nij", jacobian, jacobian)
    scale = np.trace(square, axis1=1, axis2=2)
    damping = REGULARISATION * np.where(scale > 0, scale, 1)
    damped = square + damping[:, None, None] * np.eye(value.shape[1])
    return _solved(damped, np.einsum("nki,nk->ni", jacobian, value))


def _solved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """matrix (n, d, d)⁻¹ vector (n, d), not a number where the matrix isn't finite."""
    if vector.shape[1] == 1:
        return vector / matrix[:, 0]
    if vector.shape[1] == 2:
        (a, b), (c, d) = (matrix[:, 0].T, matrix[:, 1].T)
        x, y = vector.T
        return np.stack([d * x - b * y, a * y - c * x], axis=1) / (a * d - b * c)[:, None]
    sound = np.all(np.isfinite(matrix), axis=(1, 2)) & np.all(np.isfinite(vector), axis=1)
    usable = np.where(sound[:, None, None], matrix, np.eye(vector.shape[1]))
    found = np.linalg.solve(usable, np.where(sound[:, None], vector, np.nan)[..., None])
    return found[..., 0]


class _Start(NamedTuple):
    """Where a start has come, and whether it still moves."""

    w: Any
    moves: Any


class _Step(eqx.Module):
    """A regularised step of a start."""

    field: Callable
    longest: Any

    def __call__(self, start: _Start) -> _Start:
        change = _change(self.field, start.w, self.longest)
        on = jnp.any(jnp.abs(change) > ARRIVED * jnp.abs(start.w)) & jnp.all(jnp.isfinite(change))
        return _Start(jnp.where(start.moves, start.w - change, start.w), start.moves & on)


def _by_machine(field: Callable, starts: np.ndarray, longest: float) -> np.ndarray | None:
    """The same as `newton_on` by machine code; None where there is none here."""
    begun = _Start(starts, np.ones(len(starts), bool))
    found = by_machine(_Step(field, jnp.asarray(longest)), begun, ITERATIONS)
    return None if found is None else found[0].w


@jit_for_few_runs
def _compiled(field: Callable, starts, longest_step):
    return jax.vmap(lambda w: newton_from(field, w, longest_step))(starts)


def newton_from(
    field: Callable, start: Float[Array, " d"], longest_step, iterations: int = ITERATIONS
) -> Float[Array, " d"]:
    """`newton` from a single start, to be vmapped."""
    step = lambda _, w: w - _change(field, w, longest_step)  # noqa: E731
    return jax.lax.fori_loop(0, iterations, step, start)


def _change(field: Callable, w: Float[Array, " d"], longest_step: Any) -> Float[Array, " d"]:
    """A regularised step of Newton's method, of at most this length."""
    value, jacobian = field(w), jax.jacfwd(field)(w)
    square = jacobian.T @ jacobian
    scale = jnp.trace(square)
    identity = jnp.eye(w.size, dtype=w.dtype)
    damped = square + REGULARISATION * jnp.where(scale > 0, scale, 1) * identity
    change = _solve(damped, jacobian.T @ value)
    length = jnp.linalg.norm(change)
    return change * jnp.where(length > longest_step, longest_step / length, 1)


def _solve(matrix, vector):
    """Closed form up to three dimensions: a batch of tiny LAPACK calls is slow."""
    if vector.size == 1:
        return vector / matrix[0, 0]
    if vector.size == 2:
        (a, b), (c, d) = matrix
        adjugate = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])])
        return adjugate @ vector / (a * d - b * c)
    if vector.size == 3:
        a, b, c = matrix  # symmetric, so rows are columns
        cofactors = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)])
        return cofactors @ vector / jnp.vdot(a, cofactors[0])
    return jnp.linalg.solve(matrix, vector)
