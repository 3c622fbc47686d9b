"""Result folders: what was appended is there after kill -9, and nothing else is taken for it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn
from samdyn import ComputationFailed, InvalidInput
from samdyn.escape.engine.attempt import Problem
from samdyn.escape.engine.parts import parts_of
from samdyn.results.store import Meaning, Store, load

CONFIG = {"loss": "beale", "rho": 0.1, "start": (1.0, 2.0), "max_time": float("inf"), "seed": 0}


def block(first, count):
    """Paths first … first + count − 1, each row a function of its number."""
    index = np.arange(first, first + count)
    return {
        "index": index,
        "time": np.sqrt(index + 1.0),
        "status": 1 + index % 3,
        "exit_point": np.stack([index * 1.0, np.where(index % 3 == 2, np.nan, -index)], axis=1),
    }


def assert_rows(rows, indices):
    np.testing.assert_array_equal(rows["index"], indices)
    for i, path in enumerate(indices):
        for name, column in block(path, 1).items():
            np.testing.assert_array_equal(rows[name][i], column[0])


def test_rows_come_back_sorted_once_each(tmp_path):
    store = Store(tmp_path / "new" / "run", CONFIG)
    assert store.read() == {}
    store.append(block(4, 3))
    store.append(block(0, 2))
    store.append(block(0, 5))  # 0, 1 and 4 again, with the same values
    assert_rows(store.read(), [0, 1, 2, 3, 4, 5, 6])
    assert {name: column.dtype.name for name, column in store.read().items()} == {
        "index": "int64",
        "time": "float64",
        "status": "int8",
        "exit_point": "float64",
    }


def test_a_path_with_two_results_is_an_error(tmp_path):
    store = Store(tmp_path, CONFIG)
    store.append(block(0, 3))
    store.append({**block(1, 2), "time": np.array([np.sqrt(2.0), 99.0])})
    with pytest.raises(ComputationFailed, match="two different results for path 2"):
        store.read()


def test_resume_goes_on_where_the_run_was(tmp_path):
    Store(tmp_path, CONFIG).append(block(0, 2))
    with pytest.raises(InvalidInput, match="use --resume"):
        Store(tmp_path, CONFIG)
    store = Store(tmp_path, CONFIG, resume=True)
    store.append(block(2, 2))
    assert_rows(store.read(), [0, 1, 2, 3])


def test_a_folder_without_results_can_be_used_with_any_options(tmp_path):
    Store(tmp_path, CONFIG)
    store = Store(tmp_path, {**CONFIG, "rho": 0.3})
    assert json.loads((tmp_path / "run.json").read_text())["config"]["rho"] == 0.3
    store.append(block(0, 1))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rho": 0.2}, "made with rho 0.1, not 0.2: choose another folder or those options"),
        ({"start": (1.0, 3.0), "seed": 1}, r"start \[1.0, 2.0\], not \[1.0, 3.0\]"),
        ({"momentum": 0.9}, "momentum none, not 0.9"),
        ({"max_time": 5.0}, "max_time inf, not 5.0"),
    ],
)
def test_a_folder_made_with_other_options_is_refused(tmp_path, changed, told):
    Store(tmp_path, CONFIG).append(block(0, 2))
    for resume in (False, True):
        with pytest.raises(InvalidInput, match=told):
            Store(tmp_path, {**CONFIG, **changed}, resume=resume)


def test_options_that_numpy_or_jax_hold_are_the_same_options(tmp_path):
    Store(tmp_path, CONFIG).append(block(0, 2))
    same = {**CONFIG, "rho": np.float64(0.1), "start": np.array([1.0, 2.0]), "seed": np.int32(0)}
    assert Store(tmp_path, same, resume=True).blocks == 1


def test_another_version_of_samdyn_is_refused(tmp_path):
    Store(tmp_path, CONFIG).append(block(0, 2))
    run = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, "samdyn": "0.0.1"}))
    with pytest.raises(InvalidInput, match=r"made with samdyn 0.0.1, not"):
        Store(tmp_path, CONFIG, resume=True)


def test_foreign_places_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"other files \(notes.txt\)"):
        Store(tmp_path, CONFIG)
    with pytest.raises(InvalidInput, match="is a file, not a folder"):
        Store(tmp_path / "notes.txt", CONFIG)
    with pytest.raises(InvalidInput, match="cannot keep results in"):
        Store(tmp_path / "notes.txt" / "run", CONFIG)
    with pytest.raises(InvalidInput, match="holds no results"):
        load(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "something else"}')
    with pytest.raises(InvalidInput, match="not that of a samdyn run"):
        Store(tmp_path, CONFIG, resume=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match=r"cannot keep results in .*Permission denied"):
        Store(tmp_path, CONFIG)


def test_torn_and_temporary_files_are_ignored_and_cleaned(tmp_path):
    store = Store(tmp_path, CONFIG)
    store.append(block(0, 2))
    store.append(block(2, 2))
    whole = (tmp_path / "block_000002.npz").read_bytes()
    (tmp_path / "block_000002.npz").write_bytes(whole[:-100])
    (tmp_path / "block_000003.npz.part").write_bytes(whole[:50])
    with pytest.raises(InvalidInput, match=r"block_000002.npz is damaged: run again"):
        load(tmp_path)
    assert_rows(store.read(), [0, 1])
    store = Store(tmp_path, CONFIG, resume=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["block_000001.npz", "run.json"]
    store.append(block(2, 2))
    assert_rows(store.read(), [0, 1, 2, 3])


def test_a_block_whose_bytes_changed_is_not_read(tmp_path):
    store = Store(tmp_path, CONFIG)
    store.append(block(0, 100))
    content = bytearray((tmp_path / "block_000001.npz").read_bytes())
    content[300] ^= 1
    (tmp_path / "block_000001.npz").write_bytes(content)
    assert store.read() == {}


def test_compacting_keeps_every_row_even_if_killed_in_between(tmp_path, monkeypatch):
    store = Store(tmp_path, CONFIG)
    for first in range(0, 20, 2):
        store.append(block(first, 2))
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    assert store.blocks == 11
    assert_rows(store.read(), range(20))
    store.compact()
    assert store.blocks == 1
    assert_rows(Store(tmp_path, CONFIG, resume=True).read(), range(20))


def _interrupt(*_):
    raise KeyboardInterrupt


def test_blocks_that_do_not_fit_are_refused(tmp_path):
    store = Store(tmp_path, CONFIG)
    with pytest.raises(InvalidInput, match="column `index`"):
        store.append({"time": np.ones(2)})
    with pytest.raises(InvalidInput, match="time must be an array of 2 rows"):
        store.append({**block(0, 2), "time": np.ones(3)})
    store.append(block(0, 2))
    with pytest.raises(InvalidInput, match="has columns"):
        store.append({**block(2, 2), "steps": np.ones(2)})
    store.append(block(2, 0))
    assert store.blocks == 1


def test_run_json_describes_every_array_and_numpy_opens_a_block(tmp_path):
    store = Store(tmp_path, CONFIG, meanings={"steps": Meaning("step", "steps taken")})
    store.append({**block(0, 2), "steps": np.array([5, 6])})
    run = json.loads((tmp_path / "run.json").read_text())
    assert (run["format"], run["version"]) == ("samdyn escape run", 1)
    assert run["arrays"]["exit_point"]["shape"] == ["path", 2]
    assert run["arrays"]["steps"] == {
        "shape": ["path"],
        "dtype": "int64",
        "unit": "step",
        "meaning": "steps taken",
    }
    with np.load(tmp_path / "block_000001.npz") as arrays:
        np.testing.assert_array_equal(arrays["steps"], [5, 6])
    result = load(tmp_path)
    assert result.config["rho"] == 0.1
    assert list(result) == ["index", "time", "status", "exit_point", "steps"]
    assert "2 paths" in str(result)


def test_labelled_arrays(tmp_path, monkeypatch):
    Store(tmp_path, CONFIG).append(block(0, 4))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "xarray", None)
        with pytest.raises(InvalidInput, match=r"samdyn\[xarray\]"):
            load(tmp_path).to_xarray()
    pytest.importorskip("xarray")
    dataset = load(tmp_path).to_xarray()
    assert dataset["exit_point"].dims == ("path", "coordinate")
    assert dataset["time"].sel(path=2) == np.sqrt(3.0)
    assert dataset["time"].attrs["units"] == "learning rate × steps"


WRITER = """
import sys
import numpy as np
from samdyn.results.store import Store

