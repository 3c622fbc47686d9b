"""Schemes: does the law of a step agree with that of the SDE, to weak order 1?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import told
from ..dynamics.regions.regions import Ball
from ..dynamics.systems.sde import SDE
from ..errors import InvalidInput
from ..escape.engine.stepping.schemes import AbstractScheme, name_of
from .asking import attempt, require, require_compiled, require_like

LAWS = ("normal", "binomial")
WIDEST, FINEST = 0.06, 0.003  # what `stable` and `accurate` promise of a variance


def check_scheme(scheme: Any) -> None:
    """`InvalidInput`, one sentence, unless a scheme, a class, is what `AbstractScheme` asks.

    The moments of one step are compared with those of two linear SDEs, by quadrature over z: they
    may differ by O(dt²), which makes O(dt) in all.
    """
    if not (isinstance(scheme, type) and issubclass(scheme, AbstractScheme)):
        raise InvalidInput(f"a scheme is a subclass of AbstractScheme, not {told(scheme)}.")
    with jax.enable_x64(True):
        name = name_of(scheme)
        ball = Ball(jnp.zeros(1), 5.0)
        _form(scheme, name, ball)
        _order(scheme, name, ball, _returning(), _returning_moments)
        if not scheme.additive_only:
            _order(scheme, name, ball, _growing(), _growing_moments)
        _limits(scheme, name, ball)


def _returning() -> SDE:
    return SDE(lambda w, args: -w, lambda w, args: jnp.full((1, 1), 0.6, w.dtype))


def _returning_moments(y: float, dt: float) -> tuple[float, float]:
    """Mean and variance of dw = −w dt + 0.6 dW after dt."""
    return y * np.exp(-dt), -0.18 * np.expm1(-2 * dt)


def _growing() -> SDE:
    return SDE(lambda w, args: 0.5 * w, lambda w, args: 0.7 * w[:, None])


def _growing_moments(y: float, dt: float) -> tuple[float, float]:
    """Of dw = w dt/2 + 0.7 w dW."""
    return y * np.exp(0.5 * dt), y**2 * np.exp(dt) * np.expm1(0.49 * dt)


def _form(scheme: type[AbstractScheme], name: str, ball: Ball) -> None:
    two = SDE(lambda w, args: -w, lambda w, args: jnp.eye(2, 3, dtype=w.dtype))
    wide = Ball(jnp.zeros(2), 5.0)
    for dtype in (jnp.float64, jnp.float32):
        made: Any = attempt(name, scheme, two, wide, jnp.ones(2, dtype), 0.01)
        require(
            made.draws == 3, f"draws of {name} is {made.draws} for an SDE that has 3 to a step."
        )
        require(made.law in LAWS, f"law of {name} is one of {', '.join(LAWS)}, not {made.law!r}.")
        y, z = jnp.ones(2, dtype), jnp.ones(3, dtype)
        after = attempt(f"step of {name}", made.step, y, z)
        require_like(after, y, f"a state after a step of {name}")
        require_like(made.position(y), y, f"position of {name}")
    made = scheme(two, wide, jnp.ones(2), 0.01)
    points = jnp.asarray([[1.0, 0.5], [-0.3, 0.2]])
    require_compiled(lambda y: made.step(y, jnp.ones(3)), points, f"a step of {name}")
    barred = scheme.barred
    require(
        barred is None or issubclass(barred, AbstractScheme),
        f"barred of {name} is None or a scheme.",
    )


def _draws(law: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of z and their weights, with the moments of the law."""
    if law == "binomial":
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    z, weights = np.polynomial.hermite_e.hermegauss(20)
    return z, weights / np.sum(weights)


def _order(scheme, name: str, ball: Ball, sde: SDE, exact) -> None:
    start, errors = 0.8, []
    for dt in (0.02, 0.01):
        made = scheme(sde, ball, jnp.asarray([start]), dt)
        z, weights = _draws(made.law)
        step = jax.vmap(lambda z: made.step(made.start, z))  # noqa: B023
        after = np.asarray(step(jnp.asarray(z)[:, None]))[:, 0]
        mean = float(np.sum(weights * after))
        variance = float(np.sum(weights * (after - mean) ** 2))
        errors.append(np.abs(np.array([mean, variance]) - exact(start, dt)))
    hint = "" if sde.is_additive(jnp.zeros(1)) else ", where noise depends on w: additive_only?"
    falls = (errors[0] >= 2**1.8 * errors[1]) | (errors[1] < 1e-12)
    for what, right in zip(("mean", "variance"), falls, strict=True):
        require(
            right,
            f"the {what} of a step of {name} is not that of the SDE to O(dt²), so that its weak "
            f"order is below 1{hint or '.'}",
        )


def _limits(scheme: type[AbstractScheme], name: str, ball: Ball) -> None:
    """`accurate` and `stable`, by the variance in which dw = −w dt + 0.6 dW comes to rest."""
    require(
        0 < scheme.accurate <= scheme.stable,
        f"{name} needs 0 < accurate ≤ stable, not {scheme.accurate:g} and {scheme.stable:g}.",
    )
    for what, most in (("accurate", FINEST), ("stable", WIDEST)):
        made = scheme(_returning(), ball, jnp.asarray([0.8]), getattr(scheme, what))
        zero = jnp.zeros(1)
        kept, kicked = (float(x.squeeze()) for x in jax.jacfwd(made.step, (0, 1))(zero, zero))
        variance = kicked**2 / (1 - kept**2) if abs(kept) < 1 else np.inf
        error = abs(variance / 0.18 - 1)
        require(
            error <= most,
            f"{what} of {name} is too long a step: with dt·rate = {getattr(scheme, what):g} the "
            f"variance of a path is off by {100 * error:.2g} %, more than {100 * most:g} %.",
        )
