"""The default step: small against the drift's fastest rate and against the size of the region.

Of the errors in a mean exit time, the scheme's own is about ½·dt·rate relatively for
Euler–Maruyama and (dt·rate)²/6 for the second-order scheme; that of the exit correction grows
with the distance s√dt that noise covers in a step, measured in units of the region's size.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .schemes import SCHEMES
from .stepper import AbstractStepper

RATE = {"euler": 0.002, "heun": 0.03}  # dt times the drift's rate, root mean square over paths
STABLE = 0.5  # dt times the fastest rate seen
REACH = 0.1  # s√dt as a share of the distance from the start to the border
PILOT, LOOKS, STEPS = 64, 8, 64  # paths, looks, and steps between them


def default_dt(scheme: str, diffusion, region, start) -> float:
    """The step for a scheme, from rates seen by pilot paths on their way through the region."""
    scales = _scales(SCHEMES[scheme](diffusion, region, start, 1.0))
    typical, fastest, spread, gap = (float(v) for v in scales)
    limits = [RATE[scheme] / typical if typical > 0 else np.inf]
    limits.append(STABLE / fastest if fastest > 0 else np.inf)
    limits.append((REACH * gap) ** 2 / spread if spread > 0 else np.inf)
    dt = min(limits)
    return dt if np.isfinite(dt) else 1.0


@eqx.filter_jit
def _scales(stepper: AbstractStepper):
    """(typical and largest rate of the drift, border variance per time, gap at the start).

    `stepper.dt` is 1. A rate is the norm of the drift's Jacobian.
    """
    slope = stepper.slope  # pyright: ignore[reportAttributeAccessIssue]
    rate = jax.vmap(lambda y: jnp.linalg.norm(jax.jacfwd(slope)(y), 2))
    paths = jnp.broadcast_to(stepper.start, (PILOT, stepper.start.size))
    first = rate(paths)
    dt = np.asarray(0.05, first.dtype) / jnp.maximum(first[0], np.asarray(1e-30, first.dtype))
    pilot = eqx.tree_at(lambda s: s.dt, stepper, dt)

    def look(paths, key):
        paths = jax.lax.fori_loop(0, STEPS, lambda i, p: _advance(pilot, p, key, i), paths)
        return paths, rate(paths)

    _, later = jax.lax.scan(look, paths, jax.random.split(jax.random.key(0), LOOKS))
    rates = jnp.concatenate([first, later.ravel()])
    rates = jnp.where(jnp.isfinite(rates), rates, first[0])
    variance = stepper.border_variance(stepper.start)
    typical = jnp.sqrt(jnp.mean(rates**2))
    return (
        typical,
        jnp.max(rates),
        0.0 if variance is None else variance,
        stepper.gap(stepper.start),
    )


def _advance(stepper: AbstractStepper, paths, key, i):
    """One step; a path that would leave stays where it was."""
    z = jax.random.normal(jax.random.fold_in(key, i), (PILOT, stepper.draws), paths.dtype)
    after = jax.vmap(stepper.step)(paths, z)
    inside = (jax.vmap(stepper.gap)(after) > 0) & jnp.all(jnp.isfinite(after), axis=1)
    return jnp.where(inside[:, None], after, paths)
