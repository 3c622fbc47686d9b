"""What every drawing call does alike: into whose axes, with which keywords, and its legend.

A drawer marked `drawing` only draws. Around it, what the owner of the axes has set there stays as
it is, keywords of `Axes.set` are set, the rest styles what is drawn, and every artist has a gid.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist, ArtistInspector
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import InvalidInput
from .legends import axes_legend, figure_legend, fit_height, inner_legend
from .naming import Curve, name_curves
from .style import PANEL, new_figure, styled


@functools.cache
def settable(kind: type[Axes] = Axes) -> frozenset[str]:
    """What `set` of this kind of axes takes, and of no other artist."""
    every = ArtistInspector(Artist).get_setters()
    return frozenset(ArtistInspector(kind).get_setters()) - frozenset(every)


# what is set in axes as the last drawing left them
_OURS: "WeakKeyDictionary[Axes, dict[str, Any]]" = WeakKeyDictionary()


class Key(NamedTuple):
    """The legend that a drawer asks for; without `handles` one of everything with a label."""

    handles: Sequence[Any] | None = None
    title: str | None = None
    inside: bool = False  # where the panel is emptiest, else below it
    curves: Sequence[Curve] = ()  # that have their names beside them
    verticals: Sequence[float] = ()  # that no name may cover


class Options(NamedTuple):
    """The keywords of a drawing call, sorted."""

    axes: dict[str, Any]  # for Axes.set
    legend: Any  # True, False, or keywords of Axes.legend
    figsize: Any
    style: dict[str, Any]  # of what is drawn


def sorted_options(given: dict[str, Any], kind: type[Axes] = Axes) -> Options:
    """Which keyword is for the axes, the legend, the figure, and which for what is drawn."""
    rest = dict(given)
    legend, figsize = rest.pop("legend", True), rest.pop("figsize", None)
    if not isinstance(legend, bool | dict):
        raise InvalidInput(f"legend is True, False or keywords of Axes.legend, not {legend!r}.")
    axes = {name: rest.pop(name) for name in list(rest) if name in settable(kind)}
    return Options(axes, legend, figsize, rest)


def require_of_lines(style: dict[str, Any]) -> None:
    """`InvalidInput` unless all are properties of a line: also where none is drawn."""
    for name in normalize_kwargs(style, Line2D):
        if not hasattr(Line2D, f"set_{name}"):
            raise InvalidInput(f"nothing that is drawn has a property {name!r}.")


def as_axes(ax: Any) -> Axes:
    """`ax`; `InvalidInput` unless it is one Axes."""
    if not isinstance(ax, Axes):
        raise InvalidInput(f"ax is matplotlib's Axes, not a {type(ax).__name__}.")
    return ax


def given_axes(ax: Any, count: int, what: str) -> list[Axes]:
    """The caller's axes, one for each of `count` panels of `what`."""
    several = isinstance(ax, list | tuple | np.ndarray)
    axes = [as_axes(one) for one in (np.asarray(ax, dtype=object).flat if several else [ax])]
    if len(axes) != count:
        raise InvalidInput(f"{count} {what} were given with {len(axes)} axes: each needs one.")
    return axes


def drawing(width: Any = PANEL, height: Any = PANEL) -> Callable[[Callable], Callable[..., Axes]]:
    """Make `function(what, ax, …, **style) -> Key or None` a drawing call.

    It then draws into `ax`, or a figure of its own of one panel of `width` × `height` inches
    (numbers, or functions of what is drawn), and returns the axes. `style` is what is left of the
    keywords.
    """

    def mark(function: Callable) -> Callable[..., Axes]:
        @functools.wraps(function)
        @styled
        def inside(what: Any, ax: Axes | None = None, *more: Any, **given: Any) -> Axes:
            options = sorted_options(given)
            panel = _new_panel(what, width, height, options) if ax is None else as_axes(ax)
            with drawn_into(panel, options, function.__name__.strip("_")):
                key = function(what, panel, *more, **options.style)
            add_legend(panel, key, options.legend, own=ax is None)
            if ax is None:
                fit_height(panel.get_figure(root=True), [panel])
            return panel

        inside.__signature__ = _as_called(function)  # pyright: ignore[reportAttributeAccessIssue]
        return inside

    return mark


def _new_panel(what: Any, width: Any, height: Any, options: Options) -> Axes:
    wide, high = (side(what) if callable(side) else side for side in (width, height))
    size: dict[str, Any] = {"width": wide, "height": high, "figsize": options.figsize}
    return new_figure(**size, returned=False)[1][0, 0]


def _as_called(function: Callable) -> inspect.Signature:
    """The signature of the drawing call: axes may be left out, and are what comes back."""
    told = inspect.signature(function)
    parts = [
        part.replace(default=None, annotation="Axes | None") if name == "ax" else part
        for name, part in told.parameters.items()
    ]
    return told.replace(parameters=parts, return_annotation="Axes")


