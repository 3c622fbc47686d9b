"""A study of methods and models from outside: classes, functions, objects, with memory or not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.networks.data.data import teacher_student
from samdyn.networks.studying.contenders import contenders_of

DATA = teacher_student(0, 256, 64, dim=5, classes=3, width=4)
GRID = {"rho": (0.05, 0.1), "momentum": (0.0, 0.9), "batch_size": 64, "seeds": 2, "steps": 6}


class Halfway(samdyn.AbstractMethod):
    """GD at ρ = 0 that keeps a function beside its numbers."""

    rho: jax.Array = samdyn.radius()
    share: float = 0.5
    shape: object = jnp.tanh

    def perturb(self, gradient, w):
        scale = jnp.asarray(self.share * self.rho)
        return jax.tree.map(lambda x, g: x + scale.astype(x.dtype) * g, w, gradient(w))


class Network(eqx.Module):
    """An MLP of equinox, which holds its activation."""

    layers: eqx.nn.MLP

    def __init__(self, key):
        self.layers = eqx.nn.MLP(5, 3, 8, 1, key=key)

    def __call__(self, x):
        return self.layers(x)


def study(methods, **options):
    return samdyn.study(methods, DATA, **{**GRID, **options})


def numbers(result):
    return [row._replace(method="") for row in result.rows]


@pytest.mark.thorough
def test_a_class_and_an_object_train_as_the_name_does():
    by_name, by_class = study("sam"), study(samdyn.SAM)
    assert by_class.rows == by_name.rows
    assert numbers(study(lambda rho: samdyn.SAM(rho))) == numbers(by_name)
    assert [row.method for row in study(samdyn.SAM, seeds=1, momentum=0, steps=1).rows] == [
        "sam"
    ] * 2
    one = study(samdyn.SAM(0.1), lanes=4)
    assert {(row.method, row.rho) for row in one.rows} == {("sam", 0.1)}
    alone = study("sam", rho=0.1, lanes=4)
    assert numbers(one) == numbers(alone)


@pytest.mark.thorough
def test_a_method_of_ones_own_runs_beside_those_by_name():
    twice = lambda rho: samdyn.USAM(2 * rho)  # noqa: E731
    twice.__name__ = "twice"
    found = study(["gd", Halfway, Halfway(0.1), Halfway(0.3, 1.0), twice], momentum=0.0, rho=0.1)
    names = list(dict.fromkeys((row.method, row.rho) for row in found.rows))
    expected = [("gd", 0.0), ("Halfway", 0.1), ("Halfway 2", 0.1), ("Halfway", 0.3), ("twice", 0.1)]
    assert names == expected
    assert found.config["own_rho"] == (0.0, None, 0.1, 0.3, None)
    loss = {name: found.select(method=name[0], rho=name[1]).table("train_loss") for name in names}
    np.testing.assert_allclose(loss["Halfway", 0.1], loss["Halfway 2", 0.1], rtol=1e-6)
    usam = study("usam", momentum=0.0, rho=(0.05, 0.2, 0.3))
    for name, rho in ((("Halfway", 0.1), 0.05), (("Halfway", 0.3), 0.3), (("twice", 0.1), 0.2)):
        table = usam.select(method="usam", rho=rho).table("train_loss")
        np.testing.assert_allclose(loss[name], table, rtol=1e-5)
    assert "Halfway" in str(found)
    found.plot()


@pytest.mark.thorough
def test_a_method_with_memory_by_name_and_as_an_object():
    by_name = study("fsam", rho=0.1, lanes=2)
    assert numbers(study(samdyn.FriendlySAM(0.1), lanes=2)) == numbers(by_name)
    assert all(row.status == "ran" for row in by_name.rows)
    other = study(samdyn.FriendlySAM(0.1, decay=0.1), lanes=2)
    assert numbers(other) != numbers(by_name)


@pytest.mark.thorough
def test_a_model_is_a_function_of_a_key():
    found = study("gd", model=Network)
    assert found.config["model"] == "Network"
    assert all(row.status == "ran" for row in found.rows)
    named = lambda key: samdyn.MLP(DATA.shape, DATA.classes, key)  # noqa: E731
    assert numbers(study("gd", model=named, lanes=1)) == numbers(study("gd", lanes=1))


@pytest.mark.thorough
def test_a_folder_knows_methods_and_models_by_what_they_compute(tmp_path):
    how = {"momentum": 0.0, "seeds": 1, "out": tmp_path, "model": Network}
    first = study([samdyn.WSAM(0.1, 0.5)], **how)
    again = study([samdyn.WSAM(0.1, 0.5)], **how, resume=True)
    assert (again.loaded, again.rows) == (1, first.rows)
    with pytest.raises(samdyn.InvalidInput, match="another problem"):
        study([samdyn.WSAM(0.1, 0.7)], **how, resume=True)
    wider = lambda key: eqx.nn.MLP(5, 3, 9, 1, key=key)  # noqa: E731
    wider.__name__ = "Network"
    with pytest.raises(samdyn.InvalidInput, match="another problem: its network and step"):
        study([samdyn.WSAM(0.1, 0.5)], **{**how, "model": wider}, resume=True)
    from samdyn.networks.studying.study_result import Study

    stored = Study.from_folder(tmp_path)
    assert (stored.asked, stored.interrupted) == (1, False)


def test_what_is_the_same_is_run_once():
    given = ["gd", samdyn.GD, "gd", samdyn.SAM(0.1), samdyn.SAM(0.1), "sam", samdyn.SAM]
    names = [(one.name, one.own) for one in contenders_of(given, (0.1, 0.2))]
    assert names == [("gd", 0.0), ("sam", 0.1), ("sam 2", None)]


@pytest.mark.parametrize(
    ("methods", "options", "error", "says"),
    [
        (5, {}, samdyn.InvalidInput, "a method is a name such as 'sam', not 5"),
        (lambda rho: rho, {}, samdyn.InvalidInput, "what makes one of a radius"),
        ([], {}, samdyn.InvalidInput, "one method or more"),
        ("gd", {"model": 3}, samdyn.InvalidInput, "a model is a name"),
        ("gd", {"model": Network, "norm": "group"}, samdyn.InvalidInput, "norm belongs"),
        ("gd", {"model": lambda key: lambda x: x}, samdyn.InvalidInput, "logits of shape"),
        ("gd", {"model": lambda key: key.nothing}, samdyn.ComputationFailed, "the model failed"),
    ],
)
def test_what_is_none_is_told_in_a_sentence(methods, options, error, says):
    with pytest.raises(error, match=says):
        study(methods, **options)
