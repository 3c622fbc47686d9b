"""A periodic orbit of a map, or a limit cycle of a flow, with its multipliers."""

from typing import Any, NamedTuple

import numpy as np

from ...results.encoding import storable
from ..judging.verdict import Verdict


@storable
class Orbit(NamedTuple):
    """A closed orbit.

    Of a map `points` (period, d) in the order in which it passes them, `states` (period, n) in all
    that it remembers, and the `multipliers` (n,) are those of `period` steps. Of a flow `points`
    (m, d) lie at equal times along it, `period` is a time, and the multipliers (d,) are Floquet's,
    of which one is 1. `verdict` is of the orbit as a whole; `proven` says that it is there for
    sure, and the only one near.
    """

    points: np.ndarray
    period: float
    multipliers: np.ndarray
    verdict: Verdict
    states: np.ndarray
    proven: bool = False

    @property
    def centre(self) -> np.ndarray:
        """The mean (d,) of its points."""
        return self.points.mean(axis=0)

    @property
    def amplitude(self) -> float:
        """How far its farthest point is from the mean: of two points half their distance."""
        return float(np.max(np.linalg.norm(self.points - self.centre, axis=1)))

    @property
    def spectral_radius(self) -> float:
        """The largest modulus of a multiplier: below 1 the orbit of a map attracts."""
        return float(np.max(np.abs(self.multipliers)))

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "period": self.period,
            "points": self.points.tolist(),
            "amplitude": self.amplitude,
            "centre": self.centre.tolist(),
            "multipliers": [[float(z.real), float(z.imag)] for z in self.multipliers],
            "verdict": self.verdict.verdict,
            "why": self.verdict.why,
            "proven": self.proven,
        }
