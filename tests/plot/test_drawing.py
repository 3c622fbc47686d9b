"""What every drawing call owes the owner of the axes: facts read from artists, of each drawer."""

import re
import sys
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import samdyn
from samdyn.attractors.following.branches import Branch
from samdyn.errors import InvalidInput
from samdyn.plot.results.rho import draw_sweep
from samdyn.plot.style import BLUE

from .swept import Event, Sweep

WELL = samdyn.get_loss("double-well-2d")
STEP = samdyn.StepMap(WELL, samdyn.GD(), 0.05)


def swept():
    """Two branches whose curves coincide, and one that crosses them."""
    rho, w = np.linspace(0, 1, 6), np.zeros((6, 2))
    names = ("saddle",) * 3 + ("attractor",) * 3
    parts = [("minimum", 0.5 - rho), ("minimum", 0.5 - rho), ("saddle", rho - 0.5)]
    branches = [
        Branch("critical", kind, w + i, names, rate) for i, (kind, rate) in enumerate(parts)
    ]
    return Sweep(rho, tuple(branches), (Event(0.5, w[0], "pitchfork"),))


def cosines(ax=None, **style):
    return samdyn.cosine_strip({"SAM, ρ = 0.1": np.linspace(1, -1, 50)}, np.arange(50), ax, **style)


def cloud(ax=None, **style):
    return samdyn.draw_cloud(np.zeros((9, 2)), WELL, WELL.box, ax, label="runs", **style)


@pytest.fixture(scope="module")
def results():
    noise = samdyn.Isotropic(1.0, batch_size=4)
    saddle = samdyn.get_loss("saddle")
    leaving = samdyn.Diffusion(saddle, samdyn.USAM(0.2), learning_rate=0.01, noise=noise)
    inside = samdyn.Slab([0.0, 0.0], 1, 0.5)
    return {
        "stability": samdyn.stability(STEP, at=(0.1, 0.1)),
        "basins": samdyn.basins(STEP, WELL.box, grid=8, steps=2000),
        "trajectory": samdyn.trajectory(STEP, (1.5, 1.0), steps=50),
        "escape": samdyn.escape_times(leaving, [0.0, 0.0], inside, paths=50, seed=7),
        "manifolds": samdyn.manifolds(samdyn.Flow(WELL, samdyn.GD()), (0.1, 0.1), box=WELL.box),
        "diagram": samdyn.diagram(
            STEP, {"learning_rate": np.linspace(0.1, 3, 8), "momentum": np.linspace(0, 0.9, 4)},
            at=(1.0, 0.0),
        ),
    }  # fmt: skip


DRAWERS = ("stability", "basins", "trajectory", "escape", "manifolds", "diagram")
OTHERS = ("sweep", "cosines", "cloud", "portrait")


@pytest.fixture(params=[*DRAWERS, *OTHERS])
def draw(request, results) -> Any:
    if request.param == "sweep":
        return lambda ax=None, **style: draw_sweep(swept(), ax, **style)
    if request.param == "portrait":
        flow = samdyn.Flow(samdyn.get_loss("saddle"), samdyn.GD())
        box, starts = ((-1, 1), (-1, 1)), [(0.5, 0.2)]

        def portrayed(ax=None, **style):
            found = samdyn.portrait(flow, box, ax=ax, starts=starts, time=1.0, **style)
            return found.axes[0] if isinstance(found, Figure) else found

        return portrayed
    if request.param in OTHERS:
        return globals()[request.param]
    return results[request.param].plot


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_what_is_set_in_the_axes_stays(draw):
    figure, ax = plt.subplots(figsize=(5, 2))
    ax.set(xlim=(-7, 11), ylim=(0.3, 5), title="mine", xlabel="my x", ylabel="my y")
    ax.set_xticks([-5, 0, 5], ["a", "b", "c"])
    box = ax.get_position().bounds
    assert draw(ax) is ax
    assert (ax.get_xlim(), ax.get_ylim()) == ((-7, 11), (0.3, 5))
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("mine", "my x", "my y")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]
    figure.draw_without_rendering()
    assert (ax.get_xlim(), ax.get_ylim()) == ((-7, 11), (0.3, 5))
    assert tuple(figure.get_size_inches()) == (5, 2)
    assert ax.get_position(original=True).bounds == box


def test_what_an_earlier_drawing_set_is_no_ones(draw):
    """A second drawing may set its limits and names; the caller's later ones stay."""
    ax = plt.figure().subplots()
    draw(ax)
    first = ax.get_xlabel()
    ax.set_ylim(0.25, 3)
    draw(ax)
    assert ax.get_xlabel() == first
    assert ax.get_ylim() == (0.25, 3)


def test_keywords_of_the_axes_are_set(draw):
    ax = draw(xlim=(0.5, 4), title="told", ylabel="height", legend=False)
    assert ax.get_xlim() == (0.5, 4)
    assert (ax.get_title(), ax.get_ylabel()) == ("told", "height")
    assert ax.get_legend() is None
    assert not ax.get_figure(root=True).legends


def test_a_legend_of_the_callers_stays(draw):
    ax = plt.figure().subplots()
    ax.plot([0, 1], [0, 1], label="mine")
    legend = ax.legend()
    draw(ax)
    assert ax.get_legend() is legend


def test_settings_stay_and_every_artist_is_found(draw):
    before = dict(matplotlib.rcParams)
    ax = plt.figure().subplots()
    known = set(ax.get_children())
    draw(ax)
    assert dict(matplotlib.rcParams) == before
    assert all(part.get_gid() for part in ax.get_children() if part not in known)


