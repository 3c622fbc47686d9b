"""In a notebook the same page asks the kernel."""

import jax.numpy as jnp
import pytest

import samdyn
from samdyn.explorer.explore import Explorer

from .conftest import BOX, RHO, WELL, scene

pytest.importorskip("anywidget", reason="anywidget is not installed")


@pytest.fixture(scope="module")
def widget():
    from samdyn.explorer.widget import Widget

    return Widget(scene())


def asked(widget, what, given, monkeypatch):
    told = []
    monkeypatch.setattr(widget, "send", told.append)
    widget._asked(widget, {"samdyn": 7, "what": what, "given": given}, [])
    (message,) = told
    assert message["samdyn"] == 7
    return message["answer"]


def test_its_page_asks_no_server(widget):
    assert '"served":"kernel"' in widget.html
    assert "connect-src" not in widget.html


def test_a_question_reaches_the_library(widget, monkeypatch):
    numbers = {"rho": 0.3, "learning_rate": 0, "momentum": 0}
    answer = asked(widget, "verdicts", numbers, monkeypatch)
    wanted = samdyn.stability(samdyn.Flow(WELL, samdyn.USAM(0.3)), box=BOX).to_dict()
    for point, other in zip(answer["panels"][2]["points"], wanted["fixed_points"], strict=True):
        assert point["w"] == other["w"]
        assert point["verdict"] == other["flow"]["verdict"]


def test_what_makes_no_sense_gets_a_sentence(widget, monkeypatch):
    assert "finite number" in asked(widget, "verdicts", {"rho": "x"}, monkeypatch)["error"]
    formula = {"text": "open('x')", "box": ""}
    assert "open" in asked(widget, "formula", formula, monkeypatch)["error"]
    widget._asked(widget, "no message", [])


def test_a_formula_replaces_the_page(widget, monkeypatch):
    answer = asked(widget, "formula", {"text": "x^2 - y^2", "box": "-1,1;-1,1"}, monkeypatch)
    assert answer == {}
    assert "x^2 - y^2" in widget.html


def test_an_explorer_shows_itself_in_a_cell():
    shown = Explorer(scene())._repr_mimebundle_()
    shown = shown[0] if isinstance(shown, tuple) else shown
    assert any("widget" in kind for kind in shown)


def test_the_verb_takes_systems_of_the_plane():
    found = samdyn.explore(samdyn.StepMap(WELL, samdyn.SAM(RHO), 0.1, 0.9), browser=False)
    assert found.scene.learning_rate == pytest.approx(0.1)
    assert found.scene.momentum == pytest.approx(0.9)
    assert found.address.startswith("http://127.0.0.1:")
    found.close()
    assert found.address is None


@pytest.mark.parametrize(
    ("systems", "told"),
    [
        (list, "1 to 6"),
        (lambda: samdyn.StepMap(WELL, samdyn.VaSSO(0.1), 0.1), "remembers"),
        (lambda: [samdyn.Flow(loss, samdyn.GD()) for loss in (WELL, jnp.sum)], "one loss"),
        (lambda: samdyn.Map(lambda w, a: w), "not Map"),
        (lambda: samdyn.Flow(lambda w: w @ w, samdyn.GD()), "box is missing"),
    ],
)
def test_what_cannot_be_shown_is_said(systems, told):
    with pytest.raises(samdyn.InvalidInput, match=told):
        samdyn.explore(systems(), browser=False)
