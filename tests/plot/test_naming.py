"""Names beside curves: on them, clear of each other, of curves and of the legend."""

import numpy as np
import pytest

from samdyn.plot.naming import Curve, name_curves
from samdyn.plot.style import new_axes

X = np.linspace(0, 1, 50)


def named(curves, verticals=(), **limits):
    ax = new_axes()
    for curve in curves:
        ax.plot(curve.x, curve.y, color=curve.colour)
    ax.set(**limits)
    ax.get_figure(root=True).draw_without_rendering()
    name_curves(ax, curves, verticals)
    ax.get_figure(root=True).draw_without_rendering()
    return ax


def boxes(ax):
    return [text.get_window_extent() for text in ax.texts]


def test_names_cover_no_curve_and_no_name():
    curves = [Curve(X, a * X + b, f"curve {a}", "red") for a, b in ((2, 0), (-2, 2), (0, 1.5))]
    ax = named(curves, verticals=[0.5])
    found = boxes(ax)
    assert len(found) == 3
    for i, box in enumerate(found):
        assert not any(box.overlaps(other) for other in found[i + 1 :])
        for line in ax.lines:
            path = line.get_transform().transform_path(line.get_path())
            assert not path.intersects_bbox(box.shrunk(0.9, 0.6), filled=False)
        assert not box.x0 < ax.transData.transform((0.5, 0))[0] < box.x1


def test_a_name_stands_at_its_own_curve():
    ax = named([Curve(X, X * 0 + 1, "high", "red"), Curve(X, X * 0, "low", "blue")])
    high, low = ax.texts
    assert (high.get_text(), high.xy[1]) == ("high", pytest.approx(1))
    assert (low.get_text(), low.xy[1]) == ("low", pytest.approx(0))


def test_what_is_outside_the_limits_has_no_name():
    ax = named([Curve(X, X * 0 + 9, "away", "red"), Curve(X, X, None, "blue")], ylim=(0, 1))
    assert not ax.texts


def test_names_keep_clear_of_the_legend():
    curve = Curve(X, X * 0 + 0.5, "level", "red")
    ax = new_axes()
    ax.plot(curve.x, curve.y, label="mine")
    ax.set_ylim(0, 1)
    ax.legend(loc="center")
    ax.get_figure(root=True).draw_without_rendering()
    name_curves(ax, [curve])
    (box,) = boxes(ax)
    assert not box.overlaps(ax.get_legend().get_window_extent())
