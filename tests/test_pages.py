"""What `make docs` checks of the pages would be found; the pages themselves are built there."""

import pathlib
import re
import sys

import pytest

import samdyn

pytest.importorskip("sphinx", reason="`make docs` installs it")
ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "scripts" / "docs"), str(ROOT / "docs")]

import outputs  # noqa: E402
import site_checks  # noqa: E402
from extension import blocks, docstrings, names  # noqa: E402

del sys.path[:2]

HERE = '<h1 id="top">A</h1><a href="b.html#end">b</a><a href="https://example.org">far</a>'
THERE = '<p id="end"><a href="a.html">a</a><img src="picture.png"></p>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "a.html").write_text(HERE)
    (tmp_path / "b.html").write_text(THERE)
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path


def test_a_whole_site_passes(site):
    assert not [*site_checks.broken_links(site), *site_checks.loads_from_elsewhere(site)]


@pytest.mark.parametrize(
    "bad",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/f.css">',
        '<img src="HTTP://example.org/p.png">',
        '<iframe src="https://example.org/"></iframe>',
        "<style>@import 'https://example.org/s.css';</style>",
        "<style>body { background: url(https://example.org/p) }</style>",
        '<script>load("https://example.org/mathjax.js")</script>',
    ],
)
def test_what_comes_from_elsewhere_is_found(site, bad):
    (site / "b.html").write_text(THERE + bad)
    assert [line for line in site_checks.loads_from_elsewhere(site) if "b.html" in line]


@pytest.mark.parametrize("ending", ["css", "js"])
def test_files_beside_the_pages_are_looked_at_too(site, ending):
    text = {"css": "@font-face { src: url('https://x.org/f') }", "js": 'import("//x.org/f.mjs")'}
    (site / f"own.{ending}").write_text(text[ending])
    assert len(list(site_checks.loads_from_elsewhere(site))) == 1


@pytest.mark.parametrize(
    ("old", "new"), [("b.html#end", "b.html#gone"), ("b.html", "c.html"), ("picture", "no")]
)
def test_a_link_that_leads_nowhere_is_found(site, old, new):
    for name in ("a.html", "b.html"):
        (site / name).write_text((site / name).read_text().replace(old, new))
    assert len(list(site_checks.broken_links(site))) == 1


def test_a_name_that_is_described_nowhere_is_found(site):
    (site / "a.html").write_text('<dt id="samdyn.sweep"></dt><span id="module-samdyn.optax">')
    assert list(site_checks.undocumented(site, ["sweep", "optax", "basins"])) == [
        "samdyn.basins is described nowhere"
    ]


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("rate -0.5000001", "rate -0.5000002", True),  # the last digit
        ("rate -0.50", "rate -0.53", False),
        ("rate 1.234567891", "rate 1.234567999", True),  # 1e-6 of it
        ("error 3e-15", "error 8e-17", True),
        ("error 3e-5", "error 8e-5", False),
        ("a 1.5   b", "a 1.51 b", True),
        ("12 points", "13 points", False),
        ("12 points", "12 orbits", False),
        ("−0.99 ± 1e-05", "−0.98 ± 1e-05", True),
        ("−0.99 ± 1e-05", "0.99 ± 1e-05", False),
        ("x 1 2", "x 1", False),
        ("period-2 at 1,000", "period-3 at 1,000", False),
    ],
)
def test_an_output_may_differ_by_rounding_alone(before, now, same):
    assert outputs.same(before, now) is same
    assert bool(list(outputs.changes({"page": before}, {"page": now}))) is not same


def test_pages_and_lines_that_come_or_go_are_changes(tmp_path):
    assert list(outputs.changes({"old": "1"}, {}))
    assert list(outputs.changes({}, {"new": "1"}))
    assert list(outputs.changes({"page": "a"}, {"page": "a\nb"}))
    outputs.keep({"how-to/page": "a\n"}, tmp_path)
    outputs.keep({"how-to/other": "b\n"}, tmp_path)
    assert outputs.read(tmp_path, "txt") == {"how-to/other": "b\n"}


def test_blocks_run_and_others_are_shown():
    page = "```python\n1\n```\n```python hide\n2\n```\n```python torch\n3\n```\n"
    made = blocks.as_notebook(page)
    assert made.count("{code-cell}") == 2
    assert made.count("hide-input") == 1
    assert "```python\n3\n" in made
    assert blocks.as_notebook("```sh\nls\n```\n") == "```sh\nls\n```\n"


def test_docstrings_keep_their_marks():
    made = docstrings.as_rst(["`Flow` of |w|, w*", "", "    x = 1", "", "* **b** `rho`"])
    assert made == [
        ":py:obj:`Flow <samdyn.Flow>` of \\|w\\|, w\\*",
        *("", "::", "", "    x = 1", ""),
        "* **b** ``rho``",
    ]


def test_every_figure_is_in_the_gallery_with_a_script_that_makes_it():
    page = (ROOT / "docs" / "gallery.md").read_text()
    parts = {p.split(")")[0]: p for p in page.split("(../figures/")[1:]}
    drawn = [f.name for f in (ROOT / "figures").iterdir() if f.suffix in (".svg", ".png")]
    assert sorted(parts) == sorted(drawn)
    for figure, text in parts.items():
        script = re.search(r"`(scripts/\w+\.py|make demo)", text)
        assert script, figure
        if script[1] != "make demo":
            source = (ROOT / script[1]).read_text()
            stem = pathlib.Path(figure).stem
            names = (figure, f'"{stem}"', f'"{stem.removeprefix("sheet_")}"')
            assert any(name in source for name in names), figure


def test_every_page_is_kept_and_in_a_list_of_contents():
    docs = ROOT / "docs"
    pages = {str(p.relative_to(docs).with_suffix("")) for p in docs.rglob("*.md")}
    index = (docs / "index.md").read_text()
    listed = re.findall(r"```\{toctree\}.*?\n\n(.*?)```", index, re.DOTALL)
    assert pages - {"index"} == set("\n".join(listed).split())
    ran = {str(p.relative_to(docs / "outputs").with_suffix("")) for p in docs.rglob("*.txt")}
    runs = {name for name in pages if blocks.runs((docs / f"{name}.md").read_text())}
    assert ran == runs


def test_the_directives_are_those_of_the_names():
    assert docstrings.directive("stability").startswith(".. autofunction::")
    assert docstrings.directive("SAM").startswith(".. autoclass::")
    assert docstrings.directive("METHODS").startswith(".. py:data::")
    assert all(f"samdyn.{name}" in docstrings.directive(name) for name in samdyn.__all__)


def test_code_that_is_a_public_name_is_told_from_other_code():
    assert [names.meant(code) for code in ("samdyn.sweep", "SAM(0.5)", "samdyn.load(file)")] == [
        *("sweep", "SAM", "load")
    ]
    assert not any(
        map(names.meant, ("rates", "samdyn stability", "w", "samdyn.nothing", "Nothing"))
    )
