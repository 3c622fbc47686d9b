"""Several steps of a map as one map, on the whole of its state: its fixed points are orbits."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import InvalidInput
from ...programs.batch import OnPoints
from .map import AbstractMap, State, StepOnState, flat_step


class Return(AbstractMap):
    """`times` steps of a map that are one, on the flat vector of the numbers of its state, of
    which w is the first `dim`.

    Whatever else the state holds (a flag that there has been a step) has the value that it has
    after one step.
    """

    step: AbstractMap
    dim: int = eqx.field(static=True)
    times: int = eqx.field(static=True, default=1)

    def init(self, w):
        return State(w, None)

    def __call__(self, state):
        once, v = flat_step(self.step, self._form())[0], state.w
        for _ in range(self.times):
            v = once(v)
        return State(v, None)

    def _form(self) -> State:
        """A state whose counters are those of a run on its way."""
        first = self.step.init(jnp.zeros(self.dim))
        return self.step(first) if jax.tree.leaves(_counters(first)) else first

    def parameters(self):
        return self.step.parameters()

    def with_values(self, values):
        return eqx.tree_at(lambda r: r.step, self, self.step.with_values(values))

    def at_radius(self, rho):
        return eqx.tree_at(lambda r: r.step, self, self.step.at_radius(rho))

    @property
    def jumps(self):
        return self.step.jumps

    @property
    def once(self) -> "Return":
        """A single step in the same form."""
        return Return(self.step, self.dim)

    def rest(self, w: Float[np.ndarray, "k dim"]) -> Float[np.ndarray, "k n"]:
        """The states that the map begins with at points."""
        return StepOnState(self.step, self.dim).rest(w)

    def on_states(self) -> OnPoints:
        """This map on many states at once."""
        return OnPoints(_Apply(self), self.rest(np.zeros((1, self.dim))).shape[1])


class _Apply(eqx.Module):
    """v ↦ the state after it."""

    map: Return

    def __call__(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.map(State(v, None)).w


def require_steady(step: AbstractMap, dim: int) -> None:
    """`InvalidInput` for a step that is another one later, since it counts."""
    begun = step.init(jnp.ones(dim))
    counts = getattr(getattr(step, "method", None), "counts", False)
    if not counts and jax.tree.leaves(_counters(begun)):
        first = step(begun)
        second = step(first)
        same = jax.tree.map(lambda a, b: bool(np.all(a == b)), _counters(first), _counters(second))
        counts = not all(jax.tree.leaves(same))
    if counts:
        raise InvalidInput(
            "this step counts, and is another one later (a schedule, a bias correction): it has no "
            "orbits of its own."
        )


def _counters(state: Any) -> Any:
    return eqx.filter(state, lambda leaf: eqx.is_array(leaf) and not eqx.is_inexact_array(leaf))
