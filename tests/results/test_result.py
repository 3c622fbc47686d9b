"""Every result is the same after it was saved, in this process and in another one."""

import copy
import json
import pickle
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs
from matplotlib.axes import Axes

import samdyn
from samdyn.results.result import Result

BOX = ((-1.0, 1.0), (-1.2, 1.0))
USAM = samdyn.USAM(0.2)


def hill(w):
    return w[0] ** 2 - w[1] ** 2 + w[1] ** 4


def dead_start():
    x = jax.random.normal(jax.random.key(0), (2, 8, 3))
    batches = [(part, jnp.tanh(part[:, 0])) for part in x]

    def loss(params, batch):
        return jnp.mean((jnp.tanh(batch[0] @ params["in"]) @ params["out"] - batch[1]) ** 2)

    params = {"in": jnp.full((3, 2), 1e-3), "out": jnp.full(2, 1e-3)}
    return verbs.diagnose(loss, params, batches, samdyn.SAM(0.5), 0.1)


def escapes(**how):
    noise = samdyn.Isotropic(1.0, batch_size=4)
    usam = samdyn.Diffusion(lambda w: w[0] ** 2 - w[1] ** 2, USAM, 0.01, noise)
    inside = samdyn.Slab([0.0, 0.0], 1, 0.5)
    return verbs.escape_times(usam, [0.0, 0.0], inside, paths=50, seed=7, **how)


def training(**how):
    data = samdyn.teacher_student(examples=60, test_examples=40, dim=5, classes=3)
    grid = {"momentum": (0.0, 0.9), "batch_size": 20, "learning_rate": 0.1}
    return verbs.study(data, ("gd", "sam"), rho=0.1, steps=3, seeds=2, **grid, **how)


def captured():
    where = {"start": [0.3, 0.4], "target": [0.0, 0.0], "rho": (0.5, 1.5), "rtol": 0.01}
    return verbs.capture_threshold(hill, USAM, learning_rate=0.1, steps=500, **where)


def scattered():
    where = ([0.0, 0.0], USAM, 0.01, samdyn.Isotropic(1.0))
    return verbs.spread(samdyn.get_loss("saddle"), *where, time=0.1, paths=50)


MAKERS = {
    "stability": lambda: verbs.stability(hill, USAM, box=BOX, learning_rate=0.1, seed=3),
    "sweep": lambda: verbs.sweep(hill, USAM, [0.0, 0.3, 0.6], box=BOX, learning_rate=0.1),
    "basins": lambda: verbs.basins(hill, USAM, box=BOX, grid=8, learning_rate=0.1),
    "capture_threshold": captured,
    "escape_times": escapes,
    "spread": scattered,
    "diagnose": dead_start,
    "study": training,
}


@pytest.fixture(scope="module")
def results():
    return {name: make() for name, make in MAKERS.items()}


@pytest.fixture(params=MAKERS)
def result(request, results):
    return results[request.param]


def numbers(result):
    return json.dumps(result.to_dict())  # nan is nan


@pytest.mark.thorough
def test_a_saved_result_is_the_same_and_can_be_drawn(result, tmp_path):
    loaded = samdyn.load(result.save(tmp_path / "kept.any"))
    assert type(loaded) is type(result)
    assert str(loaded) == str(result)
    assert numbers(loaded) == numbers(result)
    assert loaded.provenance == result.provenance
    assert isinstance(loaded.plot(), Axes)
    again = samdyn.load(loaded.save(tmp_path / "again"))
    assert numbers(again) == numbers(result)


READER = """
import json, sys, samdyn
for path in sys.argv[1:]:
    found = samdyn.load(path)
    found.plot()
    print(json.dumps([type(found).__name__, str(found), found.to_dict()]))
"""


