"""The three rates of a step whose state is too large for its Jacobian to be written down."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InvalidInput
from ..spectra.products.operator import Operator
from ..spectra.radius import spectral_radius
from ..spectra.search import krylov_size
from .matrix_free import Products, almost_sure, mean_square
from .rates import Growth, Rate
from .steps import AllSteps

CHAINS = 4


class Large(NamedTuple):
    """The rates; how far each of the n steps moves the state, (n, size); a warning or ""."""

    growth: Growth
    moves: np.ndarray
    products: int
    warning: str


def large_growth(steps: AllSteps, w: np.ndarray, rtol: float, most: int, seed: int) -> Large:
    """At w (dim,) itself, in about three times `most` products with the Jacobian of one batch."""
    if steps.outcomes.sampled:
        raise InvalidInput(
            f"a state of {steps.size:,} numbers is asked batch by batch, and there are too many "
            "to take them all: give a list of batches."
        )
    state = jnp.asarray(steps.rest(w))
    batches, weights = steps.batches(), steps.outcomes.weights
    moves = moves_at(steps, np.asarray(state))
    products = Products(steps.function.after, state, batches)
    mean_of = lambda v: jnp.tensordot(weights, jnp.concatenate(products.of_all(v[None])), 1)  # noqa: E731
    operator = Operator(
        mean_of,
        steps.size,
        state.dtype,
        symmetric=False,
    )
    top = spectral_radius(operator, krylov_size(operator, None), rtol, max(8, most // len(batches)))
    mean = Rate(float(np.log(top.value)), top.error / top.value)
    if len(batches) == 1:
        return Large(Growth(mean, mean, mean), moves, products.count, _told(top.converged))
    products.count, spent = 0, products.count
    square = mean_square(products, weights, rtol, most, seed)
    spent, products.count = spent + products.count, 0
    sure = almost_sure(products, weights, most * 4 // (5 * CHAINS), CHAINS, seed)
    # the mean square never grows more slowly than the mean, whose search is the sharper one
    known = Rate(max(square.rate.value, mean.value), square.rate.error)
    growth = Growth(mean, known, sure)
    converged = square.converged and top.converged
    return Large(growth, moves, spent + products.count, _told(converged))


def moves_at(steps: AllSteps, state: np.ndarray) -> np.ndarray:
    """How far the step on each batch moves a state (size,), as (n, size)."""
    v = jnp.asarray(state)
    return np.stack([np.asarray(_after(steps.function, v, b)) - state for b in steps.batches()])


def _told(converged: bool) -> str:
    return "" if converged else "the rates did not reach the tolerance in the products allowed."


@eqx.filter_jit
def _after(function: Any, state: jax.Array, batch: Any) -> jax.Array:
    return function.after(state, batch)
