"""How a step is taken: schemes for SDEs, and the discrete optimizer."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ..dynamics.diffusion import Diffusion
from ..dynamics.minibatch import MinibatchStepMap
from ..dynamics.stochastic_map import StochasticStepMap
from ..errors import InvalidInput
from .regions import AbstractRegion
from .stepper import AbstractStepper, Flat


class _SDEStepper(AbstractStepper):
    diffusion: Diffusion
    region: AbstractRegion
    start: Flat
    dt: jax.Array
    draws: int = eqx.field(static=True)

    def __init__(self, diffusion: Diffusion, region: AbstractRegion, start: Any, dt: Any):
        self.diffusion, self.region = diffusion, region
        self.start, _ = ravel_pytree(diffusion.init(start))
        self.dt = jnp.asarray(dt, self.start.dtype)
        self.draws = diffusion.draws(start)

    def position(self, y):
        return y[: self.region_size]

    @property
    def region_size(self) -> int:
        return self.start.size // (2 if self.diffusion.inertial else 1)

    def _tree(self, y: Flat):
        size = self.region_size
        return (y[:size], y[size:]) if self.diffusion.inertial else y

    def slope(self, y: Flat) -> Flat:
        """The drift at y."""
        return ravel_pytree(self.diffusion.drift(self._tree(y)))[0].astype(y.dtype)

    def noise(self, y: Flat, z: Array) -> Flat:
        """σ(y) z."""
        return ravel_pytree(self.diffusion.disperse(self._tree(y), z))[0].astype(y.dtype)

    def border_variance(self, y):
        if self.diffusion.inertial or self.region.is_predicate(self.position(y)):
            return None
        normal = jax.grad(self.gap)(y)
        _, transpose = jax.vjp(lambda z: self.noise(y, z), jnp.zeros(self.draws, y.dtype))
        return jnp.sum(transpose(normal)[0] ** 2) * self.dt


class EulerMaruyama(_SDEStepper):
    """y + b(y) dt + s(y) √dt z: weak order 1 (Maruyama 1955)."""

    def step(self, y, z):
        return y + self.slope(y) * self.dt + self.noise(y, z) * jnp.sqrt(self.dt)


class BinomialEuler(EulerMaruyama):
    """Euler–Maruyama with binomial increments: weak order 1 too, and cheaper to draw."""

    @property
    def law(self):
        return "binomial"


class Heun(_SDEStepper):
    """The drift averaged over a predictor with the same noise: weak order 2 for additive noise."""

    def step(self, y, z):
        here = self.slope(y)
        noise = self.noise(y, z) * jnp.sqrt(self.dt)
        there = self.slope(y + here * self.dt + noise)
        return y + (here + there) * (self.dt / 2) + noise


class MapStepper(AbstractStepper):
    """The discrete optimizer: one step is one minibatch, and takes time η."""

    step_map: StochasticStepMap | MinibatchStepMap
    region: AbstractRegion
    start: Flat
    dt: jax.Array
    draws: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    template: Any

    def __init__(self, step_map: Any, region: AbstractRegion, start: Any):
        self.step_map, self.region = step_map, region
        self.template = step_map.init(start)
        self.start, _ = ravel_pytree(self.template)
        self.dt = jnp.asarray(step_map.learning_rate, self.start.dtype)
        self.draws = step_map.words(start) if self.law == "words" else step_map.draws(start)
        self.size = start.size

    @property
    def interpolates(self):
        return False

    @property
    def law(self):
        return "words" if isinstance(self.step_map, MinibatchStepMap) else "normal"

    def position(self, y):
        return y[: self.size]

    def step(self, y, z):
        unravel = ravel_pytree(self.template)[1]
        return ravel_pytree(self.step_map.step(unravel(y), z))[0].astype(y.dtype)


SCHEMES = {"euler": EulerMaruyama, "heun": Heun, "euler-binomial": BinomialEuler}


def sde_stepper(name: str, diffusion: Diffusion, region, start, dt) -> AbstractStepper:
    """The scheme of that name."""
    if name not in SCHEMES:
        raise InvalidInput(f"scheme {name} is unknown: take one of {', '.join(SCHEMES)}.")
    return SCHEMES[name](diffusion, region, start, dt)
