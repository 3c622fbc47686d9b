"""Momentum: what becomes of a descent direction d before it moves w by −η·(step).

Each class says how its buffer starts and how (buffer, d) becomes (buffer⁺, step).
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import PyTree

from ..checks import require_numbers
from . import tree


def _fraction(value: Any) -> Any:
    told = "momentum must lie in [0, 1)"
    return tree.as_array(require_numbers(value, told, lambda x: (x >= 0) & (x < 1)))


class AbstractMomentum(eqx.Module):
    """A linear filter of descent directions, whose buffer is None or a pytree of one form.

    A subclass says how the filter starts and goes on, and what analyses need: `edge` and `gain`,
    and `heavy_ball` where it is one, whose buffer is then like w. `samdyn.testing.check_momentum`
    compares what is declared with what is computed.
    """

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """The buffer before the first step."""

    @abc.abstractmethod
    def update(self, buffer: PyTree, d: PyTree) -> tuple[PyTree, PyTree]:
        """(buffer⁺, step) from the buffer and the descent direction."""

    @property
    def remembers(self) -> bool:
        """Whether there is a buffer; False says that a step is −ηd."""
        return True

    @property
    def heavy_ball(self) -> Any:
        """γ where the filter is m⁺ = γm + d, step m⁺ (0 for none), of which diffusions, variances
        and rates are known; None for any other."""
        return None

    @abc.abstractmethod
    def edge(self) -> float:
        """The step is stable on curvature a exactly when 0 < ηa < edge."""

    @abc.abstractmethod
    def gain(self) -> float:
        """The sum of all later steps that one unit of descent causes."""


class NoMomentum(AbstractMomentum):
    """The plain step: w⁺ = w − ηd."""

    def init(self, w):
        del w
        return None

    def update(self, buffer, d):
        del buffer
        return None, d

    @property
    def remembers(self):
        return False

    @property
    def heavy_ball(self):
        return 0.0

    def edge(self):
        return 2.0

    def gain(self):
        return 1.0


class HeavyBall(AbstractMomentum):
    """m⁺ = γm + d, w⁺ = w − ηm⁺ (Polyak 1964; torch.optim.SGD, optax.trace)."""

    gamma: jax.Array = eqx.field(converter=_fraction)

    @property
    def heavy_ball(self):
        return self.gamma

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, buffer, d):
        buffer = tree.add_scaled(d, self.gamma, buffer)
        return buffer, buffer

    def edge(self):
        return 2 * (1 + float(self.gamma))

    def gain(self):
        return 1 / (1 - float(self.gamma))


class EMA(AbstractMomentum):
    """m⁺ = βm + (1−β)d, w⁺ = w − ηm⁺: heavy ball with step η(1−β)."""

    beta: jax.Array = eqx.field(converter=_fraction)

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, buffer, d):
        buffer = tree.add_scaled(d, self.beta, jax.tree.map(jnp.subtract, buffer, d))
        return buffer, buffer

    def edge(self):
        beta = float(self.beta)
        return 2 * (1 + beta) / (1 - beta)

    def gain(self):
        return 1.0


class Nesterov(AbstractMomentum):
    """m⁺ = γm + d, w⁺ = w − η(d + γm⁺), w being the look-ahead point (Sutskever et al. 2013).

    On curvature a its multipliers solve z² − (1+γ)(1−ηa)z + γ(1−ηa) = 0, which leaves the unit
    circle at z = −1: ηa = 2(1+γ)/(1+2γ).
    """

    gamma: jax.Array = eqx.field(converter=_fraction)

    def init(self, w):
        return jax.tree.map(jnp.zeros_like, w)

    def update(self, buffer, d):
        buffer = tree.add_scaled(d, self.gamma, buffer)
        return buffer, tree.add_scaled(d, self.gamma, buffer)

    def edge(self):
        gamma = float(self.gamma)
        return 2 * (1 + gamma) / (1 + 2 * gamma)

    def gain(self):
        return 1 / (1 - float(self.gamma))


def as_momentum(momentum: Any) -> AbstractMomentum:
    """A momentum object as it is, 0 or None as none, any other number γ as `HeavyBall(γ)`."""
    if isinstance(momentum, AbstractMomentum):
        return momentum
    if momentum is None or (isinstance(momentum, int | float) and momentum == 0):
        return NoMomentum()
    return HeavyBall(momentum)
