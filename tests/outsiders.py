"""One of every kind that anyone can add, written with public names alone."""

import dataclasses
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

import samdyn


def _squares(v):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(v))


class TheirSAM(samdyn.AbstractMethod):
    """Normalised SAM again: it declares that it jumps and its mean, not its closed form."""

    rho: jax.Array = samdyn.radius()

    def perturb(self, gradient, w):
        g = gradient(w)
        square = _squares(g)
        moves = square > 0
        inverse = jnp.where(moves, 1 / jnp.sqrt(jnp.where(moves, square, 1)), 0)
        return jax.tree.map(lambda x, y: x + self.rho.astype(x.dtype) * inverse * y, w, g)

    def smoothed(self, mean_unit, gradient, w):
        change = mean_unit(gradient(w))
        return jax.tree.map(lambda x, y: x + self.rho.astype(x.dtype) * y, w, change)

    @property
    def discontinuous(self):
        return True


class Trailing(samdyn.AbstractMethodWithMemory):
    """w^p = w + ρm⁺ with m⁺ = λm + (1 − λ)g: ascent along a running mean of gradients."""

    rho: jax.Array = samdyn.radius()
    decay: jax.Array = samdyn.radius(default=0.5)

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def ascend(self, memory, gradient, w):
        def mean(m, g):
            decay = self.decay.astype(m.dtype)
            return decay * m + (1 - decay) * g

        kept = jax.tree.map(mean, memory, gradient(w))
        return jax.tree.map(lambda x, m: x + self.rho.astype(x.dtype) * m, w, kept), kept


class QuasiHyperbolic(samdyn.AbstractMomentum):
    """m⁺ = βm + (1 − β)d, step (1 − ν)d + νm⁺ (Ma & Yarats, arXiv 1810.06801)."""

    beta: jax.Array = samdyn.radius()
    nu: jax.Array = samdyn.radius()

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, buffer, d):
        mix = lambda a, one, other: jax.tree.map(  # noqa: E731
            lambda x, y: a.astype(x.dtype) * x + (1 - a.astype(x.dtype)) * y, one, other
        )
        buffer = mix(self.beta, buffer, d)
        return buffer, mix(self.nu, buffer, d)

    def edge(self):
        beta, nu = float(self.beta), float(self.nu)
        return 2 * (1 + beta) / (1 + beta - 2 * nu * beta)

    def gain(self):
        return 1.0


class TheirHeavyBall(samdyn.AbstractMomentum):
    gamma: jax.Array = samdyn.radius()

    @property
    def heavy_ball(self):
        return self.gamma

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, buffer, d):
        buffer = jax.tree.map(lambda m, x: self.gamma.astype(x.dtype) * m + x, buffer, d)
        return buffer, buffer

    def edge(self):
        return 2 * (1 + float(self.gamma))

    def gain(self):
        return 1 / (1 - float(self.gamma))


class Uniform(samdyn.AbstractNoise):
    """Every component has deviation s, and all have the same sign: Σ = s² 11ᵀ, of rank one."""

    s: jax.Array = samdyn.radius()

    def draws(self, w):
        return 1

    def draw(self, loss, w, z):
        return jax.tree.map(lambda x: jnp.full_like(x, 1) * (self.s * z[0]).astype(x.dtype), w)

    def covariance(self, loss, w):
        size = sum(leaf.size for leaf in jax.tree.leaves(w))
        return jnp.ones((size, size)) * self.s**2

    def trace(self, loss, w):
        return sum(leaf.size for leaf in jax.tree.leaves(w)) * self.s**2

    def response(self, loss, w, shift):
        return jax.tree.map(jnp.zeros_like, w)


class OuterOnly(samdyn.AbstractCoupling):
    """Fresh again, of the step alone: it says no drift and disperse."""

    name = "outer-only"
    outer_only = True

    def step(self, method, memory, batches, mean, w):
        ahead, memory = method.ascend(memory, mean, w)
        return method.descend(batches[0].gradient, w, ahead), memory


class OuterOnlySDE(OuterOnly):
    """With its diffusion."""

    def drift(self, loss, method, noise, w):
        return method.direction(jax.grad(loss), w)

    def disperse(self, loss, method, noise, w, z):
        ahead = method.perturb(jax.grad(loss), w)
        return method.descend(lambda v: noise.draw(loss, v, z), w, ahead)


class Trapezoid(samdyn.AbstractScheme):
    """Heun's scheme again, which has second order for constant noise."""

    name = "trapezoid"
    accurate, stable = 0.03, 0.4
    additive_only = True

    def step(self, y, z):
        kick = self.noise(y, z) * jnp.sqrt(self.dt)
        ahead = y + self.slope(y) * self.dt + kick
        return y + (self.slope(y) + self.slope(ahead)) * (self.dt / 2) + kick


class Interval(samdyn.AbstractRegion):
    """|w[i]| < side for every i: a cube about 0."""

    side: jax.Array = samdyn.radius()

    def distance(self, w):
        return jnp.min(self.side.astype(w.dtype) - jnp.abs(w))

    @property
    def exact(self):
        return True


class Spiral(samdyn.AbstractODE):
    """dw/dt = (rate − |w|²)w + a turn: a Hopf bifurcation at rate 0."""

    rate: jax.Array = eqx.field(converter=jnp.asarray)

    def velocity(self, w):
        turn = jnp.stack([-w[1], w[0]])
        return (self.rate - jnp.sum(w**2)) * w + turn


class Logistic(samdyn.AbstractMap):
    """w⁺ = kw(1 − w), with fixed points 0 and 1 − 1/k and multipliers k and 2 − k."""

    k: jax.Array = eqx.field(converter=jnp.asarray)

    def init(self, w):
        return samdyn.State(w, None)

    def __call__(self, state):
        return samdyn.State(self.k * state.w * (1 - state.w), None)


class Returning(samdyn.AbstractSDE):
    """Ornstein–Uhlenbeck: dw = −kw dt + s dW."""

    k: jax.Array = eqx.field(converter=jnp.asarray)
    s: jax.Array = eqx.field(converter=jnp.asarray)

    interpretation = "Itô"

    def draws(self, w):
        return w.size

    def drift(self, y):
        return -self.k.astype(y.dtype) * y

    def disperse(self, y, z):
        return self.s.astype(y.dtype) * z.astype(y.dtype)

    @property
    def additive(self):
        return True

    def accepts(self, solver):
        return True

    def default_solver(self):
        return diffrax.Euler()


@dataclasses.dataclass
class Tally(samdyn.Result):
    """A result of their own."""

    counts: list[int]

    def to_dict(self) -> dict[str, Any]:
        return {"counts": self.counts}

    def __str__(self):
        return f"counts {self.counts}"


@samdyn.drawer(Tally)
def bars(result, ax=None, **style):
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1] if ax is None else ax
    ax.bar(range(len(result.counts)), result.counts, **style)
    return ax


class Net(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return jnp.sum(self.weight * jnp.ravel(x)[None, :], axis=1)


def their_net(key):
    return Net(0.1 * jax.random.normal(key, (3, 4), jnp.float32))
