"""Is it a system of the dimension of what it is given? One evaluation tells."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..checks import require_flat, require_one_value, told
from ..errors import ComputationFailed, InvalidInput, brief
from ..losses.check import check_loss, check_loss_in_box
from ..losses.dimension import check_indices, unread_warnings
from .systems.map import Displacement
from .systems.ode import AbstractODE
from .systems.sde import AbstractSDE
from .systems.stochastic_map import AbstractStochasticMap
from .systems.system import loss_of


def check_system(flow: AbstractODE, w: Any) -> None:
    """`ComputationFailed` unless the loss, or the velocity, is finite at w (d,) and of its shape;
    `InvalidInput` where it reads other coordinates than w has."""
    loss = loss_of(flow)
    if loss is not None:
        check_loss(loss, w)
        return
    w, what = jnp.asarray(w), "map" if isinstance(flow, Displacement) else "field"
    check_indices(lambda w: jnp.sum(flow.velocity(w)), w, f"the {what}")
    try:
        value = _velocity(flow, w)
    except InvalidInput:
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise ComputationFailed(
            f"the {what} failed on a point of dimension {w.size}: {brief(error)}."
        ) from error
    if getattr(value, "shape", None) != w.shape:
        shape = getattr(value, "shape", type(value).__name__)
        raise InvalidInput(
            f"the {what} must return what it is given, an array of shape {w.shape}, but it "
            f"returns {shape}."
        )
    if not np.all(np.isfinite(np.asarray(value))):
        where = ", ".join(f"{coordinate:g}" for coordinate in np.asarray(w))
        raise ComputationFailed(f"the {what} is not finite at ({where}).")


def check_system_in_box(flow: AbstractODE, box: np.ndarray) -> None:
    """`check_system` at the centre of a box (d, 2), forgiving a singularity just there."""
    loss = loss_of(flow)
    if loss is not None:
        check_loss_in_box(loss, box)
        return
    try:
        check_system(flow, box.mean(axis=1))
    except ComputationFailed:
        inside = np.random.default_rng(0).uniform(box[:, 0], box[:, 1], (8, len(box)))
        if not any(_is_finite(flow, w) for w in inside):
            raise


def unread_by(flow: AbstractODE, box: Any, at: Any) -> tuple[str, ...]:
    """Warnings of coordinates on which the loss does not depend."""
    loss = loss_of(flow)
    return () if loss is None else tuple(unread_warnings(loss, box, at))


def _is_finite(flow: AbstractODE, w: Any) -> bool:
    try:
        check_system(flow, w)
    except ComputationFailed:
        return False
    return True


@eqx.filter_jit
def _velocity(flow: AbstractODE, w: Any) -> Any:
    return flow.velocity(w)


def check_motion(system: Any, start: Any) -> None:
    """`InvalidInput` unless paths of a noisy system can begin at `start` (d,)."""
    check_paths(system)
    require_one_value(system)
    w = jnp.asarray(require_flat(start))
    loss = loss_of(system)
    if loss is not None:
        check_indices(loss, w)
    elif isinstance(system, AbstractSDE):
        _check_sde(system, w)


def check_paths(system: Any) -> None:
    """`InvalidInput` unless a system is a noisy one."""
    if not isinstance(system, AbstractSDE | AbstractStochasticMap):
        raise InvalidInput(
            "paths are those of an SDE, a Diffusion, a StochasticStepMap or a MinibatchStepMap, "
            f"not of {told(system)}."
        )


def _check_sde(sde: AbstractSDE, w: Any) -> None:
    check_indices(lambda w: jnp.sum(sde.drift(w)), w, "the drift")
    try:
        drift, noise = sde.drift(w), sde.disperse(w, jnp.zeros(sde.draws(w)))
    except InvalidInput:
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise ComputationFailed(
            f"drift or dispersion failed on a point of dimension {w.size}: {brief(error)}."
        ) from error
    for name, value in (("drift", drift), ("dispersion", noise)):
        if jnp.shape(value) != w.shape:
            wanted = f"({w.size},)" if name == "drift" else f"({w.size}, m)"
            raise InvalidInput(
                f"the {name} at a point of shape ({w.size},) must have shape {wanted}, it has "
                f"{jnp.shape(value)}."
            )
