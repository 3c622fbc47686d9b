"""Which function draws which result: drawers register themselves, results look theirs up."""

import importlib
from collections.abc import Callable
from typing import TypeVar

from ..errors import InvalidInput

HOUSE = "samdyn.plot.drawers"  # imports every drawer of this package
_DRAWERS: dict[str, Callable] = {}
_HOUSE: dict[str, Callable] = {}
_Drawer = TypeVar("_Drawer", bound=Callable)


def drawer(kind: type | str, house: bool = False) -> Callable[[_Drawer], _Drawer]:
    """Decorate `function(result, ax=None, **style) -> ax`: it draws results of the class `kind`.

    It draws into `ax` alone, or into a new figure, passes `style` on and returns the axes
    (`samdyn.testing.check_drawer`). The last one registered is taken. Those of this package
    (`house`) are taken where there is no other.
    """
    name = kind if isinstance(kind, str) else kind.__name__

    def register(function: _Drawer) -> _Drawer:
        (_HOUSE if house else _DRAWERS)[name] = function
        return function

    return register


def drawer_of(kind: type) -> Callable:
    """The drawer of a class of results, or that of a class that it extends."""
    names = [base.__name__ for base in kind.__mro__]
    for known in (_DRAWERS, _HOUSE):
        if known is _HOUSE:
            importlib.import_module(HOUSE)
        for name in names:
            if name in known:
                return known[name]
    raise InvalidInput(
        f"nothing draws a {kind.__name__}: decorate a function with samdyn.drawer({kind.__name__})."
    )
