"""A study has the promised rows, survives being killed, and refuses what cannot work."""

import csv
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time

import equinox as eqx
import jax
import numpy as np
import pytest
import verbs

import samdyn
from samdyn.networks.studying import study as study_module
from samdyn.networks.studying.cells import CellStore
from samdyn.networks.studying.grid import Cell
from samdyn.networks.studying.interaction import Row, interaction

DATA = samdyn.teacher_student(examples=60, test_examples=40, dim=5, classes=3)
GRID = {
    "methods": ("gd", "sam"),
    "rho": (0.05, 0.2),
    "momentum": (0.0, 0.9),
    "batch_size": (20,),
    "learning_rate": 0.1,
    "epochs": 2,
    "seeds": 2,
    "model": "mlp",
}


def small(**options):
    return verbs.study(DATA, **{**GRID, **options})


@pytest.fixture(scope="module")
def result():
    return small()


@pytest.mark.thorough
def test_a_radius_is_a_row_of_sam_and_gd_has_one(result):
    keys = [(row.method, row.rho, row.momentum, row.seed) for row in result.rows]
    expected = [("gd", 0.0, g, seed) for g in (0.0, 0.9) for seed in (0, 1)]
    expected += [("sam", r, g, s) for g in (0.0, 0.9) for r in (0.05, 0.2) for s in (0, 1)]
    assert keys == expected
    assert {row.status for row in result.rows} == {"ran"}
    assert all(0 <= row.test_accuracy <= 1 for row in result.rows)
    assert all(len(curve) == 2 for curve in result.curves)


@pytest.mark.thorough
def test_a_selection_has_the_rows_asked_for_with_their_curves_and_gd_at_every_radius(result):
    part = result.select(rho=0.2, momentum=0.9)
    assert [(row.method, row.rho, row.seed) for row in part.rows] == [
        ("gd", 0.0, 0),
        ("gd", 0.0, 1),
        ("sam", 0.2, 0),
        ("sam", 0.2, 1),
    ]
    assert part.curves == [result.curves[result.rows.index(row)] for row in part.rows]
    assert result.select().rows == result.rows
    with pytest.raises(samdyn.InvalidInput, match="a row has no 'radius'; it has method, rho"):
        result.select(radius=0.2)


@pytest.mark.thorough
def test_selected_interactions_average_to_that_of_all(result):
    parts = [result.select(rho=rho).interaction.estimate for rho in (0.05, 0.2)]
    assert np.mean(parts) == pytest.approx(result.interaction.estimate, abs=1e-12)


def test_the_effective_rule_keeps_the_total_step(result):
    assert {row.lr for row in result.rows} == {0.1}
    rows = small(lr_rule="effective", epochs=1).rows
    assert {(row.momentum, round(row.lr / (1 - row.momentum), 12)) for row in rows} == {
        (0.0, 0.1),
        (0.9, 0.1),
    }


@pytest.mark.thorough
def test_a_budget_of_steps_is_the_same_for_every_batch_size():
    """An epoch of 60 examples has 8 steps of 7 examples, or 2 of 25; the rest is left out."""
    options = {"methods": "gd", "momentum": 0, "seeds": 1}
    found = small(**options, batch_size=(7, 25), epochs=None, steps=16)
    assert [len(curve) for curve in found.curves] == [2, 8]
    for index, (size, epochs) in enumerate([(7, 2), (25, 8)]):
        same = small(**options, batch_size=size, epochs=epochs)
        assert found.rows[index : index + 1] == same.rows
        assert found.curves[index : index + 1] == same.curves


def test_every_row_is_told_as_the_contract_says(result):
    answer = result.to_dict()
    fields = "method rho momentum batch_size lr seed train_loss train_accuracy test_accuracy"
    assert set(answer["rows"][0]) == {*fields.split(), "plateau_steps", "status"}
    assert {"estimate", "ci95"} <= set(answer["interaction"])
    json.dumps(answer, allow_nan=False)


