"""The default step: small against the drift's fastest rate and against the size of the region.

Of the errors in a mean exit time, the scheme's own is about ½·dt·rate relatively for
Euler–Maruyama and (dt·rate)²/6 for the second-order scheme; that of the exit correction grows
with the distance s√dt that noise covers in a step, measured in units of the region's size.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...compiling import jit_for_few_runs
from ...dynamics.regions.borders import nearest_border
from .stepping.schemes import AbstractScheme
from .stepping.stepper import AbstractStepper

STABLE = 0.5  # dt times the fastest rate seen
REACH = 0.1  # s√dt as a share of the largest distance from the border
THROWN = 2.0  # dt times the rate from which pilots are thrown to where no path comes
FINER, ROUNDS = 16, 8
PILOT, LOOKS, STEPS = 64, 8, 64  # paths, looks, and steps between them


def default_dt(scheme: type[AbstractScheme], diffusion, region, start) -> float:
    """The step for a scheme, from rates seen by pilot paths on their way through the region."""
    stepper, shrink = scheme(diffusion, region, start, 1.0), 1.0
    for _ in range(ROUNDS):
        scales = _scales(stepper, jnp.asarray(shrink, stepper.start.dtype))
        typical, fastest, spread, gap, pilot_dt = (float(v) for v in scales)
        if pilot_dt * fastest <= THROWN:
            break
        shrink /= FINER
    if region.is_predicate(start):  # no distance, but a nearest border
        gap = nearest_border(region, np.asarray(start, float))
    limits = [scheme.accurate / typical if typical > 0 else np.inf]
    limits.append(STABLE / fastest if fastest > 0 else np.inf)
    limits.append((REACH * gap) ** 2 / spread if spread > 0 else np.inf)
    dt = min(limits)
    return dt if np.isfinite(dt) else 1.0


@jit_for_few_runs
def _scales(stepper: AbstractStepper, shrink):
    """(typical and largest rate of the drift, largest border variance per time, largest gap, dt).

    `stepper.dt` is 1; the pilots' own step is multiplied by `shrink`. A rate is the norm of the
    drift's Jacobian.
    """
    slope = stepper.slope  # pyright: ignore
    rate = jax.vmap(lambda y: jnp.linalg.norm(jax.jacfwd(slope)(y), 2))
    paths = jnp.broadcast_to(stepper.start, (PILOT, stepper.start.size))
    first = rate(paths)
    # either limit may be infinite, and a region without scale at its centre has no border yet
    noisy: Any = stepper.noise  # pyright: ignore
    columns = jax.vmap(lambda z: noisy(stepper.start, z))(jnp.eye(stepper.draws, dtype=first.dtype))
    noise, gap = jnp.sum(columns**2), stepper.gap(stepper.start)
    watched = stepper.region.is_predicate(stepper.position(stepper.start))
    tiny = np.asarray(1e-30, first.dtype)
    dt = jnp.minimum(0.05 / jnp.maximum(first[0], tiny), (REACH * gap) ** 2 / (noise + tiny))
    dt = dt * shrink
    pilot = eqx.tree_at(lambda s: s.dt, stepper, dt)

    def look(paths, key):
        paths = jax.lax.fori_loop(0, STEPS, lambda i, p: _advance(pilot, p, key, i), paths)
        return paths, (rate(paths), jax.vmap(variance)(paths), jax.vmap(stepper.gap)(paths))

    def variance(y):
        value = stepper.border_variance(y)
        if value is not None:
            return value
        # without a distance there is no direction towards the border: an average over all
        return noise / y.size if watched else jnp.zeros((), y.dtype)

    _, (later, spread, gap) = jax.lax.scan(look, paths, jax.random.split(jax.random.key(0), LOOKS))
    rates = jnp.concatenate([first, later.ravel()])
    rates = jnp.where(jnp.isfinite(rates), rates, first[0])
    typical = jnp.sqrt(jnp.mean(rates**2))
    farthest = jnp.maximum(jnp.max(gap), stepper.gap(stepper.start))
    return typical, jnp.max(rates), jnp.max(spread), farthest, dt


def _advance(stepper: AbstractStepper, paths, key, i):
    """One step; a path that would leave stays where it was."""
    z = jax.random.normal(jax.random.fold_in(key, i), (PILOT, stepper.draws), paths.dtype)
    after = jax.vmap(stepper.step)(paths, z)
    inside = (jax.vmap(stepper.gap)(after) > 0) & jnp.all(jnp.isfinite(after), axis=1)
    return jnp.where(inside[:, None], after, paths)
