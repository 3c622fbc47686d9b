"""How starts are moved: by the steps of a map, along a flow for a while, by noise."""

from typing import Any, NamedTuple

import equinox as eqx
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
from .time_step import TimeStep, speeds_at, typical_rate

SLOWEST = 1000  # times of the slowest rate at a fixed point: how long a flow is followed
MOST_STEPS = 20_000
SINKS = 8  # in so many at a time, so that one compiled step does for most
NONE = 1e-9  # of the fastest rate at a point: a slower one is none
BESIDE = 1e-3  # of the size: so near a jump it is asked how fast the field is


class Moves(NamedTuple):
    """A map that is iterated, how often (None: as often as was asked for), and what it moves
    along: the flow, or the map itself."""

    map: AbstractMap
    steps: int | None
    system: Any


def as_moves(
    system: Any,
    points: tuple[PointStability, ...],
    box: np.ndarray,
    time: float | None,
    middle: np.ndarray,
) -> Moves:
    """What to iterate: a map itself, a flow over the shortest time that its fixed points know, or
    over a longer one where too many of these would be needed. `middle` (d,) is that of starts."""
    if isinstance(system, AbstractMap):
        if time is not None:
            raise InvalidInput("a map makes steps: give steps, not time.")
        return Moves(system, None, system)
    size = float(np.max(np.ptp(box, axis=1)))
    slowest, fastest = _rates(system, points, box)
    total = SLOWEST / slowest if time is None else float(time)
    if not (np.isfinite(total) and total > 0):
        raise InvalidInput(f"time must be a finite number > 0, not {time:g}.")
    steps = int(np.clip(np.ceil(total * fastest), 1, MOST_STEPS))
    length = total / steps
    numbers = jnp.asarray(length), jnp.asarray(middle), jnp.asarray(size)
    step = TimeStep(system, *numbers, jnp.full((1, 1), jnp.inf))
    return towards(Moves(step, steps, system), points)


def towards(moves: Moves, points: tuple[PointStability, ...]) -> Moves:
    """The moves, for which a path along a flow that jumps may end at any attractor of `points`."""
    if not isinstance(moves.map, TimeStep):
        return moves
    sinks = [p.point.w for p in points if p.main.verdict == "attractor"]
    sinks += [np.full_like(points[0].point.w, np.inf)] * (-len(sinks) % SINKS) if points else []
    step = eqx.tree_at(lambda one: one.sinks, moves.map, jnp.asarray(sinks or [[np.inf]]))
    return moves._replace(map=step)


def noiseless(system: Any) -> Any:
    """The system without its noise: what is judged, and where paths end that noise has moved."""
    if isinstance(system, AbstractStochasticMap):
        return system.noiseless
    if isinstance(system, AbstractODE | AbstractMap):
        return system
    raise InvalidInput(f"basins are those of a flow, a map or a noisy step, not of {told(system)}.")


def _rates(
    flow: AbstractODE, points: tuple[PointStability, ...], box: np.ndarray
) -> tuple[float, float]:
    """(slowest, fastest) rates at the fixed points; at those where the field jumps the rates at
    which it crosses the box. Without points one rate, at which it is crossed elsewhere."""
    size, found = float(np.max(np.ptp(box, axis=1))), []
    for point in points:
        rates = point.main.eigenvalues
        if rates is None:
            found.append(speeds_at(flow, point.point.w, BESIDE * size) / size)
        else:
            real = np.abs(np.real(rates))
            found += [real[real > NONE * np.max(np.abs(rates))], [np.max(np.abs(rates))]]
    rates = np.concatenate([*found, np.zeros(0)])
    rates = rates[np.isfinite(rates) & (rates > 0)]
    if not rates.size:
        rates = np.array([typical_rate(flow, box)])
    return float(np.min(rates)), float(np.max(rates))


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
