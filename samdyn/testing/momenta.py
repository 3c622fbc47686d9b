"""Momentum: is it a linear filter with the edge and the gain that it tells?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..checks import require_kind
from ..dynamics.momentum import AbstractMomentum
from .asking import (
    as_pytree,
    attempt,
    points_in,
    require,
    require_compiled,
    require_like,
    require_numbers_vary,
    same,
)

STEPS = 20_000
HIGHEST = 1e4  # curvature times learning rate: beyond it nothing is looked for


def check_momentum(momentum: Any) -> None:
    """`InvalidInput`, one sentence, unless a momentum is what `AbstractMomentum` asks."""
    require_kind(momentum, AbstractMomentum, "a momentum such as samdyn.HeavyBall(0.9)")
    with jax.enable_x64(True):
        name = type(momentum).__name__
        _form(momentum, name)
        ds = points_in(4, 3)
        stacked = jnp.stack([ds, 2 * ds])
        require_compiled(lambda d: _steps(momentum, d), stacked, f"the step of {name}")
        require_numbers_vary(momentum, _steps, ds)
        _linear(momentum, name)
        _heavy_ball(momentum, name)
        _gain(momentum, name)
        _edge(momentum, name)


def _steps(momentum, ds):
    """The steps (n, d) that descent directions (n, d) cause."""
    buffer, steps = momentum.init(ds[0]), []
    for d in ds:
        buffer, step = momentum.update(buffer, d)
        steps.append(step)
    return jnp.stack(steps)


def _form(momentum: AbstractMomentum, name: str) -> None:
    for dtype in (jnp.float64, jnp.float32):
        v = points_in(4, 1, dtype=dtype)[0]
        for d in (v, as_pytree(v)):
            buffer = attempt(f"init of {name}", momentum.init, d)
            after, step = attempt(f"update of {name}", momentum.update, buffer, d)
            require_like(step, d, f"the step of {name}")
            require_like(after, buffer, f"the buffer of {name} after a step")
            kept = bool(jax.tree.leaves(buffer))
            told = "has a buffer" if kept else "has no buffer"
            require(
                kept == momentum.remembers,
                f"{name} {told}, but remembers is {momentum.remembers}.",
            )


def _linear(momentum: AbstractMomentum, name: str) -> None:
    one, other = points_in(4, 3, 1), points_in(4, 3, 2)
    together = _steps(momentum, 2 * one - 3 * other)
    apart = 2 * _steps(momentum, one) - 3 * _steps(momentum, other)
    require(same(together, apart), f"{name} is not linear in the descent direction.")


def _heavy_ball(momentum: AbstractMomentum, name: str) -> None:
    gamma = momentum.heavy_ball
    if gamma is None:
        return
    ds = points_in(4, 3, 3)
    expected, m = [], jnp.zeros(4)
    for d in ds:
        m = gamma * m + d
        expected.append(m)
    require(
        same(_steps(momentum, ds), jnp.stack(expected)),
        f"{name} declares heavy_ball, but its steps are not m⁺ = γm + d.",
    )
    if momentum.remembers:
        require_like(momentum.init(ds[0]), ds[0], f"the buffer of {name}, which is heavy ball's m,")


def _gain(momentum: AbstractMomentum, name: str) -> None:
    start = momentum.update(momentum.init(jnp.zeros(1)), jnp.ones(1))

    def later(carry, _):
        buffer, total = carry
        buffer, step = momentum.update(buffer, jnp.zeros(1))
        return (buffer, total + step), None

    total = float(jax.lax.scan(later, start, None, STEPS)[0][1][0])
    told = float(momentum.gain())
    require(
        same(told, total, 1e-6),
        f"gain of {name} is {told:g}, but one unit of descent causes {total:g} in all.",
    )


def _edge(momentum: AbstractMomentum, name: str) -> None:
    """The lowest curvature on which a step of rate 1 grows, by bisection."""
    state, unravel = ravel_pytree((jnp.zeros(1), momentum.init(jnp.zeros(1))))

    def step(y, a):
        w, buffer = unravel(y)
        buffer, move = momentum.update(buffer, a * w)
        return ravel_pytree((w - move, buffer))[0]

    matrix = jax.jit(lambda a: jax.jacfwd(step)(state, a))
    grows = lambda a: np.max(np.abs(np.linalg.eigvals(np.asarray(matrix(a))))) > 1 + 1e-12  # noqa: E731
    told = float(momentum.edge())
    tried = np.geomspace(1e-3, HIGHEST, 200)
    first = next((i for i, a in enumerate(tried) if grows(a)), None)
    if first is None:
        require(told >= HIGHEST, f"edge of {name} is {told:g}, but its steps are stable beyond.")
        return
    low, high = tried[first - 1] if first else 0.0, tried[first]
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    require(
        same(told, high, 1e-6),
        f"edge of {name} is {told:g}, but its steps grow from {high:.6g} on.",
    )
