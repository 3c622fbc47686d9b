"""A flow as a map: where it takes a point in a length of time."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ...dynamics.systems.map import AbstractMap, State
from ...dynamics.systems.ode import AbstractODE
from ...programs.lanes import advance
from .along_flow import SMOOTH, Along, Where, along

RTOL, ATOL = 1e-8, 1e-11  # of what is moved in a step of time, and of the box's size
MOST_INNER = 4096  # solver steps in one step of time


class TimeStep(AbstractMap):
    """A flow over a `length` of time. `middle` (d,) and `size` are those of where it is asked,
    `sinks` (k, d) attractors.

    `moved` takes many states along the flow; a call does so with one, differentiably, by Tsit5,
    and less far where 4,096 of its steps are not enough.
    """

    ode: AbstractODE
    length: jax.Array
    middle: jax.Array
    size: jax.Array
    sinks: jax.Array

    def init(self, w):
        return State(w, jnp.zeros(len(Along._fields)))

    def __call__(self, state):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, moved, args: self.ode.velocity(state.w + moved)),
            diffrax.Tsit5(),
            jnp.zeros_like(self.length),
            self.length,
            dt0=0.01 * self.length,
            y0=jnp.zeros_like(state.w),
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL * self.size),
            max_steps=MOST_INNER,
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
        assert solution.ys is not None
        return State(state.w + solution.ys[-1], state.memory)


def moved(map_: AbstractMap, states: State, steps: int) -> tuple[np.ndarray, State]:
    """(w one step before the end (n, d), the states after `steps` ≥ 1 steps) of a map, or of the
    steps of time of a flow. `states` holds NumPy arrays of n rows."""
    if not isinstance(map_, TimeStep):
        return advance(map_, states, steps)
    before = _along(map_, states, steps - 1)
    return before.w, _along(map_, before, 1)


def is_held(memory: np.ndarray) -> np.ndarray:
    """Which states (n,) rest or slide, by what is remembered of them (n, …)."""
    return Along(*memory.T).mode != SMOOTH


def _along(step: TimeStep, states: State, steps: int) -> State:
    where = Where(np.asarray(step.middle), float(step.size), np.asarray(step.sinks))
    time = float(step.length) * steps
    w, memory = along(step.ode, states.w, Along(*states.memory.T), time, where)
    return states._replace(w=w, memory=np.stack(memory, axis=1))


def speeds_at(flow: AbstractODE, w: np.ndarray, distance: float) -> np.ndarray:
    """How fast the flow is at 64 points at a distance from w (d,)."""
    away = np.random.default_rng(0).standard_normal((64, w.size))
    away *= distance / np.linalg.norm(away, axis=1, keepdims=True)
    return np.linalg.norm(np.asarray(jax.vmap(flow.velocity)(jnp.asarray(w + away))), axis=1)


def typical_rate(flow: AbstractODE, box: np.ndarray) -> float:
    """How fast a box (d, 2) is crossed: the median speed in it over its size; 1 where all rests."""
    random = np.random.default_rng(0)
    points = jnp.asarray(box[:, 0] + np.ptp(box, axis=1) * random.random((256, len(box))))
    speeds = np.linalg.norm(np.asarray(jax.vmap(flow.velocity)(points)), axis=1)
    speeds = speeds[np.isfinite(speeds) & (speeds > 0)]
    return float(np.median(speeds) / np.max(np.ptp(box, axis=1))) if speeds.size else 1.0
