"""Bands of basin shares: which part of a grid of starts ends where, over a parameter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Polygon

from ...checks import told
from ...errors import InvalidInput
from ..drawing import Key, drawing
from ..style import PALETTE, contrast, looks, point_text, small, thick
from .basins import OUTCOMES, attractor_numbers, place_colour

FOLLOWED = 0.1  # of the box: an attractor that moves by less between two values is the same
WIDE = 0.12  # of all starts: a band this wide at some value has its name inside
LABELS = {"rho": "ρ", "learning_rate": "η"}


def plot_shares(
    many: Sequence[Any],
    values: Any,
    parameter: str = "rho",
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """The shares of basins over a parameter as stacked bands, which fill the height.

    `many` holds what `samdyn.basins` returns at each of the ascending `values`. A band is the
    basin of one attractor, in the colour it has in `plot_basins`; of more than six, that of all
    attractors of one kind. Between two values shares are interpolated. `style` is that of the
    bands. A wide band has its name inside, the others are in the legend. `InvalidInput` unless
    there is one result a value.
    """
    many, at = list(many), np.asarray(values, dtype=float)
    if at.ndim != 1 or len(many) != at.size or at.size < 2 or not np.all(np.diff(at) > 0):
        raise InvalidInput(
            f"bands need two ascending values or more and one result of each, not {len(many)} "
            f"results at {told(values)}."
        )
    return draw_shares((many, at, parameter), ax, **style)


@drawing(4.2, 2.6)
def draw_shares(what: Any, ax: Axes, **style: Any) -> Key:
    """The bands of `plot_shares`, of its (results, values, parameter)."""
    many, at, parameter = what
    bands = _bands(many)
    low, entries = np.zeros(at.size), []
    for name, (shares, colour) in bands.items():
        look: dict[str, Any] = {"facecolor": colour, "edgecolor": "white", "lw": thick(0.8)}
        look = looks(look | {"label": name, "gid": "band"}, style, Polygon)
        ax.fill_between(at, low, low + shares, **look)
        if np.max(shares) >= WIDE:
            _write(ax, at, low, shares, name, colour)
        else:
            entries.append(Patch(fc=colour, ec="#606060", lw=0.4, label=name))
        low = low + shares
    ax.set_xlim(at[0], at[-1])
    ax.set_ylim(0, 1)
    ax.set_xlabel(LABELS.get(parameter) or parameter)
    ax.set_ylabel("share of the starts")
    return Key(entries[::-1])  # as they lie on each other


def _bands(many: list[Any]) -> dict[str, tuple[np.ndarray, Any]]:
    """Name -> (shares, colour), from the lowest band up; what ended elsewhere on top."""
    numbers = attractor_numbers(many, FOLLOWED)
    crowded = len({n for mapping in numbers for n in mapping.values()}) > len(PALETTE)
    shares: dict[Any, np.ndarray] = {}
    names: dict[Any, str] = {}
    for i, (basins, mapping) in enumerate(zip(many, numbers, strict=True)):
        for one in basins.attractors:
            kind = one.critical_type or one.kind
            key = kind if crowded else mapping[one.id]
            names.setdefault(key, kind if crowded else f"{kind} {point_text(one.w)}")
            shares.setdefault(key, np.zeros(len(many)))[i] += one.fraction
    # one place may be of two kinds in turn, but two places have two names
    bands: dict[str, tuple[np.ndarray, Any]] = {
        names[key]: (share, place_colour(number if crowded else key))
        for number, (key, share) in enumerate(shares.items())
    }
    for colour, name, field in OUTCOMES.values():
        rest = np.array([float(getattr(basins, field)) for basins in many])
        if np.any(rest > 0):
            bands[name] = (rest, colour)
    return bands


def _write(
    ax: Axes, at: np.ndarray, low: np.ndarray, shares: np.ndarray, name: str, colour: Any
) -> None:
    """A band's name where it is widest, away from the sides of the panel."""
    x = np.linspace(at[0], at[-1], 200)[20:-20]
    across = np.interp(x, at, shares)
    k = int(np.argmax(across - 1e-6 * np.abs(np.arange(x.size) - x.size / 2)))
    place = x[k], np.interp(x[k], at, low) + across[k] / 2
    side = "left" if k < x.size / 4 else "right" if k > 3 * x.size / 4 else "center"
    ink = "black" if contrast(colour) < 5 else "white"
    look: dict[str, Any] = {"fontsize": small(0.9), "va": "center", "ha": side, "color": ink}
    ax.text(*place, name, gid="name", clip_on=True, **look)
