"""What minibatches change about a verdict: growth in mean square, and of almost every run."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..checks import told
from ..dynamics.noise.noise import MeanLoss
from ..dynamics.systems.map import AbstractMap
from ..dynamics.systems.minibatch_map import MinibatchStepMap
from ..dynamics.systems.system import loss_of
from ..errors import InvalidInput
from ..growth.exponents import exponents
from ..growth.rates import UNKNOWN, Growth
from ..growth.steps import alike
from .finding.kinks import KINK
from .stability_result import PointStability

NEAR = 0.05  # of 1 + ‖w‖: how far the mean of minibatch steps may rest from that of the mean loss


class Random(NamedTuple):
    """The step of the mean loss, and the `step` that draws one of `batches` (None: its own)."""

    mean: AbstractMap
    step: Any
    batches: Any


def of_batches(system: Any, batches: Any) -> Random | None:
    """A step under minibatches; None for a deterministic system without batches."""
    if isinstance(system, MinibatchStepMap):
        if batches is not None:
            raise InvalidInput("a MinibatchStepMap draws from its own data: leave batches out.")
        return Random(system.noiseless, system, None)
    if batches is None:
        return None
    loss = loss_of(system)
    if not isinstance(system, AbstractMap) or loss is None:
        raise InvalidInput(
            f"batches are of the step of a loss of (params, batch), not of {told(system)}."
        )
    batches = alike(batches)
    data = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *batches)
    mean: Any = eqx.tree_at(lambda s: s.loss, system, MeanLoss(loss, data))
    return Random(mean, system, batches)


def with_growth(
    item: PointStability, random: Random, at: Any, nearest: float, seed: int
) -> tuple[PointStability, str]:
    """A fixed point of the mean loss, `at` parameters as the loss takes them, with what minibatch
    steps do about it, and a warning or ""; `nearest` is how far another lies."""
    unknown = dataclasses.replace(item, growth=Growth(UNKNOWN, UNKNOWN, UNKNOWN))
    place = f"at ({', '.join(f'{x:.6g}' for x in item.point.w)}) nothing is known of minibatches"
    if item.point.kind == KINK:
        return unknown, f"{place}: the loss has a kink there."
    try:
        found = exponents(random.step, at=at, batches=random.batches, seed=seed)
    except InvalidInput as reason:
        return unknown, f"{place}: {reason}"
    gap = float(np.linalg.norm(found.points[0] - item.point.w))
    if gap > min(NEAR * (1 + float(np.linalg.norm(item.point.w))), nearest / 2):
        return unknown, f"{place}: the mean of their steps does not rest there."
    warning = found.warnings[-1] if np.any(found.scatter) else ""
    return dataclasses.replace(item, growth=found.growth), warning
