"""What is kept on the disk changes no answer, and spoils none when it is damaged."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import SAM, USAM, Flow, StepMap, get_loss, kept
from samdyn.attractors.proving import branch, proof
from samdyn.attractors.proving.proof import proof_in
from samdyn.cli.main import main
from samdyn.dynamics.systems.map import StepOnState
from samdyn.programs import batch, loops
from samdyn.programs.batch import OnPoints
from samdyn.programs.loops import iterated
from samdyn.programs.machine import columns, compiled

CAMEL = get_loss("three-hump-camel")
BOX = np.array([[-2.0, 2.0], [-2.0, 2.0]])
COMMAND = ["stability", "three-hump-camel", "--method", "sam", "--rho", "0.2", "--json"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMDYN_CACHE_DIR", str(tmp_path))
    proof._remembered.cache_clear()
    yield tmp_path
    kept.turn_off()
    proof._remembered.cache_clear()


def proofs(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted((folder / "proofs").glob("*")) if (folder / "proofs").exists() else []


def found(rho=0.3, box=BOX, loss=CAMEL):
    proof._remembered.cache_clear()
    return proof_in(Flow(loss, SAM(rho)), box)


def same(one, other):
    for a, b in zip(one.points, other.points, strict=True):
        np.testing.assert_array_equal(a.low, b.low)
        np.testing.assert_array_equal(a.high, b.high)
    assert (one.why, one.boxes) == (other.why, other.boxes)
    np.testing.assert_array_equal(one.undecided, other.undecided)


def test_a_proof_from_the_disk_is_the_same_and_is_not_made_again(folder, monkeypatch):
    plain = found()
    assert not proofs(folder)
    kept.turn_on()
    same(found(), plain)
    assert len(proofs(folder)) == 3  # critical points, and two pairs of faces
    monkeypatch.setattr(branch._Branching, "run", lambda self: pytest.fail("searched again"))
    same(found(), plain)


def own(w):
    return w[0] ** 2 - w[1] ** 2


def test_a_program_of_our_own_parts_is_traced_once_for_all_processes(folder, monkeypatch):
    points = np.random.default_rng(0).normal(size=(5, 2))
    fields = [lambda r=r: OnPoints(Flow(CAMEL, USAM(r)).velocity, 2) for r in (0.1, 0.2)]
    batch._traced.cache_clear()
    plain = [field().with_jacobians(points) for field in fields]
    kept.turn_on()
    for _ in "once", "again":
        batch._traced.cache_clear()  # as another process would begin
        for field, known in zip(fields, plain, strict=True):
            for one, other in zip(field().with_jacobians(points), known, strict=True):
                np.testing.assert_array_equal(one, other)
        monkeypatch.setattr(batch, "flatten", lambda *_, **__: pytest.fail("traced again"))
    assert len(proofs(folder)) == 1


def test_a_program_of_somebody_elses_is_traced_each_time(folder):
    kept.turn_on()
    assert OnPoints(own, 2).program is not None
    assert OnPoints(lambda w: jnp.linalg.inv(jnp.outer(w, w))[0, 0], 2).why
    assert not proofs(folder)


def test_runs_are_kept_with_all_that_they_depend_on(folder, monkeypatch):
    kept.turn_on()
    starts, centre = np.ones((3, 2)), np.zeros(2)
    step = lambda rho: StepOnState(StepMap(CAMEL, SAM(rho), 0.01), 2).on_states()  # noqa: E731
    ends = iterated(step(0.1), starts, 50, centre, 5.0)
    count = len(proofs(folder))
    others = [(0.2, starts, 50), (0.1, 2 * starts, 50), (0.1, starts, 51)]
    for rho, begin, times in others:
        assert not np.array_equal(iterated(step(rho), begin, times, centre, 5.0), ends)
    assert np.all(np.isnan(iterated(step(0.1), starts, 50, centre, 0.1)))
    assert len(proofs(folder)) == count + len(others) + 1
    monkeypatch.setattr(loops, "_run", lambda *_: pytest.fail("run again"))
    monkeypatch.setattr(loops.Iteration, "__call__", lambda *_: pytest.fail("run again"))
    np.testing.assert_array_equal(iterated(step(0.1), starts, 50, centre, 5.0), ends)


@pytest.mark.skipif(bool(compiled.why_not()), reason="no machine code can be made")
def test_machine_code_is_kept_and_of_a_damaged_file_none_runs(folder):
    kept.turn_on()
    program = OnPoints(own, 2).program
    x = np.random.default_rng(0).normal(size=(2, 9))
    plain = columns.Columns(program, 2)(x)[0]
    (file,) = proofs(folder)
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-100] + bytes(100)):
        file.write_bytes(damaged)
        compiled.compiled.cache_clear()  # as another process would begin
        np.testing.assert_array_equal(columns.Columns(program, 2)(x)[0], plain)
        assert file.read_bytes() != damaged
    compiled.compiled.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_object", lambda text: pytest.fail("compiled again"))
        np.testing.assert_array_equal(columns.Columns(program, 2)(x)[0], plain)
    with pytest.MonkeyPatch.context() as patch:  # another processor's is compiled anew
        patch.setattr(compiled, "_target", lambda: ["another", "processor", "LLVM 0"])
        compiled.compiled.cache_clear()
        columns.Columns(program, 2)(x)
    assert len(proofs(folder)) == 2
    compiled.compiled.cache_clear()


def test_another_radius_box_or_loss_is_another_proof(folder):
    kept.turn_on()
    found()
    count = len(proofs(folder))
    found(0.31)
    assert len(proofs(folder)) == count + 2  # the critical points are known
    found(box=BOX * 1.01)
    more = len(proofs(folder))
    assert more > count + 2
    found(loss=lambda w: CAMEL(w) + 1e-9 * w[0])
    assert len(proofs(folder)) == more + 3


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", b"\x00" * 4000])
def test_a_damaged_file_is_made_anew(folder, damage):
    plain = found()
    kept.turn_on()
    found()
    for file in proofs(folder):
        file.write_bytes(damage)
    same(found(), plain)
    assert all(file.read_bytes() != damage for file in proofs(folder))


def test_a_file_with_one_byte_flipped_is_never_taken(folder):
    made = {"a": np.arange(6.0), "b": np.array("why")}
    kept.turn_on()
    kept.arrays(["x"], lambda: made)
    (file,) = proofs(folder)
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        found = kept.arrays(["x"], lambda: made)
        np.testing.assert_array_equal(found["a"], made["a"])
        assert found["b"] == "why"


def test_parts_of_a_key_do_not_run_together(folder):
    kept.turn_on()
    kept.arrays([b"a\0b"], lambda: {"x": np.zeros(1)})
    assert kept.arrays([b"a", b"b"], lambda: {"x": np.ones(1)})["x"][0] == 1


def test_a_folder_that_cannot_be_written_is_let_be(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("SAMDYN_CACHE_DIR", str(blocked))
    kept.turn_on()
    try:
        assert found().points
    finally:
        kept.turn_off()


def test_the_command_keeps_proofs_unless_told_not_to(folder, capsys):
    def told(*options):
        proof._remembered.cache_clear()
        assert main([*COMMAND, *options]) == 0
        return json.loads(capsys.readouterr().out)

    plain = told("--no-cache")
    assert not proofs(folder)
    assert told() == plain
    assert proofs(folder)
    assert told() == plain
    assert kept._folder is None  # for whoever goes on in this process


def test_the_oldest_files_go(folder, monkeypatch):
    import os

    for age in range(4):
        (folder / f"{age}").write_bytes(b"x" * 100)
        os.utime(folder / f"{age}", (1000 + age, 1000 + age))
    monkeypatch.setattr(kept, "MOST", 250)
    kept.turn_on()
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == ["2", "3"]


@pytest.mark.parametrize(
    ("platform", "names", "end"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/samdyn"),
        ("linux", {"HOME": "/h"}, "/h/.cache/samdyn"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Caches/samdyn"),
        ("linux", {"SAMDYN_CACHE_DIR": "/mine"}, "/mine"),
    ],
)
def test_the_folder_is_the_users_own(platform, names, end, monkeypatch):
    for name in ("SAMDYN_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kept.sys, "platform", platform)
    assert str(kept.user_folder()) == end
