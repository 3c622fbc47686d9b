"""Pictures of several panels, or in space, into axes of the caller's."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn
from samdyn.errors import InvalidInput
from samdyn.plot.results.rho import plot_sweep

from .test_drawing import STEP, WELL, swept

LOGISTIC = samdyn.Map(lambda w, a: a["r"] * w * (1 - w), {"r": 3.2})


@pytest.fixture(scope="module")
def basins():
    return samdyn.basins(STEP, WELL.box, grid=8, steps=2000)


@pytest.fixture(params=["sweep", "basins", "attractor"])
def panels(request, basins):
    """(drawing call, number of panels, name of its artists)."""
    if request.param == "sweep":
        return lambda **given: plot_sweep(swept(), "double well", **given), 2, "branch"
    if request.param == "basins":
        many, names = [basins, basins], ["GD", "again"]
        return lambda **given: samdyn.plot_basins(many, names, **given), 2, "basins"
    found = samdyn.attractor(LOGISTIC, "r", [3.1, 3.4], [0.3], steps=320)
    return lambda **given: samdyn.plot_attractor([found, found], **given), 4, None


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_panels_are_drawn_into_the_axes_given(panels):
    draw, count, gid = panels
    figure, axes = plt.subplots(2, count, figsize=(9, 5))
    axes[1, 0].set(xlim=(-3, 7), title="mine")
    sides = figure.get_size_inches().copy()
    assert draw(ax=axes[1]) is figure
    assert (axes[1, 0].get_xlim(), axes[1, 0].get_title()) == ((-3, 7), "mine")
    assert np.array_equal(figure.get_size_inches(), sides)
    assert all(ax.has_data() for ax in axes[1])
    assert not any(ax.has_data() for ax in axes[0])
    if gid is not None:
        assert all(gid in [artist.get_gid() for artist in ax.get_children()] for ax in axes[1])


def test_another_number_of_axes_is_one_sentence(panels):
    draw, count, _ = panels
    with pytest.raises(InvalidInput, match=f"{count} .* were given with 3 axes"):
        draw(ax=plt.figure().subplots(1, 3))
    with pytest.raises(InvalidInput, match="matplotlib's Axes"):
        draw(ax=["a"] * count)


def test_a_title_stands_above_the_values_of_the_bifurcations():
    figure, axes = plt.subplots(2, 1)
    plot_sweep(swept(), "double well", ax=axes)
    figure.draw_without_rendering()
    labels = [text for text in axes[0].texts if text.get_gid() == "bifurcation"]
    assert labels
    assert axes[0].get_title() == "double well"
    top = max(text.get_window_extent().y1 for text in labels)
    assert axes[0].title.get_window_extent().y0 >= top


def test_a_surface_is_drawn_into_axes_in_space():
    figure = plt.figure(figsize=(8, 3))
    ax = figure.add_subplot(1, 2, 2, projection="3d")
    ax.set_title("mine")
    path = np.array([[0.5, 1.0], [0.7, 0.5]])
    given = samdyn.surface(WELL, WELL.box, {"SAM": path}, title="ours", ax=ax, zlim=(0, 2))
    assert given is figure
    assert (ax.get_title(), ax.get_zlim()) == ("mine", (0, 2))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SAM"]
    with pytest.raises(InvalidInput, match="drawn into an Axes3D"):
        samdyn.surface(WELL, WELL.box, ax=figure.add_subplot(1, 2, 1))


def test_the_loss_need_not_have_more_than_a_call():
    assert samdyn.surface(lambda w: jnp.sum(w**2), [(-1, 1), (-1, 1)], legend=False).axes
