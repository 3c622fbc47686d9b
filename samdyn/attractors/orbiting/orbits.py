"""`orbits`: the periodic orbits of a map, the limit cycles of a flow, each with its multipliers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from ...arguments import of_system
from ...checks import is_real, require_flat, require_one_value, told
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import AbstractMap
from ...dynamics.systems.ode import AbstractODE
from ...errors import InvalidInput
from ...precision import in_double
from ...results.provenance import recorded
from ...results.result import Result
from ..finding.point import Completeness, as_box
from .cycles import cycle_near, cycles_in_box
from .orbit import Orbit
from .orbits_text import orbits_table
from .periodic import orbit_near, orbits_in_box

LONGEST = 8  # steps


class Orbits(Result, eqx.Module):
    """What `orbits` returns: `orbits` by period and place, and how sure it is that there are no
    others: of each period that was asked for of a map, of a flow for all."""

    computed: ClassVar = ()

    orbits: tuple[Orbit, ...]
    complete: dict[int, Completeness]
    of: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.orbits)

    def __getitem__(self, index: int) -> Orbit:
        return self.orbits[index]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        complete = {
            str(period): {"checked": c.checked, "method": c.method, "consistent": c.consistent}
            for period, c in self.complete.items()
        }
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        return result | {
            "of": self.of,
            "orbits": [orbit.to_dict() for orbit in self.orbits],
            "complete": complete,
        }

    def __str__(self) -> str:
        return orbits_table(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row a point."""
        return [
            {"orbit": number, "period": orbit.period, "verdict": orbit.verdict.verdict}
            | {f"w[{axis}]": float(x) for axis, x in enumerate(point)}
            for number, orbit in enumerate(self.orbits)
            for point in orbit.points
        ]


@of_system("StepMap(loss, method, learning_rate)")
@recorded
@in_double
def orbits(
    system: Any,
    *,
    box: Any = None,
    at: Any = None,
    period: int | Sequence[int] | float | None = None,
    seed: int = 0,
) -> Orbits:
    """The closed orbits of a map or a flow.

    Of a map `period` is the number of steps, 2 to 8 (2 by default), or several; an orbit is listed
    under its own period only. Give `box` (d pairs low, high) for all that have a point in it: of
    steps that remember nothing they are proven to be all where that can be, else how far the list
    can be trusted is said. Or give `at` (d,) for the one that Newton reaches from there.

    Of a flow they are limit cycles, by shooting: those that runs from the box, forwards and
    backwards in time, come to; of saddle type none is found but from `at`, near one, with its
    `period` (a time) as a guess. Never proven.

    `InvalidInput` for another system, a step that counts (schedules), a period out of range, and
    where `at` leads to no orbit.
    """
    if (box is None) == (at is None):
        raise InvalidInput("give either a box to search or a point to start from, not both.")
    require_one_value(system)
    if isinstance(system, AbstractODE):
        return _of_flow(system, box, at, period, seed)
    if not isinstance(system, AbstractMap):
        raise InvalidInput(f"orbits takes a map or a flow that is not random, not {told(system)}.")
    periods = _periods(period)
    if at is not None:
        found = [orbit_near(system, require_flat(at, "a point"), p) for p in periods]
        asked = Completeness(False, "not checked: a single orbit was asked for", None)
        return Orbits(tuple(found), dict.fromkeys(periods, asked), "map")
    listed, complete = [], {}
    for p in periods:
        some, complete[p] = orbits_in_box(system, as_box(box), p, seed)
        listed += some
    return Orbits(tuple(listed), complete, "map")


def _of_flow(flow: AbstractODE, box: Any, at: Any, period: Any, seed: int) -> Orbits:
    if period is not None and not (is_real(period) and np.ndim(period) == 0 and period > 0):
        raise InvalidInput(f"the period of a cycle is a time > 0, not {told(period)}.")
    guess = None if period is None else float(period)
    if at is not None:
        found = [cycle_near(flow, require_flat(at, "a point"), guess)]
        asked = Completeness(False, "not checked: a single cycle was asked for", None)
        return Orbits(tuple(found), {0: asked}, "flow")
    if isinstance(flow, Flow) and flow.method.ascent == "none":
        why = "the loss falls along a gradient flow, which therefore never closes"
        return Orbits((), {0: Completeness(True, why, True, proven=True)}, "flow")
    listed, warnings = cycles_in_box(flow, as_box(box), seed)
    how = "those that runs forwards and backwards in time came to; one of saddle type is not found"
    return Orbits(tuple(listed), {0: Completeness(False, how, None)}, "flow", tuple(warnings))


def _periods(period: Any) -> list[int]:
    given = [2] if period is None else list(np.atleast_1d(np.asarray(period, object)))
    if not given:
        raise InvalidInput("no period was asked for: give one, or several, from 2 to 8.")
    for p in given:
        if isinstance(p, bool) or not isinstance(p, int | np.integer) or not 2 <= p <= LONGEST:
            raise InvalidInput(
                f"the period of an orbit is a whole number of steps from 2 to {LONGEST}, not "
                f"{told(p)}; of period 1 are fixed points, which stability finds."
            )
    return sorted({int(p) for p in given})
