"""What `sweep` returns: branches over the values of a parameter, and the events on them."""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ...results.encoding import storable
from ...results.result import Result, require_xarray
from .branches import Branch
from .sweep_text import sweep_table


@storable
class Bifurcation(NamedTuple):
    """At `value` of the parameter the fixed point at `w` (d,) changes from verdict `before` to
    `after`, which are `of` the "flow" or of the "step".

    `type`: "crossing" (a real eigenvalue), "hopf" (a complex pair), "pitchfork" or
    "transcritical" (a crossing where another branch turns round or passes through),
    "fold" (two branches meet; `before` and `after` are theirs), "sliding"
    (normalised SAM at a critical point); of the step "period-doubling" (a multiplier passes −1) or
    "neimark-sacker" (a pair leaves the unit circle, turning by `rotation` of a circle per step).
    What happens to an orbit of `period` steps does so to its multipliers over all of them.
    The value is located to rounding, except for "sliding", where it is as good as the sampled
    directions.
    """

    value: float
    w: np.ndarray
    before: str | None
    after: str | None
    type: str
    of: str = "flow"
    rotation: float | None = None
    period: int = 1

    @property
    def rho(self) -> float:
        """The value, of a radius."""
        return self.value

    def to_dict(self, parameter: str = "rho") -> dict[str, Any]:
        """One bifurcation of `samdyn sweep --json`."""
        name = "rho" if parameter == "rho" else "value"
        found = {
            name: self.value,
            "w": self.w.tolist(),
            "from": self.before,
            "to": self.after,
            "type": self.type,
        }
        if parameter != "rho" or self.of == "step":
            found["of"] = self.of
        if self.period > 1:
            found["period"] = self.period
        return found if self.rotation is None else {**found, "rotation": self.rotation}


class Sweep(Result, eqx.Module):
    """What `sweep` returns: `values` (n,) of the `parameter`, the branches over it, and the
    bifurcations by value."""

    values: Float[np.ndarray, " n"]
    branches: tuple[Branch, ...]
    bifurcations: tuple[Bifurcation, ...]
    warnings: tuple[str, ...] = ()
    parameter: str = "rho"

    @property
    def rho(self) -> np.ndarray:
        """The values, of a radius."""
        return self.values

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn sweep --json`."""
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        if self.parameter != "rho":
            result["parameter"] = self.parameter
        return result | {
            self.parameter: self.values.tolist(),
            "branches": [branch.to_dict() for branch in self.branches],
            "bifurcations": [event.to_dict(self.parameter) for event in self.bifurcations],
        }

    def __str__(self) -> str:
        return sweep_table(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row for each branch and value at which it exists."""
        rows = (
            {"branch": number, self.parameter: float(self.values[i]), **branch.at(i)}
            for number, branch in enumerate(self.branches)
            for i in range(self.values.size)
        )
        return [row for row in rows if row["verdict"] is not None]

    def to_xarray(self) -> Any:
        """The branches as an `xarray.Dataset` over branch, parameter and coordinate."""
        xarray = require_xarray()
        over, none = ("branch", self.parameter), np.full(self.values.size, np.nan)
        kinds = [branch.critical_type or branch.kind for branch in self.branches]
        radii = [none if b.spectral_radius is None else b.spectral_radius for b in self.branches]
        names = [[name or "" for name in branch.verdict] for branch in self.branches]
        values = {
            "w": ((*over, "coordinate"), [branch.w for branch in self.branches]),
            "verdict": (over, names),
            "leading_real_part": (over, [branch.leading_real_part for branch in self.branches]),
            "spectral_radius": (over, radii),
        }
        if not self.branches:
            values = {}
        coordinates = {self.parameter: self.values, "kind": ("branch", kinds)}
        return xarray.Dataset(values, coordinates, self._attributes())
