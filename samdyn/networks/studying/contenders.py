"""The methods of a study: by name, as objects with numbers of their own, or made at each radius."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx

from ... import catalogue
from ...checks import told
from ...dynamics.methods.method import AbstractMethod
from ...dynamics.methods.names import named_method
from ...errors import InvalidInput

PROBE = 0.5  # a radius at which two methods are compared


class Contender(NamedTuple):
    """A method with the name that rows have for it.

    `make` gives it at a radius; where it brings its own, or has none, `own` is that, and nothing
    is varied. `by_name` tells that the name says everything about it.
    """

    name: str
    make: Callable[[Any], Any]
    own: float | None
    by_name: bool

    def radii(self, grid: Sequence[float]) -> tuple[float, ...]:
        """The radii at which it is run."""
        return tuple(grid) if self.own is None else (self.own,)


def contenders_of(given: Sequence[Any], radii: Sequence[float]) -> tuple[Contender, ...]:
    """Each of the methods given, once; two with the same name at the same radius are numbered."""
    found, taken = [], set()
    for one in given:
        contender = _contender(one)
        if any(_are_one(contender, other) for other in found):
            continue
        name, number = contender.name, 1
        while taken & {(name, rho) for rho in contender.radii(radii)}:
            number += 1
            name = f"{contender.name} {number}"
        taken |= {(name, rho) for rho in contender.radii(radii)}
        found.append(contender._replace(name=name))
    return tuple(found)


def _are_one(a: Contender, b: Contender) -> bool:
    """Whether two are the same method at the same radii."""
    return a.own == b.own and bool(eqx.tree_equal(a.make(PROBE), b.make(PROBE), typematch=True))


def _contender(given: Any) -> Contender:
    if isinstance(given, str):
        entry, _ = catalogue.find("method", given)
        own = None if "rho" in entry.options else 0.0
        return Contender(given, lambda rho: named_method(given, rho), own, True)
    if isinstance(given, AbstractMethod):
        own = 0.0 if given.radius is None else float(given.radius)
        return Contender(_name(given, own, type(given).__name__), lambda rho: given, own, False)
    if not callable(given):
        raise InvalidInput(f"a method is a name such as 'sam', not {told(given)}.")
    bare = not inspect.signature(given).parameters
    make: Any = (lambda rho: given()) if bare else given
    made = make(PROBE)
    if not isinstance(made, AbstractMethod):
        raise InvalidInput(
            f"a method is a name such as 'sam', an object, or what makes one of a radius, not "
            f"{told(given)}."
        )
    name = _name(made, PROBE, getattr(given, "__name__", type(made).__name__))
    return Contender(name, make, 0.0 if bare else None, False)


def _name(method: AbstractMethod, rho: float, otherwise: str) -> str:
    """The registered name of a method that is just that, else another."""
    for name, entry in catalogue.METHODS.items():
        if name.endswith("-K") or entry.load() is not type(method):
            continue
        if eqx.tree_equal(named_method(name, rho), method, typematch=True):
            return name
    return otherwise
