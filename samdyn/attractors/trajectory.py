"""One run of a system from a start: where it goes, how it ends, and what it is near then."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from ..arguments import of_system
from ..checks import require_one_value, require_point, told
from ..dynamics.integrate import STATUS as TIME_STATUS
from ..dynamics.integrate import integrate
from ..dynamics.iterate import STATUS, Tail, describe_tail, iterate
from ..dynamics.systems.flat import is_vector
from ..dynamics.systems.map import AbstractMap
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.system import AbstractSystem, loss_of
from ..errors import InvalidInput
from ..precision import in_double
from ..results.provenance import recorded
from ..results.result import Result
from .curves import sparse_steps
from .finding.fixed_points import nearest_fixed_point
from .finding.point import FixedPoint
from .judge import parts_of
from .trajectory_text import trajectory_text

MOST_CHECKPOINTS = 1000  # of a trajectory whose checkpoints nobody chose


class Trajectory(Result, eqx.Module):
    """What `trajectory` returns.

    `at` (n,) holds the steps or the times of the checkpoints, and `w` the parameters there, every
    leaf with a leading axis of n; `final` is where it ended, at `end` (steps made, or time passed).
    `of` is "steps" or "time". `status` is "ran", "reached" (a flow: "arrived"), "diverged", for a
    flow also "stopped short". `tail` tells of a map how the run ends: at rest (period 1),
    alternating (2) or otherwise (None). `final_loss` is None where there is no loss. `nearest` is
    the nearest fixed point, for parameters in one vector, and `distance` how far it is.
    """

    of: str
    at: Float[np.ndarray, " n"]
    w: PyTree
    final: PyTree
    end: float
    status: str
    final_loss: float | None = None
    tail: Tail | None = None
    nearest: FixedPoint | None = None
    distance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn trajectory --json`; of a flow with its time."""
        rows = range(len(self.at))
        kept = [
            [self.at[i].item(), _plain(jax.tree.map(lambda x, i=i: x[i], self.w))] for i in rows
        ]
        near = self.nearest
        found: dict[str, Any] = {
            "final": _plain(self.final),
            "final_loss": self.final_loss,
            "status": self.status,
            self.of: self.end,
            "checkpoints": kept,
            "nearest_fixed_point": None
            if near is None
            else {
                "w": near.w.tolist(),
                "distance": self.distance,
                "kind": near.kind,
                "critical_type": near.critical_type,
            },
        }
        if self.tail is not None:
            found["tail"] = {"period": self.tail.period, "amplitude": self.tail.amplitude}
        return found

    def __str__(self) -> str:
        return trajectory_text(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row a checkpoint: step or time, and the coordinates of w as one vector."""
        rows = []
        for i, when in enumerate(self.at):
            flat = np.asarray(ravel_pytree(jax.tree.map(lambda x, i=i: x[i], self.w))[0])
            rows.append({self.of: when.item()} | {f"w[{k}]": float(x) for k, x in enumerate(flat)})
        return rows


def _plain(w: PyTree) -> Any:
    """A pytree of arrays as JSON types."""
    plain = jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), w)
    return plain if isinstance(plain, dict | list) else jax.tree.leaves(plain)


@of_system("StepMap(loss, method, learning_rate)")
@recorded
@in_double
def trajectory(
    system: AbstractSystem,
    start: PyTree,
    *,
    steps: int | None = None,
    time: float | None = None,
    at_steps: Sequence[int] = (),
    points: int = MOST_CHECKPOINTS,
    target: PyTree | None = None,
    within: float = 0.0,
) -> Trajectory:
    """Run a map for `steps` steps, or a flow for `time`, from `start` (d,) or a pytree like it.

    `at_steps` chooses the checkpoints of a map (default: `points` of them, ever sparser), `points`
    how many of a flow, at equal distances. The run ends early where ‖w − `target`‖ ≤ `within`, and
    where it diverges. Arithmetic is in the dtype of the start, and in float64 for lists of numbers.

    `InvalidInput` for steps of a flow, for time of a map, for both or none of them, and for a start
    that is not one point of finite numbers.
    """
    flow = _check(system, steps, time)
    start, target = _arrays(start), None if target is None else _arrays(target)
    if isinstance(system, AbstractMap):
        count = int(steps or 0)
        kept = list(at_steps) or sparse_steps(count, points)
        found = _by_steps(system, start, count, kept, target, within)
    else:
        found = _in_time(flow, start, time, points, target, within)
    return _with_nearest(found, flow, loss_of(flow))


def _arrays(start: PyTree) -> PyTree:
    """A pytree of arrays; a list of numbers is one array."""
    numbers = isinstance(require_point(start), list | tuple) and is_vector(start)
    return jax.tree.map(jnp.asarray, np.asarray(start, float) if numbers else start)


def _check(system: Any, steps: Any, time: Any) -> AbstractODE:
    """The flow about whose fixed points the run is; `InvalidInput` unless it can be run so."""
    if not isinstance(system, AbstractODE | AbstractMap):
        raise InvalidInput(f"a trajectory is of an ODE, a Flow or a map, not of {told(system)}.")
    require_one_value(system)
    wanted, other = ("steps", time) if isinstance(system, AbstractMap) else ("time", steps)
    given = steps if wanted == "steps" else time
    if given is None or other is not None:
        kind = "a map" if wanted == "steps" else "a flow"
        raise InvalidInput(f"how long {kind} runs is told by {wanted}=…, and by that alone.")
    return parts_of(system)[0]


def _by_steps(map_: AbstractMap, start, steps: int, kept, target, within) -> Trajectory:
    run = iterate(map_, start, steps, at_steps=kept, target=target, within=within)
    taken = int(run.steps)
    made = np.asarray(kept, int) <= taken
    w = jax.tree.map(lambda leaf: np.asarray(leaf)[made], run.checkpoints)
    rows = jax.vmap(lambda w: ravel_pytree(w)[0])(run.tail)
    tail = describe_tail(np.asarray(rows)[-int(run.tail_length) :])
    final = jax.tree.map(np.asarray, run.w)
    return Trajectory("steps", np.asarray(kept, int)[made], w, final, taken, _word(run), tail=tail)


def _word(run: Any) -> str:
    return STATUS[int(run.status)]


def _in_time(flow: AbstractODE, start, time, points: int, target, within) -> Trajectory:
    arrive = None if target is None else (target, within)
    path = integrate(flow, start, time, points=points, arrive=arrive)
    there = np.isfinite(np.asarray(path.ts))
    w = jax.tree.map(lambda leaf: np.asarray(leaf)[there], path.ws)
    status = TIME_STATUS[int(path.status)]
    final = jax.tree.map(np.asarray, path.w)
    return Trajectory("time", np.asarray(path.ts)[there], w, final, float(path.t), status)


def _with_nearest(found: Trajectory, flow: AbstractODE, loss: Any) -> Trajectory:
    """The trajectory with the loss where it ended, and the fixed point that is nearest to it."""
    leaves = jax.tree.leaves(found.final)
    if not all(np.all(np.isfinite(leaf)) for leaf in leaves):
        return found
    value = None if loss is None else float(loss(jax.tree.map(jnp.asarray, found.final)))
    near = distance = None
    if isinstance(found.final, np.ndarray) and found.final.ndim == 1:
        near = nearest_fixed_point(flow, found.final)
        distance = None if near is None else float(np.linalg.norm(near.w - found.final))
    settled = {"final_loss": value, "nearest": near, "distance": distance}
    return dataclasses.replace(found, **settled)
