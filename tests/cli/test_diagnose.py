"""`samdyn diagnose`: the contract of its JSON, and wrong input in one line."""

import json

import pytest

from samdyn.cli.main import main

PROBLEM = """
import jax.numpy as jnp

def data():
    x = jnp.sin(jnp.arange(60.0).reshape(3, 10, 2))
    return [(a, a[:, :1] * a[:, 1:]) for a in x]

def loss(p, batch):
    return jnp.mean((jnp.tanh(batch[0] @ p["in"]) @ p["out"] - batch[1]) ** 2)

def problem():
    params = {"in": jnp.full((2, 3), 0.01), "out": jnp.full((3, 1), 0.02)}
    return {"params": params, "loss": loss, "batches": data()}

def normed():
    z = lambda p, b: b[0] @ p["in"]
    mean = lambda p, b: jnp.mean((z(p, b) / jnp.std(z(p, b)) - b[1]) ** 2)
    return {"params": {"in": jnp.ones((2, 1))}, "loss": mean, "batches": data()}

def vector():
    return {**problem(), "loss": lambda p, b: b[0] @ p["in"]}

def unequal():
    return {**problem(), "batches": [data()[0], (data()[1][0][:4], data()[1][1][:4])]}

def whole():
    return {**problem(), "params": {"n": jnp.arange(3)}}

def no_batches():
    return {"params": {}, "loss": loss}

def of_a_path(path):
    return problem()

def pair():
    return 1, 2

def raises():
    raise KeyError("weights")

def one_batch():
    return {**problem(), "batches": data()[0]}

def flat():
    return {**problem(), "loss": lambda p, b: 0.0 * jnp.sum(p["in"])}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(PROBLEM)
    return str(path)


STEP = ("--method", "sam", "--rho", "0.05", "--lr", "0.1")
FIELDS = (
    *("dim", "loss", "gradient_norm", "batch_gradient_norm", "lambda_min", "lambda_max"),
    *("verdict", "rho_now", "rho_window", "escape_rate", "spectral_radius", "hvps"),
    *("memory_bytes", "sentence"),
)


@pytest.mark.thorough
def test_the_result_keeps_its_contract(file, capsys):
    assert main(["diagnose", f"{file}:problem", *STEP, "--momentum", "0.9", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert answer["command"] == "diagnose"
    assert answer["config"]["momentum"] == 0.9
    result = answer["result"]
    assert set(FIELDS) <= set(result)
    assert result["dim"] == 9
    assert result["verdict"] == "saddle"
    for name in ("lambda_min", "lambda_max", "spectral_radius"):
        assert {"value", "residual"} <= set(result[name])
    assert set(result["escape_rate"]) == {"sgd", "method", "slowdown"}
    norm, lowest = result["batch_gradient_norm"], result["lambda_min"]["value"]
    assert result["rho_now"] == pytest.approx(-norm / lowest)
    assert result["held"] == (answer["config"]["rho"] > result["rho_window"][0])


@pytest.mark.thorough
def test_for_people_the_sentence_comes_first(file, capsys):
    assert main(["diagnose", f"{file}:problem", *STEP, "--rho", "0.5"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("A saddle holds this run")


def test_a_loss_without_curvature_is_not_conclusive(file, capsys):
    assert main(["diagnose", f"{file}:flat", *STEP]) == 1
    assert capsys.readouterr().out.startswith("Unresolved")


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("normed", (), "batch norm in training mode"),
        ("vector", (), "must be a scalar"),
        ("whole", (), "no floating-point array"),
        ("no_batches", (), "batches missing"),
        ("missing", (), "no function named 'missing'"),
        ("pair", (), "it returned tuple"),
        ("one_batch", (), "a single batch is given as [batch]"),
        ("problem", ("--max-products", "0"), "--max-products"),
        ("problem", ("--momentun", "0.9"), "did you mean --momentum?"),
        ("problem", ("--method", "SAMM"), "Did you mean sam?"),
        ("problem", ("--krylov", "10"), "at most the dimension 9"),
        ("problem", ("--rtol", "2"), "--rtol"),
        ("problem", ("--method", "sma"), "no method 'sma'"),
    ],
)
def test_wrong_input_is_one_line(file, capsys, name, more, words):
    try:
        status = main(["diagnose", f"{file}:{name}", *STEP, *more])
    except SystemExit as exit_:
        status = exit_.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize(
    ("name", "words"),
    [("of_a_path", "missing 1 required"), ("raises", "KeyError: 'weights' (line")],
)
def test_an_error_of_the_problem_is_one_line(file, capsys, name, words):
    assert main(["diagnose", f"{file}:{name}", *STEP]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_the_file_may_import_its_neighbours(tmp_path, capsys):
    (tmp_path / "samdyn_test_neighbour.py").write_text(PROBLEM)
    (tmp_path / "checkpoint.py").write_text("from samdyn_test_neighbour import problem\n")
    assert main(["diagnose", f"{tmp_path / 'checkpoint.py'}:problem", *STEP]) == 0
    assert "saddle" in capsys.readouterr().out


def test_a_single_precision_template_hint(tmp_path, capsys):
    path = tmp_path / "single.py"
    path.write_text("def problem():\n    raise TypeError('float64 in like, float32 on disk')\n")
    assert main(["diagnose", f"{path}:problem", *STEP]) == 1
    assert "--dtype float32" in capsys.readouterr().err


def test_a_missing_file_is_one_line(capsys):
    assert main(["diagnose", "nowhere.py:problem", *STEP]) == 2
    assert "there is no file nowhere.py" in capsys.readouterr().err
