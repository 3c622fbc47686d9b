"""Clouds: every point is drawn or counted, and contours are drawn once."""

import numpy as np
import pytest

from samdyn.errors import InvalidInput
from samdyn.plot.plane.cloud import MANY, draw_cloud

BOX = np.array([[-1.0, 1.0], [-1.0, 2.0]])


def bowl(w):
    return w[0] ** 2 + w[1] ** 2


def points(count):
    return np.random.default_rng(0).uniform(-0.9, 0.9, (count, 2))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_points_lie_where_they_are_over_the_box():
    cloud = points(5)
    ax = draw_cloud(cloud, bowl, BOX)
    assert any(np.array_equal(line.get_xydata(), cloud) for line in ax.lines)
    assert (*ax.get_xlim(), *ax.get_ylim()) == (-1, 1, -1, 2)
    assert len(ax.collections) == 1
    assert texts(ax) == []


def test_absent_points_are_counted():
    cloud = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, -1.5], [np.nan, 0.0]])
    assert texts(draw_cloud(cloud, bowl, BOX)) == ["2 outside, 1 diverged"]


def test_a_second_cloud_shares_contours_and_has_its_own_colour():
    ax = draw_cloud(points(4), bowl, BOX, colour="#0072B2", label="SGD")
    contours = list(ax.collections)
    assert draw_cloud(points(3), bowl, BOX, ax, colour="#E69F00", label="SAM") is ax
    assert list(ax.collections) == contours
    assert ax.get_legend_handles_labels()[1] == ["SGD", "SAM"]


def test_paths_are_lines_below_the_points():
    path = np.stack([np.linspace(0, 1, 9), np.zeros(9)], axis=1)
    ax = draw_cloud(points(4), bowl, BOX, paths=[path, -path])
    lines = [line for line in ax.lines if line.get_xydata().shape == path.shape]
    assert len(lines) == 2
    assert max(line.get_zorder() for line in lines) < ax.lines[-1].get_zorder()


def test_many_points_become_an_image():
    def rasterized(count):
        return draw_cloud(points(count), bowl, BOX).lines[0].get_rasterized()

    assert rasterized(MANY + 1)
    assert not rasterized(MANY)


def test_no_points_is_an_empty_cloud():
    assert texts(draw_cloud(np.zeros((0, 2)), bowl, BOX)) == []


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 4, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InvalidInput, match=r"points \(n, 2\)"):
        draw_cloud(np.zeros(shape), bowl, BOX)
