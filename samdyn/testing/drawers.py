"""Drawers: do they draw where they are told to, and leave everything else alone?"""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ..checks import require_function
from .asking import attempt, require

CLEAR = 0.37  # an alpha that nobody takes


def check_drawer(drawer: Any, result: Any) -> None:
    """`InvalidInput`, one sentence, unless `drawer(result, ax=None, **style)` draws as it should.

    It draws into the axes that it is given and no other figure, or into a new one, returns the
    axes, passes `style` on to what it draws, and leaves matplotlib's settings as they were.
    """
    require_function(drawer, "drawer(result, ax=None, **style)")
    name, settings = getattr(drawer, "__name__", type(drawer).__name__), dict(mpl.rcParams)
    before = plt.get_fignums()
    figure, (mine, other) = plt.subplots(1, 2)
    try:
        opened = plt.get_fignums()
        returned = attempt(name, drawer, result, mine)
        require(returned is mine, f"{name} must return the axes that it is given.")
        require(plt.get_fignums() == opened, f"{name} opens a figure though it is given axes.")
        require(mine.has_data(), f"{name} draws nothing into the axes that it is given.")
        require(not other.has_data(), f"{name} draws into other axes than it is given.")
        styled = attempt(f"{name} with alpha", lambda: drawer(result, other, alpha=CLEAR))
        require(
            any(part.get_alpha() == CLEAR for part in styled.findobj(Artist)),
            f"{name} must pass style on to what it draws: alpha changes nothing.",
        )
        alone = attempt(f"{name} without axes", drawer, result)
        require(isinstance(alone, Axes), f"{name} must return axes where it is given none.")
        require(alone not in (mine, other), f"{name} must draw into a new figure without axes.")
        require(dict(mpl.rcParams) == settings, f"{name} changes the settings of matplotlib.")
    finally:
        plt.close(figure)
        for number in set(plt.get_fignums()) - set(before):
            plt.close(number)
