"""What the documentation shows runs: the README's Python block, and each shell line parses."""

import pathlib
import re
import shlex

import pytest

import samdyn
from samdyn.cli.main import build_parser

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.thorough
def test_the_python_block_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "attractor 0.036036036036036036" in printed
    assert "complete:" in printed
    assert "A saddle holds this run" in printed
    assert "USAM(rho=0.6)" in printed


def test_every_shell_line_of_the_readme_parses():
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    lines = re.findall(r"^samdyn [^\n]*", blocks, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_figures_and_files_that_the_documentation_names_exist():
    for page in (README, (ROOT / "docs" / "architecture.md").read_text()):
        for name in re.findall(r"(?:figures|docs|scripts)/[\w/]+(?:\.\w+)+", page):
            assert (ROOT / name).is_file(), name


def test_the_pytorch_block_runs_where_torch_is_installed(capsys):
    pytest.importorskip("torch")
    page = (ROOT / "docs" / "networks.md").read_text()
    block = next(iter(re.findall(r"```python torch\n(.*?)```", page, re.DOTALL)))
    exec(compile(block, "networks.md", "exec"), {})
    assert "lowest" in capsys.readouterr().out


GROWTH = {
    0: ("GD    repeller", "USAM  repeller"),
    1: ("-0.916291", "0.279122", "0.177997", "learning_rate = 0.552486187845"),
    2: ("attractor repeller",),
    3: ("period-doubling of the period-2 orbit", "1.236067977", "chaotic", "proven"),
    4: ("0.026", "200 runs"),
}


@pytest.mark.parametrize("number", GROWTH)
def test_the_blocks_about_growth_run(number, capsys):
    page = (ROOT / "docs" / "growth.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == len(GROWTH)
    exec(compile(blocks[number], "growth.md", "exec"), {})
    printed = capsys.readouterr().out
    for text in GROWTH[number]:
        assert text in printed


def test_the_table_of_methods_has_every_name():
    page = (ROOT / "docs" / "methods.md").read_text()
    for name in samdyn.METHODS:
        assert name in page
