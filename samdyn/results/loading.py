"""Read a result again, from its file or from the folder of a long run."""

import pathlib
from typing import Any

from ..errors import InvalidInput
from .encoding import class_named
from .file import from_bytes
from .result import Result
from .store import KEPT, RUN

FOLDERS = {RUN: "EscapeTimes", "study.json": "Study"}  # header -> class of its result


def load(path: Any) -> Result:
    """The result that was saved in a file, or kept in the folder `out` of a long run.

    The loss, and any other function, is its description only (`Described`); text, numbers and
    pictures are those of the result that was saved. A folder whose run was killed gives what is
    finished. `InvalidInput` for anything else, and for a file of a newer samdyn.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _from_folder(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    return from_bytes(content, str(path))


def _from_folder(folder: pathlib.Path) -> Result:
    for header, name in FOLDERS.items():
        if (folder / header).is_file():
            if (folder / KEPT).is_file():
                return load(folder / KEPT)
            kind: Any = class_named(name)
            return kind.from_folder(folder)
    raise InvalidInput(f"{folder} holds no results: it has no {' and no '.join(FOLDERS)}.")