@pytest.mark.thorough
def test_lanes_one_by_one_are_the_lanes_side_by_side_to_rounding(result):
    """After six steps; later, training amplifies rounding."""
    alone = small(lanes=1)
    losses = [[row.train_loss for row in study.rows] for study in (result, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_groups_that_do_not_divide_are_filled_up_and_cut():
    rows = small(lanes=2, rho=(0.05, 0.1, 0.2), seeds=1, methods="sam", epochs=1).rows
    assert [row.rho for row in rows] == [0.05, 0.1, 0.2] * 2


def made_up(accuracy, seeds=range(4)):
    return [
        Row(method, rho, g, 8, 0.1, seed, 0.0, 1.0, accuracy(method, g, seed), 1, "ran")
        for method, rho in (("gd", 0.0), ("sam", 0.1), ("sam", 0.2))
        for g in (0.0, 0.5, 0.9)
        for seed in seeds
    ]


def test_the_interaction_is_the_difference_of_differences():
    gains = {("gd", 0.0): 0.5, ("gd", 0.9): 0.6, ("sam", 0.0): 0.4, ("sam", 0.9): 0.7}
    found = interaction(made_up(lambda method, g, seed: gains.get((method, g), 0.0) + 0.01 * seed))
    assert found.estimate == pytest.approx(0.2)
    assert found.ci95 == pytest.approx((0.2, 0.2))  # the seed's own level drops out
    assert found.used == found.possible == 2


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("seeds", "interval", "share"),
    # Resampling K seeds divides by K, not K − 1, and knows no t: at K = 40 that costs 1 to 2 %.
    [(40, "ci95", 0.93), (3, "t95", 0.95), (40, "t95", 0.95)],
)
def test_the_interval_of_the_interaction_covers_as_often_as_it_says(
    seeds, interval, share, monkeypatch
):
    draws = {"ci95": 1000, "t95": 1}  # enough for quantiles; Student's interval needs none
    monkeypatch.setattr("samdyn.networks.studying.interaction.DRAWS", draws[interval])
    generator = np.random.default_rng(0)
    covered, count = 0, 1000
    for _ in range(count):
        noise = generator.normal(size=(seeds, 2, 2))
        rows = [
            Row(method, 0.0, g, 8, 0.1, seed, 0.0, 1.0, noise[seed, i, j], 1, "ran")
            for i, method in enumerate(("gd", "sam"))
            for j, g in enumerate((0.0, 0.9))
            for seed in range(seeds)
        ]
        low, high = getattr(interaction(rows), interval)
        covered += low <= 0 <= high
    assert abs(covered - share * count) < 3.5 * math.sqrt(count * share * (1 - share))  # 24 or 28


def test_what_diverged_stays_out_of_the_interaction():
    def accuracy(method, g, seed):
        return None if (method, g, seed) == ("gd", 0.9, 1) else 0.5

    found = interaction(made_up(accuracy))
    assert found.estimate is None
    assert "diverged" in found.why


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"methods": "sam"}, "run both"),
        ({"methods": ("gd", "sam"), "momentum": 0.5}, "two momenta"),
    ],
)
def test_no_interaction_says_why(options, expected):
    found = small(epochs=1, **options).interaction
    assert found.estimate is None
    assert expected in found.why


def test_one_seed_has_no_interval():
    found = interaction(made_up(lambda *_: 0.5, [0]))
    assert found.estimate == 0
    assert found.ci95 is None
    assert found.t95 is None
    assert found.why


def test_a_diverged_run_has_nulls_and_is_told(tmp_path):
    result = small(learning_rate=1e20, seeds=1, epochs=4)
    assert {row.status for row in result.rows} == {"diverged"}
    assert {row.test_accuracy for row in result.rows} == {None}
    assert "diverged" in str(result)
    json.dumps(result.to_dict(), allow_nan=False)
    samdyn.save(result.plot(), tmp_path / "study.svg")


def test_the_text_fits_a_screen_and_names_the_contrast(result):
    lines = str(result).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 140
    assert "momentum 0 → 0.9" in lines[-2]


