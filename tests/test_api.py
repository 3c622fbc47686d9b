"""Every verb has one shape, and every public name is in the reference."""

import inspect
import pathlib
import re
import typing
from typing import Any

import pytest

import samdyn

ROOT = pathlib.Path(__file__).parent.parent
FIRST = {
    "stability": ("system",),
    "sweep": ("system", "parameter", "values"),
    "basins": ("system", "box"),
    "threshold": ("system", "parameter", "between"),
    "manifolds": ("system", "at"),
    "trajectory": ("system", "start"),
    "portrait": ("systems", "box"),
    "escape_times": ("system", "start", "region"),
    "spread": ("system", "at"),
    "theory": ("system", "start", "region"),
    "diagram": ("system", "parameters"),
    "exponents": ("step",),
    "diagnose": ("system", "params", "batches"),
    "study": ("methods", "data"),
}
LONG = ("basins", "escape_times", "diagnose", "study")
NO_RESULT = ("portrait", "theory")  # a figure, and numbers by name


@pytest.mark.parametrize("name", FIRST)
def test_a_verb_takes_its_system_first_and_options_by_keyword(name):
    parameters = inspect.signature(getattr(samdyn, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert tuple(positional) == FIRST[name]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    style = inspect.Parameter("style", inspect.Parameter.VAR_KEYWORD, annotation=Any)
    others = [p for p in parameters if p.kind not in kinds]  # those of matplotlib alone
    assert [str(p) for p in others] == ([str(style)] if name == "portrait" else [])


@pytest.mark.parametrize("name", LONG)
def test_long_verbs_take_progress(name):
    assert inspect.signature(getattr(samdyn, name)).parameters["progress"].default is None


@pytest.mark.parametrize("name", [name for name in FIRST if name not in NO_RESULT])
def test_a_verb_returns_a_result(name):
    told = inspect.signature(getattr(samdyn, name)).return_annotation
    found = getattr(samdyn, told) if isinstance(told, str) else told
    assert all(issubclass(one, samdyn.Result) for one in typing.get_args(found) or (found,))


@pytest.mark.parametrize("name", FIRST)
def test_a_verb_tells_shapes_and_errors(name):
    text = inspect.getdoc(getattr(samdyn, name)) or ""
    assert "InvalidInput" in text
    assert re.search(r"\((?:d|n|2|grid|L|dim|low)\b[^)]*\)|pytree|pairs", text)


def test_the_reference_has_every_public_name_once():
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    lists = re.findall(r"```\{names\}\n(.*?)```", pages, re.DOTALL)
    assert sorted(" ".join(lists).split()) == sorted(samdyn.__all__)
