"""The numbers of a run depend on its seed and options alone."""

import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn

LOSS = samdyn.get_loss("double-well-2d")


def run(paths=999, seed=0, **options):
    diffusion = samdyn.Diffusion(LOSS, samdyn.USAM(0.1), 0.01, samdyn.Additive(0.6))
    start, region = jnp.asarray([-1.0, 0.0]), samdyn.Below(0, 0.0)
    return verbs.escape_times(diffusion, start, region, paths=paths, seed=seed, **options)


def assert_same(one, other):
    for name in ("times", "status", "steps", "points"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture(scope="module")
def reference():
    return run()


@pytest.mark.parametrize(
    "options",
    [
        {"block": 16},
        {"block": 128, "workers": 3},
        {"workers": 1},
        {"devices": jax.local_devices()[:1]},
        {"devices": jax.local_devices(), "workers": 2},
    ],
    ids=str,
)
@pytest.mark.thorough
def test_neither_lanes_nor_workers_nor_devices_change_a_bit(reference, options):
    assert_same(run(**options), reference)


@pytest.mark.thorough
def test_a_longer_run_begins_with_the_shorter_one(reference):
    longer = run(paths=1001)
    np.testing.assert_array_equal(longer.times[:999], reference.times)


@pytest.mark.thorough
def test_double_precision_is_as_reproducible():
    one = run(paths=100, dtype="float64", block=16)
    assert_same(one, run(paths=100, dtype="float64", block=64, workers=1))


def test_different_seeds_share_no_path(reference):
    other = run(seed=1)
    assert not np.any(np.isin(other.points[:, 1], reference.points[:, 1]))


@pytest.mark.thorough
def test_a_target_error_stops_at_the_same_path_whatever_the_lanes(tmp_path):
    options = {"paths": 20_000, "target_error": 0.03}
    one = run(block=32, workers=1, **options)
    assert_same(one, run(block=512, **options))
    assert len(one.times) < 20_000
    low, high = one.summary.mean_ci95
    assert (high - low) / 2 <= 0.03 * one.summary.mean


def test_a_stored_run_goes_on_to_the_same_end(reference, tmp_path):
    run(paths=300, out=tmp_path / "runs")
    assert_same(run(out=tmp_path / "runs", resume=True), reference)
    stored = samdyn.load(tmp_path / "runs")
    np.testing.assert_array_equal(stored["time"], reference.times)


def test_a_folder_of_other_options_is_refused(tmp_path):
    run(paths=10, out=tmp_path / "runs", dt=0.01)
    with pytest.raises(samdyn.InvalidInput, match="dt"):
        run(paths=10, out=tmp_path / "runs", dt=0.02, resume=True)


COMMAND = shlex.split(
    "escape double-well-2d --from=-1,0 --inside below:0:0.5 --method usam --rho 0.1 --lr 0.01 "
    "--noise additive:0.35 --dt 0.001 --scheme euler --json"
)


def command(*more, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "samdyn.cli.main", *COMMAND, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def result_of(process):
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return json.loads(out)["result"]


SAME = ("mean", "median", "quantiles", "variance", "n", "path_steps", "tail")


@pytest.mark.thorough
def test_killed_and_resumed_it_ends_with_the_numbers_of_an_uninterrupted_run(tmp_path):
    folder = tmp_path / "runs"
    paths = ("--paths", "3000")
    killed = command(*paths, "--out", str(folder))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and killed.poll() is None:
        if list(pathlib.Path(folder).glob("block_*.npz")):
            killed.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    killed.communicate()
    resumed = result_of(command(*paths, "--out", str(folder), "--resume"))
    plain = result_of(command(*paths))
    assert {name: resumed[name] for name in SAME} == {name: plain[name] for name in SAME}


@pytest.mark.thorough
def test_two_processes_end_with_the_numbers_of_one(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    folder = tmp_path / "runs"
    options = ("--paths", "500", "--distributed", "--out", str(folder))
    both = [command(*options, **told, JAX_PROCESS_ID=str(rank)) for rank in range(2)]
    first = result_of(both[0])
    quiet, error = both[1].communicate(timeout=240)
    assert both[1].returncode == 0, error
    assert quiet == ""
    assert len(samdyn.load(folder)["time"]) == 500
    alone = result_of(command("--paths", "500"))
    assert {name: first[name] for name in SAME} == {name: alone[name] for name in SAME}


@pytest.mark.usefixtures("sigint")
@pytest.mark.thorough
def test_an_interrupted_run_counts_the_paths_on_their_way(reference):
    """Those that end first are short: the mean over them alone would be far too small."""
    told = []

    def interrupt(standing):
        if not told and standing.detail.escaped > 300:
            told.append(standing)
            signal.raise_signal(signal.SIGINT)

    options = {"dt": 2e-4, "scheme": "euler", "workers": 1, "block": 512}
    found = run(paths=3000, progress=interrupt, **options)
    assert found.interrupted
    assert found.summary.censored > 0
    assert found.summary.estimator == "time at risk per exit"
    alone = np.mean(found.times[found.status == 1])
    assert abs(found.summary.mean - reference.summary.mean) < 0.3 * reference.summary.mean
    assert alone < 0.8 * reference.summary.mean


@pytest.mark.thorough
def test_a_folder_of_another_problem_is_refused(tmp_path):
    run(paths=10, out=tmp_path / "runs")
    with pytest.raises(samdyn.InvalidInput, match="seed"):
        run(paths=10, seed=3, out=tmp_path / "runs", resume=True)
    diffusion = samdyn.Diffusion(LOSS, samdyn.USAM(0.2), 0.01, samdyn.Additive(0.6))
    start, region = jnp.asarray([-1.0, 0.0]), samdyn.Below(0, 0.0)
    with pytest.raises(samdyn.InvalidInput, match="dynamics"):
        verbs.escape_times(diffusion, start, region, paths=10, out=tmp_path / "runs", resume=True)


@pytest.mark.thorough
def test_noise_of_real_data_is_noise():
    data = jnp.asarray(np.random.default_rng(0).normal(size=(12, 2)))
    noise = samdyn.Empirical(lambda w, x: jnp.sum((w - x) ** 2), data, 4)
    diffusion = samdyn.Diffusion(noise.loss, samdyn.GD(), 0.1, noise)
    region = samdyn.Ball([0.0, 0.0], 0.5)
    found = verbs.escape_times(diffusion, [0.0, 0.0], region, paths=50, max_time=0.5)
    assert found.summary.n == 50
