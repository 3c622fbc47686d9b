"""The JSON of each command keeps its contract: one object, the promised fields, plain numbers."""

import json
import math
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from samdyn.cli.main import main


@pytest.fixture
def run(capsys):
    """Run a command line with --json; gives (exit status, the parsed object)."""

    def call(*arguments):
        status = main([*arguments, "--json"])
        captured = capsys.readouterr()
        lines = captured.out.splitlines()
        assert len(lines) == 1
        refuse = lambda constant: pytest.fail(f"{constant} in JSON")  # noqa: E731
        answer = json.loads(lines[0], parse_constant=refuse)
        assert set(answer) == {"samdyn", "command", "config", "result"}
        assert answer["command"] == arguments[0]
        return status, answer

    return call


def test_losses(run):
    status, answer = run("losses")
    entries = {entry["name"]: entry for entry in answer["result"]["losses"]}
    assert status == 0
    assert entries["beale"]["dim"] == 2
    assert {"name", "dim", "formula", "source", "box"} <= set(entries["beale"])


FIXED_POINT = {
    "w",
    "loss",
    "gradient_norm",
    "residual",
    "kind",
    "critical_type",
    "hessian_eigenvalues",
    "flow",
    "critical_rho",
}


@pytest.mark.thorough
def test_stability_of_a_box(run):
    status, answer = run("stability", "beale", "--method", "usam", "--rho", "0.05", "--lr", "1e-3")
    result = answer["result"]
    assert status == 0
    assert result["complete"] == {
        "checked": True,
        "method": result["complete"]["method"],
        "consistent": True,
        "proven": True,
        "undecided": [],
    }
    points = result["fixed_points"]
    assert [p["w"] for p in points] == sorted(p["w"] for p in points)
    for point in points:
        assert set(point) >= FIXED_POINT | {"map", "rho_window"}
        assert point["proven"]
        assert len(point["enclosure"]) == 2
        flow, step = point["flow"], point["map"]
        more = {"proven_radius"} if flow["verdict"] == "attractor" else set()
        assert set(flow) == {"verdict", "eigenvalues", "why", "proven"} | more
        more = {"proven_radius"} if step["verdict"] == "attractor" else set()
        assert set(step) == {"verdict", "multipliers", "why", "proven"} | more
        assert len(point["flow"]["eigenvalues"]) == 2
        assert point["critical_type"] is not None or point["kind"] == "hallucinated"
    saddle = next(p for p in points if np.linalg.norm(np.subtract(p["w"], [0, 1])) < 1e-9)
    assert saddle["flow"]["verdict"] == "attractor"
    assert saddle["critical_rho"] == pytest.approx(1 / 27.75)
    assert saddle["rho_window"][0] == pytest.approx(1 / 27.75)
    config = answer["config"]
    assert config["loss"] == "beale"
    assert config["rho"] == 0.05
    assert config["momentum"] == 0
    assert config["seed"] == 0
    assert config["dtype"] == "float64"
    assert config["box"] == [[-4.5, 4.5], [-4.5, 4.5]]


@pytest.mark.thorough
def test_stability_of_a_point_under_sam(run):
    status, answer = run(
        *("stability", "beale", "--at", "0,1", "--method", "sam", "--rho", "0.5", "--lr", "1e-4")
    )
    assert status == 0
    (point,) = answer["result"]["fixed_points"]
    assert point["flow"]["eigenvalues"] is None
    assert 0 < point["flow"]["capture_radius"] <= 0.5
    assert point["map"]["multipliers"] is None
    assert point["map"]["orbit"] in {"period-2", "chaotic", "escapes"}
    assert point["map"]["amplitude"] > 0
    assert answer["result"]["complete"]["checked"] is False


def test_without_a_step_size_there_is_no_map(run):
    _, answer = run("stability", "saddle", "--at", "0,0", "--method", "gd")
    (point,) = answer["result"]["fixed_points"]
    assert "map" not in point
    assert "rho_window" not in point


