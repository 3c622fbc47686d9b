"""Where a result is from: the verb, its arguments, the versions, the time, and the source text."""

import dataclasses
import datetime
import functools
import importlib.metadata
import inspect
import pathlib
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax

from .. import __version__
from .encoding import storable
from .problem.described import callables_in, name_of, source_of, told
from .store import KEPT

LONGEST = 240  # characters of an argument that are shown
_Arguments = ParamSpec("_Arguments")
_Found = TypeVar("_Found")


@storable
@dataclasses.dataclass(frozen=True)
class Provenance:
    """How a result was made.

    `arguments` maps the names of the verb's arguments, defaults included, to numbers and text;
    an object is a mapping of its fields, with its class. `sources` holds the text of every function
    among them, None where there is none to be had. `time` is when the call began (UTC).
    """

    verb: str
    time: str
    versions: dict[str, str]
    arguments: dict[str, Any]
    sources: dict[str, str | None]

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return dataclasses.asdict(self)

    def shown(self, name: str) -> str:
        """An argument as text, such as "SAM(rho=0.1)"."""
        text = _shown(self.arguments[name])
        return text if len(text) <= LONGEST else text[:LONGEST] + "…"

    def __str__(self) -> str:
        made = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [f"{self.verb}, {self.time}, {made}"]
        lines += [f"  {name} = {self.shown(name)}" for name in self.arguments]
        lines += [f"  {name}:\n{text}" for name, text in self.sources.items() if text is not None]
        return "\n".join(lines)


def recorded(verb: Callable[_Arguments, _Found]) -> Callable[_Arguments, _Found]:
    """`verb`, whose result knows its provenance.

    With a folder `out` among its arguments the result is kept there too, beside its parts.
    """
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Found:
        began = _now()
        found = verb(*arguments, **options)
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        result: Any = found
        result.record(provenance_of(verb.__name__, bound.arguments, began))
        folder = bound.arguments.get("out")
        if folder is not None and jax.process_index() == 0:
            result.save(pathlib.Path(folder) / KEPT)
        return found

    return run


def provenance_of(verb: str, arguments: dict[str, Any], began: str | None = None) -> Provenance:
    """The provenance of a call with these arguments."""
    functions = [one for value in arguments.values() for one in callables_in(value)]
    foreign = [one for one in functions if not _is_ours(one)]
    return Provenance(
        verb,
        began or _now(),
        versions(),
        {name: told(value) for name, value in arguments.items()},
        {name_of(one): source_of(one) for one in foreign},
    )


@functools.cache
def versions() -> dict[str, str]:
    """Those of what the numbers depend on."""
    others = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")}
    return {"samdyn": __version__, **others}


def _is_ours(function: Any) -> bool:
    """Whether it is an object of this package, which its version tells all about."""
    home = getattr(function, "__module__", None) or ""
    return isinstance(function, eqx.Module) and home.split(".")[0] == __name__.split(".")[0]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "class" in value:
        inner = ", ".join(f"{k}={_shown(v)}" for k, v in value.items() if k != "class")
        return f"{value['class']}({inner})"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)
