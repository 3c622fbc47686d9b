"""Write a figure to a file; the ending of the name picks the format."""

import os
import pathlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import InvalidInput
from .style import house_settings

# No dates and no versions inside: the same figure is the same bytes.
_METADATA = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def check_target(path: str | os.PathLike) -> pathlib.Path:
    """`path`, if a figure could be written there; else `InvalidInput` says what is wrong.

    Call it before a long computation, so that a typing error does not waste it.
    """
    target = pathlib.Path(path)
    if target.suffix.lower().removeprefix(".") not in _METADATA:
        raise InvalidInput(
            f"a figure's name must end in .svg, .png or .pdf, but {str(target)!r} does not."
        )
    if not target.parent.is_dir():
        raise InvalidInput(f"there is no folder {str(target.parent)!r} to write a figure into.")
    if target.is_dir():
        raise InvalidInput(f"{str(target)!r} is a folder, so no figure can be written there.")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise InvalidInput(f"{str(target)!r} cannot be written: permission denied.")
    return target


@contextmanager
def _unique_ids(figure: Figure) -> Iterator[None]:
    """Artists that share a gid are numbered, for as long as a file is written that has ids."""
    changed: list[tuple[Artist, str]] = []
    counts: Counter[str] = Counter()
    for artist in figure.findobj():
        gid = artist.get_gid()
        if gid is None:
            continue
        counts[gid] += 1
        if counts[gid] > 1:
            changed.append((artist, gid))
            artist.set_gid(f"{gid}-{counts[gid]}")
    try:
        yield
    finally:
        for artist, gid in changed:
            artist.set_gid(gid)


def save(figure: Figure | Axes, path: str | os.PathLike) -> pathlib.Path:
    """Write a figure, or the one that some axes are of, and return its path.

    `InvalidInput` if the target does not allow it.
    """
    whole: Any = figure.get_figure(root=True)
    target = check_target(path)
    kind = target.suffix.lower().removeprefix(".")
    try:
        with matplotlib.rc_context(house_settings()), _unique_ids(whole):
            whole.savefig(target, format=kind, metadata=_METADATA[kind])
    except OSError as error:
        raise InvalidInput(f"{str(target)!r} cannot be written: {error.strerror}.") from error
    return target