@pytest.mark.thorough
def test_a_degenerate_point_is_never_called_attractor(run):
    _, answer = run("stability", "monkey-saddle", "--method", "usam", "--rho", "0.5", "--lr", "0.1")
    (point,) = [p for p in answer["result"]["fixed_points"] if p["kind"] == "critical"]
    assert point["critical_type"] == "degenerate"
    assert point["flow"]["verdict"] == point["map"]["verdict"] == "degenerate"


def test_sweep(run):
    status, answer = run(
        *("sweep", "beale", "--at", "0,1", "--method", "usam", "--rho", "0:0.1:11")
    )
    result = answer["result"]
    assert status == 0
    assert len(result["rho"]) == 11
    (branch,) = result["branches"]
    assert set(branch) >= {"w", "verdict", "leading_real_part"}
    assert len(branch["w"]) == len(branch["verdict"]) == 11
    (event,) = result["bifurcations"]
    assert event["rho"] == pytest.approx(1 / 27.75, rel=1e-10)
    assert (event["from"], event["to"]) == ("saddle", "attractor")
    assert event["w"] == pytest.approx([0, 1])


def test_trajectory(run):
    status, answer = run(
        *("trajectory", "saddle", "--method", "sam", "--rho", "0.5", "--lr", "0.01"),
        *("--steps", "2000", "--start", "-3,-0.01", "--at-steps", "1,10,500"),
    )
    result = answer["result"]
    assert status == 0
    assert result["status"] == "ran"
    assert result["steps"] == 2000
    assert [step for step, _ in result["checkpoints"]] == [1, 10, 500]
    # by hand: g = (−6, 0.02), w^p = w + g/(2‖g‖), w⁺ = w − 0.01·(2, −2)·w^p
    g = np.array([-6.0, 0.02])
    ascended = np.array([-3.0, -0.01]) + 0.5 * g / np.linalg.norm(g)
    first = np.array([-3.0, -0.01]) - 0.01 * np.array([2.0, -2.0]) * ascended
    np.testing.assert_allclose(result["checkpoints"][0][1], first, rtol=1e-14)
    assert result["tail"]["period"] == 2
    assert result["tail"]["amplitude"] == pytest.approx(0.5 * 0.02 / (2 - 0.02), rel=1e-9)
    near = result["nearest_fixed_point"]
    assert near["critical_type"] == "saddle"
    assert near["w"] == pytest.approx([0, 0], abs=1e-12)
    assert near["distance"] == pytest.approx(math.hypot(*result["final"]))


def test_trajectory_stops_within_a_ball(run):
    _, answer = run(
        *("trajectory", "beale", "--method", "gd", "--lr", "1e-3", "--steps", "200000"),
        *("--start", "1,2", "--until-within", "0.1:3,0.5"),
    )
    result = answer["result"]
    assert result["status"] == "reached"
    assert result["steps"] < 200_000
    assert np.linalg.norm(np.subtract(result["final"], [3, 0.5])) <= 0.1
    assert all(step <= result["steps"] for step, _ in result["checkpoints"])


def test_a_diverged_trajectory_has_nulls_and_says_why(run):
    status, answer = run(
        *("trajectory", "beale", "--method", "gd", "--lr", "10", "--steps", "100"),
        *("--start", "1,2"),
    )
    assert status == 0
    assert answer["result"]["status"] == "diverged"
    assert None in answer["result"]["final"]
    assert answer["result"]["nearest_fixed_point"] is None


@pytest.mark.thorough
def test_basins(run):
    status, answer = run(
        *("basins", "double-well-2d", "--grid", "20", "--method", "sam", "--rho", "0.3"),
        *("--lr", "0.01", "--steps", "5000"),
    )
    result = answer["result"]
    assert status == 0
    total = sum(a["fraction"] for a in result["attractors"])
    total += result["undecided"] + result["diverged"] + result["left_box"]
    assert total == pytest.approx(1)
    for attractor in result["attractors"]:
        assert set(attractor) >= {"id", "w", "critical_type", "fraction", "ci95"}
        low, high = attractor["ci95"]
        assert low <= attractor["fraction"] <= high


