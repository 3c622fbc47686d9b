"""Colours: one meaning each, legible on white; the settings of the caller go before the house's."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from scripts_of import script

import samdyn
from samdyn.plot.results.diagram import draw_diagram
from samdyn.plot.style import (
    ALARM,
    ASCENT,
    CYCLE,
    LEGIBLE,
    MEANINGS,
    METHOD_COLOURS,
    PALETTE,
    STYLE,
    contrast,
    house_settings,
    legible,
    system_name,
)

SADDLE = samdyn.get_loss("saddle")


def test_contrast_is_that_of_the_guidelines():
    """WCAG's own examples: black on white is 21, #777777 is 4.48, #767676 passes 4.5."""
    assert contrast("black") == pytest.approx(21)
    assert contrast("white") == pytest.approx(1)
    assert contrast("#777777") == pytest.approx(4.48, abs=0.005)
    assert contrast("#767676") >= 4.5


def test_a_legible_colour_keeps_its_hue():
    for colour in METHOD_COLOURS.values():
        shade = legible(colour)
        assert contrast(shade) >= LEGIBLE
        ratio = np.asarray(to_rgb(shade)) / np.maximum(np.asarray(to_rgb(colour)), 1e-9)
        known = np.asarray(to_rgb(colour)) > 0.05
        assert np.ptp(ratio[known]) < 0.03
    assert legible("#0072B2") == "#0072b2"  # as it was: it is dark enough


@pytest.mark.parametrize("method", [samdyn.GD(), samdyn.SAM(0.1), samdyn.USAM(0.1)])
def test_streamlines_can_be_seen_on_white(method):
    (ax,) = samdyn.portrait(samdyn.Flow(SADDLE, method), ((-1, 1), (-1, 1))).axes
    (lines,) = [part for part in ax.collections if part.get_gid() == "streamlines"]
    assert lines.get_alpha() in (None, 1)
    assert all(contrast(colour[:3]) >= 3 for colour in lines.get_colors())


def test_a_colour_has_one_meaning():
    meant = [to_hex(colour) for colour in (*MEANINGS.values(), *METHOD_COLOURS.values())]
    assert len(set(meant)) == len(meant)
    assert not {to_hex(c) for c in (*CYCLE[:-1], *PALETTE)} & {to_hex(c) for c in MEANINGS.values()}


@pytest.fixture(scope="module")
def sheets():
    return script("figure_sheet")


def test_meanings_are_told_apart_by_colour_blind_readers(sheets):
    """No two of them look alike; a red and a green of one lightness would."""
    for vision in ("deuteranopia", "protanopia"):
        matrix = sheets.SEEN[vision]
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)  # grey stays grey
        seen = [sheets.as_seen(np.asarray(to_rgb(c)), matrix) for c in MEANINGS.values()]
        pairs = itertools.combinations(seen, 2)
        assert min(np.linalg.norm(one - other) for one, other in pairs) > 0.15
    alike = [
        sheets.as_seen(np.array(c), sheets.DEUTERANOPIA) for c in ([0.6, 0.5, 0], [0.7, 0.4, 0])
    ]
    assert np.linalg.norm(alike[0] - alike[1]) < 0.15


def test_an_ascent_is_no_alarm():
    step = samdyn.StepMap(SADDLE, samdyn.USAM(0.6), 0.1)
    (ax,) = samdyn.portrait(step, ((-1, 1), (-1, 1)), starts=[(0.9, 0.1)], steps=30).axes
    ascents = {to_hex(p.get_edgecolor()) for p in ax.patches if p.get_gid() == "ascent"}
    marks = {to_hex(line.get_color()) for line in ax.lines if "at a saddle" in line.get_label()}
    faces = {line.get_markerfacecolor() for line in ax.lines if "at a saddle" in line.get_label()}
    assert ascents == {to_hex(ASCENT)}
    assert marks
    assert faces == {ALARM}


def test_a_setting_that_the_caller_changed_is_theirs():
    assert house_settings()["axes.linewidth"] == STYLE["axes.linewidth"]
    with matplotlib.rc_context({"axes.linewidth": 2.0, "font.size": 20.0}):
        found = house_settings()
        assert "axes.linewidth" not in found
        assert "font.size" not in found
        assert found["legend.fontsize"] == pytest.approx(0.94 * 20)


def test_a_system_is_named_with_its_numbers():
    assert system_name(samdyn.Flow(SADDLE, samdyn.GD())) == "GD"
    step = samdyn.StepMap(SADDLE, samdyn.SAM(0.3), 0.05, 0.9)
    assert system_name(step) == "SAM, ρ = 0.3, η = 0.05, γ = 0.9"


def test_the_spectral_radius_is_drawn_where_it_is_asked_for():
    step = samdyn.StepMap(samdyn.get_loss("double-well-2d"), samdyn.GD(), 0.1)
    axes = {"learning_rate": np.linspace(0.1, 1.9, 7), "momentum": np.linspace(0, 0.5, 5)}
    found = samdyn.diagram(step, axes, at=(1.0, 0.0))
    plain = {part.get_gid() for part in draw_diagram(found).get_children()}
    assert "radius" not in plain
    ax = draw_diagram(found, radius=True)
    (lines,) = [part for part in ax.collections if part.get_gid() == "radius"]
    assert len(lines.levels) > 2
