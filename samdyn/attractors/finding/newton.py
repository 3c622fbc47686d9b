"""Newton's method from many starts at once, with steps that stay finite at singular Jacobians."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...compiling import jit_for_few_runs

ITERATIONS = 100
# Relative to ‖J‖²: small enough for quadratic convergence at condition numbers up to 1e6, large
# enough that a step along a null direction (a curve of fixed points) is zero, not noise.
REGULARISATION = 1e-14


@jit_for_few_runs
def newton(
    field: Callable, starts: Float[Array, "n d"], longest_step: Float[Array, ""]
) -> Float[Array, "n d"]:
    """Where `field` (R^d → R^d) sends each start after at most 100 regularised Newton steps.

    Each step is (JᵀJ + εI)⁻¹JᵀF, shortened to `longest_step`. Rows that diverge are not finite.
    """
    return jax.vmap(lambda w: newton_from(field, w, longest_step))(starts)


def newton_from(
    field: Callable, start: Float[Array, " d"], longest_step, iterations: int = ITERATIONS
) -> Float[Array, " d"]:
    """`newton` from a single start, to be vmapped."""
    identity = jnp.eye(start.size, dtype=start.dtype)

    def step(_, w):
        value, jacobian = field(w), jax.jacfwd(field)(w)
        square = jacobian.T @ jacobian
        scale = jnp.trace(square)
        damped = square + REGULARISATION * jnp.where(scale > 0, scale, 1) * identity
        change = _solve(damped, jacobian.T @ value)
        length = jnp.linalg.norm(change)
        return w - change * jnp.where(length > longest_step, longest_step / length, 1)

    return jax.lax.fori_loop(0, iterations, step, start)


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
