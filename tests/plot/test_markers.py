"""Marks: the filled half points where the saddle attracts, and the legend lists what is there."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.markers import MarkerStyle
from verbs import stability

from samdyn.attractors.finding.point import Completeness, FixedPoint
from samdyn.attractors.judging.verdict import Verdict
from samdyn.attractors.stability_result import PointStability, Stability
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.systems.flow import Flow
from samdyn.errors import InvalidInput
from samdyn.plot.markers import attracting_direction, draw_fixed_points, draw_mark, mark_of
from samdyn.plot.style import new_axes


def tilted(w):
    """A saddle that attracts along (1, 2)/√5."""
    along, across = (w[0] + 2 * w[1]) / np.sqrt(5), (2 * w[0] - w[1]) / np.sqrt(5)
    return along**2 - across**2 / 2


def item(w, verdict, kind="critical", critical_type="saddle", step=None, continuum=None):
    point = FixedPoint(
        np.array(w, float), 0.0, 0.0, 0.0, kind, critical_type, np.ones(2), continuum
    )
    return PointStability(point, Verdict(verdict, ""), step, None, None)


def report(*items):
    return Stability(items, Completeness(True, "", True), Flow(tilted, GD()))


def drawn_labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_attracting_direction_is_the_eigenvector():
    direction = attracting_direction(Flow(tilted, GD()), np.zeros(2))
    assert abs(direction @ np.array([1, 2]) / np.sqrt(5)) == pytest.approx(1, abs=1e-9)


def test_attracting_direction_where_the_field_jumps():
    """For l = 2x² − y²/2 the distance falls at 16ρ/4 along x and at ρ along y."""
    flow = Flow(lambda w: 2 * w[0] ** 2 - w[1] ** 2 / 2, SAM(0.3))
    direction = attracting_direction(flow, np.zeros(2))
    assert abs(direction[0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("aspect", ["equal", "auto"])
def test_filled_half_points_along_the_attracting_direction_on_the_page(aspect):
    ax = new_axes()
    ax.set_xlim(-1, 1)
    ax.set_ylim(-5, 5)
    ax.set_aspect(aspect)
    direction = np.array([1.0, 2.0]) / np.sqrt(5)
    saddle = mark_of(item([0.0, 0.0], "saddle"))
    draw_mark(ax, np.zeros(2), saddle, direction)
    ax.figure.set_dpi(600)  # a mark is moved to whole pixels: they must be small
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    centre, ahead = ax.transData.transform(np.stack([np.zeros(2), direction]))
    page = np.asarray(canvas.buffer_rgba())[::-1, :, 0]  # rows from the bottom, as on the page
    rows, columns = np.nonzero(page < 100)
    dark = np.stack([columns, rows], axis=1) + 0.5 - centre
    dark = dark[np.linalg.norm(dark, axis=1) < 33].mean(axis=0)
    wanted = (ahead - centre) / np.linalg.norm(ahead - centre)
    assert dark @ wanted > 1
    assert dark @ wanted > 0.99 * np.linalg.norm(dark)


def test_legend_lists_exactly_the_marks_that_occur():
    trapped = Verdict("attractor", "", orbit="period-2", amplitude=0.1)
    ax = draw_fixed_points(
        report(
            item([0, 0], "saddle"),
            item([1, 0], "attractor", critical_type="minimum"),
            item([2, 0], "attractor", critical_type="minimum"),
            item([3, 0], "attractor", kind="hallucinated", critical_type=None),
            item([4, 0], "attractor", step=trapped),
        )
    )
    assert sorted(drawn_labels(ax)) == [
        "attractor",
        "hallucinated, attracts",
        "period-2 orbit at a saddle",
        "saddle, filled half attracts",
    ]


def test_without_a_flow_no_direction_is_claimed():
    """Of a map's saddle it is not known along which direction it attracts."""
    only = item([0, 0], "saddle")
    by_step = PointStability(only.point, None, Verdict("saddle", ""), None, None)
    assert drawn_labels(draw_fixed_points(report(by_step))) == ["saddle"]


