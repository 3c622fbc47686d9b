"""What `study` returns: a row for every run, one contrast, and ways to print and keep them."""

import csv
import json
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidInput
from .interaction import Interaction, Row, interaction

LINES = 32  # of a printed table


class Study:
    """Training runs of a grid: `rows`, in the order of methods, batch sizes, momenta, rho, seeds.

    `curves` holds for each row the mean minibatch loss of every epoch, `config` the options,
    `asked` the number of rows of the whole grid, `seconds` the time of this call. `interrupted`
    is True if rows are missing.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        curves: Sequence[Sequence[float | None]],
        config: dict[str, Any],
        asked: int,
        interrupted: bool,
        seconds: float,
    ):
        self.rows, self.curves, self.config = list(rows), list(curves), config
        self.asked, self.interrupted, self.seconds = asked, interrupted, seconds

    @property
    def interaction(self) -> Interaction:
        """How much more momentum does for SAM than for SGD, in test accuracy."""
        return interaction(self.rows)

    @property
    def series(self) -> list[tuple[str, float]]:
        """The (method, rho) that were run."""
        return list(dict.fromkeys((row.method, row.rho) for row in self.rows))

    def axis(self, name: str) -> list[Any]:
        """The values of "momentum", "batch_size" or "seed" that were run, as given."""
        return list(dict.fromkeys(getattr(row, name) for row in self.rows))

    def table(self, field: str = "test_accuracy") -> np.ndarray:
        """`field` as (series, batch sizes, momenta, seeds); nan where there is no number."""
        names = ("batch_size", "momentum", "seed")
        places = [{value: i for i, value in enumerate(self.axis(name))} for name in names]
        series = {value: i for i, value in enumerate(self.series)}
        found = np.full([len(series), *map(len, places)], np.nan)
        for row in self.rows:
            value = getattr(row, field)
            at = [place[getattr(row, name)] for place, name in zip(places, names, strict=True)]
            found[series[row.method, row.rho], *at] = math.nan if value is None else value
        return found

    def to_dict(self) -> dict[str, Any]:
        """The fields of the command's `result`."""
        return {
            "rows": [row._asdict() for row in self.rows],
            "interaction": self.interaction.to_dict(),
            "asked": self.asked,
            "interrupted": self.interrupted,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = [self._heading(), *_accuracies(self), self._contrast()]
        return "\n".join(lines)

    def _heading(self) -> str:
        diverged = sum(row.status != "ran" for row in self.rows)
        text = f"{len(self.rows)} runs on {self.config['data']} in {self.seconds:.0f} s"
        text += f", {diverged} diverged" if diverged else ""
        if self.interrupted:
            text = f"interrupted: {len(self.rows)} of {self.asked} runs; {text}"
        return text + "; test accuracy in %, mean over seeds (- where a run diverged)"

    def _contrast(self) -> str:
        found = self.interaction
        if found.estimate is None:
            return f"interaction: none, {found.why}"
        assert found.momenta is not None
        name = str(found.method).upper()
        text = f"momentum {found.momenta[0]:g} → {found.momenta[1]:g} does more for {name} than "
        text += f"for SGD by {100 * found.estimate:+.2f} points"
        if found.ci95 is None or found.t95 is None:
            return f"{text} (no interval: {found.why})"
        ends = [f"{100 * low:+.2f} to {100 * high:+.2f}" for low, high in (found.ci95, found.t95)]
        text += f"\n95 % interval over {found.seeds} seeds {ends[0]} (bootstrap), {ends[1]} (t)"
        if found.used < found.possible:
            text += f", from the {found.used} of {found.possible} (rho, batch size) without gaps"
        return text

    def write_csv(self, path: str | os.PathLike) -> None:
        """One line a run, with a header; empty where a run diverged."""
        with open(path, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(Row._fields)
            writer.writerows(self.rows)

    def write_json(self, path: str | os.PathLike) -> None:
        """Options, rows, interaction and curves as one JSON object."""
        content = {"config": self.config, **self.to_dict(), "curves": self.curves}
        with open(path, "w") as stream:
            json.dump(content, stream, indent=1, ensure_ascii=False, allow_nan=False)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over series (with method and rho), batch_size, momentum and seed."""
        try:
            import xarray  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise InvalidInput("labelled arrays need xarray: install samdyn[xarray].") from error
        axes = ("series", "batch_size", "momentum", "seed")
        fields = ("lr", "train_loss", "train_accuracy", "test_accuracy", "plateau_steps")
        coordinates: dict[str, Any] = {name: self.axis(name) for name in axes[1:]}
        coordinates["method"] = ("series", [method for method, _ in self.series])
        coordinates["rho"] = ("series", [rho for _, rho in self.series])
        values = {field: (axes, self.table(field)) for field in fields}
        attributes = {"config": json.dumps(self.config, ensure_ascii=False)}
        return xarray.Dataset(values, coordinates, attributes)

    def plot(self) -> Any:
        """A figure of test accuracy against momentum, a panel for each batch size."""
        from ..plot.study import draw_study

        return draw_study(self)


def _accuracies(result: Study) -> list[str]:
    """A line for each batch size and (method, rho), a column for each momentum."""
    if not result.rows:
        return []
    means = 100 * np.mean(result.table(), axis=-1)
    momenta, sizes = result.axis("momentum"), result.axis("batch_size")
    lines = ["batch  method      rho" + "".join(f"   γ={gamma:<5g}" for gamma in momenta)]
    for b, size in enumerate(sizes):
        for s, (method, rho) in enumerate(result.series):
            cells = "".join(_percent(value) for value in means[s, b])
            shown = "" if method == "gd" else f"{rho:g}"
            lines.append(f"{size:<6d} {method:<9s} {shown:>5s}{cells}")
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"… {len(lines) - LINES} more lines in the CSV or JSON"]
    return lines


def _percent(value: float) -> str:
    return f"{'-' if math.isnan(value) else f'{value:.1f}':>10s}"
