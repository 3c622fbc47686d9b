"""What the numbers of a training depend on, part by part, so that no folder is taken for another's.

The options of the runs, and the data, are not among them: they are told by themselves.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...results.problem.identity import identity, joined, values
from ..data.dataset import Dataset
from .training import evaluate, initial, lanes_of, problem_of, start_of


def parts_of(
    dataset: Dataset,
    make: Callable[[Any], Any],
    contenders: Sequence[Any],
    batch_size: int,
    piece: int | None,
) -> dict[str, str]:
    """Identities of the network `make` makes, with its first parameters, and of each step.

    `contenders` have a `name`, and `make` their method of a radius.

    A step holds the loss of a minibatch, its gradients, the momentum and the order of the examples.
    """
    x, span = jnp.asarray(dataset.train_x), jnp.asarray([0, 0, 1], jnp.int32)
    start = functools.partial(initial, make, [0], x.dtype)
    network = eqx.filter_eval_shape(start)  # its parameters and the rest; nothing is computed

    def problem(x, static):
        return problem_of(dataset._replace(train_x=x), static, batch_size, piece)

    def scores(x, params, static):
        return evaluate(problem(x, static), params, x, jnp.asarray(dataset.train_y))

    def step(x, params, static, lanes):
        shared = problem(x, static)
        lane, progress = jax.tree.map(
            lambda leaf: leaf[0], (lanes, start_of(params, shared, lanes))
        )
        return shared.advance(lane, progress, *span)

    known = identity(start, orders=0), identity(scores, x, *network, orders=0)
    parts = {"network": joined(*known)}
    for contender in contenders:
        lanes = lanes_of([contender.make(0.0)], None, 1.0, 0.0, [0])
        known = identity(step, x, *network, lanes, orders=0)
        if not contender.by_name:  # its numbers are its own
            known = joined(known, values(contender.make(0.0)))
        parts[f"step of {contender.name}"] = known
    return parts