store = Store(sys.argv[1], {"rho": 0.1}, resume=True)
first = 1 + int(store.read().get("index", np.array([-1])).max())
while True:
    index = np.arange(first, first + 3000)
    store.append({"index": index, "time": index * 0.5, "status": np.ones(3000)})
    print(first + 3000, flush=True)
    first += 3000
    if store.blocks > 7:
        store.compact()
"""


def test_killed_while_writing_nothing_finished_is_lost(tmp_path):
    folder = tmp_path / "run"
    finished = 0
    for delay in (0.0, 0.003, 0.011, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        rows = load(folder)
        count = len(rows["index"])
        assert count >= max([finished, *(int(number) for number in told)])
        np.testing.assert_array_equal(rows["index"], np.arange(count))
        np.testing.assert_array_equal(rows["time"], 0.5 * np.arange(count))
        finished = count
    assert finished >= 4 * 3000
    store = Store(folder, {"rho": 0.1}, resume=True)
    assert not list(folder.glob("*.part"))
    assert len(store.read()["index"]) == finished


def test_another_problem_is_refused_whatever_it_is_called(tmp_path):
    parts = {"jax": "0.10.2", "loss": "a", "step": "b", "region": "c"}
    Store(tmp_path, {**CONFIG, "problem": parts}).append(block(0, 2))
    told = {
        "its loss differs: choose another folder": {"loss": "x", "step": "y"},
        "another problem: its step differs": {"step": "y"},
        "its step and region differ": {"step": "y", "region": "z"},
        "were made with jax 0.10.2, not 0.11.0": {"jax": "0.11.0", "step": "y"},
    }
    for sentence, changed in told.items():
        with pytest.raises(InvalidInput, match=sentence):
            Store(tmp_path, {**CONFIG, "problem": {**parts, **changed}}, resume=True)


def test_names_of_the_same_problem_may_differ_and_numbers_may_not(tmp_path):
    Store(tmp_path, {**CONFIG, "problem": {"loss": "a"}}).append(block(0, 2))
    moved = {**CONFIG, "loss": "other/file.py:beale", "problem": {"loss": "a"}}
    assert Store(tmp_path, moved, resume=True).blocks == 1
    with pytest.raises(InvalidInput, match=r"made with rho 0.1, not 0.2"):
        Store(tmp_path, {**moved, "rho": 0.2}, resume=True)
    with pytest.raises(InvalidInput, match=r"made with loss beale, not other/file.py"):
        Store(tmp_path, {**moved, "problem": {"loss": "b"}}, resume=True)


def test_a_folder_that_does_not_tell_its_problem_is_refused(tmp_path):
    Store(tmp_path, CONFIG).append(block(0, 2))
    with pytest.raises(InvalidInput, match="do not tell which problem they are of: choose another"):
        Store(tmp_path, {**CONFIG, "problem": {"loss": "a"}}, resume=True)


def well(depth):
    """A closure: every one of them has the same name."""

    def loss(w):
        return depth * jnp.sum((w**2 - 1) ** 2)

    return loss


def tabled(data):
    return lambda w: jnp.sum((w**2 - 1) ** 2 * jnp.asarray(data).astype(w.dtype))


class Pushed(samdyn.USAM):
    """A method of one's own, with a static field."""

    times: int = eqx.field(static=True, default=1)

    def perturb(self, gradient, w):
        return w + self.times * self.rho.astype(w.dtype) * gradient(w)


