"""What an operator promises, measured: is it linear, is it symmetric, does it repeat itself?"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...errors import InvalidInput
from ..krylov import norm

TOLERANCE = {2: 0.2, 4: 0.02, 8: 1e-4}  # of a relative defect, by bytes of a number
COARSE = {5e-4: 0.2, 5e-8: 0.02}  # the same by the unit of rounding, of 16 and of 32 bits


class Defect(NamedTuple):
    """Relative to the size of a product: ‖A(u+v) − Au − Av‖, and √dim·|uᵀAv − vᵀAu| (0 if not
    asked): at random vectors the difference of an asymmetric map is only 1/√dim of a product.
    """

    linear: float
    symmetric: float


def measure_defect(operator: Any, refuse: bool) -> Defect:
    """The defects at two random vectors, from four products.

    With `refuse` it is `InvalidInput` if two products of one vector differ by more than rounding,
    if the map is not linear, or not symmetric where it should be: then it is no Hessian of a loss.
    """
    generator = np.random.default_rng(0)
    u, v = (_unit(generator, operator) for _ in range(2))
    au, again, av = operator(u), operator(u), operator(v)
    both = operator(u + v)
    size = float(norm(au)) + float(norm(av))
    if size == 0:
        return Defect(0.0, 0.0)
    repeated = float(norm(au - again)) / size
    linear = float(norm(both - au - av)) / size
    symmetric = 0.0
    if operator.symmetric:
        symmetric = operator.dim**0.5 * abs(_dot(u, av / size) - _dot(v, au / size))
    if refuse:
        most = tolerance(operator)
        _refuse(repeated, most, "two products of one vector differ: the loss has hidden state")
        _refuse(linear, most, "products are not linear: the loss has no Hessian here")
        _refuse(symmetric, most, "products are not symmetric: they are no Hessian of one loss")
    return Defect(max(linear, repeated), symmetric)


def tolerance(operator: Any) -> float:
    """The relative defect that the arithmetic of an operator explains."""
    coarse = [size for eps, size in COARSE.items() if operator.rounding >= eps]
    return max([TOLERANCE[operator.dtype.itemsize], *coarse])


def _dot(one: Any, other: Any) -> float:
    return float(np.asarray(one, float) @ np.asarray(other, float))


def _refuse(defect: float, most: float, why: str) -> None:
    if defect > most:
        raise InvalidInput(f"{why} (relative defect {defect:.1g}).")


def _unit(generator: np.random.Generator, operator: Any):
    v = generator.standard_normal(operator.dim)
    return jnp.asarray(v / np.linalg.norm(v), operator.dtype)
