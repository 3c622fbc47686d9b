"""Every wrong input gets one line on stderr that says what was given and what is right."""

import os

import pytest

from samdyn.cli.main import main

RUN = ["--method", "sam", "--rho", "0.1", "--lr", "0.01"]
STABILITY = ["stability", "beale", "--method", "sam", "--rho", "0.1"]
TRAJECTORY = ["trajectory", "beale", *RUN, "--steps", "10", "--start", "1,2"]
BASINS = ["basins", "beale", *RUN, "--grid", "4", "--steps", "4"]
SWEEP = ["sweep", "beale", "--method", "usam", "--rho", "0:0.1:5", "--at", "0,1"]
PORTRAIT = ["portrait", "double-well-2d", "--method", "gd"]


ESCAPE = ["escape", "saddle", "--from", "0,0", "--inside", "slab:1:1", *RUN]
ESCAPE += ["--noise", "additive:0.5", "--paths", "10"]


def replaced(command, option, value):
    """The command with one option given another value (appended if absent)."""
    if option not in command:
        return [*command, f"{option}={value}"]
    at = command.index(option)
    return [*command[:at], f"{option}={value}", *command[at + 2 :]]


def fails(capsys, arguments, status):
    """The one line that a failing command prints."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == status, captured.err
    assert captured.out == ""
    assert captured.err.endswith("\n")
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    return lines[0]


WRONG = {
    "unknown loss": ([STABILITY[0], "beal", *STABILITY[2:]], "Did you mean beale"),
    "dimension of the box": (replaced(STABILITY, "--box", "0,1;0,1;0,1"), "beale needs 2"),
    "dimension of the point": (replaced(STABILITY, "--at", "0,1,2"), "beale needs 2"),
    "dimension of the start": (replaced(TRAJECTORY, "--start", "1"), "beale needs 2"),
    "dimension of the target": (
        replaced(TRAJECTORY, "--until-within", "0.1:1"),
        "beale needs 2",
    ),
    "reversed box": (replaced(STABILITY, "--box", "1,0;0,1"), "low < high"),
    "box that is no box": (replaced(STABILITY, "--box", "1,2,3"), "lo,hi;lo,hi"),
    "box with NaN": (replaced(STABILITY, "--box", "nan,1;0,1"), "low < high"),
    "negative rho": (replaced(STABILITY, "--rho", "-0.1"), "finite number ≥ 0"),
    "NaN rho": (replaced(STABILITY, "--rho", "nan"), "finite number ≥ 0"),
    "infinite rho": (replaced(STABILITY, "--rho", "inf"), "finite number ≥ 0"),
    "rho in words": (replaced(STABILITY, "--rho", "half"), "finite number ≥ 0"),
    "no rho": (["stability", "beale", "--method", "sam"], "needs --rho"),
    "zero step": (replaced(TRAJECTORY, "--lr", "0"), "finite number > 0"),
    "negative step": (replaced(BASINS, "--lr", "-1"), "finite number > 0"),
    "momentum of one": (replaced(TRAJECTORY, "--momentum", "1"), "[0, 1)"),
    "momentum above one": (replaced(BASINS, "--momentum", "1.5"), "[0, 1)"),
    "negative momentum": (replaced(STABILITY, "--momentum", "-0.5"), "[0, 1)"),
    "empty range": (replaced(SWEEP, "--rho", "0.1:0.1:5"), "start < stop"),
    "reversed range": (replaced(SWEEP, "--rho", "0.2:0.1:5"), "start < stop"),
    "range of one": (replaced(SWEEP, "--rho", "0:0.1:1"), "count ≥ 2"),
    "range that is none": (replaced(SWEEP, "--rho", "0.1"), "start:stop:count"),
    "negative range": (replaced(SWEEP, "--rho", "-1:1:5"), "0 ≤ start"),
    "no steps": (replaced(TRAJECTORY, "--steps", "0"), "whole number ≥ 1"),
    "half a step": (replaced(TRAJECTORY, "--steps", "1.5"), "whole number ≥ 1"),
    "checkpoint beyond the end": (replaced(TRAJECTORY, "--at-steps", "5,20"), "checkpoints"),
    "checkpoints that descend": (replaced(TRAJECTORY, "--at-steps", "5,2"), "ascending"),
    "no grid": (replaced(BASINS, "--grid", "0"), "whole number ≥ 1"),
    "a grid too fine": (replaced(BASINS, "--grid", "100000"), "cells a side"),
    "missing file": (["stability", "nowhere.py:f", *STABILITY[2:]], "no file nowhere.py"),
    "missing module": (["stability", "no_such_module:f", *STABILITY[2:]], "no module"),
    "missing function": (["stability", f"{__file__}:nothing", *STABILITY[2:]], "named 'nothing'"),
    "unknown method": (replaced(STABILITY, "--method", "sgd"), "Accepted: gd, sam"),
    "unknown figure format": ([*SWEEP, "-o", "figure.xyz"], ".svg"),
    "figure without ending": ([*PORTRAIT, "-o", "figure"], ".svg"),
    "unwritable figure": ([*SWEEP, "-o", "no/such/folder/figure.svg"], "no/such/folder"),
    "unknown command": (["stabilty"], "stability"),
    "no command": ([], "COMMAND"),
    "unknown option": ([*STABILITY, "--rho0", "1"], "--rho0"),
    "no loss": (["stability", "--method", "gd"], "LOSS"),
    "box and point": ([*STABILITY, "--at", "0,1", "--box", "0,1;0,1"], "not allowed"),
    "bad seed": (replaced(STABILITY, "--seed", "-1"), "whole number ≥ 0"),
    "bad device": (replaced(STABILITY, "--device", "abacus"), "cpu"),
    "explorer in 3-D": (["explore", "quadratic"], "shows a plane, and this has 3 dimensions"),
    "explorer of radius 0": (["explore", "beale", "--rho", "0"], "finite number > 0"),
    "page with another ending": (["explore", "beale", "-o", "page.txt"], ".html"),
    "page nowhere": (["explore", "beale", "-o", "no/such/folder/page.html"], "no/such/folder"),
    "no port": (["explore", "beale", "--port", "70000"], "65535"),
    "explorer of what remembers": (["explore", "beale", "--method", "vasso"], "remembers"),
    "portrait in 3-D": (
        ["portrait", "quadratic", "--method", "gd", "-o", "a.svg"],
        "2 dimensions only, not 3",
    ),
    "basin figure in 1-D": (
        ["basins", "double-well", *RUN, "--grid", "4", "-o", "a.png"],
        "2 dimensions only, not 1",
    ),
    "trajectory figure in 1-D": (
        ["trajectory", "double-well", *RUN, "--steps", "9", "--start", "1", "-o", "a.png"],
        "2 dimensions only, not 1",
    ),
    "momentum without a step": (
        replaced(STABILITY, "--momentum", "0.9"),
        "give a learning rate",
    ),
    "momentum of a sweep without a step": (
        replaced(SWEEP, "--momentum", "0.9"),
        "give a learning rate",
    ),
    "plane without its point": (
        ["basins", "rosenbrock-3d", *RUN, "--grid", "3", "--plane", "0,2"],
        "--plane I,J needs --at P",
    ),
    "point without its plane": (
        ["portrait", "beale", "--method", "gd", "--at", "1,2", "-o", "a.png"],
        "goes with --plane",
    ),
    "plane of one coordinate": (
        ["basins", "rosenbrock-3d", *RUN, "--grid", "3", "--plane", "1,1", "--at", "1,1,1"],
        "two different coordinates",
    ),
    "plane beyond the point": (
        ["basins", "rosenbrock-3d", *RUN, "--grid", "3", "--plane", "0,3", "--at", "1,1,1"],
        "coordinates 0 to 2",
    ),
    "second start outside the box": (
        ["portrait", "beale", "--method", "gd", "--start", "1,2", "-9,1.5", "-o", "a.png"],
        "the start (-9, 1.5) lies outside",
    ),
    "box in two arguments": (
        ["portrait", "beale", "--box", "-2,2", "-2,2", "-o", "a.png"],
        "in quotes",
    ),
    "point without a fixed point": (
        ["stability", "beale", "--at", "1e8,1e8", "--method", "gd"],
        "no fixed point",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line_and_status_2(case, capsys):
    arguments, expected = WRONG[case]
    assert expected in fails(capsys, arguments, 2)


LOSSES = """
import jax.numpy as jnp

