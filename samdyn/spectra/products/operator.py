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

from ...errors import ComputationFailed, InvalidInput
from .defect import TOLERANCE, measure_defect


class Operator:
    """v ↦ A v for flat vectors (dim,) of one dtype; `products` counts how often it was asked.

    `defect` says how far the arithmetic is from a linear, symmetric map (relative to ‖A v‖ at
    random v), measured by four products; with `check` too much of it is refused. `memory_bytes`
    is what one product needs besides v, where that is known. `refined` is a second, more
    accurate way to a product, where there is one: it is asked for the eigenvectors found.
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
        refined: Callable[[jax.Array], jax.Array] | None = None,
        rounding: float = 0.0,
    ):
        if dim < 1:
            raise InvalidInput("an operator needs a dimension of at least 1.")
        self.dim, self.dtype = dim, _real(dtype)
        self.symmetric = symmetric
        self.rounding = rounding  # unit of the coarsest arithmetic within, if coarser than dtype
        self.memory_bytes = memory_bytes
        self.products = 0
        self.refined = refined
        self._product = product
        with self.precision():
            self.defect = measure_defect(self, refuse=check)

    def precision(self) -> AbstractContextManager[None]:
        """Where vectors of this dtype exist: double precision is switched on for float64."""
        return jax.enable_x64(True) if self.dtype.itemsize == 8 else nullcontext()

    def __call__(self, v: jax.Array) -> jax.Array:
        """A v. `ComputationFailed` if it is not finite."""
        self.products += 1
        with self.precision():
            return self._finite(self._product(v))

    def _finite(self, after: Any) -> jax.Array:
        after = jnp.asarray(after)
        if jnp.iscomplexobj(after):
            raise InvalidInput("a product is complex: give real and imaginary parts apart.")
        if after.shape != (self.dim,):
            raise InvalidInput(f"a product has shape {after.shape}, it should be ({self.dim},).")
        after = after.astype(self.dtype)
        if not bool(_finite(after)):
            raise ComputationFailed(
                "a product is not finite: the loss overflows here, or has no second derivative, as "
                "‖w‖ at 0."
            )
        return after

    def error(self, scale: float) -> float:
        """The arithmetic's own error in an eigenvalue, absolute, where the largest is `scale`.

        What shows in products: that rounding of the parameters moves the map itself does not.
        """
        return scale * (
            8 * max(float(jnp.finfo(self.dtype).eps), self.rounding) + self.defect.linear
        )


def require_operator(given: Any) -> None:
    """`InvalidInput` unless `given` is an operator."""
    if not isinstance(given, Operator):
        raise InvalidInput(
            f"an operator is needed, not {type(given).__name__}: make one with samdyn.hessian, or "
            "with samdyn.numpy_operator(product, dim) from v ↦ A v."
        )


_finite = jax.jit(lambda v: jnp.all(jnp.isfinite(v)))


def numpy_operator(
    product: Callable[[np.ndarray], Any], dim: int, dtype: Any = np.float64, **options: Any
) -> Operator:
    """The operator of a product on flat NumPy vectors (dim,), for instance written in PyTorch."""

    def on_arrays(v):
        # a copy: what is returned may be a buffer that the next call overwrites
        return jnp.asarray(np.array(product(np.array(v))))

    return Operator(on_arrays, dim, dtype, **options)


def gradient_operator(
    gradient: Callable[[np.ndarray], Any], w: Any, step: float | None = None, **options: Any
) -> Operator:
    """The Hessian at w (dim,) from a gradient on flat NumPy vectors, by central differences.

    A product takes two gradients. `step` is the length of the difference; by default the cube
    root of the precision of w times max(1, ‖w‖), which balances truncation against rounding.
    Truncation is measured, by half the step, along the eigenvectors that are found.
    """
    w = np.asarray(w)
    if w.ndim != 1 or w.dtype.kind != "f":
        raise InvalidInput("w must be one flat vector of floats.")
    epsilon = float(np.finfo(w.dtype).eps)
    default = epsilon ** (1 / 3) * max(1.0, float(np.linalg.norm(w)))
    whole = default if step is None else float(step)
    if not (np.isfinite(whole) and whole > 0):
        raise InvalidInput(f"step must be a finite number > 0, not {whole:g}.")

    def product(v: np.ndarray, length: float) -> np.ndarray:
        norm = float(np.linalg.norm(v))
        if norm == 0:
            return np.zeros_like(w)
        move = (v * (length / norm)).astype(w.dtype)
        ahead = np.array(gradient(w + move))  # a copy: it may be a buffer of the gradient's own
        return (ahead - np.asarray(gradient(w - move))) * (norm / (2 * length))

    refined = lambda v: jnp.asarray(product(np.array(v), whole / 2), w.dtype)  # noqa: E731
    direct = lambda v: product(v, whole)  # noqa: E731
    return numpy_operator(direct, w.size, w.dtype, refined=refined, **options)


def _real(dtype: Any) -> np.dtype:
    """The dtype; `InvalidInput` unless products of it can be orthogonal."""
    found = np.dtype(dtype)
    if not jnp.issubdtype(found, jnp.floating) or found.itemsize not in TOLERANCE:
        accepted = "float64, float32, float16 or bfloat16"
        raise InvalidInput(f"an operator's dtype is {accepted}, not {found.name}.")
    return found
