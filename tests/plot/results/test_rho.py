"""Sweeps: line styles follow the verdicts, and bifurcations stand where they are."""

import numpy as np
import pytest

from samdyn.attractors.following.branches import Branch
from samdyn.plot.results.rho import bifurcation_diagram, draw_eigenvalues, plot_sweep
from samdyn.plot.style import DOUBT

from ..swept import Event, Sweep

RHO = np.linspace(0, 1, 6)


@pytest.fixture
def sweep():
    origin = Branch(
        "critical",
        "saddle",
        np.zeros((6, 2)),
        ("saddle",) * 3 + ("attractor",) * 3,
        0.5 - RHO,
    )
    side = np.where(RHO > 0.5, np.sqrt(np.abs(RHO - 0.5)), np.nan)
    arm = Branch(
        "hallucinated",
        None,
        np.stack([side, 0 * side], axis=1),
        (None,) * 3 + ("saddle",) * 2 + ("degenerate",),
        np.where(RHO > 0.5, RHO - 0.5, np.nan),
    )
    return Sweep(RHO, (origin, arm), (Event(0.5, np.zeros(2), "pitchfork"),))


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_line_style_changes_with_the_verdict(sweep):
    ax = bifurcation_diagram(sweep)
    dashed, solid = ax.lines[:2]
    np.testing.assert_allclose(dashed.get_xdata(), RHO[:4])
    np.testing.assert_allclose(solid.get_xdata(), RHO[3:])
    assert dashed.is_dashed()
    assert not solid.is_dashed()


def test_bifurcation_is_marked_at_its_place(sweep):
    ax = bifurcation_diagram(sweep)
    (mark,) = [line for line in ax.lines if line.get_marker() == "^"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0.5, 0.0)
    assert "ρ = 0.5" in [text.get_text() for text in ax.texts]


def names(ax):
    return [text.get_text() for text in ax.texts if text.get_gid() == "name"]


def test_legend_lists_exactly_what_is_drawn(sweep):
    ax = bifurcation_diagram(sweep)
    assert labels(ax) == ["attractor", "saddle", "degenerate", "pitchfork"]
    assert sorted(names(ax)) == ["hallucinated", "saddle"]


def test_degenerate_is_grey(sweep):
    ax = draw_eigenvalues(sweep)
    last = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [line.get_color() for line in last] == [DOUBT]


def test_near_bifurcations_share_a_label(sweep):
    two = sweep._replace(bifurcations=(*sweep.bifurcations, Event(0.51, np.zeros(2), "fold")))
    texts = [text for text in draw_eigenvalues(two).texts if text.get_gid() == "bifurcation"]
    assert [text.get_text() for text in texts] == ["ρ = 0.5 … 0.51"]


def test_panels_share_rho(sweep):
    top, bottom = plot_sweep(sweep, "double well", axis=1).axes
    assert top.get_xlim() == bottom.get_xlim() == (0, 1)
    assert bottom.get_ylabel() == "y of the fixed points"


def test_a_branch_without_eigenvalues_leaves_the_panel_empty(sweep):
    none = sweep.branches[0]._replace(leading_real_part=np.full(6, np.nan))
    ax = draw_eigenvalues(sweep._replace(branches=(none,)))
    assert ax.get_yscale() == "linear"


def test_a_step_s_spectral_radius_is_drawn(sweep):
    origin, arm = sweep.branches
    names = ("attractor",) * 2 + ("saddle",) * 4
    origin = origin._replace(spectral_radius=0.8 + 0.5 * RHO, step_verdict=names)
    given = sweep._replace(branches=(origin, arm), parameter="learning_rate")
    top, middle, bottom = plot_sweep(given).axes
    assert middle.get_ylabel() == "spectral radius\nof the step"
    drawn = [line for line in middle.lines if len(line.get_xdata()) > 2]
    np.testing.assert_allclose(drawn[0].get_ydata(), 0.8 + 0.5 * RHO[:3])
    assert bottom.get_xlabel() == "η"
    assert top.get_xlim() == middle.get_xlim()
