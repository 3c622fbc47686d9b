"""A folder of results that loses no finished block when the process is killed.

`run.json` tells what the folder holds: the format, the options that the numbers depend on, and
the name, shape, unit and meaning of every array. Each `block_000001.npz` holds finished paths,
one row a path, and opens with plain NumPy. A file is written under a temporary name, flushed to
the disk and renamed, so that under its final name it is always whole.
"""

import json
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..errors import ComputationFailed, InvalidInput

FORMAT, VERSION = "samdyn escape run", 1
RUN, PART = "run.json", ".part"
PROBLEM = "problem"  # of the options: what is computed, part by part, each with its hash
KEPT = "result.samdyn"  # the result of the run, once it has ended
BLOCK = re.compile(r"block_(\d{6,})\.npz")
TORN = (zipfile.BadZipFile, OSError, EOFError, LookupError, ValueError, RuntimeError)
TYPES = {"index": np.int64, "time": np.float64, "status": np.int8}


class Meaning(NamedTuple):
    """Unit and meaning of an array, as written into run.json."""

    unit: str
    meaning: str


MEANINGS = {
    "index": Meaning("", "number of the path, from 0"),
    "time": Meaning("learning rate × steps", "time at the exit, or at the end of observation"),
    "status": Meaning("", "0 running, 1 escaped, 2 censored, 3 failed"),
    "exit_point": Meaning("parameter", "where the path was at that time"),
}


