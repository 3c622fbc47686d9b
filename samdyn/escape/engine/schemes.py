"""How a step is taken: schemes for SDEs, and the discrete optimizer."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ...dynamics.regions.regions import AbstractRegion
from ...dynamics.systems.diffusion import Diffusion
from ...dynamics.systems.stochastic_map import AbstractStochasticMap
from ...errors import InvalidInput
from .stepper import AbstractStepper, Flat

MEET = 0.1  # of the larger determinant at the ends of a step: below it counts as 0


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


class Barred(EulerMaruyama):
    """Euler–Maruyama that does not step over a place where noise vanishes and drift turns back.

    The process cannot cross a surface on which the noise has no component across while the drift
    points back (Fichera's boundary of no exit). A step can, as its noise is that of where it
    began. Such a step is not made. On the surface det σσᵀ = 0: along a step over it the
    determinant falls first and rises in the end, and its tangents at both ends meet near 0.
    At most three dimensions, without momentum.
    """

    def step(self, y, z):
        after = super().step(y, z)
        move = after - y
        before, falls = jax.jvp(self._determinant, (y,), (move,))
        beyond, rises = jax.jvp(self._determinant, (after,), (move,))
        _, away = jax.jvp(self._determinant, (y,), (self.slope(y),))
        # where the tangents meet: a share t of the step, at a height
        bend = rises - falls
        t = (before - beyond + rises) / jnp.where(bend > 0, bend, 1)
        meet = before + falls * t
        crosses = (falls < 0) & (rises > 0) & (meet <= MEET * jnp.maximum(before, beyond))
        return jnp.where(crosses & (away > 0), y, after)

    def _determinant(self, y: Flat) -> Float[Array, ""]:
        identity = jnp.eye(self.draws, dtype=y.dtype)
        rows = jax.vmap(lambda z: self.noise(y, z))(identity)
        s = [[jnp.sum(rows[:, i] * rows[:, j]) for j in range(y.size)] for i in range(y.size)]
        return _determinant(s)


def _determinant(s: list[list[Array]]) -> Array:
    """Of a matrix of at most three rows."""
    if len(s) == 1:
        return s[0][0]
    if len(s) == 2:
        return s[0][0] * s[1][1] - s[0][1] * s[1][0]
    minor = lambda i: _determinant([[row[j] for j in range(3) if j != i] for row in s[1:]])  # noqa: E731
    return s[0][0] * minor(0) - s[0][1] * minor(1) + s[0][2] * minor(2)


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

    step_map: AbstractStochasticMap
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
        self.draws = step_map.draws(start)
        self.size = start.size

    @property
    def interpolates(self):
        return False

    @property
    def law(self):
        return self.step_map.law

    def position(self, y):
        return y[: self.size]

    def step(self, y, z):
        unravel = ravel_pytree(self.template)[1]
        return ravel_pytree(self.step_map.step(unravel(y), z))[0].astype(y.dtype)


class BarredBinomial(Barred):
    """`Barred` with binomial increments."""

    @property
    def law(self):
        return "binomial"


SCHEMES = {"euler": EulerMaruyama, "heun": Heun, "euler-binomial": BinomialEuler}
BARRED = {"euler": Barred, "euler-binomial": BarredBinomial}


def sde_stepper(
    name: str, diffusion: Diffusion, region, start, dt, barred: bool = False
) -> AbstractStepper:
    """The scheme of that name; `barred`: the one that keeps to where the process can come."""
    if name not in SCHEMES:
        raise InvalidInput(f"scheme {name} is unknown: take one of {', '.join(SCHEMES)}.")
    return (BARRED if barred else SCHEMES)[name](diffusion, region, start, dt)
