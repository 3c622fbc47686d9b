"""A distribution that lost a file is told by name."""

import pathlib
import tarfile
import zipfile

from scripts_of import script

ROOT = pathlib.Path(__file__).parent.parent


def test_a_file_that_is_missing_is_named(tmp_path):
    wheel, source = tmp_path / "a.whl", tmp_path / "a.tar.gz"
    (tmp_path / "CITATION.cff").write_text("cite")
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("samdyn/explorer/explorer.js", "")
    with tarfile.open(source, "w:gz") as made:
        made.add(tmp_path / "CITATION.cff", "samdyn-0.1.0/CITATION.cff")
    tool = script("release")
    assert tool.lacks(wheel, ("explorer/explorer.js", "explorer/explorer.css")) == [
        "explorer/explorer.css"
    ]
    assert tool.lacks(source, ("CITATION.cff", "CHANGELOG.md")) == ["CHANGELOG.md"]


def test_the_files_that_are_asked_for_are_here():
    tool = script("release")
    assert all((ROOT / "samdyn" / name).is_file() for name in tool.NEEDED)
    assert all((ROOT / name).is_file() for name in tool.SOURCE_ONLY)
