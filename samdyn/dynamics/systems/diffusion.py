"""The diffusion of a noisy optimizer: an SDE whose time is learning rate times steps.

    dw = −(mean descent direction) dt + √η (noise of the direction) dW          (Itô)

and with heavy-ball momentum m⁺ = γm + d, w⁺ = w − ηm⁺ the underdamped system

    dw = −m dt,   dm = (d(w) − (1−γ)m) dt/η + (noise of the direction) dW/√η.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...errors import InvalidInput
from ...lazily import diffrax
from .. import tree
from ..coupling import AbstractCoupling, as_coupling
from ..methods.method import AbstractMethod, require_given_gradient, require_method
from ..momentum import AbstractMomentum, as_momentum
from ..noise.noise import AbstractNoise, require_noise
from .sde import AbstractSDE, dtype_of
from .step_map import as_learning_rate, set_momentum, with_momentum


class Diffusion(AbstractSDE):
    """The Itô diffusion of a noisy optimizer: weak order 1 in η for ρ = O(√η).

    `coupling` says where the noise of a minibatch enters. `Additive(S)` noise gives
    dw = −(descent direction) dt + S dW, whatever the coupling. `momentum` may be a number γ
    or `HeavyBall`; the state is then (w, m), with friction (1−γ)/η.
    """

    loss: Callable
    method: AbstractMethod = eqx.field(converter=require_method)
    learning_rate: jax.Array = eqx.field(converter=as_learning_rate)
    noise: AbstractNoise = eqx.field(converter=require_noise)
    coupling: AbstractCoupling = eqx.field(converter=as_coupling, default=None)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)

    interpretation = "Itô"

    def __check_init__(self):
        require_given_gradient(self.method)
        if self.method.remembers:
            raise InvalidInput(
                f"{type(self.method).__name__} remembers something from step to step, so it has no "
                "diffusion; use dynamics map."
            )
        if not (self.method.linear or self.method.differentiates_ascent or self.noise.additive):
            raise InvalidInput(
                f"what {type(self.method).__name__} descends is not linear in its gradients, so "
                "that their noise does not pass through it; use dynamics map, or additive noise."
            )
        if self.momentum.heavy_ball is None:
            raise InvalidInput(
                f"a diffusion has heavy-ball momentum or none, not {type(self.momentum).__name__}; "
                "use dynamics map."
            )

    @property
    def inertial(self) -> bool:
        """Whether the state is (w, m)."""
        return self.momentum.remembers

    def init(self, w):
        return (w, self.momentum.init(w)) if self.inertial else w

    def position(self, y):
        return y[0] if self.inertial else y

    def draws(self, w):
        return self.noise.draws(w) if self.noise.additive else self.coupling.draws(self.noise, w)

    def drift(self, y):
        w = self.position(y)
        if self.noise.additive:
            d = self.method.direction(jax.grad(self.loss), w)
        else:
            d = self.coupling.drift(self.loss, self.method, self.noise, w)
        if not self.inertial:
            return tree.scaled(-1, d)
        m = y[1]
        pull = tree.add_scaled(d, tree.number(self.momentum.heavy_ball) - 1, m)
        return tree.scaled(-1, m), tree.scaled(1 / tree.number(self.learning_rate), pull)

    def disperse(self, y, z):
        w = self.position(y)
        root = jnp.sqrt(tree.number(self.learning_rate))
        if self.noise.additive:
            noise = tree.scaled(1 / root, self.noise.draw(self.loss, w, z))
        else:
            noise = self.coupling.disperse(self.loss, self.method, self.noise, w, z)
        if not self.inertial:
            return tree.scaled(root, noise)
        return jax.tree.map(jnp.zeros_like, w), tree.scaled(1 / root, noise)

    @property
    def additive(self):
        outside = self.coupling.outer_only or self.method.ascent == "none"
        return self.noise.additive or (self.noise.isotropic and outside)

    @property
    def uniform(self):
        # a gradient's noise passes through the method, which may scale its components
        own = self.noise.additive and type(self).disperse is Diffusion.disperse
        one_number = all(np.ndim(leaf) == 0 for leaf in jax.tree.leaves(self.noise))
        return own and self.noise.isotropic and one_number and not self.inertial

    def parameters(self):
        return with_momentum(super().parameters(), self.momentum)

    def with_values(self, values):
        return set_momentum(self, values, super().with_values)

    def accepts(self, solver):
        """With momentum σ moves m by a function of w alone: both interpretations agree."""
        agree = self.additive or self.inertial
        return agree or isinstance(solver, diffrax.AbstractItoSolver)

    def default_solver(self):
        return diffrax.Euler()

    def stratonovich(self) -> "StratonovichDiffusion":
        """The same process, for solvers of Stratonovich SDEs."""
        return StratonovichDiffusion(self)


class StratonovichDiffusion(AbstractSDE):
    """The process of an Itô diffusion, written in Stratonovich form: drift − ½ Σₖ (Dσₖ) σₖ."""

    of: Diffusion

    interpretation = "Stratonovich"

    def init(self, w):
        return self.of.init(w)

    def position(self, y):
        return self.of.position(y)

    def draws(self, w):
        return self.of.draws(w)

    def drift(self, y):
        if self.of.additive or self.of.inertial:
            return self.of.drift(y)
        identity = jnp.eye(self.draws(y), dtype=dtype_of(y))

        def along(e):
            sigma = lambda v: self.of.disperse(v, e)  # noqa: E731
            return jax.jvp(sigma, (y,), (sigma(y),))[1]

        total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), jax.vmap(along)(identity))
        return tree.add_scaled(self.of.drift(y), -0.5, total)

    def disperse(self, y, z):
        return self.of.disperse(y, z)

    @property
    def additive(self):
        return self.of.additive

    @property
    def uniform(self):
        return self.of.uniform

    def accepts(self, solver):
        agree = self.of.additive or self.of.inertial
        return agree or isinstance(solver, diffrax.AbstractStratonovichSolver)

    def default_solver(self):
        return diffrax.EulerHeun()

    def ito(self) -> Diffusion:
        """The Itô form that this came from."""
        return self.of
