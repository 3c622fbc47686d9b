"""The spectral radius of a step map's Jacobian, without the Jacobian: does a training step grow?

The map acts on everything the optimizer carries, parameters and momentum together. Its Jacobian
is not symmetric under SAM, so Ritz values may be complex and a residual bounds the distance to an
eigenvalue only up to the matrix's condition.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics.systems.map import AbstractMap, State, flat_step
from ..errors import InvalidInput
from ..results.encoding import storable
from .products.operator import Operator
from .search import Found, Pairs, Progress, Target, krylov_size, search


@storable
class SpectralRadius(NamedTuple):
    """`value` = |λ| of the multiplier `multiplier` found largest; `residual` = ‖J x − λ x‖.

    J is not symmetric, and its eigenvalues may lie farther from λ than the residual: by `error` =
    (residual + rounding) / |yᵀx| to first order, x and y being the right and the left eigenvector
    (of length 1) in the space that was searched. `converged`: `error` is within the tolerance.
    """

    value: float
    residual: float
    error: float
    multiplier: complex
    products: int
    converged: bool
    interrupted: bool

    def to_dict(self) -> dict:
        """As `--json` prints it."""
        return {"value": self.value, "residual": self.residual, "error": self.error}


class Largest(Target):
    """The eigenvalue of largest modulus, to `rtol` of its distance from the unit circle."""

    def __init__(self, rtol: float):
        self.rtol = rtol

    def pairs(self, matrix, last):
        values, vectors = np.linalg.eig(matrix)
        top = [int(np.argmax(np.abs(values)))]
        weights = vectors[:, top]
        residuals = np.abs(last @ weights)
        condition = _condition(vectors, top)
        return Pairs(values[top], weights, residuals, residuals * condition, condition)

    def rotation(self, matrix, kept):
        values, vectors = np.linalg.eig(matrix)
        order = np.argsort(-np.abs(values), kind="stable")
        columns: list[np.ndarray] = []
        for k in order[np.imag(values[order]) >= 0]:  # a pair of complex values is kept together
            if len(columns) >= kept:
                break
            columns.append(np.real(vectors[:, k]))
            if np.imag(values[k]) > 0:
                columns.append(np.imag(vectors[:, k]))
        return np.linalg.qr(np.stack(columns, axis=1))[0]

    def enough(self, pairs, before, error):
        size = np.abs(pairs.values)
        allowed = self.rtol * np.abs(size - 1) + 2 * error
        steady = np.abs(size - np.abs(before)) <= allowed
        return bool(np.all((pairs.errors + pairs.conditions * error <= allowed) & steady))


def _condition(vectors: np.ndarray, top: list[int]) -> np.ndarray:
    """1/|yᵀx| of the eigenvalues `top`, from all right eigenvectors as columns.

    The rows of the inverse are the left eigenvectors, scaled to yᵀx = 1; without an inverse the
    matrix is defective, and an eigenvalue may be anywhere near.
    """
    try:
        left = np.linalg.inv(vectors)[top]
    except np.linalg.LinAlgError:
        return np.full(len(top), np.inf)
    return np.maximum(1.0, np.linalg.norm(left, axis=1) * np.linalg.norm(vectors[:, top], axis=0))


def step_operator(step_map: AbstractMap, state: State) -> Operator:
    """v ↦ J v, J the Jacobian of one step at `state`, on its floating-point numbers."""
    _, flat = flat_step(step_map, state)
    product = lambda v: _tangent(step_map, state, v)  # noqa: E731
    return Operator(product, flat.size, flat.dtype, symmetric=False)


@eqx.filter_jit
def _tangent(step_map: AbstractMap, state: State, v: jax.Array) -> jax.Array:
    step, flat = flat_step(step_map, state)
    return jax.jvp(step, (flat,), (v,))[1]


def spectral_radius(
    operator: Operator,
    krylov: int | None = None,
    rtol: float = 0.01,
    max_products: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralRadius:
    """The largest modulus of an eigenvalue, by restarted Arnoldi with `krylov` vectors kept.

    Stops when the error is within `rtol` of the distance to 1, where stability is decided, or at
    the arithmetic's, after `max_products`, or on Ctrl-C. `InvalidInput` for settings out of range.
    """
    if not 0 < rtol < 1:
        raise InvalidInput(f"rtol must be between 0 and 1, it is {rtol:g}.")
    before = operator.products
    size = krylov_size(operator, krylov)
    with operator.precision():
        found = search(operator, Largest(rtol), size, max_products, seed, progress)
        value, residual = _checked(operator, found)
    return SpectralRadius(
        abs(value),
        residual,
        float(found.pairs.conditions[0]) * (residual + operator.error(abs(value))),
        value,
        operator.products - before,
        found.converged,
        found.interrupted,
    )


def _checked(operator: Operator, found: Found) -> tuple[complex, float]:
    """The Ritz value, and the residual of its vector by products of its own."""
    weights, value = found.pairs.weights[:, 0], complex(found.pairs.values[0])
    x = _complex(found.basis.combine, weights)
    x = x / np.linalg.norm(x)
    after = _complex(lambda part: operator(jnp.asarray(part, operator.dtype)), x)
    return value, float(np.linalg.norm(after - value * x))


def _complex(function: Callable, x: np.ndarray) -> np.ndarray:
    """A real-linear function of a complex vector; one call where it is real."""
    real = np.asarray(function(np.real(x)), float)
    if np.all(np.imag(x) == 0):
        return real
    return real + 1j * np.asarray(function(np.imag(x)), float)
