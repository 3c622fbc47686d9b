"""Saving: endings, refusals in one sentence, and the same bytes every time."""

import pytest

from samdyn.errors import InvalidInput
from samdyn.plot.save import check_target, save
from samdyn.plot.style import new_axes


def figure():
    ax = new_axes()
    ax.plot([0, 1], [1, 0], "o", label="ρ")
    ax.contourf([[0, 1], [1, 2]])
    ax.legend()
    return ax.figure


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
@pytest.mark.thorough
def test_same_figure_same_bytes(tmp_path, ending):
    first, second = (save(figure(), tmp_path / f"{name}.{ending}") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 1000


def test_svg_text_stays_text(tmp_path):
    assert ">ρ</text>" in save(figure(), tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("name", ["a.xyz", "a", "svg", "a.svg.gz"])
def test_unknown_endings_are_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match=r"\.svg, \.png or \.pdf"):
        save(figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_targets_that_cannot_be_written_are_refused_beforehand(tmp_path):
    with pytest.raises(InvalidInput, match="no folder"):
        check_target(tmp_path / "missing" / "a.svg")
    (tmp_path / "b.svg").mkdir()
    with pytest.raises(InvalidInput, match="is a folder"):
        check_target(tmp_path / "b.svg")


def test_permission_denied_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InvalidInput, match="permission denied"):
        check_target(tmp_path / "a.svg")


def test_a_failed_write_is_one_sentence(tmp_path, monkeypatch):
    drawn = figure()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawn, "savefig", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space left"):
        save(drawn, tmp_path / "a.svg")


def test_the_callers_settings_stay_as_they_are(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    save(figure(), tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before
