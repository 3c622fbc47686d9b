"""An optax optimizer seen as heavy ball in coordinates of its own.

Adam and its like divide each coordinate of a gradient by a size that they remember, and average
over steps. Where that memory has settled, an update is linear in the gradients that come: its
response to one of them is P γᵏ after k steps, with P > 0 a number a coordinate. So in y = P^(−½) w
the optimizer is heavy ball with learning rate 1, and weight decay a little curvature. What is not
so (Nesterov, sign methods, clipping that acts) is told.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from ...dynamics.methods.method import AbstractMethod
from ...dynamics.systems.flat import MethodOfVectors, Unravel
from ...dynamics.systems.optax_map import OptaxStepMap
from ...dynamics.systems.step_map import StepMap
from ...errors import InvalidInput

SETTLED = 5000  # updates after which a memory that nobody gave has settled
ROUNDS = 1000  # updates whose responses are averaged
SMALL = 1e-3  # of the gradient: an impulse so small that the memory's own change is second order
ALIKE = 0.02  # relative difference of responses that count as those of heavy ball


class Preconditioned(NamedTuple):
    """A heavy-ball step in y = w/scale, its start y (d,), and `scale` (d,), the root of P."""

    system: StepMap
    params: Array
    scale: Array


def preconditioned(
    system: OptaxStepMap, params: PyTree, batches: list[PyTree], weights: Any, state: PyTree
) -> Preconditioned:
    """The optimizer's step as heavy ball, about its memory `state`, or, without one, about that of
    a run that is kept at `params`.

    `InvalidInput` where its response to a gradient is not that of heavy ball.
    """
    w, _ = ravel_pytree(params)
    gradients = jnp.stack([_descent(system, params, batch) for batch in batches])
    shares = np.full(len(batches), 1 / len(batches)) if weights is None else np.asarray(weights)
    shares = shares / shares.sum()
    if state is None:
        state = _settled(system.optimizer, params, gradients, jnp.asarray(shares))
    impulse = SMALL * jnp.sqrt(jnp.mean(gradients**2, axis=0) + jnp.finfo(w.dtype).tiny)
    first, second, third, decay = map(
        np.asarray,
        _responses(system.optimizer, params, state, gradients, jnp.asarray(shares), impulse),
    )
    gamma = _heavy_ball(first, second, third)
    scale = jnp.sqrt(jnp.asarray(first / np.asarray(impulse), w.dtype))
    up = Unravel(jax.tree.structure(params), tuple(x.shape for x in jax.tree.leaves(params)))
    lost = jnp.asarray(decay, w.dtype)
    loss = _scaled(system.loss, up, scale, lost)
    method = _InScaledCoordinates(MethodOfVectors(system.method, up), scale, lost)
    return Preconditioned(StepMap(loss, method, 1.0, gamma or None), w / scale, scale)


def _heavy_ball(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> float:
    """γ of the responses (d,) after 0, 1 and 2 steps; `InvalidInput` unless they have one."""
    moves = first > 0
    ratio = second[moves] / first[moves]
    gamma = float(np.median(ratio)) if ratio.size else 0.0
    smooth = np.all(moves) and gamma + ALIKE >= 0 and gamma < 1
    even = (
        smooth
        and np.all(np.abs(ratio - gamma) <= ALIKE)
        and (np.all(np.abs(third - gamma**2 * first) <= 2 * ALIKE * first))
    )
    if not even:
        raise InvalidInput(
            "diagnose knows optimizers that answer a gradient as heavy ball does, coordinate by "
            "coordinate, and this one does not at these parameters: iterate it, or judge its step "
            "by stability(at=…)."
        )
    return max(gamma, 0.0) if gamma > ALIKE else 0.0


@eqx.filter_jit
def _descent(system: OptaxStepMap, params: PyTree, batch: PyTree) -> Array:
    gradient = jax.grad(lambda w: system.loss(w, batch))
    return ravel_pytree(system.method.direction(gradient, params))[0]


@eqx.filter_jit
def _settled(optimizer: Any, params: PyTree, gradients: Array, shares: Array) -> PyTree:
    """The memory after many updates by gradients (n, d) drawn by their shares, kept at `params`."""
    unravel = ravel_pytree(params)[1]

    def update(i, state):
        drawn = jax.random.choice(jax.random.fold_in(jax.random.key(0), i), len(shares), p=shares)
        return optimizer.update(unravel(gradients[drawn]), state, params)[1]

    return jax.lax.fori_loop(0, SETTLED, update, optimizer.init(params))


@eqx.filter_jit
def _responses(
    optimizer: Any, params: PyTree, state: PyTree, gradients: Array, shares: Array, impulse: Array
):
    """How much less w grows by an impulse (d,) in the first of three updates, in each of them (d,),
    and how much of itself w loses by an update (weight decay): means over `ROUNDS` that follow one
    another, as what an optimizer remembers of few gradients varies."""
    unravel = ravel_pytree(params)[1]
    w = ravel_pytree(params)[0]

    def run(state, drawn, first, at=params):
        found = []
        for g in (drawn[0] + first, *drawn[1:]):
            update, state = optimizer.update(unravel(g), state, at)
            found.append(ravel_pytree(update)[0])
        return jnp.stack(found)

    def one(state, i):
        chosen = jax.random.choice(
            jax.random.fold_in(jax.random.key(1), i), len(shares), (3,), p=shares
        )
        drawn = gradients[chosen]
        up, down = (run(state, drawn, sign * impulse) for sign in (1, -1))
        more = run(state, drawn, 0 * impulse, jax.tree.map(lambda x: 2 * x, params))
        lost = run(state, drawn, 0 * impulse) - more
        after = optimizer.update(unravel(drawn[0]), state, params)[1]
        return after, (-(up - down) / 2, lost[0])

    _, (answers, lost) = jax.lax.scan(one, state, jnp.arange(ROUNDS))
    decay = jnp.nanmedian(
        jnp.where(w == 0, jnp.nan, jnp.mean(lost, axis=0) / jnp.where(w == 0, 1, w))
    )
    return (*jnp.mean(answers, axis=0), jnp.where(jnp.isfinite(decay), decay, 0.0))


def _scaled(loss: Callable, up: Unravel, scale: Array, decay: Array) -> Callable:
    """(y, batch) ↦ the loss at w = scale·y, with weight decay as a penalty."""

    def of_y(y: Array, batch: PyTree) -> Array:
        return loss(up(scale * y), batch) + decay / 2 * jnp.sum(y**2)

    return of_y


class _InScaledCoordinates(AbstractMethod):
    """A method of w, on y = w/scale: its ascent is as long as it is in w."""

    of: AbstractMethod
    scale: Array
    decay: Array

    def perturb(self, gradient, w):
        def of_loss(v):  # weight decay is no part of what a method ascends
            y = v / self.scale
            return (gradient(y) - self.decay * y) / self.scale

        return self.of.perturb(of_loss, self.scale * w) / self.scale

    @property
    def discontinuous(self):
        return self.of.discontinuous

    @property
    def ascent(self):
        return "none" if self.of.ascent == "none" else None

    @property
    def radius(self):
        return self.of.radius

    @property
    def label(self):
        return self.of.label