def test_style_reaches_what_is_drawn(draw):
    ax = draw(alpha=0.41)
    assert any(part.get_alpha() == 0.41 for part in ax.get_children())


def test_an_unknown_keyword_is_one_sentence(draw):
    with pytest.raises(InvalidInput, match="has a property 'colur'"):
        draw(colur="red")
    with pytest.raises(InvalidInput, match=r"legend is True, False or keywords"):
        draw(legend="upper left")


def test_axes_that_are_none_are_one_sentence(draw):
    with pytest.raises(InvalidInput, match=r"ax is matplotlib's Axes, not a dict\."):
        draw({})


@pytest.mark.parametrize("width", [3.3, 6.8])
def test_a_column_is_as_wide_as_it_was_set(draw, width):
    """Nothing sticks out of it, and no tick label covers the next."""
    with matplotlib.rc_context({"figure.figsize": (width, 2.0)}):
        ax = draw()
    figure = ax.get_figure(root=True)
    assert figure.get_figwidth() == width
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox().bounds
    assert -0.02 <= drawn[0] <= drawn[0] + drawn[2] <= width + 0.08
    labels = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
    low, high = ax.get_window_extent().intervalx
    seen = sorted(b.x0 for b in labels), sorted(b.x1 for b in labels)
    pairs = zip(seen[1][:-1], seen[0][1:], strict=True)
    assert all(left <= right for left, right in pairs if low <= left <= high)


def test_a_figure_of_a_given_size_keeps_it(draw):
    figure = draw(figsize=(4.5, 3.5)).get_figure(root=True)
    assert tuple(figure.get_size_inches()) == (4.5, 3.5)


def test_fonts_and_widths_of_the_caller_are_taken():
    """A font, its size and the lines' width; what follows from the size follows."""
    set_by_caller = {"font.family": ["serif"], "font.size": 12.0, "lines.linewidth": 2.6}
    house, theirs = draw_sweep(swept()), None
    with matplotlib.rc_context(set_by_caller):
        theirs = draw_sweep(swept())
    assert theirs.xaxis.label.get_family() == ["serif"]
    assert house.xaxis.label.get_family() == ["DejaVu Sans"]
    ratio = theirs.xaxis.label.get_size() / house.xaxis.label.get_size()
    assert ratio == pytest.approx(12 / 8)
    widths = [
        [line.get_linewidth() for line in ax.lines if line.get_gid() == "border"]
        for ax in (house, theirs)
    ]
    assert widths[1] == [pytest.approx(2 * width) for width in widths[0]]
    (label,) = theirs.get_xticklabels()[:1]
    assert label.get_family() == ["serif"]


def test_show_shows_what_is_drawn_where_pyplot_is_used():
    ax = draw_sweep(swept())
    assert plt.fignum_exists(ax.get_figure(root=True).number)
    assert plt.gcf() is ax.get_figure(root=True)


def test_a_notebook_shows_what_a_cell_returns_once(monkeypatch):
    monkeypatch.setattr(
        matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend_inline"
    )
    """pyplot's figures at its end, and the figure that it returns."""
    before = plt.get_fignums()
    figure = samdyn.portrait([samdyn.Flow(samdyn.get_loss("saddle"), samdyn.GD())], [(-1, 1)] * 2)
    assert plt.get_fignums() == before
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert draw_sweep(swept()).get_figure(root=True) is plt.gcf()


def test_without_pyplot_nothing_is_opened(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    before = plt.get_fignums()
    ax = draw_sweep(swept())
    assert plt.get_fignums() == before
    assert "matplotlib.pyplot" not in sys.modules
    assert isinstance(ax.get_figure(root=True), Figure)


def test_without_a_display_a_figure_can_be_saved(monkeypatch, tmp_path):
    def no_display(**_):
        raise RuntimeError("no display name and no $DISPLAY environment variable")

    monkeypatch.setattr(plt, "figure", no_display)
    assert samdyn.save(draw_sweep(swept()), tmp_path / "a.svg").stat().st_size > 1000


def test_curves_that_coincide_are_all_seen():
    """The lower one is thicker, and drawn before: it shows on both sides of the upper one."""
    lines = [line for line in draw_sweep(swept()).lines if line.get_gid() == "branch"]
    below, above = lines[0], lines[2]
    np.testing.assert_array_equal(below.get_xydata(), above.get_xydata())
    assert below.get_color() == BLUE != above.get_color()
    assert below.get_linewidth() >= above.get_linewidth() + 2
    assert below.get_zorder() < above.get_zorder()
    names = [text.get_text() for text in draw_sweep(swept()).texts if text.get_gid() == "name"]
    assert sorted(names) == ["minimum (2)", "saddle"]


def test_a_legend_covers_no_curve():
    for width in (3.3, 6.8):
        with matplotlib.rc_context({"figure.figsize": (width, 2.0)}):
            ax = draw_sweep(swept())
        ax.get_figure(root=True).draw_without_rendering()
        box = ax.get_legend().get_window_extent()
        inside = ax.get_window_extent()
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1
        for line in ax.lines:
            path = line.get_transform().transform_path(line.get_path())
            assert line.get_gid() != "branch" or not path.intersects_bbox(box, filled=False)


def test_ids_in_an_svg_are_unique(tmp_path):
    text = samdyn.save(draw_sweep(swept()), tmp_path / "a.svg").read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert "branch" in ids
