"""The one-neuron network w₂(w₁x)² under mean squared error: its origin is a degenerate saddle."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class ToyNet(eqx.Module):
    """Mean over the data of (w₂(w₁x)² − y)², for inputs x and targets y of shape (n,).

    The gradient vanishes on the whole line w₁ = 0 and, when y = x² exactly, on the curve of
    minima w₂w₁² = 1.
    """

    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]

    def __call__(self, w: Float[Array, "2"]) -> Float[Array, ""]:
        inner, outer = w
        residual = outer * (inner * self.x.astype(w.dtype)) ** 2 - self.y.astype(w.dtype)
        return jnp.mean(residual**2)


def toy_net() -> ToyNet:
    """The network on x = ±½, ±1, ±3/2 with y = x²."""
    x = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5])
    return ToyNet(x, x**2)
