"""The result of `spread`: variances along each eigenvector, simulated, exact and published."""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from ..results.encoding import storable
from ..results.result import Result
from ..text import MOST_ROWS, columns, number_text, point_text, with_warnings


@storable
class Exact(NamedTuple):
    """Variances (d,) of the linearised problem, or None for the reason `why`."""

    sde: np.ndarray | None
    map: np.ndarray | None
    why: str | None


@storable
class Published(NamedTuple):
    """Variances (d,) by Theorems 2 and 3 of arXiv 2301.06308, or None for the reason `why`."""

    theorem2: np.ndarray | None
    theorem3: np.ndarray | None
    why: str | None


class Spread(Result, eqx.Module):
    """Mean squared displacement from `at` (d,) along each eigenvector of the Hessian there.

    `eigenvalues` (d,) ascend, `eigenvectors` (d, d) are columns. `variance` (d,) is the mean of
    squares over the paths that stayed finite, all but `failed` of `paths`; `ci95` (d, 2) holds
    its 95 % intervals, made as `interval` says. Everything is at `time` = η · `steps`.
    """

    at: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    time: float
    steps: int
    paths: int
    failed: int
    variance: np.ndarray
    ci95: np.ndarray
    interval: str
    exact: Exact
    paper: Published
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields of the command's `result`."""
        return ({"warnings": list(self.warnings)} if self.warnings else {}) | {
            "eigenvalues": self.eigenvalues.tolist(),
            "simulated": {
                "variance": self.variance.tolist(),
                "ci95": self.ci95.tolist(),
                "interval": self.interval,
                "paths": self.paths,
                "failed": self.failed,
            },
            "exact": _fields(self.exact),
            "paper": _fields(self.paper),
            "time": self.time,
            "steps": self.steps,
        }

    def columns(self) -> dict[str, np.ndarray]:
        """The values that exist, by the names that people read."""
        named = {
            "step map": self.exact.map,
            "SDE": self.exact.sde,
            "Theorem 2": self.paper.theorem2,
            "Theorem 3": self.paper.theorem3,
        }
        return {name: values for name, values in named.items() if values is not None}

    def __str__(self) -> str:
        lines = [
            f"Mean squared displacement from {point_text(self.at)} at time {self.time:.6g}, "
            f"{self.steps} steps, {self.paths} paths"
        ]
        exact = self.columns()
        rows = [["eigenvalue", "simulated", "95 % interval", *exact]]
        for i, value in enumerate(self.eigenvalues[:MOST_ROWS]):
            low, high = self.ci95[i]
            shown = [number_text(value), number_text(self.variance[i]), f"{low:.6g} – {high:.6g}"]
            rows.append([*shown, *(number_text(values[i]) for values in exact.values())])
        lines.append(columns(rows))
        if len(self.eigenvalues) > MOST_ROWS:
            lines.append(f"… and {len(self.eigenvalues) - MOST_ROWS} more eigendirections")
        if self.failed:
            lines.append(f"{self.failed} paths diverged and are left out: the truth is larger.")
        lines += [f"no exact value: {self.exact.why}"] * (self.exact.why is not None)
        lines += [f"no published value: {self.paper.why}"] * (self.paper.why is not None)
        return with_warnings(self.warnings, "\n".join(lines))

    def _table(self) -> dict[str, np.ndarray]:
        """One row an eigendirection."""
        low, high = self.ci95.T
        simulated = {"eigenvalue": self.eigenvalues, "simulated": self.variance}
        return simulated | {"ci95_low": low, "ci95_high": high} | self.columns()


def _fields(values: Exact | Published) -> dict[str, Any]:
    """Lists, or null; `why` only where there is something to say."""
    listed = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values._asdict().items()
    }
    if listed["why"] is None:
        del listed["why"]
    return listed
