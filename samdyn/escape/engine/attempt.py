"""How a run is made: scheme, step, precision; and whether it must be made again, finer.

A first attempt takes the step from pilot paths. What its paths then saw may show that the step
was too long; the run starts over with a shorter one where that can be afforded. Every decision
depends on the set of paths alone, never on which machine ran them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...compiling import jit_for_few_runs
from ...dynamics import resolution
from ...dynamics.regions.regions import AbstractRegion, require_inside
from ...dynamics.systems.sde import AbstractSDE
from ...dynamics.tree import as_dtype
from ...errors import InvalidInput
from ...programs.batch import OnPoints
from ..statistics import ESCAPED, FAILED
from .patience import MOST
from .step_size import default_dt
from .stepping.schemes import AbstractScheme, MapStepper, as_scheme
from .stepping.stepper import AbstractStepper
from .watch import UNSTABLE, Finding, Watch, look

FAR = 1e8  # how far away a border is looked for
FINER = 16  # times, at once: paths that are thrown about see rates that others never meet
BUDGET = 3e9  # path-steps that a finer attempt may take without being asked for
SHORTEST = 100_000  # steps of a path that a finer attempt may take whatever their number
ATTEMPTS = 8
DRAWS = 16  # steps of a map that measure its noise


class Attempt(NamedTuple):
    """Dynamics, region and start (d,) in `dtype`, and how steps are taken.

    `most` is how many steps of a path are waited for where nobody said; `barred` tells that no
    step may cross where the noise vanishes. `number` counts attempts from 0.
    """

    dynamics: Any
    region: Any
    start: Any
    dtype: str
    scheme: type[AbstractScheme] | None
    dt: float | None
    barred: bool = False
    most: int = MOST
    number: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What tells it from the first attempt."""
        names = ("dtype", "dt", "barred", "most", "number")
        return {name: getattr(self, name) for name in names}

    def most_steps(self, max_time: float | None, dt: float | None = None) -> int | None:
        """The last step of a path at `max_time`."""
        if max_time is None:
            return None
        step = self.dt if self.dt is not None else float(self.dynamics.learning_rate)
        return int(np.ceil(max_time / (dt or step) * (1 - 1e-6)))