def test_an_attracting_saddle_is_told_from_a_minimum():
    harmless = mark_of(item([0, 0], "attractor", critical_type="minimum"))
    alarm = mark_of(item([0, 0], "attractor", critical_type="saddle"))
    assert harmless.filled
    assert alarm.filled
    assert harmless.colour != alarm.colour
    assert mark_of(item([0, 0], "repeller")).filled is False


def test_continuum_is_drawn_sample_by_sample():
    samples = np.stack([np.linspace(0, 1, 30), np.zeros(30)], axis=1)
    ax = draw_fixed_points(report(item([0, 0], "degenerate", continuum=samples)))
    assert any(np.array_equal(line.get_xydata(), samples) for line in ax.lines)
    assert drawn_labels(ax) == ["continuum of critical points"]


def test_other_dimensions_are_refused():
    with pytest.raises(InvalidInput, match="2 dimensions only, not 3"):
        draw_fixed_points(report(item([0, 0, 0], "saddle")))


def test_direction_does_not_depend_on_the_scale_of_the_loss():
    for scale in (1e-6, 1e6):
        flow = Flow(lambda w, c=scale: c * jnp.vdot(w, w * jnp.asarray([1.0, -1.0])), GD())
        assert abs(attracting_direction(flow, np.zeros(2))[0]) == pytest.approx(1)


def test_without_a_loss_nothing_attracts_in_alarm():
    """A well of Duffing's is no hallucination: there is no gradient that it could miss."""
    well = item([1, 0], "attractor", kind="fixed point", critical_type=None)
    assert mark_of(well) == mark_of(item([1, 0], "attractor", critical_type="minimum"))


@pytest.mark.parametrize("orbit", [None, "period-2"])
def test_what_attracts_tells_by_its_shape_what_it_is(orbit):
    """Not by colour alone: each critical type has a shape and a label of its own."""
    step = Verdict("attractor", "", orbit=orbit)
    marks = [
        mark_of(item([0, 0], "attractor", critical_type=kind, step=step))
        for kind in ("minimum", "saddle", "maximum")
    ]
    assert len({mark.shape for mark in marks}) == 3
    assert len({mark.label for mark in marks}) == 3


@pytest.mark.parametrize("verdict", ["unknown", "not a fixed map"])
def test_what_is_not_known_has_a_mark_of_its_own(verdict):
    for known in ("attractor", "repeller", "saddle", "degenerate"):
        assert mark_of(item([0, 0], verdict)).shape != mark_of(item([0, 0], known)).shape
    ax = draw_fixed_points(report(item([0, 0], verdict)))
    assert drawn_labels(ax) == [verdict]
    FigureCanvasAgg(ax.figure).draw()


def test_where_steps_are_judged_the_mark_is_theirs():
    """η = 1.5 oversteps the steep direction of a bowl: a saddle that attracts along the other."""

    def bowl(w):
        return w[0] ** 2 + w[1] ** 2 / 8

    found = stability(bowl, GD(), at=(0.0, 0.0), learning_rate=1.5)
    (mark,) = [x for x in draw_fixed_points(found).lines if x.get_label() != "_"]
    assert mark.get_label() == "saddle, filled half attracts"
    assert abs(mark.direction[1]) == pytest.approx(1)


def test_a_saddle_in_the_legend_is_turned_as_in_the_plot():
    """With the half filled that is filled there."""
    only = item([0.0, 0.0], "saddle")
    ax = draw_fixed_points(report(only))
    FigureCanvasAgg(ax.figure).draw()
    (mark,) = [line for line in ax.lines if "filled half" in line.get_label()]
    (shown,) = ax.get_legend().get_lines()
    assert shown.get_fillstyle() == mark.get_fillstyle()
    assert shown.get_markerfacecoloralt() == mark.get_markerfacecoloralt() == "white"
    turned = [line.get_marker() for line in (shown, mark)]
    angles = [np.asarray(m.get_transform().get_matrix())[:2, :2] for m in turned_styles(turned)]
    np.testing.assert_allclose(angles[0], angles[1])
    assert abs(mark.angle) > 0.1  # (1, 2) is not the way that it points by itself


def turned_styles(markers):
    return [m if hasattr(m, "get_transform") else MarkerStyle(m) for m in markers]
