"""Losses are found by name, or in anyone's file or module, and what is wrong is said."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.errors import ComputationFailed, InvalidInput
from samdyn.losses.loss import Loss
from samdyn.losses.registry import get_loss, loss_names


def test_names_are_sorted_and_without_repeats():
    names = loss_names()
    assert names == sorted(set(names))
    assert {"beale", "saddle", "quadratic", "toy-net", "rosenbrock"} <= set(names)


@pytest.mark.parametrize("name", loss_names())
def test_every_registered_loss_is_described_and_callable_in_its_dimension(name):
    loss = get_loss(name)
    assert isinstance(loss, Loss)
    assert loss.name == name
    assert loss.formula
    assert loss.source
    assert len(loss.box) == loss.dim
    assert all(low < high for low, high in loss.box)
    for dtype in (jnp.float64, jnp.float32):
        value = loss(jnp.full(loss.dim, 0.3, dtype))
        assert value.shape == ()
        assert value.dtype == dtype
        assert np.isfinite(float(value))


def test_a_suffix_sets_the_dimension_of_a_family():
    for name, dim in [
        ("rosenbrock-4d", 4),
        ("styblinski-tang-1d", 1),
        ("double-well-product-5d", 5),
    ]:
        loss = get_loss(name)
        assert (loss.name, loss.dim, len(loss.box)) == (name, dim, dim)
        assert loss(jnp.full(dim, 0.3)).shape == ()


def test_the_default_dimension_spelled_out_is_the_plain_name():
    assert get_loss("rosenbrock-2d").name == "rosenbrock"
    assert get_loss("double-well-product-3d").name == "double-well-product"


def test_values_at_published_points():
    published = {
        "himmelblau": ((3.0, 2.0), 0.0),
        "six-hump-camel": ((0.08984201, -0.71265640), -1.0316284535),
        "three-hump-camel": ((0.0, 0.0), 0.0),
        "muller-brown": ((-0.55822363, 1.44172584), -146.69951721),
        "styblinski-tang": ((-2.90353403, -2.90353403), -78.33233141),
        "beale": ((3.0, 0.5), 0.0),
        "monkey-saddle": ((2.0, 1.0), 2.0),
        "mexican-hat": ((0.0, 0.0), 0.25),
        "double-well-2d": ((2.0, 1.0), 2.75),
        "saddle": ((3.0, 2.0), 5.0),
    }
    for name, (w, value) in published.items():
        # eight published digits, at points where the gradient all but vanishes
        assert float(get_loss(name)(jnp.array(w))) == pytest.approx(value, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("beal", "beale"),
        ("bealle", "beale"),
        ("rosenbrok", "rosenbrock"),
        ("muller_brown", "muller-brown"),
    ],
)
def test_an_unknown_name_suggests_a_near_one(written, meant):
    with pytest.raises(InvalidInput, match=f"no loss named '{written}'. Did you mean {meant}?"):
        get_loss(written)


def test_a_name_that_is_near_to_nothing_suggests_nothing():
    with pytest.raises(InvalidInput) as caught:
        get_loss("zzzz")
    assert "Did you mean" not in str(caught.value)
    assert "samdyn losses" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rosenbrock-1d", "rosenbrock needs dimension 2 or more, not 1"),
        ("styblinski-tang-0d", "needs dimension 1 or more, not 0"),
        ("rosenbrock-xd", "Did you mean rosenbrock"),
        ("beale-3d", "Did you mean beale"),
        ("rosenbrock-d", "Did you mean rosenbrock"),
    ],
)
def test_a_bad_dimension_is_refused(name, said):
    with pytest.raises(InvalidInput, match=said):
        get_loss(name)


@pytest.fixture
def user_file(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_function_in_a_file_is_returned_as_it_is(user_file):
    path = user_file("def bowl(w):\n    return (w**2).sum()\n")
    assert float(get_loss(f"{path}:bowl")(jnp.array([3.0, 4.0]))) == 25


def test_a_file_may_define_classes_with_postponed_annotations(user_file):
    path = user_file(
        "from __future__ import annotations\n"
        "import dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Bowl:\n"
        "    depth: float = 2.0\n"
        "    def __call__(self, w):\n"
        "        return self.depth * (w**2).sum()\n"
        "bowl = Bowl()\n"
    )
    assert float(get_loss(f"{path}:bowl")(jnp.array([3.0, 4.0]))) == 50


def test_a_function_in_a_module_is_returned_as_it_is():
    from samdyn.losses.surfaces import beale

    assert get_loss("samdyn.losses.surfaces:beale") is beale


def test_a_module_in_the_working_directory_is_found(user_file, tmp_path, monkeypatch):
    user_file("def bowl(w):\n    return (w**2).sum()\n", "bowl_of_this_directory.py")
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    monkeypatch.chdir(tmp_path)
    assert get_loss("bowl_of_this_directory:bowl").__module__ == "bowl_of_this_directory"


def test_a_missing_file_module_or_function_is_named(user_file, tmp_path):
    path = user_file("number = 3\n")
    missing = tmp_path / "absent.py"
    with pytest.raises(InvalidInput, match=r"there is no file .*absent\.py"):
        get_loss(f"{missing}:f")
    with pytest.raises(InvalidInput, match="there is no module no_such_module"):
        get_loss("no_such_module:f")
    with pytest.raises(InvalidInput, match=r"mine\.py has no function named 'f'"):
        get_loss(f"{path}:f")
    with pytest.raises(InvalidInput, match="has no function named 'number'"):
        get_loss(f"{path}:number")
    with pytest.raises(InvalidInput, match="math has no function named 'nothing'"):
        get_loss("math:nothing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise KeyError('gone')\n", "KeyError: 'gone'"),
        ("def f(:\n", "SyntaxError"),
        ("import a_library_that_is_absent\n", "No module named 'a_library_that_is_absent'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_fails_reports_its_own_error(user_file, text, said):
    with pytest.raises(ComputationFailed, match=said) as caught:
        get_loss(f"{user_file(text)}:f")
    assert caught.value.__cause__ is not None
    assert "failed while it was read" in str(caught.value)


def test_a_module_that_fails_on_import_reports_its_own_error(user_file, tmp_path, monkeypatch):
    user_file("1 / 0\n", "module_that_divides_by_zero.py")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ComputationFailed, match="failed on import: ZeroDivisionError"):
        get_loss("module_that_divides_by_zero:f")


def test_a_loss_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_loss("beale").dim = 3
