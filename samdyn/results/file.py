"""One result in one file: a zip of `result.json` and arrays that NumPy reads.

`result.json` holds the format, the class, its fields (`encoding.py`), its provenance and, for
readers without samdyn, the result's own text and numbers.
"""

import io
import json
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from .. import __version__
from ..errors import InvalidInput
from .encoding import build, class_named, decode, encode, name_of_class
from .store import plain, write_whole

FORMAT, VERSION, HEADER = "samdyn result", 1, "result.json"
SAME_DATE = (1980, 1, 1, 0, 0, 0)  # equal results are equal bytes
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, LookupError, ValueError, TypeError)
DAMAGED += (AttributeError, RuntimeError, NotImplementedError)


def to_bytes(result: Any) -> bytes:
    """A result as the content of a file."""
    arrays: list[np.ndarray] = []
    kept = {name: getattr(result, name) for name in result.computed}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "samdyn": __version__,
        "class": name_of_class(type(result)),
        "text": str(result),
        "numbers": plain(result.to_dict()),
        "provenance": encode(result.provenance, arrays),
        "fields": encode(result._state(), arrays),
        "computed": encode(kept, arrays),
    }
    text = json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        packed = zipfile.ZipInfo(HEADER, SAME_DATE)
        packed.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(packed, text)
        for number, array in enumerate(arrays):
            archive.writestr(zipfile.ZipInfo(_member(number), SAME_DATE), _npy(array))
    return content.getvalue()


def _member(number: int) -> str:
    return f"array_{number}.npy"


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def write(path: Any, result: Any) -> pathlib.Path:
    """Write a file, whole or not at all, and return its path."""
    file, content = pathlib.Path(path), to_bytes(result)
    try:
        write_whole(file, lambda stream: stream.write(content))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}.") from error
    return file


def from_bytes(content: bytes, name: str = "this") -> Any:
    """The result in the content of a file called `name`."""
    try:
        return _read(content, name)
    except InvalidInput:
        raise
    except DAMAGED as error:
        raise InvalidInput(f"{name} is no result that samdyn saved, or is damaged.") from error


def _read(content: bytes, name: str) -> Any:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        header = json.loads(archive.read(HEADER))
        if header["format"] != FORMAT:
            raise ValueError(header["format"])
        if header["version"] > VERSION:
            raise InvalidInput(f"{name} was written by a newer samdyn ({header['samdyn']}).")
        count = sum(member.endswith(".npy") for member in archive.namelist())
        members = (io.BytesIO(archive.read(_member(number))) for number in range(count))
        arrays = [np.load(member, allow_pickle=False) for member in members]
    kind = class_named(header["class"])
    if kind is None or not hasattr(kind, "_state"):
        raise InvalidInput(
            f"{name} holds a {header['class']}, which is not known here: import what defines it."
        )
    parts = (decode(header[key], arrays) for key in ("fields", "computed", "provenance"))
    return _restored(kind, *parts)


def _restored(kind: Any, fields: dict[str, Any], computed: dict[str, Any], provenance: Any) -> Any:
    """A result with these fields, whose cached properties have these values."""
    if hasattr(kind, "__dataclass_fields__"):
        made = build(kind, fields)
    else:
        made = object.__new__(kind)
        vars(made).update(fields)
    vars(made).update(computed)
    made.record(provenance)
    return made
