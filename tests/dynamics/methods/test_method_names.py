"""The command line's names give the objects they stand for."""

import pytest

from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.multi_step import MultiStep
from samdyn.dynamics.methods.names import METHODS, named_method
from samdyn.dynamics.methods.perturbed_loss import PerturbedLossGradient
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.errors import InvalidInput


def test_every_name_gives_its_class_and_radius():
    for name, kind in [("gd", GD), ("sam", SAM), ("usam", USAM), ("asam", ASAM)]:
        made = named_method(name, 0.25)
        assert type(made) is kind
        assert float(made.radius) == (0 if kind is GD else 0.25)
    made = named_method("samgrad", 0.25)
    assert type(made) is PerturbedLossGradient
    assert type(made.base) is USAM
    assert float(made.radius) == 0.25


@pytest.mark.parametrize(("name", "base", "steps"), [("sam-3", SAM, 3), ("usam-12", USAM, 12)])
def test_a_number_behind_the_name_is_the_number_of_ascents(name, base, steps):
    made = named_method(name, 0.25)
    assert type(made) is MultiStep
    assert (type(made.base), made.steps) == (base, steps)
    assert float(made.radius) == 0.25


@pytest.mark.parametrize(
    "name", ["sgd", "", "SAM", "sam-0", "sam-", "sam-x", "gd-2", "asam-2", "sam-1.5"]
)
def test_an_unknown_name_lists_what_is_accepted(name):
    with pytest.raises(InvalidInput) as caught:
        named_method(name, 0.1)
    assert str(caught.value).startswith(f"there is no method {name!r}. ")
    assert str(caught.value).endswith(
        "Accepted: gd, sam, usam, asam, samgrad, wsam, ssam, gsam, unified-sam, "
        "fsam, fsam-paper, fsam-rest, vasso, msam, looksam, sam-K, usam-K."
    )
    assert all(method in str(caught.value) for method in METHODS)


@pytest.mark.parametrize(
    ("name", "meant"), [("SAM", "sam"), ("usan", "usam"), ("adam", "asam"), ("newton", None)]
)
def test_a_name_that_is_nearly_one_is_asked_about(name, meant):
    with pytest.raises(InvalidInput) as caught:
        named_method(name, 0.1)
    assert ("Did you mean" in str(caught.value)) == (meant is not None)
    assert meant is None or f"Did you mean {meant}?" in str(caught.value)


def test_a_bad_radius_is_refused_for_every_method_that_has_one():
    for name in ("sam", "usam", "asam", "samgrad", "sam-2"):
        with pytest.raises(InvalidInput, match="rho must be"):
            named_method(name, -1.0)
