"""Systems: are states of one form, is time left out, can every number be varied?"""

from typing import Any

import jax
import jax.numpy as jnp

from ..checks import require_kind
from ..dynamics.systems.map import AbstractMap, State, flat_step
from ..dynamics.systems.ode import AbstractODE
from ..dynamics.systems.sde import AbstractSDE
from ..dynamics.tree import as_dtype
from .asking import attempt, require, require_compiled, require_like, require_numbers_vary, same


def check_ode(ode: Any, at: Any) -> None:
    """`InvalidInput`, one sentence, unless a flow is what `AbstractODE` asks, at and near `at`."""
    require_kind(ode, AbstractODE, "a flow such as samdyn.ODE(field)")
    with jax.enable_x64(True):
        w, name = _start(at), type(ode).__name__
        velocity = attempt(f"velocity of {name}", ode.velocity, w)
        require_like(velocity, w, f"velocity of {name}")
        for t in (0.0, 1.0, 7.5):
            moved = attempt(f"{name} at time {t:g}", ode, jnp.asarray(t), w)
            require(
                same(moved, velocity),
                f"{name} is another one at another time: a flow is autonomous.",
            )
        require_compiled(ode.velocity, _two(w), f"velocity of {name}")
        ahead = attempt(f"perturbed of {name}", ode.perturbed, w)
        require_like(ahead, w, f"perturbed of {name}")
        require(
            ode.ascends or same(ahead, w),
            f"perturbed of {name} is not w, but ascends is False.",
        )
        zeros = attempt(f"critical of {name}", ode.critical)
        require_like(attempt(f"critical of {name}", zeros, w), w, f"critical of {name}")
        require_numbers_vary(ode, lambda ode, w: ode.velocity(w), w)


def check_map(map_: Any, at: Any) -> None:
    """`InvalidInput`, one sentence, unless a map is what `AbstractMap` asks, at and near `at`."""
    require_kind(map_, AbstractMap, "a map such as samdyn.Map(step)")
    with jax.enable_x64(True):
        w, name = _start(at), type(map_).__name__
        state = attempt(f"init of {name}", map_.init, w)
        require(isinstance(state, State), f"init of {name} must give a State(w, memory, ascent).")
        require_like(state.w, w, f"w in the first state of {name}")
        require(same(state.w, w), f"init of {name} must leave w as it is.")
        after = attempt(f"a step of {name}", map_, state)
        require_like(after, state, f"a state after a step of {name}")
        attempt(f"a step of {name} on a flat state", lambda: flat_step(map_, state)[0])
        step = lambda w: map_(map_(map_.init(w)))  # noqa: E731
        require_compiled(step, _two(w), f"a step of {name}")
        require(
            map_.flow is None or isinstance(map_.flow, AbstractODE),
            f"flow of {name} is a flow such as samdyn.ODE(field), or None.",
        )
        require_numbers_vary(map_, lambda m, w: m(m.init(w)), w)


def check_sde(sde: Any, at: Any) -> None:
    """`InvalidInput`, one sentence, unless an SDE is what `AbstractSDE` asks, at and near `at`."""
    require_kind(sde, AbstractSDE, "an SDE such as samdyn.SDE(drift, dispersion)")
    with jax.enable_x64(True):
        w, name = _start(at), type(sde).__name__
        known = ("Itô", "Stratonovich")
        require(
            getattr(sde, "interpretation", None) in known,
            f"interpretation of {name} is one of {', '.join(known)}.",
        )
        y = attempt(f"init of {name}", sde.init, w)
        require_like(sde.position(y), w, f"position of {name}")
        require(same(sde.position(y), w), f"position of {name} does not give w back.")
        pair = isinstance(y, tuple) and len(y) == 2
        require(pair or not sde.inertial, f"{name} is inertial, but its state is not (w, m).")
        draws = attempt(f"draws of {name}", sde.draws, w)
        whole = isinstance(draws, int) and draws >= 1
        require(whole, f"draws of {name} is a whole number ≥ 1, not {draws!r}.")
        z = jnp.sin(jnp.arange(2 * draws, dtype=jnp.float64)).reshape(2, -1)
        require_like(attempt(f"drift of {name}", sde.drift, y), y, f"drift of {name}")
        kicks = [attempt(f"disperse of {name}", sde.disperse, y, part) for part in z]
        require_like(kicks[0], y, f"disperse of {name}")
        linear = jax.tree.map(lambda a, b: 2 * a - 3 * b, *kicks)
        require(
            same(sde.disperse(y, 2 * z[0] - 3 * z[1]), linear),
            f"disperse of {name} is not linear in z.",
        )
        if sde.is_additive(w):
            near = sde.disperse(sde.init(jax.tree.map(lambda leaf: leaf + 0.1, w)), z[0])
            require(same(near, kicks[0]), f"{name} is additive, but its noise depends on w.")
        if sde.uniform:
            square = sde.matrix(y) @ sde.matrix(y).T
            equal = same(square, square[0, 0] * jnp.eye(len(square))) and sde.is_additive(w)
            require(equal, f"{name} is uniform, but its noise differs by direction or by place.")
        require(
            sde.accepts(sde.default_solver()),
            f"{name} does not accept its own default_solver.",
        )
        moved = lambda w: (sde.drift(sde.init(w)), sde.disperse(sde.init(w), z[0]))  # noqa: E731
        require_compiled(moved, _two(w), f"drift and disperse of {name}")
        both = lambda s, w: (s.drift(s.init(w)), s.disperse(s.init(w), z[0]))  # noqa: E731
        require_numbers_vary(sde, both, w)


def _start(at: Any) -> Any:
    return as_dtype(jax.tree.map(jnp.asarray, at), jnp.float64)


def _two(w: Any) -> Any:
    """Two points, near one another, along a first axis of every leaf."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 0.01]), w)
