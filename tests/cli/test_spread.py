"""`samdyn spread`: the contract of its JSON, and wrong input in one line."""

import json

import numpy as np
import pytest

from samdyn.cli.main import main

SPREAD = [
    *("spread", "saddle", "--at", "0,0", "--method", "usam", "--rho", "0.3", "--lr", "0.05"),
    *("--noise", "fisher", "--batch-size", "8", "--coupling", "same-batch"),
    *("--time", "1", "--paths", "20000"),
]


def result_of(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out, parse_constant=pytest.fail)
    assert set(answer) == {"samdyn", "command", "config", "result"}
    return answer["config"], answer["result"]


def test_the_result_keeps_its_contract(capsys):
    config, result = result_of(capsys, *SPREAD, "--momentum", "0.9")
    assert config["coupling"] == "same-batch"
    assert config["batch_size"] == 8
    assert result["eigenvalues"] == [-2, 2]
    assert {"variance", "ci95"} <= set(result["simulated"])
    assert {"sde", "map"} <= set(result["exact"])
    assert {"theorem2", "theorem3"} <= set(result["paper"])
    lists = [result["simulated"]["variance"], *result["exact"].values(), *result["paper"].values()]
    assert all(len(values) == 2 for values in lists)
    for (low, high), exact in zip(result["simulated"]["ci95"], result["exact"]["map"], strict=True):
        middle, half = (low + high) / 2, (high - low) / 2
        assert abs(middle - exact) < 3.5 / 1.96 * half


def test_defaults_are_part_of_the_config(capsys):
    arguments = ["spread", "double-well", "--at", "0", "--method", "gd", "--lr", "0.1"]
    config, result = result_of(
        capsys, *arguments, "--noise", "isotropic:0.1", "--time", "1", "--paths", "1000"
    )
    assert config["coupling"] == "same-batch"
    assert config["batch_size"] == 1
    assert config["momentum"] == 0
    assert result["paper"]["theorem3"] is None


def test_additive_noise_needs_no_coupling(capsys):
    arguments = ["spread", "saddle", "--at", "0,0", "--method", "gd", "--lr", "0.05"]
    config, result = result_of(
        capsys, *arguments, "--noise", "additive:0.1", "--time", "1", "--paths", "1000"
    )
    assert config["coupling"] is None
    expected = 0.01 * np.expm1(4) / 4
    assert result["exact"]["sde"][0] == pytest.approx(expected, rel=1e-12)


def test_where_no_theory_applies_null_and_why(capsys):
    arguments = [value if value != "usam" else "sam" for value in SPREAD]
    _, result = result_of(capsys, *arguments)
    assert result["exact"]["sde"] is None
    assert result["exact"]["why"]
    assert result["paper"]["theorem2"] is None
    assert result["simulated"]["variance"][0] > 0


def test_text_and_figure(capsys, tmp_path):
    target = tmp_path / "spread.svg"
    assert main([*SPREAD, "-o", str(target)]) == 0
    assert "step map" in capsys.readouterr().out
    assert target.read_text().startswith("<?xml")


def replaced(option, value):
    if option not in SPREAD:
        return [*SPREAD, f"{option}={value}"]
    at = SPREAD.index(option)
    return [*SPREAD[:at], f"{option}={value}", *SPREAD[at + 2 :]]


WRONG = {
    "momentum of one": (replaced("--momentum", "1"), "[0, 1)"),
    "negative momentum": (replaced("--momentum", "-0.1"), "[0, 1)"),
    "no batch": (replaced("--batch-size", "0"), "whole number ≥ 1"),
    "half a batch": (replaced("--batch-size", "1.5"), "whole number ≥ 1"),
    "negative noise": (replaced("--noise", "isotropic:-1"), "finite number ≥ 0"),
    "infinite noise": (replaced("--noise", "isotropic:inf"), "finite number ≥ 0"),
    "no amount of noise": (replaced("--noise", "isotropic"), "additive:S"),
    "unknown noise": (replaced("--noise", "white:1"), "fisher"),
    "unknown coupling": (replaced("--coupling", "both"), "same-batch"),
    "coupling of additive noise": (replaced("--noise", "additive:1"), "--coupling"),
    "batch size of additive noise": (
        [*SPREAD[:11], "additive:1", "--batch-size", "8", "--time", "1"],
        "--batch-size",
    ),
    "dimension of the point": (replaced("--at", "0,0,0"), "saddle needs 2"),
    "no critical point": (replaced("--at", "0.1,0"), "no critical point"),
    "no time": (replaced("--time", "0"), "finite number > 0"),
    "less than a step": (replaced("--time", "0.01"), "steps of 0.05"),
    "no paths": (replaced("--paths", "0"), "whole number ≥ 1"),
    "figure without format": ([*SPREAD, "-o", "figure"], ".svg"),
    "samgrad with one minibatch": (replaced("--method", "samgrad"), "fresh or paper"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line_and_status_2(case, capsys):
    arguments, expected = WRONG[case]
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2, captured.err
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1, captured.err
    assert expected in captured.err
