"""Parameters as one flat vector, and a loss of it that compiles once for each kind of network.

Everything that is no array is static and compared by value, so that looking at a network again
after some training finds what was compiled before.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...errors import InvalidInput
from .batches import on_one_device


def is_parameter(leaf: Any) -> bool:
    """Whether a leaf is an array of floats, of JAX or NumPy. Python numbers are settings."""
    return isinstance(leaf, jax.Array | np.ndarray) and bool(
        jnp.issubdtype(leaf.dtype, jnp.inexact)
    )


class Unflatten(eqx.Module):
    """v (dim,) ↦ the parameters that v is a flattening of; other leaves stay as they were."""

    treedef: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...] | None, ...] = eqx.field(static=True)  # None: not in v
    settings: tuple[Any, ...] = eqx.field(static=True)  # leaves that are no arrays
    kinds: tuple[type, ...] = eqx.field(static=True)  # of the settings: True is not 1
    arrays: tuple[Any, ...]  # leaves that are arrays, but not of floats

    def __call__(self, v: jax.Array) -> PyTree:
        leaves, at = [], 0
        for shape, setting, array in zip(self.shapes, self.settings, self.arrays, strict=True):
            if shape is None:
                leaves.append(setting if array is None else array)
                continue
            size = int(np.prod(shape))
            leaves.append(v[at : at + size].reshape(shape))
            at += size
        return jax.tree.unflatten(self.treedef, leaves)


class FlatLoss(eqx.Module):
    """(v, batch) ↦ loss(parameters of v, batch).

    `fingerprint` tells what the loss did when it was traced last: a loss that reads a variable from
    outside is another one when that has changed, although it is the same function.
    """

    loss: Callable[[PyTree, PyTree], Any] = eqx.field(static=True)
    unflatten: Unflatten
    fingerprint: str = eqx.field(static=True)

    def __call__(self, v: jax.Array, batch: PyTree) -> Any:
        return self.loss(self.unflatten(v), batch)


def flatten(params: PyTree) -> tuple[jax.Array, Unflatten]:
    """(the floats of `params` (dim,), the way back). `InvalidInput` without any, or mixed."""
    leaves, treedef = jax.tree.flatten(params)
    floats = [leaf for leaf in leaves if is_parameter(leaf)]
    if not floats:
        raise InvalidInput("params has no floating-point array: there is nothing to differentiate.")
    names = sorted({str(leaf.dtype) for leaf in floats})
    if any(name.startswith("complex") for name in names):
        raise InvalidInput("params has complex arrays: give real and imaginary parts apart.")
    if len(names) > 1:
        raise InvalidInput(f"params mixes {', '.join(names)}: give all floats one dtype.")
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    shapes = tuple(leaf.shape if is_parameter(leaf) else None for leaf in leaves)
    settings = tuple(None if a else leaf for a, leaf in zip(is_array, leaves, strict=True))
    arrays = tuple(
        leaf if a and not is_parameter(leaf) else None
        for a, leaf in zip(is_array, leaves, strict=True)
    )
    v = jnp.concatenate([jnp.ravel(on_one_device(leaf)) for leaf in floats])
    return v, Unflatten(treedef, shapes, settings, tuple(map(type, settings)), arrays)
