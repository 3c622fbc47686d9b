"""The default step: small against the drift's fastest rate and against the size of the region.

Of the errors in a mean exit time, the scheme's own is about ½·dt·rate relatively for
Euler–Maruyama and (dt·rate)²/6 for the second-order scheme; that of the exit correction grows
with the distance s√dt that noise covers in a step, measured in units of the region's size.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...dynamics.regions.borders import nearest_border
from ...dynamics.tree import as_dtype
from ...programs.batch import OnPoints
from .stepping.schemes import AbstractScheme
from .watch import See

STABLE = 0.5  # dt times the fastest rate seen
REACH = 0.1  # s√dt as a share of the largest distance from the border
THROWN = 2.0  # dt times the rate from which pilots are thrown to where no path comes
FINER, ROUNDS = 16, 8
PILOT, LOOKS, STEPS = 64, 8, 64  # paths, looks, and steps between them
TINY = 1e-30


def default_dt(scheme: type[AbstractScheme], diffusion, region, start) -> float:
    """The step for a scheme, from rates seen by pilot paths on their way through the region.

    It does not depend on the precision in which paths are to be run.
    """
    with jax.enable_x64(True):
        stepper = as_dtype(scheme(diffusion, region, start, 1.0), jnp.float64)
        pilots, shrink = _Pilots(stepper), 1.0
        for _ in range(ROUNDS):
            seen = pilots.look(shrink)
            if seen.dt * seen.fastest <= THROWN:
                break
            shrink /= FINER
    gap = seen.gap
    if region.is_predicate(start):  # no distance, but a nearest border
        gap = nearest_border(region, np.asarray(start, float))
    limits = [scheme.accurate / seen.typical if seen.typical > 0 else np.inf]
    limits.append(STABLE / seen.fastest if seen.fastest > 0 else np.inf)
    limits.append((REACH * gap) ** 2 / seen.spread if seen.spread > 0 else np.inf)
    dt = min(limits)
    return dt if np.isfinite(dt) else 1.0


class _Scales(NamedTuple):
    """Typical (root mean square) and largest rate of the drift, the largest variance per time
    towards the border, the largest gap, and the pilots' own step.

    A rate is the spectral norm of the drift's Jacobian.
    """

    typical: float
    fastest: float
    spread: float
    gap: float
    dt: float


class _Pilots:
    """A few paths of a stepper whose `dt` is 1."""

    def __init__(self, stepper: Any):
        self.stepper, self.size = stepper, stepper.start.size
        self.start = np.asarray(stepper.start, float)
        self.slope = OnPoints(_Slope(stepper), self.size)
        self.border = OnPoints(_Border(stepper), self.size)
        seen = OnPoints(See(stepper), self.size).values(self.start[None])[0]
        self.noise = np.sum(seen[self.size : -1] ** 2)

    def look(self, shrink: float) -> _Scales:
        """What they see; their step is multiplied by `shrink`."""
        first, (_, gap) = self._rates(self.start[None]), self.border.values(self.start[None])[0]
        # either limit may be infinite, and a region without scale at its centre has no border yet
        dt = min(0.05 / max(first[0], TINY), (REACH * gap) ** 2 / (self.noise + TINY)) * shrink
        step = OnPoints(
            _Inside(eqx.tree_at(lambda s: s.dt, self.stepper, jnp.asarray(dt))), *self._row
        )
        paths = np.repeat(self.start[None], PILOT, axis=0)
        draws = np.random.RandomState(0)  # whose numbers never change
        rates, spreads, gaps = [np.repeat(first, PILOT)], [], [gap]
        for _ in range(LOOKS):
            for z in draws.normal(size=(STEPS, PILOT, self.stepper.draws)):
                paths = step.values(np.concatenate([paths, z], axis=1))
            seen = self.border.values(paths)
            rates.append(self._rates(paths))
            spreads.append(np.max(seen[:, 0]))
            gaps.append(np.max(seen[:, 1]))
        rate = np.concatenate(rates)
        rate = np.where(np.isfinite(rate), rate, first[0])
        # without a distance there is no direction towards the border: an average over all
        watched = self.stepper.region.is_predicate(self.stepper.position(self.stepper.start))
        spread = self.noise / self.size if watched else max(spreads)
        return _Scales(np.sqrt(np.mean(rate**2)), np.max(rate), spread, max(gaps), dt)

    @property
    def _row(self) -> tuple[int]:
        return (self.size + self.stepper.draws,)

    def _rates(self, states: np.ndarray) -> np.ndarray:
        jacobians = self.slope.with_jacobians(states)[1]
        finite = np.all(np.isfinite(jacobians), axis=(1, 2))
        safe = np.where(finite[:, None, None], jacobians, 0)
        return np.where(finite, np.linalg.norm(safe, 2, axis=(1, 2)), np.nan)


class _Slope(eqx.Module):
    """The drift at a state."""

    stepper: Any

    def __call__(self, y):
        return self.stepper.slope(y)


class _Border(eqx.Module):
    """(variance per time towards the border, 0 where there is no direction; gap) at a state."""

    stepper: Any

    def __call__(self, y):
        variance = self.stepper.border_variance(y)
        return jnp.stack([jnp.zeros(()) if variance is None else variance, self.stepper.gap(y)])


class _Inside(eqx.Module):
    """(state, draws) ↦ the state one step later; a path that would leave stays where it was."""

    stepper: Any

    def __call__(self, row):
        y, z = row[: self.stepper.start.size], row[self.stepper.start.size :]
        after = self.stepper.step(y, z)
        inside = (self.stepper.gap(after) > 0) & jnp.all(jnp.isfinite(after))
        return jnp.where(inside, after, y)