class Rough(samdyn.Isotropic):
    """A noise of one's own, with a closure."""

    size: Callable = eqx.field(static=True, default=jnp.ones_like)

    def draw(self, loss, w, z):
        return self.size(w) * z


class Mixture(eqx.Module):
    """A loss with a list of arrays."""

    centres: list[jax.Array]

    def __call__(self, w):
        return jnp.sum(jnp.stack([(w - c.astype(w.dtype)) ** 2 for c in self.centres]))


def bent(low):
    return lambda w: jax.lax.cond(
        w[0] > 0, lambda v: v, lambda v: low * v, jnp.sum((w**2 - 1) ** 2)
    )


def ruled(slope):
    square = jax.custom_jvp(lambda x: x**2)
    square.defjvp(lambda at, change: (square(at[0]), slope * at[0] * change[0]))
    return lambda w: jnp.sum(square(w))


def added(loss, method=None):
    return samdyn.Diffusion(loss, method or samdyn.USAM(0.1), 0.01, samdyn.Additive(0.6))


def rough(factor):
    noise = Rough(1.0, 1, size=lambda w: factor * jnp.ones_like(w))
    return samdyn.StochasticStepMap(well(0.25), samdyn.GD(), 0.01, noise)


def inside(level):
    return samdyn.Predicate(lambda w: level - w[0] + 0 * jnp.sum(w))


