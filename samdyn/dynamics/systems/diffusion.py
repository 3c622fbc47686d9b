"""The diffusion of a noisy optimizer: an SDE whose time is learning rate times steps.

    dw = −(mean descent direction) dt + √η (noise of the direction) dW          (Itô)

and with heavy-ball momentum m⁺ = γm + d, w⁺ = w − ηm⁺ the underdamped system

    dw = −m dt,   dm = (d(w) − (1−γ)m) dt/η + (noise of the direction) dW/√η.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ...errors import InvalidInput
from .. import tree
from ..coupling import AbstractCoupling, Fresh, Paper, SameBatch
from ..methods.method import GD, AbstractMethod
from ..momentum import AbstractMomentum, HeavyBall, NoMomentum, as_momentum
from ..noise.noise import AbstractNoise
from .step_map import _positive


class NoiseStructure(NamedTuple):
    """What an SDE solver may rely on: σ constant; σ diagonal with σᵢᵢ(yᵢ); fields that commute."""

    additive: bool
    diagonal: bool
    commutative: bool


class NoiseTerm(diffrax.ControlTerm):
    """A `ControlTerm` that multiplies σ(y) with an increment without forming σ."""

    def vf_prod(self, t, y, args, control):
        return self.vector_field.disperse(y, control)  # pyright: ignore

    def prod(self, vf, control):
        return jax.tree.map(lambda columns: columns @ control, vf)


class _Columns(eqx.Module):
    """(t, y, args) ↦ σ(y), draws along a last axis of every leaf."""

    diffusion: "AbstractDiffusion"

    def __call__(self, t, y, args):
        return self.diffusion.columns(y)

    def disperse(self, y, z):
        return self.diffusion.disperse(y, z)


class AbstractDiffusion(eqx.Module):
    """An SDE dy = drift(y) dt + σ(y) dW in a state y that holds the parameters w.

    y is w itself, or (w, m) with momentum; `disperse(y, z)` is σ(y) z.
    """

    interpretation: ClassVar[str]

    @abc.abstractmethod
    def init(self, w: PyTree) -> PyTree:
        """The state at w, with momentum 0 if there is any."""

    @abc.abstractmethod
    def position(self, y: PyTree) -> PyTree:
        """w."""

    @abc.abstractmethod
    def draws(self, w: PyTree) -> int:
        """The dimension of W."""

    @abc.abstractmethod
    def drift(self, y: PyTree) -> PyTree:
        """The drift, a pytree like y."""

    @abc.abstractmethod
    def disperse(self, y: PyTree, z: Float[Array, " draws"]) -> PyTree:
        """σ(y) z, a pytree like y."""

    @property
    @abc.abstractmethod
    def additive(self) -> bool:
        """Whether σ is known not to depend on y."""

    @abc.abstractmethod
    def accepts(self, solver: diffrax.AbstractSolver) -> bool:
        """Whether the solver converges to this SDE's interpretation."""

    def columns(self, y: PyTree) -> PyTree:
        """σ(y) as a pytree like y, draws along a last axis of every leaf."""
        w = self.position(y)
        identity = jnp.eye(self.draws(w), dtype=_dtype(w))
        return jax.vmap(self.disperse, (None, 0), -1)(y, identity)

    def matrix(self, y: PyTree) -> Float[Array, "n draws"]:
        """σ(y), with n numbers in the flattened state."""
        w = self.position(y)
        identity = jnp.eye(self.draws(w), dtype=_dtype(w))
        return jax.vmap(lambda z: ravel_pytree(self.disperse(y, z))[0], 0, 1)(identity)

    def terms(self, path: diffrax.AbstractPath) -> diffrax.MultiTerm:
        """The SDE for diffrax, driven by a path with values of shape (draws,)."""
        drift = diffrax.ODETerm(lambda t, y, args: self.drift(y))
        return diffrax.MultiTerm(drift, NoiseTerm(_Columns(self), path))

    def noise_structure(self, points: Float[Array, "n d"]) -> NoiseStructure:
        """The structure of σ at these points, from its values and derivatives there.

        What holds at some points need not hold at all. With momentum, m = 0 there. Diagonal
        means that W drives one component each, by a coefficient of that component alone.
        """

        def one(w):
            flat, unravel = ravel_pytree(self.init(w))
            sigma = lambda v: self.matrix(unravel(v))  # noqa: E731
            return sigma(flat), jax.jacfwd(sigma)(flat)

        sigma, slope = jax.jit(jax.vmap(one))(jnp.asarray(points))
        negligible = 1e3 * float(jnp.finfo(sigma.dtype).eps)

        def vanishes(part, whole):
            return bool(jnp.max(jnp.abs(part)) <= negligible * jnp.max(jnp.abs(whole)))

        bracket = jnp.einsum("pikl,plj->pijk", slope, sigma)
        eye = jnp.eye(sigma.shape[1], dtype=sigma.dtype)
        diagonal = sigma.shape[1] == sigma.shape[2] and (
            vanishes(sigma * (1 - eye)[None], sigma)
            and vanishes(slope * (1 - eye[:, :, None] * eye[:, None, :])[None], slope)
        )
        return NoiseStructure(
            vanishes(slope, sigma),
            diagonal,
            vanishes(bracket - jnp.swapaxes(bracket, 2, 3), bracket),
        )

    def solve(
        self,
        start: PyTree,
        t1: Any,
        dt: Any,
        key: PRNGKeyArray,
        *,
        solver: diffrax.AbstractSolver | None = None,
        t0: Any = 0.0,
        points: int = 1,
        path_tolerance: Any = None,
    ) -> diffrax.Solution:
        """One path from parameters `start`, in steps of `dt`, by a diffrax solver (Euler).

        `points` states are saved at equal distances up to t1, the start not among them. Every
        step draws afresh, unless `path_tolerance` is given: then the key alone fixes the Brownian
        path, down to intervals of that length, so that solvers and steps compare on one path
        (`VirtualBrownianTree`, slower; at most dt/2).
        """
        solver = self.default_solver() if solver is None else solver
        self._check(solver)
        dtype = _dtype(start)
        t0, t1, dt = (jnp.asarray(value, dtype) for value in (t0, t1, dt))
        tolerance = None if path_tolerance is None else jnp.asarray(path_tolerance, dtype)
        return _solve(self, start, t0, t1, dt, key, solver, points, tolerance)

    @abc.abstractmethod
    def default_solver(self) -> diffrax.AbstractSolver:
        """The simplest solver of this interpretation."""

    def _check(self, solver) -> None:
        kinds = diffrax.AbstractItoSolver | diffrax.AbstractStratonovichSolver
        name = type(solver).__name__
        if not isinstance(solver, kinds):
            raise InvalidInput(f"{name} solves ODEs only; use Euler or another solver of SDEs.")
        if not self.additive and isinstance(solver, diffrax.SEA | diffrax.SRA1 | diffrax.ShARK):
            raise InvalidInput(f"{name} needs additive noise, which this diffusion has not.")
        if not self.accepts(solver):
            raise InvalidInput(
                f"{name} does not converge to this SDE, which is {self.interpretation}; "
                "convert it with .stratonovich() or .ito(), or take another solver."
            )


