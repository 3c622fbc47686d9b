"""Portraits of x² − y², where every curve is known."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from verbs import portrait

from samdyn.attractors.curves import flow_curves, follow, iterates
from samdyn.attractors.finding.point import FixedPoint
from samdyn.attractors.judging.verdict import Verdict
from samdyn.attractors.stability_result import PointStability
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.systems.flow import Flow
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.errors import InvalidInput
from samdyn.losses.registry import get_loss
from samdyn.plot.plane.fields import contour_levels, nullclines

SADDLE = get_loss("saddle")
BOX = np.array([[-2.0, 2.0], [-2.0, 2.0]])


@pytest.fixture(scope="module")
def figure():
    return portrait(
        SADDLE, [USAM(0.05), USAM(0.1)], BOX, starts=[(1.5, 0.1)], learning_rate=0.02, steps=60
    )


def legend_labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(ax, label):
    return [np.asarray(line.get_xydata()) for line in ax.lines if line.get_label() == label]


@pytest.mark.thorough
def test_panels_are_on_one_scale(figure):
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim() == (-2, 2)
    assert first.get_ylim() == second.get_ylim() == (-2, 2)
    assert [ax.get_title() for ax in figure.axes] == [
        f"USAM, ρ = {rho}, η = 0.02" for rho in (0.05, 0.1)
    ]


@pytest.mark.parametrize(("label", "axis"), [("stable manifold", 0), ("unstable manifold", 1)])
@pytest.mark.thorough
def test_manifolds_of_the_saddle_are_the_axes(figure, label, axis):
    for ax in figure.axes:
        halves = lines(ax, label)
        ends = sorted(half[-1, axis] for half in halves)
        np.testing.assert_allclose(ends, [-2, 2], atol=1e-6)
        assert max(np.max(np.abs(half[:, 1 - axis])) for half in halves) < 1e-9


@pytest.mark.thorough
def test_legend_has_each_thing_once(figure):
    assert sorted(legend_labels(figure)) == sorted(
        [
            "ẋ = 0",
            "ẏ = 0",
            "stable manifold",
            "unstable manifold",
            "steps from ■",
            "still moving at the end",
            "w → wᵖ, to scale",
            "saddle, filled half attracts",
        ]
    )


def test_arrows_grow_with_rho(figure):
    """‖wᵖ − w‖ = ρ‖g‖, and arrows are drawn to scale."""
    reach = []
    for ax in figure.axes:
        arrows = [p for p in ax.patches if p.get_zorder() == 8]
        assert len(arrows) >= 3
        tail, tip = np.array(arrows[0]._posA_posB)
        reach.append(np.linalg.norm(tip - tail) / np.linalg.norm(2 * tail))
    np.testing.assert_allclose(reach, [0.05, 0.1], rtol=1e-6)


def test_nullclines_of_sam_are_the_axes_and_a_circle():
    """ẏ = 2y(1 − ρ/‖w‖) and ẋ = −2x(1 + ρ/‖w‖) on x² − y²."""
    first, second = nullclines(Flow(SADDLE, SAM(0.5)), BOX)
    assert np.max(np.abs(np.concatenate(first)[:, 0])) < 0.02
    y = np.concatenate(second)
    off = np.minimum(np.abs(y[:, 1]), np.abs(np.linalg.norm(y, axis=1) - 0.5))
    assert np.max(off) < 0.02
    assert np.max(np.abs(y[:, 1])) > 0.45


def test_a_trajectory_of_the_flow_is_exact():
    """Under USAM with ρ = 0.1, x(t) = e^(−2.4t) and y(t) = 0.1 e^(1.6t), until t = 0.7."""
    starts, times = np.array([[1.0, 0.1]] * 4), np.full(4, 0.7)
    curve = follow(Flow(SADDLE, USAM(0.1)), starts, times, BOX)[0]
    np.testing.assert_allclose(curve[:, 0] ** 1.6 * curve[:, 1] ** 2.4, 0.1**2.4, rtol=1e-3)
    np.testing.assert_allclose(curve[-1], [np.exp(-1.68), 0.1 * np.exp(1.12)], rtol=1e-3)


def test_no_manifold_where_no_jacobian_exists():
    point = FixedPoint(np.zeros(2), 0.0, 0.0, 0.0, "critical", "saddle", np.array([-2.0, 2.0]))
    item = PointStability(point, Verdict("saddle", "sliding"), None, None, None)
    assert flow_curves(Flow(SADDLE, SAM(0.5)), [item], BOX) == ([], [])


def test_iterates_are_the_steps_and_stay_paired_when_thinned():
    step_map = StepMap(SADDLE, GD(), 0.1)
    path = iterates(step_map, np.array([1.0, 0.0]), 5)
    np.testing.assert_allclose(path[:, 0], 0.8 ** np.arange(6))
    assert len(iterates(step_map, np.array([1.0, 0.0]), 50_000)) <= 3002


def test_levels_ascend_even_where_the_loss_is_flat():
    assert np.all(np.diff(contour_levels(np.random.default_rng(0).random((9, 9)) ** 8)) > 0)
    assert len(contour_levels(np.ones((9, 9)))) == 1


def test_wrong_input_is_told():
    with pytest.raises(InvalidInput, match="2 dimensions only, not 3"):
        portrait(get_loss("styblinski-tang-3d"), [GD()], [(-1, 1)] * 3)
    with pytest.raises(InvalidInput, match="a start is two finite numbers"):
        portrait(SADDLE, [GD()], BOX, starts=[(1, 2, 3)])
    with pytest.raises(InvalidInput, match="a name each"):
        portrait(SADDLE, [GD()], BOX, names=["a", "b"])


def test_manifolds_lie_over_nullclines_and_panels_fill_the_figure():
    """No empty band above: the panel reaches as high as its title lets it."""
    figure = portrait(SADDLE, [GD(), SAM(0.1)], BOX, learning_rate=0.02)
    figure.draw_without_rendering()
    for ax in figure.axes:
        over = {gid: [x.get_zorder() for x in ax.lines if x.get_gid() == gid] for gid in GIDS}
        assert max(over["nullcline"]) < min(over["stable-manifold"], default=np.inf)
        slot, panel = ax.get_position(original=True), ax.get_position()
        assert slot.height - panel.height < 0.02
        assert ax.title.get_window_extent().y1 > 0.97 * figure.bbox.height
    assert [ax.get_title() for ax in figure.axes] == ["GD, η = 0.02", "SAM, ρ = 0.1, η = 0.02"]


GIDS = ("nullcline", "stable-manifold")


def test_portraits_are_drawn_into_axes_of_the_caller():
    figure = Figure(figsize=(7, 3))
    axes = figure.subplots(1, 2)
    assert portrait(SADDLE, [GD(), SAM(0.1)], BOX, ax=axes) is axes
    assert tuple(figure.get_size_inches()) == (7, 3)
    assert all("streamlines" in {x.get_gid() for x in ax.collections} for ax in axes)
    with pytest.raises(InvalidInput, match="2 systems were given with 1 axes"):
        portrait(SADDLE, [GD(), SAM(0.1)], BOX, ax=axes[0])
