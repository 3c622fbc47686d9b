"""A folder of finished cells of a study, so that a killed one goes on where it stopped.

`study.json` holds the options that the numbers depend on, `cell_00007.json` the rows of one cell
and the losses along their ways. A file is written under a temporary name and renamed: under its
own name it is whole.
"""

import json
import pathlib
from typing import Any

from ... import __version__
from ...errors import ComputationFailed, InvalidInput
from ...results.store import KEPT, plain, refuse_other, write_whole
from .grid import Cell
from .interaction import Row

FORMAT, VERSION, HEADER = "samdyn study", 1, "study.json"


class CellStore:
    """Finished cells in `directory`, made if it does not exist.

    `InvalidInput` where the folder holds results and `resume` is False, results of other options,
    or other files.
    """

    def __init__(self, directory: Any, config: dict[str, Any], resume: bool):
        self.directory = pathlib.Path(directory)
        try:
            self._open(plain(config), resume)
        except OSError as error:
            raise InvalidInput(
                f"cannot keep results in {self.directory}: {error.strerror}."
            ) from error

    def _open(self, config: dict[str, Any], resume: bool) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise InvalidInput(f"{self.directory} is a file, not a folder for results.")
        self.directory.mkdir(parents=True, exist_ok=True)
        header = self.directory / HEADER
        if header.is_file():
            refuse_other(self.directory, _header(header), config)
        elif any(not file.name.endswith(".part") for file in self.directory.iterdir()):
            raise InvalidInput(f"{self.directory} holds other files and no study: choose another.")
        if any(self.directory.glob("cell_*.json")) and not resume:
            raise InvalidInput(f"{self.directory} has results already: use --resume to go on.")
        told = {"format": FORMAT, "version": VERSION, "samdyn": __version__, "config": config}
        (self.directory / KEPT).unlink(missing_ok=True)  # the result of what was there before
        self._put(HEADER, told)  # also when it is there: a folder that cannot be written is told

    def _put(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(self.directory / name, lambda stream: stream.write(text.encode()))

    def _file(self, index: int) -> str:
        return f"cell_{index:05d}.json"

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """The rows and curves of `cell`, or None if they are not there, damaged or of another."""
        try:
            found = json.loads((self.directory / self._file(cell.index)).read_text())
        except (OSError, ValueError):
            return None
        return found if _is_of(cell, found) else None

    def write(self, index: int, cell: dict[str, Any]) -> None:
        """Store cell `index`; it is on the disk when this returns."""
        try:
            self._put(self._file(index), cell)
        except OSError as error:
            name = self.directory / self._file(index)
            raise ComputationFailed(f"{name} could not be written: {error.strerror}.") from error


def stored_cells(directory: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header of a folder, and its cells in their order; damaged ones are left out."""
    folder, cells = pathlib.Path(directory), []
    for file in sorted(folder.glob("cell_*.json")):
        try:
            found = json.loads(file.read_text())
        except ValueError:
            continue
        if isinstance(found, dict) and {"rows", "curves"} <= set(found):
            cells.append(found)
    return _header(folder / HEADER), cells


def _is_of(cell: Cell, found: Any) -> bool:
    """Does `found` have the row and the curve of every lane of the cell, in their order?"""
    if not isinstance(found, dict) or not {"rows", "curves"} <= set(found):
        return False
    rows, curves = found["rows"], found["curves"]
    if not all(isinstance(part, list) and len(part) == len(cell.lanes) for part in (rows, curves)):
        return False
    shared = {name: getattr(cell, name) for name in ("method", "momentum", "batch_size", "lr")}
    return all(isinstance(curve, list) for curve in curves) and all(
        isinstance(row, dict)
        and set(row) == set(Row._fields)
        and row.items() >= {**shared, "rho": rho, "seed": seed}.items()
        for row, (rho, seed) in zip(rows, cell.lanes, strict=True)
    )


def _header(file: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
        alike = found["format"] == FORMAT and {"config", "samdyn"} <= set(found)
        version = int(found["version"])
    except (ValueError, KeyError, TypeError):
        found, alike, version = {}, False, VERSION
    if not alike:
        raise InvalidInput(f"{file} is not that of a samdyn study: choose another folder.")
    if version > VERSION:
        raise InvalidInput(f"{file.parent} was written by a newer samdyn ({found['samdyn']}).")
    return found
