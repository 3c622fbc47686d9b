"""Survival curves: the line is the Kaplan–Meier estimate, and nothing censored is hidden."""

from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.axes import Axes

from samdyn.errors import InvalidInput
from samdyn.escape.result import EscapeTimes
from samdyn.escape.statistics import CENSORED, ESCAPED, FAILED, kaplan_meier
from samdyn.plot.results.survival import CELLS, draw_survival
from samdyn.plot.save import save
from samdyn.plot.style import new_axes


class Drawn(NamedTuple):
    survival: np.ndarray
    tail: np.ndarray
    ticks: np.ndarray
    labels: list[str]


def result(times, status):
    times, status = np.asarray(times, float), np.asarray(status, np.int8)
    count = len(times)
    return EscapeTimes(
        times, status, np.ones(count, np.int64), np.zeros((count, 1)), seconds=1.0,
        compile_seconds=0.0, lane_steps=1, scheme=None, dt=None, asked=count, interrupted=False,
    )  # fmt: skip


def exponential(count, end=np.inf, rate=0.5):
    times = np.random.default_rng(3).exponential(1 / rate, count)
    return result(np.minimum(times, end), np.where(times <= end, ESCAPED, CENSORED))


def read(ax: Axes) -> Drawn:
    legend = ax.get_legend()
    assert legend is not None
    named = {str(line.get_label()): np.asarray(line.get_xydata()) for line in ax.lines}

    def one(part):
        return next((xy for label, xy in named.items() if part in label), np.zeros((0, 2)))

    labels = [text.get_text() for text in legend.get_texts()]
    return Drawn(one("escaped"), one("tail"), one("censored"), labels)


def test_the_line_is_the_estimate_step_by_step():
    ax = draw_survival(result([1, 2, 3, 4], [ESCAPED, ESCAPED, CENSORED, ESCAPED]), log=False)
    line = read(ax).survival
    np.testing.assert_allclose(line, [[0, 1], [1, 0.75], [2, 0.5], [4, 0], [4, 0]])
    assert ax.lines[0].get_drawstyle() == "steps-post"


def test_on_a_logarithmic_axis_the_curve_ends_at_the_last_exit():
    line = read(draw_survival(result([1, 2], [ESCAPED, ESCAPED]))).survival
    np.testing.assert_allclose(line, [[0, 1], [1, 0.5], [2, 0.5]])


def test_ticks_stand_on_the_curve_where_paths_were_censored():
    found = result([1, 2, 3, 3, 4], [ESCAPED, CENSORED, CENSORED, CENSORED, ESCAPED])
    drawn = read(draw_survival(found))
    np.testing.assert_allclose(drawn.ticks, [[2, 0.8], [3, 0.8]])
    assert "3 censored" in drawn.labels
    assert any("2 of 5 escaped" in label for label in drawn.labels)


@pytest.mark.parametrize("log", [True, False])
def test_a_long_curve_is_thinned_within_one_cell(log):
    found = exponential(50_000, end=12.0)
    drawn = read(draw_survival(found, log=log))
    curve = kaplan_meier(found.times, found.status)
    at = np.searchsorted(drawn.survival[:, 0], curve.t, side="right") - 1
    shown = drawn.survival[at, 1]
    off = np.log(shown / curve.survival) if log else shown - curve.survival
    span = -np.log(curve.survival[-1]) if log else 1
    assert len(drawn.survival) < 3 * CELLS
    assert np.max(np.abs(off)) < 1.01 * span / CELLS
    assert drawn.survival[-1, 0] == 12


def test_the_tail_starts_on_the_curve_and_falls_at_the_fitted_rate():
    found = exponential(4000, end=6.0)
    tail = found.summary.tail
    assert tail is not None
    assert tail.rate is not None
    drawn = read(draw_survival(found))
    t, share = drawn.tail.T
    assert t[0] == tail.start
    np.testing.assert_allclose(np.diff(np.log(share)), -tail.rate * np.diff(t), rtol=1e-9)
    assert share[0] == pytest.approx(1 - found.summary.escaped / 4000 / 2, abs=5e-3)


def test_the_band_contains_the_curve():
    ax = draw_survival(exponential(40))
    (band,) = ax.collections
    line = read(ax).survival
    assert all(path.contains_points(line[1:-1], radius=1e-9).all() for path in band.get_paths())


def test_no_exit_is_a_level_line_without_a_tail():
    drawn = read(draw_survival(result([5, 5, 5], [CENSORED] * 3)))
    np.testing.assert_allclose(drawn.survival, [[0, 1], [5, 1]])
    assert not drawn.tail.size
    np.testing.assert_allclose(drawn.ticks, [[5, 1]])


def test_one_exit_or_many_at_one_time_are_drawn():
    for count in (1, 7):
        for log in (True, False):
            draw_survival(result([2.0] * count, [ESCAPED] * count), log=log)
    draw_survival(result([0.0, 0.0], [ESCAPED, ESCAPED]))


def test_failed_paths_are_left_out_and_counted():
    found = result([1, 2, np.nan], [ESCAPED, ESCAPED, FAILED])
    drawn = read(draw_survival(found, log=False))
    assert drawn.survival[1, 1] == 0.5
    assert "1 failed and left out" in drawn.labels


def test_nothing_but_failures_is_refused():
    with pytest.raises(InvalidInput, match="no path ended without failing"):
        draw_survival(result([np.nan], [FAILED]))


def test_draws_into_the_callers_axes_and_the_result_plots_itself(tmp_path):
    ax, found = new_axes(), exponential(200, end=3.0)
    assert draw_survival(found, ax) is ax
    assert isinstance(found.plot(), Axes)
    figure = ax.get_figure(root=True)
    assert figure is not None
    assert ">share still inside</text>" in save(figure, tmp_path / "a.svg").read_text()


def test_several_runs_have_a_colour_and_one_line_in_the_legend_each():
    """And the axes show all of them, whichever is drawn last."""
    slow, fast = exponential(300, rate=0.2), exponential(300, rate=4.0)
    for first, second in ((slow, fast), (fast, slow)):
        ax = draw_survival(second, draw_survival(first, new_axes(), label="first"), label="second")
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert [label.split(",")[0] for label in labels] == ["first", "second"]
        curves = [line for line in ax.lines if line.get_gid() == "survival"]
        assert curves[0].get_color() != curves[1].get_color()
        for curve in curves:
            t, share = np.asarray(curve.get_xydata()).T
            assert 0 <= np.min(t) <= np.max(t) <= ax.get_xlim()[1]
            assert ax.get_ylim()[0] <= np.min(share) <= np.max(share) <= ax.get_ylim()[1]
