"""Is it a loss? One evaluation tells, before any long computation starts."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ComputationFailed, InvalidInput
from ..programs.batch import OnPoints
from .dimension import check_indices


def check_loss(loss: Callable, w) -> None:
    """Raise `ComputationFailed` unless loss(w) is one finite real number.

    `w` is an array of shape (dim,); a loss of another dimension than w's is `InvalidInput`, also
    where it only shows in the coordinates that the loss reads.
    """
    w = jnp.asarray(w)
    expected = getattr(loss, "dim", None)
    if expected is not None and w.shape != (expected,):
        raise InvalidInput(f"{loss.name} has dimension {expected}, but {w.size} were given.")
    check_indices(loss, w)
    try:
        value = _shape_of(loss, w)
    except Exception as error:
        raise ComputationFailed(
            f"the loss failed on a point of dimension {w.size}: "
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        ) from error
    if getattr(value, "shape", None) != ():
        shape = getattr(value, "shape", type(value).__name__)
        raise ComputationFailed(f"the loss must return a scalar, but returns shape {shape}.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ComputationFailed(f"the loss must return a real number, but returns {value.dtype}.")
    number = float(OnPoints(loss, w.size).values(np.asarray(w)[None])[0])
    if not np.isfinite(number):
        where = ", ".join(f"{coordinate:g}" for coordinate in np.asarray(w))
        raise ComputationFailed(f"the loss is {number} at ({where}).")


def _shape_of(loss: Callable, w: jax.Array) -> Any:
    """What the loss returns, as shape and dtype; itself, where it is no array."""
    try:
        return jax.make_jaxpr(loss, return_shape=True)(w)[1]
    except TypeError:  # what it returns is no number, or it fails by itself: then it does again
        return eqx.filter_eval_shape(loss, w)


def check_loss_in_box(loss: Callable, box: np.ndarray) -> None:
    """`check_loss` at the centre of a box (d, 2), forgiving a singularity that lies just there."""
    centre = box.mean(axis=1)
    try:
        check_loss(loss, centre)
    except ComputationFailed:
        inside = np.random.default_rng(0).uniform(box[:, 0], box[:, 1], (8, len(box)))
        if not any(_is_finite(loss, w) for w in inside):
            raise


def _is_finite(loss: Callable, w) -> bool:
    try:
        check_loss(loss, w)
    except ComputationFailed:
        return False
    return True
