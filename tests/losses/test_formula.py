"""A typed formula is the function that it says, or one sentence about what is wrong with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.losses.formula import LONGEST, Formula

W = jnp.array([1.5, -0.3])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x^2 - y^2", 1.5**2 - 0.3**2),
        ("x²·y − π", 1.5**2 * -0.3 - np.pi),
        ("exp(-x*y)/2 + 3", np.exp(0.45) / 2 + 3),
        ("w0**3 + w1", 1.5**3 - 0.3),
        ("-x^2", -(1.5**2)),
        ("2^x", 2**1.5),
        ("atan(y) + tanh(x)", np.arctan(-0.3) + np.tanh(1.5)),
        ("x^2.0 / 4", 1.5**2 / 4),
        ("log(2)*x", np.log(2) * 1.5),
        ("7", 7.0),
    ],
)
def test_it_is_what_it_says_and_so_is_its_python(text, value):
    formula = Formula(text)
    assert float(formula(W)) == pytest.approx(value, rel=1e-14)
    python = eval(f"lambda w: {formula.python}", {"jnp": jnp})
    assert float(python(W)) == pytest.approx(value, rel=1e-14)


def test_constants_are_double_whatever_jax_is_set_to():
    with jax.enable_x64(False):
        assert Formula("x/3 + 1/3").python == "((w[0] / 3) + 0.3333333333333333)"


def test_whole_powers_have_derivatives_at_zero_and_below():
    hessian = jax.hessian(Formula("x^2 + (x*y)^3"))
    assert np.all(np.isfinite(hessian(jnp.zeros(2))))
    assert np.all(np.isfinite(hessian(jnp.array([-1.0, -2.0]))))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("2x", "2*x"),
        ("x +", "cannot be read"),
        ("(x", "cannot be read"),
        ("sine(x)", "did you mean sin"),
        ("z^2", "'z' is not known"),
        ("sin(x, y)", "one argument"),
        ("x < y", "nothing that a formula can have"),
        ("x if x else y", "nothing that a formula can have"),
        ("[x, y]", "nothing that a formula can have"),
        ("'x'", "no real number"),
        ("True", "no real number"),
        ("1j*x", "no real number"),
        ("1e999 + x", "too large"),
        ("9**9**9", "no finite number"),
        ("x/0 + 1/0", "no finite number"),
        ("x" + "+x" * LONGEST, "are the most"),
        ("(" * 240 + "x" + ")" * 240, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(text, told):
    with pytest.raises(samdyn.InvalidInput, match=told.replace("*", r"\*").replace("(", r"\(")):
        Formula(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch hacked')",
        "x.__class__",
        "(lambda: x)()",
        "open('hacked', 'w')",
        "exec('1')",
        "[y for y in (1,)]",
        "x := 2",
        "f'{x}'",
        "exp(*[x])",
        "exp(x=y)",
        "sin.__globals__",
    ],
)
def test_nothing_in_it_is_executed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(samdyn.InvalidInput):
        Formula(text)
    assert not list(tmp_path.iterdir())


def test_its_points_are_found():
    found = samdyn.stability(samdyn.Flow(Formula("x^2 - y^2"), samdyn.GD()), box=[(-1, 1)] * 2)
    assert [point["critical_type"] for point in found.to_dict()["fixed_points"]] == ["saddle"]
