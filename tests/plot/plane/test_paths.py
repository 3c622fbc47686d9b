"""Paths end at the box, however far they go, and say that they left."""

import itertools
import time
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from verbs import portrait

from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.errors import InvalidInput
from samdyn.losses.registry import get_loss
from samdyn.plot.plane.paths import cut, draw_path, is_inside
from samdyn.plot.style import new_axes

BOX = np.array([[-1.0, 1.0], [-2.0, 2.0]])
SADDLE = get_loss("saddle")


def test_a_cut_path_agrees_with_dense_sampling():
    rng = np.random.default_rng(0)
    for scale in (0.5, 2.0, 10.0):
        path = scale * rng.standard_normal((40, 2))
        shares = np.linspace(0, 1, 4000)[:, None]
        dense = np.concatenate([a + shares * (b - a) for a, b in itertools.pairwise(path)])
        inside = dense[is_inside(dense, BOX)]
        shown = cut(path, BOX)
        pieces = [p for p in np.split(shown, np.flatnonzero(np.isnan(shown[:, 0]))) if len(p)]
        length = sum(
            np.nansum(np.linalg.norm(np.diff(p[~np.isnan(p[:, 0])], axis=0), axis=1))
            for p in pieces
        )
        steps = np.linalg.norm(np.diff(dense, axis=0), axis=1)
        both = is_inside(dense[1:], BOX) & is_inside(dense[:-1], BOX)
        assert length == pytest.approx(np.sum(steps[both]), rel=0.01)
        finite = shown[np.all(np.isfinite(shown), axis=1)]
        assert np.all(np.abs(finite) <= BOX[:, 1] * (1 + 1e-12))
        assert len(inside)


@pytest.mark.parametrize("far", [3.0, 1e12, 1e300, np.inf, np.nan])
def test_a_path_that_goes_far_is_cut_without_a_warning(far):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = cut(np.array([[0.0, 0.0], [0.5, 0.5], [far, 0.5], [-far, 1e200]]), BOX)
    assert np.nanmax(np.abs(shown)) <= 1.0
    np.testing.assert_allclose(shown[1], [0.5, 0.5])
    if np.isfinite(far):
        np.testing.assert_allclose(shown[2], [1.0, 0.5])


@pytest.mark.parametrize(
    ("end", "marker", "label"),
    [
        ((5, 0), ">", "leaves the box"),
        ((-1e300, 0), "<", "leaves the box"),
        ((0, 9), "^", "leaves the box"),
        ((0.2, -2.0), "v", "leaves the box"),
        ((np.nan, 0), "x", "diverges"),
        ((0.2, 0.3), "o", "still moving at the end"),
        ((0.0, 0.2), "o", "comes to rest"),
        ((0.501, 0.5), "o", "comes to rest"),  # a fixed point is as good as there
    ],
)
def test_how_a_path_ends_is_marked(end, marker, label):
    ax, path = new_axes(), np.array([[0.1, 0.1], [0.0, 0.2], end])
    draw_path(ax, path, BOX, {"color": "black"}, True, rests=np.array([[0.5, 0.5]]))
    ends = [line for line in ax.lines if line.get_gid() == "end"]
    assert [line.get_label() for line in ends if not line.get_label().startswith("_")] == [label]
    assert {line.get_marker() for line in ends if line.get_label().startswith("_")} == {marker}
    hollow = [line.get_markerfacecolor() == "white" for line in ends]
    assert all(hollow) == any(hollow) == label.startswith("still")


@pytest.mark.thorough
def test_a_diverging_start_is_drawn_at_once_and_inside_its_panel():
    """Steps of the saddle grow by 1 + 2η each: 2000 of them end at 1e200 and more."""
    figure = portrait(SADDLE, [GD()], SADDLE.box, starts=[(0.5, 0.5)], learning_rate=0.2)
    began = time.process_time()
    FigureCanvasAgg(figure).draw()
    assert time.process_time() - began < 10
    ax = figure.axes[0]
    for line in ax.lines:
        data = np.asarray(line.get_xydata(), float)
        assert np.nanmax(np.abs(data), initial=0) <= np.max(np.abs(SADDLE.box)) * (1 + 1e-9)
    assert "leaves the box" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("start", [(5.0, 5.0), (0.0, -2.5), (-1e9, 0.0)])
@pytest.mark.parametrize("how", [{}, {"learning_rate": 0.1}])
def test_a_start_outside_is_named(start, how):
    with pytest.raises(InvalidInput, match=r"the start \(.*\) lies outside the box"):
        portrait(SADDLE, [GD(), SAM(0.1)], BOX, starts=[(0.0, 0.0), start], **how)