HALF = samdyn.Below(0, 0.0)
CENTRES = [jnp.asarray([-1.0, 0.0]), jnp.asarray([-1.5, 0.5])]
# two problems each that names cannot tell apart, and what the folder says of them
ALIKE = {
    "constant": ("loss", (added(well(0.25)), HALF), (added(well(0.26)), HALF)),
    "array": (
        "loss",
        (added(tabled(np.array([0.2, 0.3]))), HALF),
        (added(tabled(np.array([0.2, 0.31]))), HALF),
    ),
    "list": ("loss", (added(Mixture(CENTRES)), HALF), (added(Mixture(CENTRES[:1] * 2)), HALF)),
    "branch": ("loss", (added(bent(1.0)), HALF), (added(bent(1.1)), HALF)),
    "rule": ("loss", (added(ruled(2.0)), HALF), (added(ruled(2.5)), HALF)),
    "method": (
        "step",
        (added(well(0.25), Pushed(0.1, times=1)), HALF),
        (added(well(0.25), Pushed(0.1, times=2)), HALF),
    ),
    "noise": ("step", (rough(1.0), HALF), (rough(1.5), HALF)),
    "region": ("region", (added(well(0.25)), inside(0.0)), (added(well(0.25)), inside(0.1))),
}


def parts(dynamics, region, start=(-1.0, 0.2), dtype="float32"):
    """What a folder knows the run by."""
    with jax.enable_x64(True):
        dt = 0.005 if isinstance(dynamics, samdyn.Diffusion) else None
        problem = Problem(dynamics, jnp.asarray(start), region, None, dt, dtype, None, 4)
        return parts_of(problem, problem.first())


@pytest.mark.parametrize("case", ALIKE)
def test_problems_that_names_cannot_tell_apart_differ_where_they_do(case):
    part, one, other = ALIKE[case]
    known, found = parts(*one), parts(*other)
    assert known == parts(*one)
    differ = {name for name in known if known[name] != found[name]}
    assert differ == ({"loss", "step"} if part == "loss" else {part})


def test_start_and_precision_are_parts_of_the_problem():
    known, moved = (parts(added(well(0.25)), HALF, start) for start in ((-1.0, 0.2), (-1.0, 0.3)))
    assert {name for name in known if known[name] != moved[name]} == {"start"}
    assert parts(added(well(0.25)), HALF, dtype="float64")["step"] != known["step"]


@pytest.mark.thorough
def test_paths_of_another_closure_of_the_same_name_are_not_taken_for_its_own(tmp_path):
    run = {"paths": 4, "max_time": 0.5, "dt": 0.005, "workers": 1, "block": 64, "out": tmp_path}
    run["options"] = {"name": "mine"}  # which tell neither problem nor seed

    def paths(depth, **more):
        return verbs.escape_times(added(well(depth)), [-1.0], HALF, **run, **more)

    first = paths(0.25)
    with pytest.raises(InvalidInput, match="another problem: its loss differs: choose another"):
        paths(0.26, resume=True)
    with pytest.raises(InvalidInput, match="with seed 0, not 1"):
        paths(0.25, resume=True, seed=1)
    again = paths(0.25, resume=True)
    np.testing.assert_array_equal(again.points, first.points)


LOSS = """
import jax.numpy as jnp
DEPTH = {depth}
def {name}(w):
    return DEPTH * jnp.sum((w**2 - 1) ** 2)
"""


def escape(file, folder, *more, seed="0"):
    """A run from a file, in a process of its own."""
    words = "--from=-1 --inside below:0:0.5 --method gd --lr 0.01 --noise additive:0.7 --dt 0.005 "
    words += f"--paths 20 --max-time 1 --out {folder}"
    command = [sys.executable, "-m", "samdyn.cli.main", "escape", str(file), *words.split(), *more]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.thorough
def test_an_edited_file_is_another_problem_and_a_moved_one_is_not(tmp_path):
    file, moved, folder = tmp_path / "loss.py", tmp_path / "moved.py", tmp_path / "runs"
    file.write_text(LOSS.format(depth=0.25, name="loss"))
    escape(f"{file}:loss", folder)
    before = sorted(folder.iterdir())
    moved.write_text("# words\n\n\n" + LOSS.format(depth=0.25, name="well"))
    run = escape(f"{moved}:well", folder, "--resume", seed="7")
    assert "20 paths" in run.stdout, run.stderr
    assert sorted(folder.iterdir()) == before
    file.write_text(LOSS.format(depth=0.26, name="loss"))
    run = escape(f"{file}:loss", folder, "--resume")
    assert run.returncode != 0
    assert "made with another problem: its loss differs: choose another folder" in run.stderr
    assert len(run.stderr.strip().split("\n")) == 1