@pytest.mark.thorough
def test_explore_writes_its_page(run, tmp_path):
    target = tmp_path / "page.html"
    status, answer = run("explore", "saddle", "--method", "gd", "-o", str(target))
    assert status == 0
    assert answer["result"] == {"page": str(target), "address": None}
    assert answer["config"]["rho"] == pytest.approx(0.2)
    assert 10_000 < target.stat().st_size < 200_000


@pytest.mark.usefixtures("sigint")
def test_explore_serves_until_interrupted():
    command = [sys.executable, "-m", "samdyn.cli.main", "explore", "saddle", "--method", "gd"]
    command += ["--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        address = json.loads(running.stdout.readline())["result"]["address"]
        with urllib.request.urlopen(address) as answer:
            assert b"samdyn" in answer.read()
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(timeout=30) == 0
        finally:
            running.kill()


def test_portrait_writes_its_figure(run, tmp_path):
    target = tmp_path / "portrait.png"
    status, answer = run(
        *("portrait", "double-well-2d", "--method", "gd", "--method", "sam", "--rho", "0.3"),
        *("--start=-1.5,1", "-o", str(target)),
    )
    assert status == 0
    assert answer["config"]["method"] == ["gd", "sam"]
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_text_is_for_people(capsys):
    assert main(["stability", "saddle", "--at", "0,0", "--method", "usam", "--rho", "1"]) == 0
    out = capsys.readouterr().out
    assert "attractor" in out
    assert "why" not in out
    assert not out.startswith("{")


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_bytes(capsys):
    command = ["stability", "himmelblau", "--method", "usam", "--rho", "0.01", "--json"]
    outputs = []
    for _ in range(2):
        main(command)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_anyones_function_by_path(run, tmp_path):
    (tmp_path / "mine.py").write_text("def well(w):\n    return ((w**2 - 1) ** 2).sum() / 4\n")
    _, answer = run(
        *("stability", f"{tmp_path}/mine.py:well", "--box=-2,2", "--method", "gd"),
    )
    found = [p["w"][0] for p in answer["result"]["fixed_points"]]
    np.testing.assert_allclose(found, [-1, 0, 1], atol=1e-9)


@pytest.mark.parametrize(
    "command",
    ["losses", "stability", "sweep", "trajectory", "basins", "portrait", "escape", "spread"],
)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "example: samdyn " + command in capsys.readouterr().out.replace("\n", " ")


def test_help_does_not_import_jax():
    code = (
        "import sys; from samdyn.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.thorough
def test_escape_has_the_fields_of_the_contract(run):
    _, answer = run(
        *("escape", "saddle", "--from", "0,0", "--inside", "slab:1:1", "--method", "usam"),
        *("--rho", "0.2", "--lr", "0.01", "--noise", "isotropic:5", "--paths", "2000"),
    )
    result = answer["result"]
    fields = "mean mean_ci95 median quantiles n escaped censored failed path_steps seconds"
    assert {*fields.split(), "compile_seconds", "path_steps_per_second", "theory"} <= set(result)
    assert result["n"] == result["escaped"] == 2000
    low, high = result["mean_ci95"]
    assert low - (high - low) < result["theory"]["exact_linear"] < high + (high - low)


@pytest.mark.thorough
def test_escape_says_time_at_risk_where_paths_were_censored(run):
    _, answer = run(
        *("escape", "saddle", "--from", "0,0", "--inside", "ball:1", "--method", "gd"),
        *("--lr", "0.01", "--noise", "isotropic:1", "--batch-size", "4", "--paths", "500"),
        *("--max-time", "1.5", "--dynamics", "map", "--momentum", "0.5"),
    )
    result = answer["result"]
    assert result["censored"] > 0
    assert result["estimator"] == "time at risk per exit"
