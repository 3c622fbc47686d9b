"""Methods by the names that the command line uses: those of `catalogue`."""

from ... import catalogue
from .method import AbstractMethod

METHODS = tuple(catalogue.METHODS)


def named_method(name: str, rho: float) -> AbstractMethod:
    """The method called `name` with radius `rho`; `sam-3` takes three ascents of ρ/3."""
    entry, steps = catalogue.find("method", name)
    return entry.load()(*((rho,) if entry.options else ()), *steps)
