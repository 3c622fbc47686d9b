"""What the command line keeps on the disk from one run to the next: code, proofs, runs, curves.

Nothing that is printed depends on it. What is kept is found by the very operations that it is
about, the numbers in them and the code that made it; a file that cannot be read is made anew. Only
the command line turns it on, in the user's cache folder, or in the one that SAMDYN_CACHE_DIR names.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import __version__

MOST = 256 * 2**20  # bytes; beyond that the oldest files go
LARGEST = 2**20  # numbers in one proof that is kept
DIGEST = "digest"
_folder: pathlib.Path | None = None


def user_folder() -> pathlib.Path:
    """Where the user's system keeps what can be made again."""
    named = os.environ.get("SAMDYN_CACHE_DIR")
    if named:
        return pathlib.Path(named)
    if sys.platform == "win32":
        base = pathlib.Path(os.environ.get("LOCALAPPDATA", pathlib.Path.home()))
    elif sys.platform == "darwin":
        base = pathlib.Path.home() / "Library" / "Caches"
    else:
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return base / "samdyn"


def turn_on(folder: pathlib.Path | None = None) -> None:
    """Keep what is compiled and proven in `folder`; a folder that cannot be written is let be."""
    global _folder
    import jax

    folder = folder or user_folder()
    with contextlib.suppress(OSError, RuntimeError):
        folder.mkdir(parents=True, exist_ok=True)
        _prune(folder)
        _folder = folder
        if not getattr(jax.config, "jax_compilation_cache_dir", None):  # the user's own stays
            jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            # a run that was killed while it wrote leaves a file that is compiled again
            warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation cache")


def turn_off() -> None:
    """Keep no more proofs."""
    global _folder
    _folder = None


def is_on() -> bool:
    """Whether anything is kept."""
    return _folder is not None


def arrays(key: Iterable[Any], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `make` returns, from the disk if it was made before for this key, of bytes and text."""
    if _folder is None:
        return make()
    digest = hashlib.sha256(_code())
    for part in key:
        written = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(written).to_bytes(8, "big") + written)
    path = _folder / "proofs" / f"{digest.hexdigest()}.npz"
    # a damaged file may fail in any way, or look whole: it tells its own digest
    with contextlib.suppress(Exception), path.open("rb") as file, np.load(file) as found:
        known = dict(found)
        if known.pop(DIGEST).tobytes() == _digest(known):
            return known
    made = make()
    if sum(array.size for array in made.values()) <= LARGEST:
        with contextlib.suppress(OSError):
            _write(path, made | {DIGEST: np.frombuffer(_digest(made), np.uint8)})
    return made


def _digest(arrays: dict[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.digest()


def _write(path: pathlib.Path, made: dict[str, np.ndarray]) -> None:
    """All of it or nothing, also where several processes write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = pathlib.Path(folder) / path.name
        np.savez(new, **made)  # pyright: ignore[reportArgumentType]
        os.replace(new, path)


@functools.cache
def _code() -> bytes:
    """The machine, the versions of what computes, and samdyn's own files as they are."""
    here = pathlib.Path(__file__).parent
    told = [platform.node(), platform.machine()]
    told += [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "jax")]
    for file in sorted(here.rglob("*.py")):
        known = file.stat()
        told.append(f"{file.relative_to(here)} {known.st_size} {known.st_mtime_ns}")
    return "\n".join([__version__, *told]).encode()


def _prune(folder: pathlib.Path) -> None:
    """The oldest files go, where all together have become too large."""
    files = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    total = sum(known.st_size for _, known in files)
    for path, known in sorted(files, key=lambda entry: entry[1].st_mtime):
        if total <= MOST:
            return
        path.unlink(missing_ok=True)
        total -= known.st_size
