"""What every verb returns: text, tables, a picture, a file, and where it is from."""

import abc
import copy
import dataclasses
import functools
import html
import json
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

from ..errors import InvalidInput
from .drawing import drawer_of
from .encoding import storable
from .file import from_bytes, to_bytes, write
from .provenance import Provenance


class Result(abc.ABC):
    """The base of all results: give it `to_dict`, `__str__` and, for tables, `_table`.

    A result is kept by its fields (of a dataclass or an equinox Module), or by its attributes.
    What is not data among them, a loss or a region, is kept as its description; what depends on
    it is named in `computed`, cached properties that are kept with their values.
    A picture is drawn by the function that is registered for the class (`samdyn.drawer`).
    """

    computed: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        storable(cls)

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The result as JSON types, as `--json` prints it."""

    @abc.abstractmethod
    def __str__(self) -> str:
        """The result on one screen."""

    @property
    def provenance(self) -> Provenance | None:
        """The verb, its arguments, versions and time; None for a result made by hand."""
        return vars(self).get("_provenance")

    def record(self, provenance: Provenance | None) -> None:
        """Say where the result is from."""
        object.__setattr__(self, "_provenance", provenance)

    def save(self, path: Any) -> pathlib.Path:
        """Write one file that `samdyn.load` reads: a zip of `result.json` and arrays in .npy.

        It is there whole or not at all. `InvalidInput` where it cannot be written.
        """
        return write(path, self)

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Draw the result into `ax`, or a new figure, and return the axes.

        `style` is passed on to what is drawn first of all: color, alpha, linewidth, label …; what
        `Axes.set` takes (xlim, title, xscale …) is set in the axes. `legend` is True, False or
        keywords of `Axes.legend`, `figsize` the size of a new figure. What is already set in `ax`
        stays: limits, scales, names, ticks, a legend, the figure's size; so does what is set in
        `matplotlib.rcParams`, of whose `figure.figsize` the width counts.

        Artists are found by their gid, `[a for a in ax.get_children() if a.get_gid() == "mark"]`.
        Where `matplotlib.pyplot` is in use a new figure is one of its own, and `plt.show()` shows
        it; no other is ever opened. In a notebook `result.plot().figure` ends a cell that shows it.
        """
        return drawer_of(type(self))(self, ax, **style)

    def to_dataframe(self) -> Any:
        """The rows of the result as a `pandas.DataFrame`."""
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise InvalidInput("tables need pandas: install it, or use to_dict().") from error
        return pandas.DataFrame(self._table())

    def to_xarray(self) -> Any:
        """The result as an `xarray.Dataset`, with its provenance among the attributes."""
        rows = require_xarray().Dataset.from_dataframe(self.to_dataframe())
        return rows.assign_attrs(self._attributes())

    def _table(self) -> Any:
        """Rows as mappings, or columns by name: whatever `pandas.DataFrame` takes."""
        return [dict(_flat(self.to_dict()))]

    def _attributes(self) -> dict[str, str]:
        if self.provenance is None:
            return {}
        return {"provenance": json.dumps(self.provenance.to_dict(), ensure_ascii=False)}

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._origin()
        )
        return f"<table>{rows}</table><pre>{html.escape(str(self))}</pre>"

    def _origin(self) -> Iterator[tuple[str, str]]:
        """Names and values for the head of a notebook's cell."""
        if self.provenance is not None:
            yield "verb", self.provenance.verb
            yield "made", f"{self.provenance.time}, samdyn {self.provenance.versions['samdyn']}"
            for name in self.provenance.arguments:
                yield name, self.provenance.shown(name)

    def _state(self) -> dict[str, Any]:
        """What is kept: the fields, or the attributes that are not cached."""
        if dataclasses.is_dataclass(self):
            return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        kind = type(self)
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_")
            and not isinstance(getattr(kind, name, None), functools.cached_property)
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return from_bytes, (to_bytes(self),)

    def __copy__(self) -> Any:
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        return made

    def __deepcopy__(self, known: dict[int, Any]) -> Any:
        made = object.__new__(type(self))
        known[id(self)] = made
        vars(made).update(copy.deepcopy(vars(self), known))
        return made


def require_xarray() -> Any:
    """The module xarray, or `InvalidInput` that says what to install."""
    try:
        import xarray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InvalidInput("labelled arrays need xarray: install samdyn[xarray].") from error
    return xarray


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested mapping as columns with dotted names."""
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item
