"""Bands of basin shares: they fill the height, and follow their attractors."""

from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from samdyn.errors import InvalidInput
from samdyn.plot.results.basins import attractor_colours
from samdyn.plot.results.shares import plot_shares


class Attractor(NamedTuple):
    id: int
    w: np.ndarray
    fraction: float
    kind: str = "critical"
    critical_type: str | None = "minimum"


class Basins(NamedTuple):
    attractors: tuple
    undecided: float = 0.0
    diverged: float = 0.0
    left_box: float = 0.0
    box: np.ndarray = np.array([[-2.0, 2.0], [-2.0, 2.0]])


def moving(share, shift=0.0, diverged=0.0):
    """A minimum that moves, and a saddle."""
    low = Attractor(0, np.array([-1.0 + shift, 0.0]), 1 - share - diverged)
    return Basins((low, Attractor(1, np.zeros(2), share, critical_type="saddle")), 0.0, diverged)


def bands(ax):
    """Label -> (x, height) of each band."""
    found = {}
    for part in ax.collections:
        x, y = part.get_paths()[0].vertices.T
        found[part.get_label()] = {
            round(at, 6): (float(np.max(y[x == at]) - np.min(y[x == at]))) for at in np.unique(x)
        }
    return found


def test_shares_are_stacked_to_one():
    many = [moving(0.1), moving(0.3, diverged=0.2), moving(0.5, diverged=0.5)]
    ax = plot_shares(many, [0.1, 0.2, 0.4])
    found = bands(ax)
    assert list(found) == ["minimum (−1, 0)", "saddle (0, 0)", "diverged"]
    np.testing.assert_allclose(list(found["saddle (0, 0)"].values()), [0.1, 0.3, 0.5], atol=1e-12)
    for at in (0.1, 0.2, 0.4):
        assert sum(band[at] for band in found.values()) == pytest.approx(1)
    assert ax.get_ylim() == (0, 1)
    assert ax.get_xlabel() == "ρ"


def test_an_attractor_that_moves_is_one_band_in_its_basins_colour():
    many = [moving(0.2, shift) for shift in (0.0, 0.3, 0.6)]
    ax = plot_shares(many, [0, 1, 2], "learning_rate")
    assert len(bands(ax)) == 2
    first = attractor_colours(many[:1])[0]
    faces = [part.get_facecolor()[0][:3] for part in ax.collections]
    np.testing.assert_allclose(faces, [to_rgb(first[0]), to_rgb(first[1])])


def test_many_attractors_are_told_by_their_kind():
    spread = [Attractor(i, np.array([i / 4 - 1, 1.0]), 0.1) for i in range(8)]
    crowd = Basins((*spread, Attractor(8, np.zeros(2), 0.2, critical_type="saddle")))
    assert list(bands(plot_shares([crowd, crowd], [0, 1]))) == ["minimum", "saddle"]


def test_a_wide_band_has_its_name_inside_and_a_narrow_one_in_the_legend():
    ax = plot_shares([moving(0.05), moving(0.06)], [0, 1])
    assert [text.get_text() for text in ax.texts] == ["minimum (−1, 0)"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["saddle (0, 0)"]


@pytest.mark.parametrize("values", [[0.1], [0.2, 0.1], [0.1, 0.2, 0.3], [[0.1, 0.2]]])
def test_values_must_ascend_one_a_result(values):
    with pytest.raises(InvalidInput, match="bands need two ascending values or more"):
        plot_shares([moving(0.1), moving(0.2)], values)