@pytest.mark.thorough
def test_another_process_reads_the_same(results, tmp_path):
    paths = [str(result.save(tmp_path / name)) for name, result in results.items()]
    run = subprocess.run([sys.executable, "-c", READER, *paths], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    expected = [
        json.dumps([type(result).__name__, str(result), result.to_dict()])
        for result in results.values()
    ]
    assert run.stdout.splitlines() == expected


@pytest.mark.thorough
def test_a_pickled_and_a_copied_result_are_the_same(result):
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        assert numbers(other) == numbers(result)
        assert other.provenance == result.provenance


@pytest.mark.thorough
def test_a_copy_keeps_its_functions_and_a_pickled_one_their_text():
    found = verbs.stability(lambda w: w[0] ** 2 - w[1] ** 2, USAM, at=[0.0, 0.0])
    assert copy.deepcopy(found).flow.loss(jnp.array([1.0, 0.0])) == 1
    loss = pickle.loads(pickle.dumps(found)).flow.loss
    assert str(loss) == "lambda w: w[0] ** 2 - w[1] ** 2"
    with pytest.raises(samdyn.InvalidInput, match="the text of 'lambda w:"):
        loss(jnp.zeros(2))


def test_a_loaded_report_points_its_saddles_where_they_attract(results, tmp_path):
    found = results["stability"]
    loaded = samdyn.load(found.save(tmp_path / "kept"))
    assert any(direction is not None for direction in found.directions)
    for one, other in zip(loaded.directions, found.directions, strict=True):
        np.testing.assert_equal(one, other)
    labels = loaded.plot().get_legend_handles_labels()[1]
    assert "saddle, filled half attracts" in labels


def test_provenance_tells_method_rho_rate_seed_and_source(results):
    told = results["stability"].provenance
    assert told.verb == "stability"
    system = told.arguments["system"]
    assert system["method"] == {"class": "USAM", "rho": 0.2}
    assert (system["learning_rate"], told.arguments["seed"]) == (0.1, 3)
    assert told.arguments["box"] == [list(side) for side in BOX]
    assert "def hill(w):" in told.sources["hill"]
    assert told.versions["samdyn"] == samdyn.__version__
    assert told.versions["jax"] == jax.__version__
    told = results["escape_times"].provenance
    dynamics = told.arguments["system"]
    assert (dynamics["method"]["rho"], dynamics["learning_rate"]) == (0.2, 0.01)
    assert (told.arguments["seed"], told.arguments["dtype"]) == (7, "float32")
    line = "lambda w: w[0] ** 2 - w[1] ** 2"
    assert told.sources == {line: line}
    assert "<lambda>" not in json.dumps(told.arguments)


def test_tables_have_a_row_for_each_thing(results):
    rows = {name: len(result.to_dataframe()) for name, result in results.items()}
    assert rows["stability"] == len(results["stability"].points)
    assert rows["basins"] == len(results["basins"].attractors)
    assert rows["escape_times"] == 50
    assert rows["spread"] == 2
    assert rows["study"] == len(results["study"].rows)
    present = [name for b in results["sweep"].branches for name in b.verdict if name is not None]
    assert rows["sweep"] == len(present)


def test_labelled_arrays_carry_the_provenance(result):
    pytest.importorskip("xarray")
    dataset = result.to_xarray()
    assert json.loads(dataset.attrs["provenance"]) == result.provenance.to_dict()
    assert dataset.sizes


def test_missing_libraries_are_told_in_one_sentence(results, monkeypatch):
    for name, call in (("pandas", "to_dataframe"), ("xarray", "to_xarray")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(samdyn.InvalidInput, match=f"need {name}"):
            getattr(results["spread"], call)()


def test_a_notebook_shows_the_text_escaped(result):
    shown = result._repr_html_()
    assert shown.startswith("<table><tr><th>verb</th>")
    assert "<lambda>" not in shown
    assert "<pre>" in shown


def test_style_reaches_what_is_drawn(results):
    curve = results["escape_times"].plot(color="red", lw=3).lines[0]
    assert (curve.get_color(), curve.get_linewidth()) == ("red", 3)
    assert {line.get_alpha() for line in results["sweep"].plot(alpha=0.25).lines[1:3]} == {0.25}
    assert results["basins"].plot(alpha=0.5).images[0].get_alpha() == 0.5
    names = results["spread"].plot(label="mine").get_legend_handles_labels()[1]
    assert "mine" in names


def test_the_file_opens_without_samdyn(results, tmp_path):
    path = results["basins"].save(tmp_path / "kept.zip")
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read("result.json"))
    assert (told["format"], told["class"]) == ("samdyn result", "Basins")
    assert told["text"] == str(results["basins"])
    assert told["fields"]["labels"]["dtype"] == "int64"
    number = told["fields"]["labels"]["number"]
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays[f"array_{number}"], results["basins"].labels)


