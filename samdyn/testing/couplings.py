"""Couplings: is a step without noise the method's, and its mean and noise what is told?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import require_kind
from ..dynamics.coupling import AbstractCoupling, Minibatch
from ..dynamics.methods.gd import GD
from ..dynamics.methods.method import AbstractMethod
from ..dynamics.methods.usam import USAM
from ..dynamics.noise.noise import Empirical, Isotropic
from ..dynamics.systems.minibatch_map import MinibatchStepMap
from ..errors import InvalidInput
from .asking import SURE, attempt, curved, points_in, quadratic, require, require_like, same

DRAWS = 40_000


def check_coupling(coupling: Any) -> None:
    """`InvalidInput`, one sentence, unless a coupling is what `AbstractCoupling` asks."""
    require_kind(coupling, AbstractCoupling, "a coupling such as samdyn.SameBatch()")
    with jax.enable_x64(True):
        name, count = type(coupling).__name__, coupling.minibatches
        whole = isinstance(count, int) and count >= 1
        require(whole, f"minibatches of {name} is a whole number ≥ 1, not {count!r}.")
        parts = attempt(f"cut of {name}", coupling.cut, jnp.arange(2 * count))
        require(
            len(parts) == count and same(jnp.concatenate(parts), jnp.arange(2 * count)),
            f"cut of {name} must give each of its {count} minibatches its own numbers.",
        )
        _without_noise(coupling, name)
        _each_is_used(coupling, name)
        if coupling.on_data:
            _on_data(coupling, name)
        _diffusion(coupling, name)


def _usam(rho: Any) -> AbstractMethod:
    return USAM(rho)


def _step(coupling, method, noises, w, loss=curved):
    """The direction where each minibatch adds its own constant (d,) to the gradient."""
    mean = jax.grad(loss)
    batches = [
        Minibatch(lambda v, n=n: mean(v) + n, lambda v, n=n: jnp.broadcast_to(n, v.shape))
        for n in noises
    ]
    told = f"step of {type(coupling).__name__}"
    return attempt(told, coupling.step, method, method.init(w), batches, mean, w)


def _without_noise(coupling: AbstractCoupling, name: str) -> None:
    w = points_in(3, 1)[0]
    none = [jnp.zeros(3)] * coupling.minibatches
    methods = (GD(), _usam(0.1)) if coupling.on_data else (GD(),)
    for method in methods:
        made, memory = _step(coupling, method, none, w)
        require_like(made, w, f"the direction of {name}")
        require_like(memory, method.init(w), f"what {name} returns of the method's memory")
        require(
            same(made, method.direction(jax.grad(curved), w)),
            f"a step of {name} without noise is not that of the method.",
        )


def _each_is_used(coupling: AbstractCoupling, name: str) -> None:
    w, xi = points_in(3, 2, 1)
    none = [jnp.zeros(3)] * coupling.minibatches
    still = _step(coupling, _usam(0.1), none, w)[0]
    for index in range(coupling.minibatches):
        noises = [xi if i == index else part for i, part in enumerate(none)]
        change = _step(coupling, _usam(0.1), noises, w)[0] - still
        require(
            not same(change, jnp.zeros(3)),
            f"{name} draws {coupling.minibatches} minibatches, but number {index} changes nothing.",
        )
        require(
            not coupling.outer_only or coupling.minibatches > 1 or same(change, xi),
            f"{name} declares outer_only, but its ascent sees the noise.",
        )


def _example_loss(w, example):
    a, b = example
    return jnp.sum(a * w**2) / 2 - jnp.sum(b * w)


def _data():
    return points_in(2, 8, 2) / 3 + jnp.asarray([[1.0, -0.5]]), points_in(2, 8, 3) / 3


def _on_data(coupling: AbstractCoupling, name: str) -> None:
    make: Any = MinibatchStepMap
    step = make(_example_loss, _data(), 2, _usam(0.1), 0.1, coupling)
    state = step.init(jnp.asarray([0.4, -0.3]))
    after = attempt(f"a step of {name} on data", step, state, jax.random.key(0))
    require_like(after.w, state.w, f"w after a step of {name} on data")


def _diffusion(coupling: AbstractCoupling, name: str) -> None:
    """Mean and covariance of many steps, where a saddle and USAM leave only the first order."""
    w, method = jnp.asarray([0.7, -0.4]), _usam(0.3)
    empirical = Empirical(_example_loss, _data(), 1)
    for noise, loss in ((Isotropic(0.5), quadratic), (empirical, empirical.loss)):
        draws = attempt(f"draws of {name}", coupling.draws, noise, w)
        z = points_in(draws, DRAWS, 4)
        try:
            mean = coupling.drift(loss, method, noise, w)
            spread = jax.vmap(lambda e: coupling.disperse(loss, method, noise, w, e))  # noqa: B023
            columns = np.asarray(spread(jnp.eye(draws)))
        except InvalidInput:  # a coupling of the step alone
            return
        step = lambda z: coupling.modelled_step(loss, method, noise, None, w, z)[0]  # noqa: E731, B023
        made = np.asarray(jax.jit(jax.vmap(step))(z))
        error = np.std(made, axis=0) / np.sqrt(DRAWS)
        require_like(mean, w, f"drift of {name}")
        require(
            np.abs(np.mean(made, axis=0) - np.asarray(mean)) <= SURE * error,
            f"drift of {name} is not the mean of its steps.",
        )
        if noise is empirical:  # the second order of the noise is in the covariance, not in the SDE
            return
        centred = made - np.mean(made, axis=0)
        products = centred[:, :, None] * centred[:, None, :]
        error = np.std(products, axis=0) / np.sqrt(DRAWS)
        require(
            np.abs(np.mean(products, axis=0) - columns.T @ columns) <= SURE * error,
            f"disperse of {name} has not the covariance of its steps.",
        )
