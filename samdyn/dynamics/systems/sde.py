"""Stochastic differential equations: anyone's own, and what all of them share."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ...checks import require_function
from ...errors import InvalidInput
from ...lazily import diffrax
from ..parameters import as_args
from ..reading import reads
from .system import AbstractSystem


class NoiseStructure(NamedTuple):
    """What an SDE solver may rely on: σ constant; σ diagonal with σᵢᵢ(yᵢ); fields that commute."""

    additive: bool
    diagonal: bool
    commutative: bool


class _Columns(eqx.Module):
    """(t, y, args) ↦ σ(y), draws along a last axis of every leaf."""

    diffusion: "AbstractSDE"

    def __call__(self, t, y, args):
        return self.diffusion.columns(y)

    def disperse(self, y, z):
        return self.diffusion.disperse(y, z)


class AbstractSDE(AbstractSystem):
    """An SDE dy = drift(y) dt + σ(y) dW in a state y that holds the parameters w.

    y is w itself, or (w, m) with momentum; `disperse(y, z)` is σ(y) z.
    `samdyn.testing.check_sde` looks at what verbs rely on.
    """

    interpretation: ClassVar[str]

    @property
    def inertial(self) -> bool:
        """Whether the state is (w, m), and noise moves m alone."""
        return False

    def init(self, w: PyTree) -> PyTree:
        """The state at w, with momentum 0 if there is any."""
        return w

    def position(self, y: PyTree) -> PyTree:
        """w."""
        return y

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

    def is_additive(self, w: PyTree) -> bool:
        """Whether σ is known not to depend on y; w is asked for its shape alone."""
        del w
        return self.additive

    @property
    def uniform(self) -> bool:
        """Whether σ is known to be one number times the identity, the same everywhere."""
        return False

    @abc.abstractmethod
    def accepts(self, solver: "diffrax.AbstractSolver") -> bool:
        """Whether the solver converges to this SDE's interpretation."""

    def columns(self, y: PyTree) -> PyTree:
        """σ(y) as a pytree like y, draws along a last axis of every leaf."""
        w = self.position(y)
        identity = jnp.eye(self.draws(w), dtype=dtype_of(w))
        return jax.vmap(self.disperse, (None, 0), -1)(y, identity)

    def matrix(self, y: PyTree) -> Float[Array, "n draws"]:
        """σ(y), with n numbers in the flattened state."""
        w = self.position(y)
        identity = jnp.eye(self.draws(w), dtype=dtype_of(w))
        return jax.vmap(lambda z: ravel_pytree(self.disperse(y, z))[0], 0, 1)(identity)

    def terms(self, path: "diffrax.AbstractPath") -> "diffrax.MultiTerm":
        """The SDE for diffrax, driven by a path with values of shape (draws,)."""
        from .noise_term import NoiseTerm

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
        solver: "diffrax.AbstractSolver | None" = None,
        t0: Any = 0.0,
        points: int = 1,
        path_tolerance: Any = None,
    ) -> "diffrax.Solution":
        """One path from parameters `start`, in steps of `dt`, by a diffrax solver (Euler).

        `points` states are saved at equal distances up to t1, the start not among them. Every
        step draws afresh, unless `path_tolerance` is given: then the key alone fixes the Brownian
        path, down to intervals of that length, so that solvers and steps compare on one path
        (`VirtualBrownianTree`, slower; at most dt/2).
        """
        solver = self.default_solver() if solver is None else solver
        self._check(solver)
        dtype = dtype_of(start)
        t0, t1, dt = (jnp.asarray(value, dtype) for value in (t0, t1, dt))
        tolerance = None if path_tolerance is None else jnp.asarray(path_tolerance, dtype)
        return _solve(self, start, t0, t1, dt, key, solver, points, tolerance)

    @abc.abstractmethod
    def default_solver(self) -> "diffrax.AbstractSolver":
        """The simplest solver of this interpretation."""

    def _check(self, solver) -> None:
        kinds = diffrax.AbstractItoSolver | diffrax.AbstractStratonovichSolver
        name = type(solver).__name__
        if not isinstance(solver, kinds):
            raise InvalidInput(f"{name} solves ODEs only; use Euler or another solver of SDEs.")
        if not self.additive and isinstance(solver, diffrax.SEA | diffrax.SRA1 | diffrax.ShARK):
            raise InvalidInput(f"{name} needs additive noise, which this SDE has not.")
        if not self.accepts(solver):
            raise InvalidInput(
                f"{name} does not converge to this SDE, which is {self.interpretation}; "
                "convert it with .stratonovich() or .ito(), or take another solver."
            )


class SDE(AbstractSDE):
    """Anyone's own Itô diffusion dw = drift(w, args) dt + dispersion(w, args) dW, autonomous.

    `drift` returns (d,), `dispersion` (d, m) for an m-dimensional W, of w (d,). `args` is any
    pytree; the numbers in it are the parameters of the system.
    """

    _drift: Callable
    _dispersion: Callable
    args: Any

    interpretation = "Itô"

    def __init__(self, drift: Callable, dispersion: Callable, args: Any = None):
        self._drift = require_function(drift, "drift(w, args)")
        self._dispersion = require_function(dispersion, "dispersion(w, args), a matrix (d, m),")
        self.args = as_args(args)

    def draws(self, w):
        return self._shape(w)[1]

    def drift(self, y):
        return self._drift(y, self.args)

    def disperse(self, y, z):
        matrix = self._dispersion(y, self.args)
        return jnp.sum(matrix * z.astype(matrix.dtype)[None, :], axis=1)

    @property
    def additive(self):
        return False

    def is_additive(self, w):
        """Whether w does not enter the program of the dispersion at all."""
        return not reads(lambda w: self._dispersion(w, self.args), w)

    def accepts(self, solver):
        return self.additive or isinstance(solver, diffrax.AbstractItoSolver)

    def default_solver(self):
        return diffrax.Euler()

    def _shape(self, w: Any) -> tuple[int, int]:
        shape = jax.eval_shape(self._dispersion, w, self.args).shape
        if len(shape) != 2 or shape[0] != w.size:
            raise InvalidInput(
                f"the dispersion at w ({w.size},) must be a matrix ({w.size}, m), it has shape "
                f"{shape}."
            )
        return shape


def dtype_of(w: PyTree):
    """The dtype of parameters: that of their first leaf."""
    return jnp.result_type(jax.tree.leaves(w)[0])


def _levy_area(solver) -> type:
    """The least that a Brownian path must know about itself for the solver."""
    needed = getattr(solver, "minimal_levy_area", diffrax.AbstractBrownianIncrement)
    kinds = diffrax.BrownianIncrement, diffrax.SpaceTimeLevyArea, diffrax.SpaceTimeTimeLevyArea
    return next(kind for kind in kinds if issubclass(kind, needed))


@eqx.filter_jit
def _solve(diffusion, start, t0, t1, dt, key, solver, points, tolerance) -> "diffrax.Solution":
    shape = jax.ShapeDtypeStruct((diffusion.draws(start),), dtype_of(start))
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