class Diffusion(AbstractDiffusion):
    """The Itô diffusion of a noisy optimizer: weak order 1 in η for ρ = O(√η).

    `coupling` says where the noise of a minibatch enters. `Additive(S)` noise gives
    dw = −(descent direction) dt + S dW, whatever the coupling. `momentum` may be a number γ
    or `HeavyBall`; the state is then (w, m), with friction (1−γ)/η.
    """

    loss: Callable
    method: AbstractMethod
    learning_rate: jax.Array = eqx.field(converter=_positive)
    noise: AbstractNoise
    coupling: AbstractCoupling = eqx.field(default_factory=SameBatch)
    momentum: AbstractMomentum = eqx.field(converter=as_momentum, default=None)

    interpretation = "Itô"

    def __check_init__(self):
        if not isinstance(self.momentum, NoMomentum | HeavyBall):
            raise InvalidInput(
                f"a diffusion has heavy-ball momentum or none, not {type(self.momentum).__name__}; "
                "use dynamics map."
            )

    @property
    def inertial(self) -> bool:
        """Whether the state is (w, m)."""
        return isinstance(self.momentum, HeavyBall)

    def init(self, w):
        return (w, self.momentum.init(w)) if self.inertial else w

    def position(self, y):
        return y[0] if self.inertial else y

    def draws(self, w):
        return self.noise.draws(w) if self.noise.additive else self.coupling.draws(self.noise, w)

    def drift(self, y):
        w = self.position(y)
        if self.noise.additive:
            d = self.method.direction(self.loss, w)
        else:
            d = self.coupling.drift(self.loss, self.method, self.noise, w)
        if not isinstance(self.momentum, HeavyBall):
            return tree.scaled(-1, d)
        m = y[1]
        pull = tree.add_scaled(d, tree.number(self.momentum.gamma) - 1, m)
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
        outside = isinstance(self.coupling, Fresh | Paper) or isinstance(self.method, GD)
        return self.noise.additive or (self.noise.isotropic and outside)

    def accepts(self, solver):
        """With momentum σ moves m by a function of w alone: both interpretations agree."""
        agree = self.additive or self.inertial
        return agree or isinstance(solver, diffrax.AbstractItoSolver)

    def default_solver(self):
        return diffrax.Euler()

    def stratonovich(self) -> "StratonovichDiffusion":
        """The same process, for solvers of Stratonovich SDEs."""
        return StratonovichDiffusion(self)


class StratonovichDiffusion(AbstractDiffusion):
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
        identity = jnp.eye(self.draws(y), dtype=_dtype(y))

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

    def accepts(self, solver):
        agree = self.of.additive or self.of.inertial
        return agree or isinstance(solver, diffrax.AbstractStratonovichSolver)

    def default_solver(self):
        return diffrax.EulerHeun()

    def ito(self) -> Diffusion:
        """The Itô form that this came from."""
        return self.of


def _dtype(w: PyTree):
    return jnp.result_type(jax.tree.leaves(w)[0])


def _levy_area(solver) -> type:
    """The least that a Brownian path must know about itself for the solver."""
    needed = getattr(solver, "minimal_levy_area", diffrax.AbstractBrownianIncrement)
    kinds = diffrax.BrownianIncrement, diffrax.SpaceTimeLevyArea, diffrax.SpaceTimeTimeLevyArea
    return next(kind for kind in kinds if issubclass(kind, needed))


@eqx.filter_jit
def _solve(diffusion, start, t0, t1, dt, key, solver, points, tolerance) -> diffrax.Solution:
    shape = jax.ShapeDtypeStruct((diffusion.draws(start),), _dtype(start))
    area = _levy_area(solver)
    path = diffrax.UnsafeBrownianPath(shape, key, area)
    if tolerance is not None:
        path = diffrax.VirtualBrownianTree(t0, t1, tolerance, shape, key, area)
    times = jnp.minimum(t0 + (t1 - t0) * jnp.arange(1, points + 1).astype(t0.dtype) / points, t1)
    return diffrax.diffeqsolve(
        diffusion.terms(path),
        solver,
        t0,
        t1,
        dt,
        diffusion.init(start),
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.ConstantStepSize(),
        adjoint=diffrax.ForwardMode(),
        max_steps=None,
    )
