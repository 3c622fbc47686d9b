"""Basins: the image lies where its labels say, and colours follow the attractors."""

from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import samdyn
from samdyn.errors import InvalidInput
from samdyn.plot.results.basins import (
    OUTCOMES,
    attractor_colours,
    draw_basins,
    place_colour,
    plot_basins,
)
from samdyn.plot.style import PALETTE, luminance


class Attractor(NamedTuple):
    id: int
    w: np.ndarray
    kind: str = "critical"
    critical_type: str | None = "minimum"
    fraction: float = 0.4
    ci95: tuple[float, float] = (0.39, 0.42)


class Basins(NamedTuple):
    box: np.ndarray
    labels: np.ndarray
    attractors: tuple
    undecided: float = 0.0
    diverged: float = 0.0
    left_box: float = 0.0


BOX = np.array([[0.0, 3.0], [0.0, 3.0]])


def two(first_w, second_w, labels=None):
    labels = np.zeros((3, 3), int) if labels is None else labels
    return Basins(BOX, labels, (Attractor(0, np.array(first_w)), Attractor(1, np.array(second_w))))


def test_image_has_x_across_and_y_up():
    labels = np.zeros((3, 3), int)
    labels[2, 0] = -2  # at large x and small y
    basins = two([1.0, 1.0], [2.0, 2.0], labels)
    (image,) = draw_basins(basins).images
    pixels = np.asarray(image.get_array())
    assert image.origin == "lower"
    np.testing.assert_allclose(pixels[0, 2], to_rgb(OUTCOMES[-2][0]))
    np.testing.assert_allclose(pixels[2, 0], attractor_colours([basins])[0][0])


def test_an_attractor_keeps_its_colour_from_panel_to_panel():
    first, second = attractor_colours([two([1, 1], [2, 2]), two([2.0001, 2], [0.5, 0.5])])
    assert second[0] == first[1]
    assert second[1] not in first.values()


def test_legend_gives_shares_and_what_ended_elsewhere():
    """Without an interval: the starts are a grid, not draws."""
    ax = draw_basins(two([1, 1], [2, 2])._replace(diverged=0.2))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [
        "minimum (1, 1): 40.0 %",
        "minimum (2, 2): 40.0 %",
        "diverged: 20.0 %",
    ]


def test_basins_differ_in_grey_as_well():
    shades = sorted(luminance(place_colour(number)) for number in range(len(PALETTE)))
    assert min(np.diff(shades)) > 0.05


def test_panels_have_their_titles_and_one_image_each():
    figure = plot_basins([two([1, 1], [2, 2])] * 2, ["GD", "SAM"])
    assert [ax.get_title() for ax in figure.axes] == ["GD", "SAM"]
    assert all(len(ax.images) == 1 for ax in figure.axes)


def test_other_dimensions_are_refused():
    with pytest.raises(InvalidInput, match="2 dimensions only, not 3"):
        draw_basins(two([1, 1], [2, 2])._replace(box=np.zeros((3, 2))))


def test_the_border_is_the_stable_manifold():
    flow = samdyn.Flow(samdyn.get_loss("double-well-2d"), samdyn.GD())
    box = [(-2, 2), (-2, 2)]
    found, saddle = samdyn.basins(flow, box, grid=6), samdyn.manifolds(flow, (0, 0), box=box)
    for given in (saddle, [saddle], flow):
        check_border(found.plot(border=given))
    with pytest.raises(InvalidInput, match="border is a flow, a map that has one"):
        found.plot(border="yes")


def check_border(ax):
    border = [line for line in ax.lines if line.get_gid() == "border"]
    assert len(border) == 2
    assert max(np.max(np.abs(line.get_xdata())) for line in border) < 1e-6
    assert "stable manifold" in [text.get_text() for text in ax.get_legend().get_texts()]