def rewritten(path, **changes):
    """The file with other entries in its header."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = {**json.loads(members["result.json"]), **changes}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(header) if name == "result.json" else content)
    return path


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": 99, "samdyn": "7.0"}, r"was written by a newer samdyn \(7.0\)"),
        ({"format": "something else"}, "is no result that samdyn saved, or is damaged"),
        ({"class": "Mystery"}, "holds a Mystery, which is not known here"),
        ({"class": "escape_times"}, "which is not known here"),
        ({"class": "USAM"}, "which is not known here"),
        ({"fields": {"$": "object", "class": 3}}, "damaged"),
        ({"fields": {"$": "surprise"}}, "damaged"),
        ({"fields": {"$": "array", "number": 99, "of": "numpy", "dtype": "int8"}}, "damaged"),
        ({"fields": 5}, "damaged"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(results, tmp_path, changes, told):
    path = rewritten(results["spread"].save(tmp_path / "kept"), **changes)
    with pytest.raises(samdyn.InvalidInput, match=told):
        samdyn.load(path)


def test_damaged_and_foreign_files_are_told_in_one_sentence(results, tmp_path):
    path = results["spread"].save(tmp_path / "kept")
    whole = path.read_bytes()
    for content in (whole[:-50], b"", b"notes"):
        path.write_bytes(content)
        with pytest.raises(samdyn.InvalidInput, match="damaged"):
            samdyn.load(path)
    with pytest.raises(samdyn.InvalidInput, match="cannot be read: No such file"):
        samdyn.load(tmp_path / "absent")
    with pytest.raises(samdyn.InvalidInput, match="holds no results"):
        samdyn.load(tmp_path)
    with pytest.raises(samdyn.InvalidInput, match="cannot be written"):
        results["spread"].save(tmp_path / "absent" / "kept")


def test_a_flipped_byte_is_told_or_changes_nothing(results, tmp_path):
    """Where it does neither harm nor good, it is a date or a name of the archive's own."""
    path = results["spread"].save(tmp_path / "kept")
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 11):
        flipped = bytearray(whole)
        flipped[place] ^= 255
        path.write_bytes(bytes(flipped))
        try:
            found = samdyn.load(path)
        except samdyn.InvalidInput:
            refused += 1
        else:
            assert numbers(found) == numbers(results["spread"])
    assert refused > 0.7 * len(whole) / 11


@pytest.mark.parametrize("make", [escapes, training])
@pytest.mark.thorough
def test_the_folder_of_a_long_run_gives_its_result(make, tmp_path):
    folder = tmp_path / "run"
    found = make(out=folder)
    loaded = samdyn.load(folder)
    assert (str(loaded), numbers(loaded)) == (str(found), numbers(found))
    (folder / "result.samdyn").unlink()  # as if it had been killed
    parts = samdyn.load(folder)
    assert type(parts) is type(found)
    assert len(parts.to_dataframe()) == len(found.to_dataframe())
    assert isinstance(parts.plot(), Axes)
    make(out=folder, resume=True)
    assert samdyn.load(folder).to_dataframe().equals(found.to_dataframe())


def test_where_paths_left_is_known_without_the_region(tmp_path):
    ends, ones = np.array([[0.1, 0.6], [0.0, -0.7]]), np.ones(2)
    found = samdyn.EscapeTimes(
        *(ones, ones.astype(np.int8), ones.astype(int), ends),
        seconds=1.0,
        compile_seconds=0.0,
        lane_steps=2,
        scheme=None,
        dt=None,
        asked=2,
        interrupted=False,
        start=np.zeros(2),
        region=samdyn.Predicate(lambda w: 0.5 - jnp.abs(w[1])),
    )
    found.theory = {"exact": 1.5}
    loaded = samdyn.load(found.save(tmp_path / "kept"))
    assert [exit.where for exit in loaded.exits] == ["−w[1] side", "+w[1] side"]
    assert numbers(loaded) == numbers(found)
    assert loaded.region.function.text == "lambda w: 0.5 - jnp.abs(w[1])"


class Coin(Result):
    """A result that somebody else has written."""

    def __init__(self, heads, tosses):
        self.heads, self.tosses = heads, tosses

    def to_dict(self):
        return {"heads": self.heads, "tosses": self.tosses}

    def __str__(self):
        return f"{self.heads} of {self.tosses}"


def test_anyone_can_add_a_result_and_a_drawer(tmp_path):
    with pytest.raises(samdyn.InvalidInput, match=r"nothing draws a Coin"):
        Coin(3, 5).plot()

    @samdyn.drawer(Coin)
    def draw(coin, ax=None, **style):
        return coin.heads, style

    loaded = samdyn.load(Coin(3, np.float32(5)).save(tmp_path / "coin"))
    assert loaded.plot(color="red") == (3, {"color": "red"})
    assert (str(loaded), type(loaded.tosses)) == ("3 of 5.0", np.float32)
    assert loaded.provenance is None
