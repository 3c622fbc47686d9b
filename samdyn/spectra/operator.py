"""A linear map that is known by its products alone, from JAX or from anything else.

Everything in this folder asks an `Operator` for products and for nothing else, so a gradient
written in PyTorch or NumPy can be judged like a loss written in JAX.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ComputationFailed, InvalidInput
from .defect import Defect, measure_defect


class Operator:
    """v ↦ A v for flat vectors (dim,) of one dtype; `products` counts how often it was asked.

    `defect` says how far the arithmetic is from a linear, symmetric map (relative to ‖A v‖ at
    random v). `memory_bytes` is what one product needs besides v, where that is known.
    """

    def __init__(
        self,
        product: Callable[[jax.Array], jax.Array],
        dim: int,
        dtype: Any,
        *,
        symmetric: bool = True,
        memory_bytes: int = 0,
        check: bool = True,
    ):
        if dim < 1:
            raise InvalidInput("an operator needs a dimension of at least 1.")
        self.dim, self.dtype = dim, np.dtype(dtype)
        self.symmetric = symmetric
        self.memory_bytes = memory_bytes
        self.products = 0
        self._product = product
        self.defect: Defect | None = None
        if check:
            with self.precision():
                self.defect = measure_defect(self)

    def precision(self) -> AbstractContextManager[None]:
        """Where vectors of this dtype exist: double precision is switched on for float64."""
        return jax.enable_x64(True) if self.dtype.itemsize == 8 else nullcontext()

    def __call__(self, v: jax.Array) -> jax.Array:
        """A v. `ComputationFailed` if it is not finite."""
        self.products += 1
        after = jnp.asarray(self._product(v))
        if after.shape != (self.dim,):
            raise InvalidInput(f"a product has shape {after.shape}, it should be ({self.dim},).")
        after = after.astype(self.dtype)
        if not bool(_finite(after)):
            raise ComputationFailed("a product is not finite: the loss has overflowed here.")
        return after

    def error(self, scale: float) -> float:
        """The arithmetic's own error in an eigenvalue, absolute, where the largest is `scale`."""
        measured = 0.0 if self.defect is None else self.defect.linear
        return scale * (8 * float(np.finfo(self.dtype).eps) + measured)


_finite = jax.jit(lambda v: jnp.all(jnp.isfinite(v)))


def numpy_operator(
    product: Callable[[np.ndarray], Any], dim: int, dtype: Any = np.float64, **options: Any
) -> Operator:
    """The operator of a product on flat NumPy vectors (dim,), for instance written in PyTorch."""

    def on_arrays(v):
        return jnp.asarray(np.asarray(product(np.array(v))), dtype)

    return Operator(on_arrays, dim, dtype, **options)


def gradient_operator(
    gradient: Callable[[np.ndarray], Any], w: Any, step: float | None = None, **options: Any
) -> Operator:
    """The Hessian at w (dim,) from a gradient on flat NumPy vectors, by central differences.

    A product takes two gradients. `step` is the length of the difference; by default the cube
    root of the precision of w times max(1, ‖w‖), which balances truncation against rounding.
    """
    w = np.asarray(w)
    if w.ndim != 1 or w.dtype.kind != "f":
        raise InvalidInput("w must be one flat vector of floats.")
    epsilon = float(np.finfo(w.dtype).eps)
    length = step or epsilon ** (1 / 3) * max(1.0, float(np.linalg.norm(w)))

    def product(v: np.ndarray) -> np.ndarray:
        norm = float(np.linalg.norm(v))
        if norm == 0:
            return np.zeros_like(w)
        move = (v * (length / norm)).astype(w.dtype)
        difference = np.asarray(gradient(w + move)) - np.asarray(gradient(w - move))
        return difference * (norm / (2 * length))

    return numpy_operator(product, w.size, w.dtype, **options)
