"""The result of `spread`: variances along each eigenvector, simulated, exact and published."""

from typing import Any, NamedTuple

import numpy as np

from ..text import with_warnings

ROWS = 24  # of a printed table


class Exact(NamedTuple):
    """Variances (d,) of the linearised problem, or None for the reason `why`."""

    sde: np.ndarray | None
    map: np.ndarray | None
    why: str | None


class Published(NamedTuple):
    """Variances (d,) by Theorems 2 and 3 of arXiv 2301.06308, or None for the reason `why`."""

    theorem2: np.ndarray | None
    theorem3: np.ndarray | None
    why: str | None


class Spread(NamedTuple):
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
        where = ", ".join(f"{x:.6g}" for x in self.at[:6]) + (", …" if self.at.size > 6 else "")
        lines = [
            f"Mean squared displacement from ({where}) at time {self.time:.6g}, "
            f"{self.steps} steps, {self.paths} paths"
        ]
        exact = self.columns()
        rows = [["eigenvalue", "simulated", "95 % interval", *exact]]
        for i, value in enumerate(self.eigenvalues[:ROWS]):
            low, high = self.ci95[i]
            shown = [f"{value:.6g}", f"{self.variance[i]:.6g}", f"{low:.6g} – {high:.6g}"]
            rows.append([*shown, *(f"{values[i]:.6g}" for values in exact.values())])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            lines.append("  ".join(c.ljust(n) for c, n in zip(row, widths, strict=True)).rstrip())
        if len(self.eigenvalues) > ROWS:
            lines.append(f"… and {len(self.eigenvalues) - ROWS} more eigendirections")
        if self.failed:
            lines.append(f"{self.failed} paths diverged and are left out: the truth is larger.")
        lines += [f"no exact value: {self.exact.why}"] * (self.exact.why is not None)
        lines += [f"no published value: {self.paper.why}"] * (self.paper.why is not None)
        return with_warnings(self.warnings, "\n".join(lines))

    def plot(self, ax: Any = None) -> Any:
        """Every variance against its eigenvalue, the simulated ones with their intervals."""
        from ..plot.spread import draw_spread

        return draw_spread(self, ax)


def _fields(values: Exact | Published) -> dict[str, Any]:
    """Lists, or null; `why` only where there is something to say."""
    listed = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values._asdict().items()
    }
    if listed["why"] is None:
        del listed["why"]
    return listed
