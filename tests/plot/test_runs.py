"""Pictures of runs: surfaces, alignment strips, sides of a basin border."""

import numpy as np
import pytest

from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.systems.flow import Flow
from samdyn.errors import InvalidInput
from samdyn.losses.registry import get_loss
from samdyn.plot.plane.alternation import basin_alternation, sides
from samdyn.plot.plane.surface import surface
from samdyn.plot.results.cosine import cosine_strip, envelope
from samdyn.plot.style import METHOD_COLOURS

WELL = get_loss("double-well-2d")


def test_paths_lie_on_the_surface():
    path = np.array([[0.5, 1.0], [0.7, 0.5], [5.0, 0.0]])
    figure = surface(WELL, WELL.box, {"SAM, ρ = 0.1": path})
    (line,) = [x for x in figure.axes[0].lines if x.get_label() == "SAM, ρ = 0.1"]
    x, y, z = line.get_data_3d()
    np.testing.assert_allclose(z[:2], (x[:2] ** 2 - 1) ** 2 / 4 + y[:2] ** 2 / 2)
    assert np.isnan(z[2])  # outside the box
    assert line.get_color() == METHOD_COLOURS["SAM"]


def test_a_loss_over_decades_gets_a_logarithmic_height():
    assert surface(WELL, WELL.box).axes[0].get_zlabel() == "l(w)"
    beale = get_loss("beale")
    assert surface(beale, beale.box).axes[0].get_zlabel().startswith("log₁₀")


def test_a_path_of_another_shape_is_refused():
    with pytest.raises(InvalidInput, match=r"shape \(n, 2\)"):
        surface(WELL, WELL.box, {"a": np.zeros(3)})


def test_envelope_spans_an_alternation_and_its_median_is_the_middle():
    steps = np.arange(1, 5001)
    values = np.where(steps % 2 == 0, 0.9, -0.5)
    band = envelope(steps, values)
    late = band.steps > 200
    np.testing.assert_allclose(band.low[late], -0.5)
    np.testing.assert_allclose(band.high[late], 0.9)
    np.testing.assert_allclose(band.median[late], 0.2)
    np.testing.assert_allclose(band.median[:3], [-0.5, 0.9, -0.5])


def test_strip_leaves_out_step_zero_and_zero_gradients():
    ax = cosine_strip({"GD": [0.1, 0.2, np.nan, 0.4]}, np.arange(4))
    (line,) = [x for x in ax.lines if x.get_label() == "GD"]
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.4])
    np.testing.assert_allclose(line.get_xdata(), [1, 3])
    assert ax.get_xscale() == "log"


def test_cosines_of_another_length_are_refused():
    with pytest.raises(InvalidInput, match="3 cosines for 4 steps"):
        cosine_strip({"GD": [0, 0, 0]}, np.arange(4))


@pytest.mark.thorough
def test_sides_of_the_double_well():
    """wᵖ lies ρ uphill: across x = 0 from 0.05, but not from 0.9."""
    flow, path = Flow(WELL, SAM(0.2)), np.array([[0.05, 0.0], [0.9, 0.0]])
    ahead, names = sides(WELL, flow, path)
    np.testing.assert_allclose(ahead[:, 0], [-0.15, 0.7])
    assert names.tolist() == ["different basins", "same basin"]
    ax = basin_alternation(WELL, flow, path)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["same basin: 50%", "different basins: 50%"]