@contextmanager
def drawn_into(ax: Axes, options: Options, name: str) -> Iterator[None]:
    """What is drawn inside leaves alone what is set in `ax`; then the options are set there."""
    kept, before = _set_by_caller(ax), set(ax.get_children())
    try:
        yield
        _put_back(ax, kept)
        ax.set(**options.axes)
    except (AttributeError, TypeError) as error:
        told = _refusal(error)
        if told is None:
            raise
        raise told from error
    for artist in ax.get_children():
        if artist not in before and artist.get_gid() is None:
            artist.set_gid(name.removeprefix("draw_").replace("_", "-"))
    _OURS[ax] = _seen(ax) | dict.fromkeys([*options.axes, *kept])  # those are the caller's


def _refusal(error: Exception) -> InvalidInput | None:
    """One sentence where matplotlib knows no such keyword."""
    found = re.search(r"unexpected keyword argument '?(\w+)|no property '?(\w+)", str(error))
    if found is None:
        return None
    word = next(part for part in found.groups() if part)
    return InvalidInput(f"nothing that is drawn has a property {word!r}.")


def _seen(ax: Axes) -> dict[str, Any]:
    """What is set in the axes, None where nothing is."""
    seen: dict[str, Any] = {
        "xlim": None if ax.get_autoscalex_on() else ax.get_xlim(),
        "ylim": None if ax.get_autoscaley_on() else ax.get_ylim(),
        "title": ax.get_title() or None,
        "xlabel": ax.get_xlabel() or None,
        "ylabel": ax.get_ylabel() or None,
        "xscale": None if ax.get_xscale() == "linear" else ax.get_xscale(),
        "yscale": None if ax.get_yscale() == "linear" else ax.get_yscale(),
        "aspect": None if ax.get_aspect() == "auto" else ax.get_aspect(),
    }
    for axis in (ax.xaxis, ax.yaxis):
        for kind, short in (("locator", "loc"), ("formatter", "fmt")):
            default = getattr(axis, f"isDefault_maj{short}")
            found = getattr(axis, f"get_major_{kind}")()
            seen[f"{axis.axis_name} {kind}"] = None if default else found
    return seen


def _set_by_caller(ax: Axes) -> dict[str, Any]:
    """What is set in the axes, and not by an earlier drawing."""
    ours = _OURS.get(ax, {})
    return {k: v for k, v in _seen(ax).items() if v is not None and v != ours.get(k)}


def _put_back(ax: Axes, kept: dict[str, Any]) -> None:
    for axis in "xy":  # limits that a logarithmic scale cannot have
        if min(kept.get(f"{axis}lim", (1,))) <= 0 and getattr(ax, f"get_{axis}scale")() == "log":
            ax.set(**{f"{axis}scale": "linear"})  # pyright: ignore[reportArgumentType]
    scales = {name: kept[name] for name in ("xscale", "yscale") if name in kept}
    ax.set(**{k: v for k, v in scales.items() if v != getattr(ax, f"get_{k}")()})
    for name, value in kept.items():
        if name.endswith(("locator", "formatter")):
            axis, kind = name.split()
            getattr(getattr(ax, f"{axis}axis"), f"set_major_{kind}")(value)
        elif name not in scales:
            ax.set(**{name: value})
    if {"xlim", "ylim"} & set(kept) and ax.get_adjustable() == "datalim":
        ax.set_adjustable("box")  # or the scale would change the limits


def add_figure_legend(
    figure: Figure, axes: Sequence[Axes], wanted: Any, handles: Sequence[Any] | None = None
) -> None:
    """One legend of all panels of a figure of ours, unless none is wanted."""
    if wanted is not False:
        keywords = wanted if isinstance(wanted, dict) else {}
        figure_legend(figure, axes, handles, **keywords)


def add_legend(ax: Axes, key: Key | None, wanted: Any, own: bool) -> None:
    """The legend that a drawer asks for, unless it isn't wanted or the caller has their own.

    Below the panel, or inside where the drawer says that there is room for it.
    """
    if key is None or wanted is False:
        return
    before = ax.get_legend()
    if before is None or before.get_gid() == "legend":
        _add(ax, key, wanted, own)
    name_curves(ax, key.curves, key.verticals)


def _add(ax: Axes, key: Key, wanted: Any, own: bool) -> None:
    keywords = wanted if isinstance(wanted, dict) else {}
    if not key.inside and "loc" not in keywords:
        below: dict[str, Any] = {"title": key.title, "own": own, "over_figure": own}
        axes_legend(ax, key.handles, **{**below, **keywords})
        return
    free = own or "ylim" not in _set_by_caller(ax)
    inner_legend(ax, key.handles, free, own, **{"title": key.title, **keywords})
