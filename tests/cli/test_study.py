"""`samdyn study`: the contract of its JSON, and wrong input in one line."""

import json

import pytest

from samdyn.cli.main import build_parser, main

STUDY = [
    *("study", "teacher-student", "--method", "gd,sam", "--rho", "0.05,0.1"),
    *("--momentum", "0,0.9", "--batch-size", "256", "--lr", "0.05", "--epochs", "1"),
    *("--seeds", "2", "--model", "mlp"),
]


@pytest.mark.thorough
def test_the_result_keeps_its_contract(capsys):
    assert main([*STUDY, "--json"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    answer = json.loads(captured.out, parse_constant=pytest.fail)
    assert set(answer) == {"samdyn", "command", "config", "result"}
    assert answer["config"]["momentum"] == [0, 0.9]
    assert answer["config"]["lr_rule"] == "fixed"
    rows = answer["result"]["rows"]
    assert len(rows) == 2 * 2 * (1 + 2)
    fields = "method rho momentum batch_size lr seed train_loss train_accuracy test_accuracy"
    assert all(set(row) == {*fields.split(), "plateau_steps", "status"} for row in rows)
    low, high = answer["result"]["interaction"]["ci95"]
    assert low <= answer["result"]["interaction"]["estimate"] <= high


@pytest.mark.thorough
def test_text_figure_and_results_folder(capsys, tmp_path):
    target = tmp_path / "study.svg"
    assert main([*STUDY, "-o", str(target), "--out", str(tmp_path / "out")]) == 0
    first = capsys.readouterr().out
    assert "batch  method" in first
    assert target.read_text().startswith("<?xml")
    assert main([*STUDY, "--out", str(tmp_path / "out"), "--resume"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == first.splitlines()[1:]


@pytest.mark.thorough
def test_the_rows_as_csv(capsys, tmp_path):
    assert main([*STUDY, "--csv", str(tmp_path / "rows.csv")]) == 0
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0].startswith("method,rho,momentum")
    assert len(lines) == 1 + 2 * 2 * (1 + 2)


def test_data_alone_is_a_whole_command():
    args = build_parser().parse_args(["study", "digits"])
    assert args.method == ("gd", "sam")
    assert args.batch_size == (16, 64, 256, 1024)


def replaced(option, value):
    if option not in STUDY:
        return [*STUDY, f"{option}={value}"]
    at = STUDY.index(option)
    return [*STUDY[:at], f"{option}={value}", *STUDY[at + 2 :]]


WRONG = {
    "unknown data": (["study", "mnist"], "Accepted: digits"),
    "missing CIFAR files": (["study", "cifar10:/nowhere"], "data_batch_1"),
    "CIFAR without folder": (["study", "cifar100"], "cifar100:FOLDER"),
    "batch larger than the data": (replaced("--batch-size", "5000"), "2048 training examples"),
    "momentum of one": (replaced("--momentum", "0,1"), "[0, 1)"),
    "no epochs": (replaced("--epochs", "0"), "whole number ≥ 1"),
    "two budgets": (replaced("--steps", "3"), "--epochs"),
    "no seeds": (replaced("--seeds", "0"), "whole number ≥ 1"),
    "unknown method": (replaced("--method", "adam"), "Accepted: gd"),
    "negative radius": (replaced("--rho", "-1"), "finite number ≥ 0"),
    "no learning rate": (replaced("--lr", "0"), "finite number > 0"),
    "unknown model": (replaced("--model", "vit"), "Accepted: mlp"),
    "a residual net of vectors": (replaced("--model", "small-resnet"), "use the MLP"),
    "resume without folder": ([*STUDY, "--resume"], "--out DIR"),
    "csv into no folder": ([*STUDY, "--csv", "nowhere/rows.csv"], "no folder for --csv"),
    "the range of a sweep": (replaced("--rho", "0:0.1:5"), "a list is written"),
    "figure without format": ([*STUDY, "-o", "figure"], ".svg"),
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
