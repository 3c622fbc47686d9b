"""What `basins` returns: which starts end where, and the sets at which they do."""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ...dynamics.plane import Plane
from ...results.encoding import storable
from ...results.result import Result, require_xarray
from .basins_text import basins_table

SHOWN = 64  # points of a chaotic set that are written out


@storable
class BasinAttractor(NamedTuple):
    """A set at which paths ended: its id in `labels`, and its share of the starts.

    `kind` is a fixed point's, or "period-K", "limit cycle", "quasi-periodic" or "chaotic": then w
    is one of its `points` (n, d), which in the first two are all of it in order, and `period` is a
    number of steps or a time. `ci95` is the Wilson interval of `fraction`, as if the starts were
    independent draws from the box.
    """

    id: int
    w: np.ndarray
    kind: str
    critical_type: str | None
    fraction: float
    ci95: tuple[float, float]
    points: np.ndarray | None = None
    period: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """One attractor of `samdyn basins --json`."""
        found: dict[str, Any] = {
            "id": self.id,
            "w": self.w.tolist(),
            "kind": self.kind,
            "critical_type": self.critical_type,
            "fraction": self.fraction,
            "ci95": list(self.ci95),
        }
        if self.points is not None:
            every = 1 if self.period is not None else -(-len(self.points) // SHOWN)
            found |= {"period": self.period, "points": self.points[::every].tolist()}
        return found


class Basins(Result, eqx.Module):
    """What `basins` returns.

    `labels` has one entry a start, shape (grid,)·d, axis i along coordinate i: the id of an
    attractor, −1 undecided (still on its way, or at rest nowhere in the box), −2 diverged, −3
    outside the box at the end. `path_steps` counts the steps that were computed, `seconds`
    their time with compilation. `interrupted` tells that the run was stopped early. Basins on a
    `plane` through d dimensions have a box (2, 2), labels (grid, grid) and attractors w (d,).
    """

    box: Float[np.ndarray, "d 2"]
    labels: Int[np.ndarray, "..."]
    attractors: tuple[BasinAttractor, ...]
    undecided: float
    diverged: float
    left_box: float
    path_steps: int
    seconds: float
    interrupted: bool
    plane: Plane | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn basins --json`."""
        result: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        return (
            result
            | {
                "attractors": [attractor.to_dict() for attractor in self.attractors],
                "undecided": self.undecided,
                "diverged": self.diverged,
                "left_box": self.left_box,
                "path_steps": self.path_steps,
                "seconds": self.seconds,
                "interrupted": self.interrupted,
            }
            | ({} if self.plane is None else {"plane": self.plane.to_dict()})
        )

    def __str__(self) -> str:
        return basins_table(self)

    def _table(self) -> list[dict[str, Any]]:
        """One row an attractor."""
        return [
            {f"w[{i}]": float(x) for i, x in enumerate(one.w)}
            | {"kind": one.kind, "critical_type": one.critical_type, "fraction": one.fraction}
            | {"ci95_low": one.ci95[0], "ci95_high": one.ci95[1]}
            for one in self.attractors
        ]

    def to_xarray(self) -> Any:
        """The labels as an `xarray.Dataset` over the coordinates of the starts."""
        sides = range(len(self.box)) if self.plane is None else self.plane.axes
        names, grid = [f"w[{i}]" for i in sides], self.labels.shape
        centres = [
            low + (np.arange(count) + 0.5) / count * (high - low)
            for (low, high), count in zip(self.box, grid, strict=True)
        ]
        coordinates = dict(zip(names, centres, strict=True))
        values = {"label": (names, self.labels)}
        return require_xarray().Dataset(values, coordinates, self._attributes())
