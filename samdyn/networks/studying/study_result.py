"""What `study` returns: a row for every run, one contrast, and ways to print and keep them."""

import csv
import itertools
import json
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InvalidInput
from ...results.provenance import Provenance
from ...results.result import Result, require_xarray
from .cells import stored_cells
from .interaction import Interaction, Row, interaction

LINES = 32  # of a printed table
FEW = 10  # seeds, for an interval by resampling them


class Study(Result):
    """Training runs of a grid: `rows`, in the order of methods, batch sizes, momenta, rho, seeds.

    `curves` holds for each row the mean minibatch loss of every epoch, `config` the options,
    `asked` the number of rows of the whole grid, `loaded` how many were found finished in the
    folder of results, `seconds` the time of this call. `interrupted` is True if rows are missing.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        curves: Sequence[Sequence[float | None]],
        config: dict[str, Any],
        asked: int,
        interrupted: bool,
        seconds: float,
        loaded: int = 0,
    ):
        self.rows, self.curves, self.config = list(rows), list(curves), config
        self.asked, self.interrupted, self.seconds = asked, interrupted, seconds
        self.loaded = loaded

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

    def select(self, **wanted: Any) -> "Study":
        """The runs whose fields have these values; gd, which has no radius, counts at every rho.

        `InvalidInput` for a name that is no field of a row.
        """
        for name in wanted:
            if name not in Row._fields:
                raise InvalidInput(f"a row has no {name!r}; it has {', '.join(Row._fields)}.")

        def is_wanted(row: Row) -> bool:
            free = {"rho"} if row.method == "gd" else set()
            return all(getattr(row, name) == wanted[name] for name in wanted.keys() - free)

        kept = [is_wanted(row) for row in self.rows]
        rows = list(itertools.compress(self.rows, kept))
        curves = list(itertools.compress(self.curves, kept))
        return Study(rows, curves, self.config, len(rows), self.interrupted, self.seconds)

    def table(self, field: str = "test_accuracy") -> np.ndarray:
        """`field` as (series, batch sizes, momenta, seeds); nan where there is no number."""
        return self._laid_out(field, None).astype(float)

    def _laid_out(self, field: str, missing: Any) -> np.ndarray:
        names = ("batch_size", "momentum", "seed")
        places = [{value: i for i, value in enumerate(self.axis(name))} for name in names]
        series = {value: i for i, value in enumerate(self.series)}
        found = np.full([len(series), *map(len, places)], missing, object)
        for row in self.rows:
            at = [place[getattr(row, name)] for place, name in zip(places, names, strict=True)]
            found[series[row.method, row.rho], *at] = getattr(row, field)
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
        runs = f"{len(self.rows)} run{'s' * (len(self.rows) != 1)}"
        text = f"{runs} on {self.config['data']} in {self.seconds:.0f} s"
        text += f" ({self.loaded} of them were finished before)" if self.loaded else ""
        text += f", {diverged} diverged" if diverged else ""
        if self.interrupted:
            text = f"interrupted: {len(self.rows)} of {self.asked} runs; {text}"
        return text + "; test accuracy in %, mean over seeds (- where a run diverged)"

    def _contrast(self) -> str:
        found = self.interaction
        if found.estimate is None:
            why = "some of its runs are not done yet" if self.interrupted else found.why
            return f"interaction: none, {why}"
        assert found.momenta is not None
        name, points = str(found.method).upper(), 100 * found.estimate
        more = "more" if points >= 0 else "less"
        text = f"momentum {found.momenta[0]:g} → {found.momenta[1]:g} does {more} for {name} than "
        text += f"for SGD by {abs(points):.2f} points"
        if found.ci95 is None or found.t95 is None:
            return f"{text} (no interval: {found.why})"
        ends = [f"{100 * low:+.2f} to {100 * high:+.2f}" for low, high in (found.t95, found.ci95)]
        text += f"\n{points:+.2f}, 95 % interval over {found.seeds} seeds {ends[0]} (Student's t)"
        if found.seeds < FEW:
            text += f"; resampling seeds gives {ends[1]}, too narrow with so few"
        if found.used < found.possible:
            text += f"; from the {found.used} of {found.possible} (rho, batch size) without gaps"
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
        """An `xarray.Dataset` over series (with method and rho), batch_size, momentum and seed.

        `status` is empty where a run is missing, and tells those that diverged.
        """
        xarray = require_xarray()
        axes = ("series", "batch_size", "momentum", "seed")
        fields = ("lr", "train_loss", "train_accuracy", "test_accuracy", "plateau_steps")
        coordinates: dict[str, Any] = {name: self.axis(name) for name in axes[1:]}
        coordinates["method"] = ("series", [method for method, _ in self.series])
        coordinates["rho"] = ("series", [rho for _, rho in self.series])
        values = {field: (axes, self.table(field)) for field in fields}
        values["status"] = axes, self._laid_out("status", "").astype(str)
        attributes = {"config": json.dumps(self.config, ensure_ascii=False), **self._attributes()}
        return xarray.Dataset(values, coordinates, attributes)

    def _table(self) -> list[dict[str, Any]]:
        """One row a run."""
        return [row._asdict() for row in self.rows]

    @classmethod
    def from_folder(cls, folder: Any) -> "Study":
        """The finished runs of a study that did not come to its end, from its folder."""
        header, cells = stored_cells(folder)
        rows = [Row(**row) for cell in cells for row in cell["rows"]]
        curves, config = [curve for cell in cells for curve in cell["curves"]], header["config"]
        own = config.get("own_rho") or [0.0 if m == "gd" else None for m in config["methods"]]
        radii = sum(len(config["rho"]) if rho is None else 1 for rho in own)
        asked = radii * math.prod(len(config[a]) for a in ("momentum", "batch_size", "seeds"))
        found = cls(rows, curves, config, asked, len(rows) < asked, 0.0, len(rows))
        found.record(Provenance("study", "", {"samdyn": header["samdyn"]}, config, {}))
        return found


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