def test_rows_can_be_kept_as_csv_json_and_labelled_arrays(result, tmp_path):
    result.write_csv(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["test_accuracy"]) for row in rows] == [r.test_accuracy for r in result.rows]
    result.write_json(tmp_path / "study.json")
    kept = json.loads((tmp_path / "study.json").read_text())
    assert kept["rows"] == result.to_dict()["rows"]
    assert kept["config"]["model"] == "mlp"
    array = result.to_xarray()
    assert array.test_accuracy.dims == ("series", "batch_size", "momentum", "seed")
    one = array.test_accuracy.sel(momentum=0.9, batch_size=20, seed=1)
    picked = [r.test_accuracy for r in result.rows if (r.momentum, r.seed) == (0.9, 1)]
    np.testing.assert_array_equal(one.values, picked)


def test_labelled_arrays_tell_a_diverged_run_from_a_missing_one(result):
    rows = result.rows[:-1]  # its (sam, 0.2, momentum 0.9, seed 1) is missing
    rows[0] = rows[0]._replace(test_accuracy=None, status="diverged")
    part = samdyn.Study(rows, result.curves[:-1], result.config, len(result.rows), True, 0.0)
    array = part.to_xarray()
    assert np.isnan(array.test_accuracy.values).sum() == 1 + 1 + 0
    status = array.status.sel(batch_size=20)
    assert status.dims == ("series", "momentum", "seed")
    assert status.sel(momentum=0.0, seed=0).values.tolist() == ["diverged", "ran", "ran"]
    assert status.sel(momentum=0.9, seed=1).values.tolist() == ["ran", "ran", ""]


def test_progress_ends_with_everything_done():
    seen = []
    small(epochs=1, progress=lambda now: seen.append(now.detail))
    assert seen[-1].done == seen[-1].total == 4
    assert seen[-1].fraction == pytest.approx(1)
    assert all(a.fraction <= b.fraction + 1e-9 for a, b in itertools.pairwise(seen))


def interrupt_after(cells):
    def progress(standing):
        if standing.detail.done == cells:
            raise KeyboardInterrupt

    return progress


def test_an_interrupt_returns_what_is_known_and_resuming_completes_it(result, tmp_path):
    part = small(out=tmp_path / "out", progress=interrupt_after(2))
    assert part.interrupted
    assert part.rows == result.rows[: len(part.rows)]
    assert 0 < len(part.rows) < part.asked
    assert "interrupted" in str(part)
    whole = small(out=tmp_path / "out", resume=True)
    assert not whole.interrupted
    assert whole.rows == result.rows
    assert whole.curves == result.curves


def test_results_are_read_and_not_computed_again(result, tmp_path):
    small(out=tmp_path / "out")
    began = time.process_time()  # of this process alone, whatever else the machine does
    again = small(out=tmp_path / "out", resume=True)
    assert time.process_time() - began < 2
    assert again.loaded == len(result.rows)
    assert again.rows == result.rows


def test_a_damaged_cell_is_computed_again(result, tmp_path):
    small(out=tmp_path)
    file = tmp_path / "cell_00001.json"
    file.write_text(file.read_text()[:100])
    assert small(out=tmp_path, resume=True).rows == result.rows


@pytest.mark.parametrize(
    "damage",
    [
        lambda cell: {"rows": [], "curves": []},
        lambda cell: cell | {"rows": [without(row, "status") for row in cell["rows"]]},
    ],
    ids=["no rows", "no status"],
)
def test_a_cell_that_is_not_whole_is_computed_again(result, tmp_path, damage):
    small(out=tmp_path)
    file = tmp_path / "cell_00001.json"
    file.write_text(json.dumps(damage(json.loads(file.read_text()))))
    again = small(out=tmp_path, resume=True)
    assert again.rows == result.rows
    assert again.curves == result.curves
    assert again.loaded == len(result.rows) - 2


CELL = Cell(3, "sam", 20, 0.9, 0.1, 6, (0.05, 0.2), (0, 1))


def stored():
    rows = [
        Row("sam", rho, 0.9, 20, 0.1, seed, None, None, None, None, "diverged")._asdict()
        for rho, seed in CELL.lanes
    ]
    return {"rows": rows, "curves": [[0.5, None]] * 4}


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def first_row(**fields):
    cell = stored()
    cell["rows"][0] |= fields
    return cell