class Store:
    """Finished blocks of one run in `directory`, which is made if it does not exist.

    `config` holds the options that the numbers depend on, and no others. A folder made with
    other options, one with results unless `resume`, and one with foreign files are refused.
    "problem" among them maps the parts of what is computed to their identities (`identity.py`);
    where it is the same, options that are words may differ, as they name those parts.
    `meanings` describes columns beyond those in `MEANINGS`.
    """

    def __init__(
        self,
        directory: Any,
        config: dict[str, Any],
        resume: bool = False,
        meanings: Mapping[str, Meaning] | None = None,
    ):
        self.directory = pathlib.Path(directory)
        self.meanings = {**MEANINGS, **(meanings or {})}
        config = plain(config)
        try:
            self._open(config, resume)
        except OSError as error:
            raise InvalidInput(
                f"cannot keep results in {self.directory}: {error.strerror}."
            ) from error

    def _open(self, config: dict[str, Any], resume: bool) -> None:
        if self.directory.exists() and not self.directory.is_dir():
            raise InvalidInput(f"{self.directory} is a file, not a folder for results.")
        self.directory.mkdir(parents=True, exist_ok=True)
        files = [file.name for file in self.directory.iterdir() if not file.name.endswith(PART)]
        found = RUN in files
        if files and not found:
            raise InvalidInput(
                f"{self.directory} holds other files ({min(files)}) and no run: "
                "choose another folder."
            )
        results = any(BLOCK.fullmatch(name) for name in files)
        self.run = _read_run(self.directory) if found else {}
        if results or (found and resume):
            refuse_other(self.directory, self.run, config, words=False)
        if results and not resume:
            raise InvalidInput(f"{self.directory} has results already: use --resume to go on.")
        self._clean()
        if not (results or (found and resume)):
            self.run = _new_run(config)
        self._write_run()  # also when it is there: a folder that cannot be written is told now

    def _clean(self) -> None:
        """Remove what a killed process left unfinished, blocks that a disk truncated, and the
        result of the run as it was."""
        (self.directory / KEPT).unlink(missing_ok=True)
        for file in self.directory.glob(f"*{PART}"):
            file.unlink()
        for file in _blocks(self.directory):
            if not zipfile.is_zipfile(file):
                file.unlink()

    @property
    def blocks(self) -> int:
        """How many block files there are."""
        return len(_blocks(self.directory))

    @property
    def attempt(self) -> dict[str, Any]:
        """How the finer run is made that this folder holds; {} for the first."""
        return self.run.get("attempt", {})

    def restart(self, attempt: dict[str, Any]) -> None:
        """Drop all blocks and keep those of another attempt at the same run.

        Killed in between, the folder holds the first attempt, with nothing in it.
        """
        for file in _blocks(self.directory):
            file.unlink()
        self.run = {**self.run, "arrays": {}, "attempt": plain(attempt)}
        self._write_run()

    def append(self, columns: Mapping[str, Any]) -> None:
        """Write one block: arrays with the same leading axis, `index` (n,) among them.

        When this returns, the rows are on the disk.
        """
        block = {
            name: np.ascontiguousarray(column, dtype=TYPES.get(name))
            for name, column in columns.items()
        }
        _check(block)
        if len(block["index"]):
            self._describe(block)
            self._write_block(block)

    def read(self) -> dict[str, np.ndarray]:
        """Every finished row, sorted by `index`, each once; {} while there is none."""
        return _merge(self.directory, list(_load_blocks(self.directory, self.run).values()))

    def compact(self) -> None:
        """Replace all blocks by one. Killed in between, rows are there twice and read once."""
        parts = _blocks(self.directory)
        if len(parts) > 1:
            merged = self.read()
            if merged:
                self._write_block(merged)
            for part in parts:
                part.unlink()

    def _write_block(self, block: dict[str, np.ndarray]) -> None:
        numbers = [_number(file) for file in _blocks(self.directory)]
        file = self.directory / f"block_{max(numbers, default=0) + 1:06d}.npz"
        try:
            write_whole(file, lambda stream: np.savez(stream, **block))  # pyright: ignore
        except OSError as error:
            raise ComputationFailed(f"{file} could not be written: {error.strerror}.") from error

    def _write_run(self) -> None:
        text = json.dumps(self.run, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(self.directory / RUN, lambda stream: stream.write(text.encode()))

    def _describe(self, block: dict[str, np.ndarray]) -> None:
        """Put the arrays of the first block into run.json; later ones must be alike."""
        known = self.meanings
        arrays = {name: described(array, known.get(name)) for name, array in block.items()}
        if not self.run["arrays"]:
            self.run["arrays"] = arrays
            self._write_run()
        known = self.run["arrays"]
        shapes = [
            {name: (item["shape"], item["dtype"]) for name, item in described.items()}
            for described in (known, arrays)
        ]
        if shapes[0] != shapes[1]:
            raise InvalidInput(
                f"{self.directory} has columns {', '.join(known)} and the block "
                f"{', '.join(arrays)}, or their shapes differ."
            )


def described(array: np.ndarray, known: Meaning | None) -> dict[str, Any]:
    """An array (path, …) as run.json tells of it."""
    unit, meaning = known or Meaning("", "")
    shape = ["path", *array.shape[1:]]
    return {"shape": shape, "dtype": array.dtype.name, "unit": unit, "meaning": meaning}


class Run(Mapping):
    """A finished or unfinished run read from its folder: arrays by name, each with a label.

    `run["time"]` is an array with one row a path, sorted by `index`; `config` the options,
    `arrays` the shape, unit and meaning of each array, `samdyn` the version that wrote them,
    `attempt` how the run was made where it had to be made again.
    """

    def __init__(self, header: dict[str, Any], data: dict[str, np.ndarray]):
        self.config: dict[str, Any] = header["config"]
        self.arrays: dict[str, Any] = header["arrays"]
        self.samdyn: str = header["samdyn"]
        self.attempt: dict[str, Any] = header.get("attempt", {})
        self.data = data

    def __getitem__(self, name: str) -> np.ndarray:
        return self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __str__(self) -> str:
        lines = [f"samdyn {self.samdyn}, {len(self.data.get('index', ()))} paths"]
        for name, item in self.arrays.items():
            shape = "×".join(str(size) for size in item["shape"])
            lines.append(f"  {name:<12} {shape:<10} {item['meaning']}")
        return "\n".join(lines)

    def to_xarray(self) -> Any:
        """The arrays as an `xarray.Dataset` over the dimension `path`, with units and options."""
        try:
            import xarray  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise InvalidInput("labelled arrays need xarray: install samdyn[xarray].") from error
        variables = {}
        for name, array in self.data.items():
            axes = ("coordinate",) if array.ndim == 2 else [f"{name}_{i}" for i in _axes(array)]
            about = self.arrays[name]
            labels = {"units": about["unit"], "long_name": about["meaning"]}
            variables["path" if name == "index" else name] = (("path", *axes), array, labels)
        attributes = {"samdyn": self.samdyn, "config": json.dumps(self.config, ensure_ascii=False)}
        return xarray.Dataset(variables, attrs=attributes)


def load(directory: Any) -> Run:
    """The run in `directory`, for reading only."""
    folder = pathlib.Path(directory)
    if not (folder / RUN).is_file():
        raise InvalidInput(f"{folder} holds no results: it has no {RUN}.")
    header = _read_run(folder)
    blocks = _load_blocks(folder, header)
    damaged = set(_blocks(folder)) - set(blocks)
    if damaged:
        raise InvalidInput(
            f"{min(damaged)} is damaged: run again with --resume to compute its paths once more."
        )
    return Run(header, _merge(folder, list(blocks.values())))


def _axes(array: np.ndarray) -> range:
    return range(1, array.ndim)


def _new_run(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "samdyn": __version__,
        "config": config,
        "arrays": {},
    }


def stored_config(folder: Any) -> dict[str, Any]:
    """The options that a folder was made with; {} where there is no run in it yet."""
    file = pathlib.Path(folder)
    return _read_run(file)["config"] if (file / RUN).is_file() else {}


def _read_run(folder: pathlib.Path) -> dict[str, Any]:
    try:
        run = json.loads((folder / RUN).read_text())
        alike = run["format"] == FORMAT and {"config", "arrays", "samdyn"} <= set(run)
        version = int(run["version"])
    except (ValueError, KeyError, TypeError):
        alike, version, run = False, VERSION, {}
    if not alike:
        raise InvalidInput(f"{folder / RUN} is not that of a samdyn run: choose another folder.")
    if version > VERSION:
        raise InvalidInput(f"{folder} was written by a newer samdyn ({run['samdyn']}).")
    return run


def refuse_other(
    folder: pathlib.Path, run: dict[str, Any], config: dict[str, Any], words: bool = True
) -> None:
    """Tell what differs: an option, the version of samdyn, a part of the problem.

    Another version of samdyn may give other numbers. Without `words` options that are words
    count only where the problem is another, or none is told.
    """
    old, new = run["config"], config
    told = PROBLEM in new and old.get(PROBLEM) == new[PROBLEM]
    names = [*new, *(name for name in old if name not in new)]
    for name in [name for name in names if name != PROBLEM]:
        made, asked = old.get(name), new.get(name)
        named = told and not words and isinstance(made, str) and isinstance(asked, str)
        if made != asked and not named:
            raise InvalidInput(
                f"results in {folder} were made with {name} {_told(made)}, not {_told(asked)}: "
                "choose another folder or those options."
            )
    if run["samdyn"] != __version__:
        raise InvalidInput(
            f"results in {folder} were made with samdyn {run['samdyn']}, not {__version__}: "
            "choose another folder or that version."
        )
    if PROBLEM in names and not told:
        raise InvalidInput(f"results in {folder} {_other(old.get(PROBLEM), new.get(PROBLEM))}.")


def _other(old: Any, new: Any) -> str:
    """What differs between two problems, in words."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return "do not tell which problem they are of: choose another folder"
    parts = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    if "jax" in parts:
        made, asked = _told(old.get("jax")), _told(new.get("jax"))
        return f"were made with jax {made}, not {asked}: choose another folder or that version"
    if len(parts) > 1 and parts[0] == "loss":  # the rest follows from it
        parts = parts[:1]
    differ = "differs" if len(parts) == 1 else "differ"
    return (
        f"were made with another problem: its {' and '.join(parts)} {differ}: choose another folder"
    )


def _told(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> Any:
    """JSON types only, as they are when read back; infinity and nan become words."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and JAX
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _number(file: pathlib.Path) -> int:
    match = BLOCK.fullmatch(file.name)
    assert match is not None
    return int(match[1])


def _blocks(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(file for file in folder.iterdir() if BLOCK.fullmatch(file.name))


def _load_blocks(
    folder: pathlib.Path, run: dict[str, Any]
) -> dict[pathlib.Path, dict[str, np.ndarray]]:
    """The blocks that are whole: each member of a file carries its own checksum."""
    found = {}
    for file in _blocks(folder):
        try:
            with zipfile.ZipFile(file) as archive:
                whole = archive.testzip() is None
            with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as block:
                if whole and set(block.files) == set(run["arrays"]):
                    found[file] = {name: block[name] for name in run["arrays"]}
        except TORN:
            continue
    return found


def _merge(folder: pathlib.Path, blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if not blocks:
        return {}
    rows = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    order = np.argsort(rows["index"], kind="stable")
    rows = {name: column[order] for name, column in rows.items()}
    again = 1 + np.flatnonzero(rows["index"][1:] == rows["index"][:-1])
    for column in rows.values():
        same = _equal(column[again], column[again - 1])
        if not np.all(same):
            path = rows["index"][again[np.argmin(same)]]
            raise ComputationFailed(f"{folder} holds two different results for path {path}.")
    return {name: np.delete(column, again, axis=0) for name, column in rows.items()}


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row; nan equals nan."""
    same = (a == b) | ((a != a) & (b != b))
    return np.all(same.reshape(len(a), -1), axis=1) if len(a) else np.ones(0, bool)


def _check(block: dict[str, np.ndarray]) -> None:
    if "index" not in block or block["index"].ndim != 1:
        raise InvalidInput("a block needs a column `index` with the numbers of its paths.")
    for name, column in block.items():
        if column.dtype == object or column.ndim < 1 or len(column) != len(block["index"]):
            raise InvalidInput(
                f"column {name} must be an array of {len(block['index'])} rows, "
                f"not {column.dtype} of shape {column.shape}."
            )


def write_whole(file: pathlib.Path, put: Any) -> None:
    """Write under a temporary name, flush to the disk, rename, flush the folder."""
    part = file.with_name(file.name + PART)
    try:
        with open(part, "wb") as stream:
            put(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError:
        part.unlink(missing_ok=True)  # a full disk gets its room back
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
