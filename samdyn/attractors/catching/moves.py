"""How starts are moved: by the steps of a map, along a flow for a while, by noise."""

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import told
from ...dynamics.systems.map import AbstractMap, State
from ...dynamics.systems.ode import AbstractODE
from ...dynamics.systems.stochastic_map import AbstractStochasticMap
from ...errors import InvalidInput
from ...programs.lanes import advance
from ..stability_result import PointStability

RTOL, ATOL = 1e-8, 1e-11  # of a step of time, the second of the size of what is solved for
SLOWEST = 1000  # times of the slowest rate at a fixed point: how long a flow is followed
MOST_STEPS = 20_000
NONE = 1e-6  # of the fastest rate: a slower one is none
MOST_INNER = 4096  # solver steps in one step of time


class Moves(NamedTuple):
    """A map that is iterated, how often (None: as often as was asked for), and what it moves
    along: the flow, or the map itself."""

    map: AbstractMap
    steps: int | None
    system: Any


class TimeStep(AbstractMap):
    """A flow over a length of time, by adaptive steps of Tsit5.

    Where these are not enough, it moves less far: what explodes stays where it was.
    """

    ode: AbstractODE
    length: jax.Array
    size: jax.Array

    def init(self, w):
        return State(w, None)

    def __call__(self, state):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, w, args: self.ode.velocity(w)),
            diffrax.Tsit5(),
            jnp.zeros_like(self.length),
            self.length,
            dt0=None,
            y0=state.w,
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL * self.size),
            max_steps=MOST_INNER,
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
        assert solution.ys is not None
        return State(solution.ys[-1], None)


def as_moves(
    system: Any, points: tuple[PointStability, ...], box: np.ndarray, time: float | None
) -> Moves:
    """What to iterate: a map itself, a flow over the shortest time that its fixed points know."""
    if isinstance(system, AbstractMap):
        if time is not None:
            raise InvalidInput("a map makes steps: give steps, not time.")
        return Moves(system, None, system)
    known = [p.main.eigenvalues for p in points if p.main.eigenvalues is not None]
    rates = np.concatenate([*known, np.zeros(0, complex)])
    fastest = float(np.max(np.abs(rates), initial=0.0)) or 1.0
    slow = np.abs(np.real(rates))
    slowest = float(np.min(slow[slow > NONE * fastest], initial=fastest))
    length = 1 / fastest
    total = SLOWEST / slowest if time is None else float(time)
    if not (np.isfinite(total) and total > 0):
        raise InvalidInput(f"time must be a finite number > 0, not {time:g}.")
    steps = int(np.clip(np.ceil(total / length), 1, MOST_STEPS))
    size = float(np.max(np.ptp(box, axis=1)))
    numbers = jnp.asarray(total / steps if time is not None else length), jnp.asarray(size)
    return Moves(TimeStep(system, *numbers), steps, system)


def noiseless(system: Any) -> Any:
    """The system without its noise: what is judged, and where paths end that noise has moved."""
    if isinstance(system, AbstractStochasticMap):
        return system.noiseless
    if isinstance(system, AbstractODE | AbstractMap):
        return system
    raise InvalidInput(f"basins are those of a flow, a map or a noisy step, not of {told(system)}.")


class Noisy(AbstractMap):
    """A random step as a map of (state, key)."""

    of: AbstractStochasticMap
    key: jax.Array

    def init(self, w):
        return self.begun(w, 0)

    def begun(self, w: Any, number: Any) -> State:
        """The state of path `number` at w."""
        return State(w, (self.of.init(w), jax.random.fold_in(self.key, number)))

    def __call__(self, state):
        inner, key = state.memory
        after = self.of(inner._replace(w=state.w), jax.random.fold_in(key, 0))
        return State(after.w, (after, jax.random.fold_in(key, 1)))


def moved_by_noise(
    system: AbstractStochasticMap, starts: np.ndarray, steps: int, seed: int
) -> np.ndarray:
    """Where `steps` noisy steps take each of `starts` (n, d), each with noise of its own."""
    step = Noisy(system, jax.random.PRNGKey(seed))
    numbers = jnp.arange(len(starts), dtype=jnp.uint32)
    states = jax.vmap(step.begun)(jnp.asarray(starts), numbers)
    return advance(step, jax.tree.map(np.asarray, states), steps)[1].w