OTHER = {
    "no curves": {"rows": stored()["rows"]},
    "a row fewer": stored() | {"rows": stored()["rows"][:3]},
    "a row more": stored() | {"rows": stored()["rows"] * 2},
    "rows in another order": stored() | {"rows": stored()["rows"][::-1]},
    "a row that is none": stored() | {"rows": [*stored()["rows"][:3], 4]},
    "rows that are none": stored() | {"rows": "four"},
    "a curve fewer": stored() | {"curves": [[0.5, None]] * 3},
    "a curve that is none": stored() | {"curves": [0.5] * 4},
    "a field fewer": stored() | {"rows": [without(row, "lr") for row in stored()["rows"]]},
    "a field more": first_row(more=1),
    "another method": first_row(method="gd"),
    "another radius": first_row(rho=0.1),
    "another momentum": first_row(momentum=0.0),
    "another batch size": first_row(batch_size=10),
    "another rate": first_row(lr=0.2),
    "another seed": first_row(seed=2),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_stored_cell_counts_only_if_it_is_that_of_every_lane(case, tmp_path):
    store = CellStore(tmp_path, {}, False)
    assert store.read(CELL) is None
    store.write(CELL.index, stored())
    assert store.read(CELL) == stored()
    store.write(CELL.index, OTHER[case])
    assert store.read(CELL) is None


def test_a_stored_cell_that_is_no_mapping_does_not_count(tmp_path):
    store = CellStore(tmp_path, {}, False)
    (tmp_path / "cell_00003.json").write_text(json.dumps([stored()]))
    assert store.read(CELL) is None


def test_a_folder_of_other_options_is_refused(tmp_path):
    small(out=tmp_path, epochs=1)
    with pytest.raises(samdyn.InvalidInput, match="made with epochs 1, not 2"):
        small(out=tmp_path, resume=True)
    with pytest.raises(samdyn.InvalidInput, match="--resume"):
        small(out=tmp_path, epochs=1)
    other = DATA._replace(test_x=DATA.test_x + 1)
    with pytest.raises(samdyn.InvalidInput, match="data_sha256"):
        verbs.study(other, **{**GRID, "epochs": 1}, out=tmp_path, resume=True)


def test_a_folder_of_another_network_or_method_of_the_same_name_is_refused(tmp_path, monkeypatch):
    small(out=tmp_path, epochs=1, methods="sam", rho=0.05, seeds=1)
    again = {"out": tmp_path, "epochs": 1, "methods": "sam", "rho": 0.05, "seeds": 1}
    with monkeypatch.context() as patch:
        ascend = samdyn.SAM.perturb
        patch.setattr(samdyn.SAM, "perturb", lambda *a: jax.tree.map(_double, ascend(*a)))
        with pytest.raises(samdyn.InvalidInput, match="another problem: its step of sam differs"):
            small(**again, resume=True)
    with monkeypatch.context() as patch:
        made = study_module.make_model
        patch.setattr(study_module, "make_model", lambda *a: jax.tree.map(_double, made(*a)))
        with pytest.raises(samdyn.InvalidInput, match="another problem: its network differs"):
            small(**again, resume=True)
    assert small(**again, resume=True).loaded == 2


def _double(leaf):
    return 2.0 * leaf if eqx.is_inexact_array(leaf) else leaf


def test_a_study_that_does_not_tell_its_problem_is_refused(tmp_path):
    small(out=tmp_path, epochs=1, methods="gd", seeds=1)
    file = tmp_path / "study.json"
    told = json.loads(file.read_text())
    del told["config"]["problem"]
    file.write_text(json.dumps(told))
    with pytest.raises(samdyn.InvalidInput, match="do not tell which problem they are of"):
        small(out=tmp_path, epochs=1, methods="gd", seeds=1, resume=True)


def test_data_of_another_shape_or_type_are_other_data(tmp_path):
    small(out=tmp_path, epochs=1, methods="gd", seeds=1)
    other = DATA._replace(test_y=DATA.test_y.astype(np.int64))
    options = {**GRID, "epochs": 1, "methods": "gd", "seeds": 1}
    with pytest.raises(samdyn.InvalidInput, match="data_sha256"):
        verbs.study(other, **options, out=tmp_path, resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(samdyn.InvalidInput, match="other files"):
        small(out=tmp_path)
    assert os.listdir(tmp_path) == ["letter.txt"]


COMMAND = [
    *(sys.executable, "-m", "samdyn.cli.main", "study", "teacher-student", "--model", "mlp"),
    *("--rho", "0.1", "--momentum", "0,0.5,0.9", "--batch-size", "64", "--epochs", "30"),
    *("--seeds", "2", "--json"),
]


@pytest.mark.thorough
def test_a_killed_and_resumed_study_has_identical_rows(tmp_path):
    started = subprocess.Popen([*COMMAND, "--out", tmp_path / "a"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "a" / "cell_00001.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    finished = len(list((tmp_path / "a").glob("cell_*.json")))
    assert 2 <= finished < 6
    answers = []
    for folder, more in (("a", ["--resume"]), ("b", [])):
        told = subprocess.run(
            [*COMMAND, "--out", tmp_path / folder, *more], check=True, capture_output=True
        )
        answers.append(json.loads(told.stdout)["result"])
    assert answers[0]["rows"] == answers[1]["rows"]
    assert answers[0]["interaction"] == answers[1]["interaction"]


WRONG = {
    "a batch larger than the data": ({"batch_size": 61}, "60 training examples, not 61"),
    "no batch": ({"batch_size": 0}, "batch size must be a whole number"),
    "half an example": ({"batch_size": 1.5}, "batch size must be a whole number"),
    "momentum of one": ({"momentum": 1}, r"momentum must lie in \[0, 1\), not 1"),
    "negative momentum": ({"momentum": -0.5}, r"momentum must lie in \[0, 1\)"),
    "no epochs": ({"epochs": 0}, "number of epochs must be a whole number ≥ 1, not 0"),
    "no steps": ({"epochs": None, "steps": 0}, "number of steps"),
    "two budgets": ({"steps": 5}, "one of them"),
    "no seeds": ({"seeds": 0}, "number of seeds"),
    "an empty list of seeds": ({"seeds": []}, "one seed or more"),
    "a negative seed": ({"seeds": [-1]}, "seed must be a whole number ≥ 0"),
    "a negative radius": ({"rho": (0.1, -1)}, "rho must be a finite number ≥ 0, not -1"),
    "no number": ({"rho": math.nan}, "rho must be a finite number"),
    "a radius in quotes": ({"rho": "0.1"}, "rho must be a finite number ≥ 0, not '0.1'"),
    "a radius beyond floats": ({"rho": 10**400}, "rho must be a finite number ≥ 0, not 1"),
    "a momentum of nothing": ({"momentum": None}, r"momentum must lie in \[0, 1\), not None"),
    "a word for the rate": ({"learning_rate": "a"}, "learning rate must be .* > 0, not 'a'"),
    "a number for a method": ({"methods": 5}, "a method is a name such as 'sam', not 5"),
    "a word for the batch": ({"batch_size": "a"}, "batch size must be a whole .* not 'a'"),
    "a word for the steps": ({"epochs": None, "steps": "a"}, "number of steps must .* not 'a'"),
    "a seed beyond the keys": ({"seeds": [2**63]}, "≥ 0 and below 2.63, not 9223372036854775808"),
    "seeds in quotes": ({"seeds": "3"}, "a seed must be a whole number .*, not '3'"),
    "no learning rate": ({"learning_rate": 0}, "learning rate"),
    "unknown rule": ({"lr_rule": "linear"}, "'fixed' or 'effective'"),
    "unknown method": ({"methods": "adam"}, "Accepted: gd"),
    "unknown model": ({"model": "vit"}, "Accepted: mlp"),
    "unknown norm": ({"norm": "batch"}, "'group'"),
    "images for a residual net": ({"model": "small-resnet"}, "height×width×channels"),
    "no lanes": ({"lanes": 0}, "number of lanes"),
    "resume without a folder": ({"resume": True}, "give out"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_told_in_one_line(case):
    options, expected = WRONG[case]
    with pytest.raises(samdyn.InvalidInput, match=expected) as told:
        small(**options)
    assert "\n" not in str(told.value)