def vector(w):
    return w

def nan(w):
    return jnp.nan * w[0]

def whole(w):
    return jnp.asarray(3)

def words(w):
    return "loss"

def raises(w):
    raise ValueError("no such thing")

def planar(w):
    x, y = w
    return x * y
"""

FAILS = {
    "vector": "scalar",
    "nan": "the loss is nan",
    "whole": "real number",
    "words": "scalar",
    "raises": "no such thing",
}


@pytest.mark.parametrize("name", FAILS)
@pytest.mark.parametrize(
    "command",
    [
        ["stability", "--box=0,1;0,1", "--method", "gd"],
        ["stability", "--at", "0,1", "--method", "gd"],
        ["sweep", "--at", "0,1", "--method", "usam", "--rho", "0:1:3"],
        ["trajectory", *RUN, "--steps", "3", "--start", "0,1"],
        ["basins", *RUN, "--grid", "3", "--box", "0,1;0,1"],
    ],
    ids=lambda command: "-".join(command[:2]),
)
def test_a_loss_that_fails_is_one_line_and_status_1(name, command, capsys, tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES)
    arguments = [command[0], f"{tmp_path}/losses.py:{name}", *command[1:]]
    assert FAILS[name] in fails(capsys, arguments, 1)


def test_a_file_that_does_not_compile_is_the_files_failure(capsys, tmp_path):
    (tmp_path / "broken.py").write_text("def f(w:\n")
    arguments = ["stability", f"{tmp_path}/broken.py:f", "--box=0,1", "--method", "gd"]
    assert "SyntaxError" in fails(capsys, arguments, 1)


def test_a_loss_of_another_dimension_says_which_was_tried(capsys, tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES)
    arguments = ["stability", f"{tmp_path}/losses.py:planar", "--box=0,1", "--method", "gd"]
    assert "dimension 1" in fails(capsys, arguments, 1)


def test_a_loss_without_a_box_needs_one(capsys, tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES)
    arguments = ["stability", f"{tmp_path}/losses.py:planar", "--method", "gd"]
    assert "--box" in fails(capsys, arguments, 2)


def test_an_incomplete_set_is_not_a_success(capsys, monkeypatch):
    from samdyn.attractors import report

    real = report.fixed_points

    def incomplete(*arguments, **settings):
        found = real(*arguments, **settings)
        doubt = found.complete._replace(consistent=False)
        return found._replace(complete=doubt)

    monkeypatch.setattr(report, "fixed_points", incomplete)
    assert main(["stability", "saddle", "--method", "gd"]) == 1
    assert "INCOMPLETE" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert "figure" in fails(capsys, [*SWEEP, "-o", f"{tmp_path}/figure.svg"], 2)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--inside", "slab:1:-1", "-1"),
        ("--inside", "slab:2:1", "2"),
        ("--inside", "cube:1", "ball:R"),
        ("--inside", "below:0:-1", "outside"),
        ("--inside", "below:0:1e30", "can't be left"),
        ("--from", "0,0,0", "--from has 3 coordinates"),
        ("--noise", "additive:-1", "-1"),
        ("--noise", "additive:0", "noise is 0"),
        ("--noise", "white:1", "fisher"),
        ("--batch-size", "0", "0"),
        ("--coupling", "fresh", "additive"),
        ("--coupling", "twice", "same-batch"),
        ("--momentum", "1", "1"),
        ("--scheme", "milstein", "euler"),
        ("--paths", "0", "0"),
        ("--max-time", "-1", "-1"),
        ("--target-error", "2", "2"),
        ("--lr", "0", "0"),
        ("--dtype", "float16", "float16"),
    ],
)
def test_escape_says_what_is_wrong(capsys, option, value, says):
    assert says in fails(capsys, replaced(ESCAPE, option, value), 2)


def test_a_step_map_takes_no_scheme(capsys):
    command = [*replaced(ESCAPE, "--dynamics", "map"), "--scheme", "euler"]
    assert "step map" in fails(capsys, command, 2)


def test_second_order_needs_additive_noise(capsys):
    command = [*replaced(ESCAPE, "--noise", "fisher"), "--scheme", "heun"]
    assert "additive" in fails(capsys, command, 2)


def test_resume_needs_a_folder(capsys):
    assert "--out" in fails(capsys, [*ESCAPE, "--resume"], 2)


@pytest.mark.thorough
def test_a_results_folder_of_other_options_is_refused(capsys, tmp_path):
    out = ["--out", str(tmp_path / "runs")]
    assert main([*ESCAPE, *out]) == 0
    capsys.readouterr()
    other = [*replaced(ESCAPE, "--rho", "0.2"), *out, "--resume"]
    assert "rho 0.1, not 0.2" in fails(capsys, other, 2)
    assert "--resume" in fails(capsys, [*ESCAPE, *out], 2)


def test_distributed_needs_a_launcher(capsys, monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    assert "JAX_NUM_PROCESSES" in fails(capsys, [*ESCAPE, "--distributed"], 2)