class Problem:
    """What was asked, and what has been found out about it."""

    def __init__(self, dynamics, start, region, scheme, dt, dtype, max_time, paths: int):
        self.dynamics, self.start, self.region = dynamics, start, region
        self.scheme, self.dt, self.dtype = scheme, dt, np.dtype(dtype).name
        self.max_time, self.paths = max_time, paths
        self.warnings: list[str] = []
        self.watch: Watch | None = None

    def first(self) -> Attempt:
        """The first attempt; `InvalidInput` if the problem is none."""
        attempt = self._cast(self.dtype)
        require_inside(attempt.region, attempt.start)
        _require_border(attempt.region, np.asarray(attempt.start, np.float64))
        attempt = self._scheme(attempt)
        stepper = self.stepper(attempt)
        if isinstance(attempt.dynamics, AbstractSDE):
            self.watch = Watch(stepper)
            start, length = self.watch.start, self._step_length(attempt)
        else:
            start, length = np.asarray(stepper.start, np.float64), _map_noise(stepper)
        if not np.any(length > 0):
            _require_noise(attempt.dynamics, attempt.start)
        size = np.size(attempt.start)
        return self._in_finer_numbers(attempt, length[:size], start[:size])

    def again(self, stored: dict[str, Any]) -> Attempt:
        """The attempt that a results folder tells of."""
        first = self._scheme(self._cast(stored["dtype"]), stored["dt"])
        return first._replace(**stored)

    def watched(self, attempt: Attempt) -> bool:
        """Whether a diffusion is only seen inside or outside, at the ends of its steps."""
        diffusion = isinstance(attempt.dynamics, AbstractSDE) and not attempt.dynamics.inertial
        return diffusion and attempt.region.is_predicate(jnp.asarray(attempt.start))

    def stepper(self, attempt: Attempt) -> AbstractStepper:
        """What advances the paths."""
        parts = (attempt.dynamics, attempt.region, attempt.start)
        if attempt.scheme is None:
            return MapStepper(*parts)
        scheme = (attempt.barred and attempt.scheme.barred) or attempt.scheme
        return scheme(*parts, attempt.dt)

    def _cast(self, dtype: str) -> Attempt:
        whole = (self.dynamics, self.region, jnp.asarray(self.start))
        dynamics, region, start = as_dtype(whole, jnp.dtype(dtype))
        return Attempt(dynamics, region, start, dtype, None, None)

    def _scheme(self, attempt: Attempt, dt: float | None = None) -> Attempt:
        dynamics, scheme, dt = attempt.dynamics, self.scheme, dt or self.dt
        if not isinstance(dynamics, AbstractSDE):
            if scheme is not None or dt is not None:
                raise InvalidInput("a step map takes the optimizer's own steps: no scheme, no dt.")
            return attempt
        if dynamics.interpretation != "Itô":
            raise InvalidInput(
                f"paths are simulated in Itô form, and this is {dynamics.interpretation}: convert "
                "it with .ito()."
            )
        scheme = as_scheme(scheme, dynamics.is_additive(attempt.start))
        if dt is None:
            dt = default_dt(scheme, dynamics, attempt.region, attempt.start)
        return attempt._replace(scheme=scheme, dt=float(dt))

    def _step_length(self, attempt: Attempt) -> np.ndarray:
        """How far noise takes each component in a step at the start.

        With momentum it moves the parameters by the spread of m, which friction bounds.
        """
        assert self.watch is not None
        noise = self.watch.see(self.watch.start[None]).noise[0]
        dt = float(attempt.dt or 0)
        if not attempt.dynamics.inertial:
            return noise * np.sqrt(dt)
        dynamics, size = attempt.dynamics, len(noise) // 2
        friction = float((1 - dynamics.momentum.heavy_ball) / dynamics.learning_rate)
        return np.concatenate([noise[size:] * dt / np.sqrt(2 * friction), noise[size:] * dt**0.5])

    def _in_finer_numbers(self, attempt: Attempt, length, at) -> Attempt:
        """`attempt` in a dtype that resolves steps of `length` `at` these coordinates."""
        wider = resolution.dtype_for(length, at, attempt.dtype)
        if wider == attempt.dtype:
            return attempt
        self._say(
            f"{resolution.too_short(length, at, attempt.dtype)} The paths are run in {wider} "
            f"(--dtype {wider})."
        )
        other = self._cast(wider)
        return other._replace(
            scheme=attempt.scheme, dt=attempt.dt, barred=attempt.barred, most=attempt.most
        )

    def _say(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def judge(self, attempt: Attempt, status: np.ndarray, points: np.ndarray, alone: bool):
        """The attempt to make instead, or None; `status` (n,) loses exits that are none.

        Without momentum and beyond the largest number no step is right: paths that fail twice
        are left as they are. `alone`: whether this process decides for no others.
        """
        if self.watch is None or attempt.dt is None or not len(status):
            return None
        user = self.dt is not None
        limit = UNSTABLE if user or attempt.scheme is None else attempt.scheme.stable
        found = look(self.watch, attempt.dt, limit, status, points)
        may = alone and attempt.number < ATTEMPTS
        if found.barred and not attempt.barred:
            return self._bar(attempt, may)
        if found.barred:
            exits = np.flatnonzero(status == ESCAPED)
            across = exits[self.watch.barred(points[exits])]
            status[across] = FAILED
            self._say(
                f"{len(across)} paths crossed all the same, in steps too long for how the noise "
                "varies there; they count as failed: take a smaller dt (--dt)."
            )
        failing = found.failed > 0 and attempt.number < 2
        if found.rate * attempt.dt <= limit and not failing and not found.wrong:
            return self._resolved(attempt, points[status == ESCAPED], may)
        finer = self._finer(attempt, found, limit)
        if user or not may or finer is None:
            self._tell(attempt, found, limit, status, points, user)
            return None
        return finer

    def _bar(self, attempt: Attempt, may: bool) -> Attempt | None:
        size = np.size(attempt.start)
        may = may and attempt.scheme is not None and attempt.scheme.barred is not None
        self._say(
            "the noise vanishes on the way to an exit, and the drift points back there: no path "
            "of the process crosses, but a step can. "
            + ("Such steps are not made." if may and size <= 3 else "Exits beyond are its errors.")
        )
        if not may or size > 3:
            return None
        return attempt._replace(barred=True, number=attempt.number + 1)

    def _resolved(self, attempt: Attempt, exits: np.ndarray, may: bool) -> Attempt | None:
        """In numbers that are fine enough where paths have been; None if they are."""
        assert self.watch is not None
        if not len(exits) or not may:
            return None
        length, farthest = self._step_length(attempt), np.max(np.abs(exits), axis=0)
        finer = self._in_finer_numbers(attempt, length[: len(farthest)], farthest)
        return None if finer is attempt else finer._replace(number=attempt.number + 1)

    def _finer(self, attempt: Attempt, found: Finding, limit: float) -> Attempt | None:
        """With a shorter step; None where that would take too long."""
        dt = float(attempt.dt or 0)
        wanted = limit / 2 / found.rate if found.rate > 0 else np.inf
        finer = max(dt / FINER, min(wanted, dt / 2)) if found.rate * dt > limit else dt / FINER
        steps = attempt.most_steps(self.max_time, finer)
        if steps is not None and steps * self.paths > BUDGET:
            return None
        most = int(np.clip(BUDGET / self.paths, SHORTEST, MOST))
        return attempt._replace(dt=finer, most=most, number=attempt.number + 1)

    def _tell(self, attempt, found: Finding, limit: float, status, points, user: bool) -> None:
        assert self.watch is not None
        dt = attempt.dt
        if found.rate * dt > limit or found.wrong:
            right = limit / 2 / found.rate if 0 < found.rate < np.inf else dt / FINER
            text = (
                f"the drift is stiff where paths have been: dt {dt:.3g} times its rate is "
                f"{found.rate * dt:.3g} there, above {limit:g}, so that the steps are unstable or "
                f"inexact; take a smaller dt (--dt), about {right:.2g}. "
                f"{found.wrong} of {found.looked} exits looked at happened there"
            )
            if not user:
                wrong = np.flatnonzero(status == ESCAPED)
                if 2 * found.wrong <= found.looked:  # else none can be believed
                    wrong = wrong[self.watch.suspects(points[wrong], dt, limit)]
                status[wrong] = FAILED
                text += f"; {len(wrong)} paths that left so count as failed"
            self._say(text + ".")
        if found.failed:
            self._say(
                f"{found.failed} paths came to values that are not finite: either the drift "
                "explodes or dt (--dt) is too large for it."
            )


def _map_noise(stepper: AbstractStepper) -> np.ndarray:
    """Standard deviation of each component of a map's step at the start."""
    rng = np.random.default_rng(0)
    shape = (DRAWS, stepper.draws)
    if stepper.law == "words":
        z = rng.integers(2**32, size=shape, dtype=np.uint32)
    else:
        z = rng.normal(size=shape).astype(stepper.start.dtype)
    wide = as_dtype(stepper, jnp.float64)
    z = jnp.asarray(z if stepper.law == "words" else z.astype(np.float64))
    return np.std(np.asarray(_steps_from_start(wide, z), np.float64), axis=0)


@jit_for_few_runs
def _steps_from_start(stepper: AbstractStepper, z: Array) -> Array:
    return jax.vmap(lambda z: stepper.step(stepper.start, z))(z)


def _require_border(region: AbstractRegion, start: np.ndarray) -> None:
    """Refuse a region that contains every point tried in all directions."""
    directions = np.concatenate([np.eye(start.size), -np.eye(start.size)])
    extra = np.random.default_rng(0).normal(size=(64, start.size))
    directions = np.concatenate([directions, extra / np.linalg.norm(extra, axis=1)[:, None]])
    reach = np.geomspace(1e-3, FAR, 45)
    points = start + reach[:, None, None] * directions
    distance = OnPoints(region.distance, start.size).values(points)
    if np.all(distance > 0):
        raise InvalidInput(
            f"the region {region} can't be left: no border was found around {start}."
        )


def _require_noise(dynamics: Any, start: Any) -> None:
    """Refuse a system whose noise vanishes about the start as well: all paths would be the same."""
    if not isinstance(dynamics, AbstractSDE) and dynamics.law == "words":
        return
    rng, size = np.random.default_rng(0), np.shape(start)
    z = jnp.asarray(rng.normal(size=dynamics.draws(start)), start.dtype)
    shifts = rng.normal(size=(8, *size)) * 0.1
    for shift in shifts:
        y = dynamics.init(start + jnp.asarray(shift, start.dtype))
        if isinstance(dynamics, AbstractSDE):
            moved = dynamics.disperse(y, z)
        else:
            one, other = dynamics.step(y, z), dynamics.step(y, -z)
            moved = jax.tree.map(jnp.subtract, one, other)
        if any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(moved)):
            return
    raise InvalidInput("the noise is 0: every path would be the same; follow one by trajectory.")
