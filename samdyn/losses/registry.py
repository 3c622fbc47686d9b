"""Losses by name: `get_loss("beale")`, `get_loss("styblinski-tang-5d")`, or anyone's function
as `get_loss("path/to/file.py:name")` and `get_loss("package.module:name")`.
"""

import difflib
import functools
import importlib
import importlib.util
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

from ..errors import ComputationFailed, InvalidInput, brief
from . import families, surfaces
from .loss import Loss
from .toy_net import toy_net


def _surface(name, function, formula, source, box, continua=()) -> tuple[str, Callable[[], Loss]]:
    return name, lambda: Loss(function, name, len(box), formula, source, box, continua)


def _square(half_width: float, dim: int = 2) -> tuple[tuple[float, float], ...]:
    return ((-half_width, half_width),) * dim


_SURFACES: dict[str, Callable[[], Loss]] = dict(
    [
        _surface(
            "beale",
            surfaces.beale,
            "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
            "Beale 1958; the landscape of arXiv 2301.06308",
            _square(4.5),
        ),
        _surface(
            "saddle", surfaces.saddle, "x² − y²", "arXiv 2301.06308, saddle demo", _square(4.5)
        ),
        _surface(
            "himmelblau",
            surfaces.himmelblau,
            "(x² + y − 11)² + (x + y² − 7)²",
            "Himmelblau 1972",
            _square(5.0),
        ),
        _surface(
            "six-hump-camel",
            surfaces.six_hump_camel,
            "(4 − 2.1x² + x⁴/3)x² + xy + (−4 + 4y²)y²",
            "Dixon & Szegö 1978",
            ((-3.0, 3.0), (-2.0, 2.0)),
        ),
        _surface(
            "three-hump-camel",
            surfaces.three_hump_camel,
            "2x² − 1.05x⁴ + x⁶/6 + xy + y²",
            "Dixon & Szegö 1975",
            _square(5.0),
        ),
        _surface(
            "muller-brown",
            surfaces.muller_brown,
            "Σ Aᵢ exp(aᵢ(x−xᵢ)² + bᵢ(x−xᵢ)(y−yᵢ) + cᵢ(y−yᵢ)²), i = 1…4",
            "Müller & Brown 1979, doi 10.1007/BF00547608",
            ((-1.5, 1.2), (-0.5, 2.0)),
        ),
        _surface(
            "monkey-saddle",
            surfaces.monkey_saddle,
            "x³ − 3xy²",
            "Hilbert & Cohn-Vossen 1932",
            _square(2.0),
        ),
        _surface(
            "mexican-hat",
            surfaces.mexican_hat,
            "(x² + y² − 1)²/4",
            "the symmetric quartic potential",
            _square(1.5),
            ("the circle x² + y² = 1 of minima",),
        ),
        _surface(
            "double-well",
            families.double_well_product,
            "(x² − 1)²/4",
            "a standard double well",
            _square(2.0, 1),
        ),
        _surface(
            "double-well-2d",
            surfaces.double_well_2d,
            "(x² − 1)²/4 + y²/2",
            "a standard double well",
            _square(2.0),
        ),
        _surface(
            "toy-net",
            toy_net(),
            "mean (w₂(w₁x)² − y)², x = ±½, ±1, ±3/2, y = x²",
            "Ziyin, Li, Simon & Ueda 2021, arXiv 2107.11774",
            _square(2.0),
            ("the line w₁ = 0", "the two branches of minima w₂w₁² = 1"),
        ),
    ]
)


def _family(name, function, formula, source, half_width) -> Callable[[int, int], Loss]:
    def build(dim: int, default_dim: int) -> Loss:
        label = name if dim == default_dim else f"{name}-{dim}d"
        return Loss(function, label, dim, formula, source, _square(half_width, dim))

    return build


# name -> (default dimension, smallest dimension, constructor)
_FAMILIES: dict[str, tuple[int, int, Callable[..., Loss]]] = {
    "rosenbrock": (
        2,
        2,
        _family(
            "rosenbrock",
            families.rosenbrock,
            "Σ 100(wᵢ₊₁ − wᵢ²)² + (1 − wᵢ)²",
            "Rosenbrock 1960; any dimension: rosenbrock-4d",
            2.0,
        ),
    ),
    "styblinski-tang": (
        2,
        1,
        _family(
            "styblinski-tang",
            families.styblinski_tang,
            "½ Σ wᵢ⁴ − 16wᵢ² + 5wᵢ",
            "Styblinski & Tang 1990; any dimension: styblinski-tang-3d",
            5.0,
        ),
    ),
    "double-well-product": (
        3,
        1,
        _family(
            "double-well-product",
            families.double_well_product,
            "Σ (wᵢ² − 1)²/4",
            "a product of double wells; any dimension: double-well-product-5d",
            2.0,
        ),
    ),
}


def loss_names() -> list[str]:
    """The registered names, sorted."""
    return sorted([*_SURFACES, *_FAMILIES, "quadratic"])


@functools.cache
def get_loss(spec: str) -> Loss | Callable:
    """The loss that `spec` names.

    A registered name gives a `Loss`; `path/to/file.py:name` and `package.module:name` give
    that function as it is. `InvalidInput` says what is missing; `ComputationFailed` reports an
    error raised by the file itself.
    """
    if ":" in spec:
        return load_function(spec)
    if spec in _SURFACES:
        return _SURFACES[spec]()
    if spec == "quadratic":
        return families.quadratic((-2.0, 1.0, 4.0))
    match = re.fullmatch(r"(.+?)(?:-(\d+)d)?", spec)
    if match and match[1] in _FAMILIES:
        default_dim, smallest, build = _FAMILIES[match[1]]
        dim = int(match[2] or default_dim)
        if dim < smallest:
            raise InvalidInput(f"{match[1]} needs dimension {smallest} or more, not {dim}.")
        return build(dim, default_dim)
    close = difflib.get_close_matches(spec, loss_names(), 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise InvalidInput(
        f"there is no loss named {spec!r}.{hint} "
        "Accepted: a name that `samdyn losses` lists, FILE.py:NAME or MODULE:NAME."
    )


def load_function(spec: str) -> Callable:
    """The function that FILE.py:NAME or MODULE:NAME names."""
    function = load_object(spec, "function")
    if not callable(function):
        where, name = spec.rsplit(":", 1)
        raise InvalidInput(f"{where} has no function named {name!r}.")
    return function


def load_object(spec: str, what: str = "object") -> Any:
    """`what` FILE.py:NAME or MODULE:NAME names.

    A file may import its neighbours, as when Python runs it.
    """
    where, colon, name = spec.rpartition(":")
    if not colon or (not where.endswith(".py") and not re.fullmatch(r"\w+(\.\w+)*", where)):
        raise InvalidInput(f"{spec!r} is neither FILE.py:NAME nor MODULE:NAME.")
    module = _load_file(where) if where.endswith(".py") else _import_module(where)
    if not hasattr(module, name):
        raise InvalidInput(f"{where} has no {what} named {name!r}.")
    return getattr(module, name)


def _load_file(where: str):
    path = pathlib.Path(where)
    if not path.is_file():
        raise InvalidInput(f"there is no file {where}.")
    spec = importlib.util.spec_from_file_location(f"_samdyn_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        told = brief(error, str(path))
        raise ComputationFailed(f"{where} failed while it was read: {told}.") from error
    return module


def _import_module(where: str):
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"there is no module {error.name}.") from error
    except (Exception, SystemExit) as error:
        raise ComputationFailed(f"{where} failed on import: {brief(error)}.") from error
