"""How a step is taken: schemes for SDEs, and the discrete optimizer."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .... import catalogue
from ....checks import told
from ....dynamics.regions.regions import AbstractRegion
from ....dynamics.systems.sde import AbstractSDE
from ....dynamics.systems.stochastic_map import AbstractStochasticMap
from ....errors import InvalidInput
from .stepper import AbstractStepper, Flat

MEET = 0.1  # of the larger determinant at the ends of a step: below it counts as 0


class AbstractScheme(AbstractStepper):
    """A step of length dt of an SDE, made from its drift (`slope`) and its noise (`noise`).

    A subclass says `step(y, z)`, and declares: `name`, the word for people; `law` of the draws;
    `accurate` and `stable`, the largest dt times the rate of the drift with which means are within
    0.3 % and with which an exit can be believed (the defaults are those of Euler–Maruyama);
    `additive_only`, that it converges for constant noise alone; `barred`, the scheme that does not
    step over a place without noise, if there is one. Its weak order is 1 or more for Itô SDEs.
    `samdyn.testing.check_scheme` compares what is declared with what is computed.
    """

    diffusion: AbstractSDE
    region: AbstractRegion
    start: Flat
    dt: jax.Array
    draws: int = eqx.field(static=True)

    name: ClassVar[str] = ""
    # beyond `stable` the variance that a scheme gives a path is off by 4 % (Euler–Maruyama, half of
    # the product) or 5 % (Heun, a third of its square), and with it the height of a barrier
    accurate: ClassVar[float] = 0.002
    stable: ClassVar[float] = 0.08
    additive_only: ClassVar[bool] = False
    barred: ClassVar[type | None] = None

    def __init__(self, diffusion: AbstractSDE, region: AbstractRegion, start: Any, dt: Any):
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
        if self.diffusion.uniform and self.region.exact:  # the same in all directions of length 1
            normal = jnp.zeros_like(y).at[0].set(1)
        else:
            normal = jax.grad(self.gap)(y)
        _, transpose = jax.vjp(lambda z: self.noise(y, z), jnp.zeros(self.draws, y.dtype))
        return jnp.sum(transpose(normal)[0] ** 2) * self.dt


class EulerMaruyama(AbstractScheme):
    """y + b(y) dt + s(y) √dt z: weak order 1 (Maruyama 1955)."""

    name = "euler"

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

    name = "euler-binomial"

    @property
    def law(self):
        return "binomial"


class Heun(AbstractScheme):
    """The drift averaged over a predictor with the same noise: weak order 2 for additive noise."""

    name = "heun"
    accurate, stable = 0.03, 0.4
    additive_only = True

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


EulerMaruyama.barred = Barred
BinomialEuler.barred = BarredBinomial
SCHEMES = {name: entry.load() for name, entry in catalogue.SCHEMES.items()}


def as_scheme(given: Any, additive: bool) -> type[AbstractScheme]:
    """A scheme by name or as a class; None for the best of ours. `InvalidInput` if it is none, or
    needs the constant noise that is not `additive`."""
    scheme = ("heun" if additive else "euler") if given is None else given
    if isinstance(scheme, str):
        scheme = catalogue.find("scheme", scheme)[0].load()
    if not (isinstance(scheme, type) and issubclass(scheme, AbstractScheme)):
        raise InvalidInput(
            f"a scheme is a name ({', '.join(SCHEMES)}) or a subclass of AbstractScheme, not "
            f"{told(scheme)}."
        )
    if scheme.additive_only and not additive:
        raise InvalidInput(f"scheme {name_of(scheme)} needs additive noise: take euler.")
    return scheme


def name_of(scheme: type[AbstractScheme]) -> str:
    """What people call it."""
    return scheme.name or scheme.__name__
