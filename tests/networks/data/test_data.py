"""Data is split by its seed, normalised with the training part only, and read without trust."""

import builtins
import math
import pickle
import struct

import numpy as np
import pytest

import samdyn
from samdyn.networks.data.data import dataset
from samdyn.networks.data.dataset import normalised


def test_the_digits_are_split_and_normalised_by_the_training_part():
    data = samdyn.digits(seed=3)
    assert data.train_x.shape == (1437, 8, 8, 1)
    assert data.test_x.shape == (360, 8, 8, 1)
    assert data.train_x.dtype == np.float32
    assert set(data.train_y) == set(range(10))
    assert np.mean(data.train_x, dtype=float) == pytest.approx(0, abs=1e-6)
    assert np.std(data.train_x, dtype=float) == pytest.approx(1, abs=1e-6)
    assert abs(np.mean(data.test_x, dtype=float)) > 1e-5
    assert "1437 training" in str(data)


def test_a_seed_determines_the_split():
    one, same, other = (samdyn.digits(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.test_x, same.test_x)
    assert not np.array_equal(one.test_y, other.test_y)


def test_the_long_tail_decays_geometrically_and_leaves_the_test_part_alone():
    data, whole = samdyn.long_tailed_digits(imbalance=20), samdyn.digits()
    counts = np.bincount(data.train_y)
    np.testing.assert_array_equal(data.test_y, whole.test_y)
    expected = counts[0] * 20.0 ** (-np.arange(10) / 9)
    assert np.all(np.abs(counts - expected) <= 0.5 + 1e-9)
    assert data.plateau < math.log(10)
    assert samdyn.teacher_student().plateau <= math.log(4)


def test_the_plateau_of_balanced_labels_is_the_logarithm_of_their_number():
    x, y = np.arange(12.0)[:, None], np.arange(12) % 3
    assert normalised((x, y), (x, y), 3, "three").plateau == pytest.approx(math.log(3))


def test_a_constant_channel_is_only_centred():
    x = np.stack([np.arange(4.0), np.full(4, 0.1)], axis=1)
    data = normalised((x, np.arange(4)), (x + 1, np.arange(4)), 4, "four")
    np.testing.assert_allclose(data.train_x[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(data.test_x[:, 1], 1, atol=1e-6)


def test_a_teacher_is_seeded_and_uses_every_class():
    one, same, other = (samdyn.teacher_student(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.train_x, same.train_x)
    assert not np.array_equal(one.train_x, other.train_x)
    assert min(np.bincount(one.train_y, minlength=4)) > 50


def write_cifar(file, count, labels, generator):
    rows = generator.integers(256, size=(count, 3072), dtype=np.uint8)
    content = {b"data": rows, labels: [int(k) for k in np.arange(count) % 10]}
    file.write_bytes(pickle.dumps(content, protocol=2))
    return rows


def test_cifar10_is_read_from_its_six_files(tmp_path):
    generator = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for k in range(1, 6):
        first = write_cifar(folder / f"data_batch_{k}", 4, b"labels", generator)
    write_cifar(folder / "test_batch", 3, b"labels", generator)
    data = dataset(f"cifar10:{tmp_path}")
    assert data.train_x.shape == (20, 32, 32, 3)
    assert data.test_x.shape == (3, 32, 32, 3)
    np.testing.assert_allclose(np.mean(data.train_x, (0, 1, 2), dtype=float), 0, atol=1e-6)
    reds = first[3].reshape(3, 32, 32)[0].astype(float)  # pixel (row, column) of channel 0
    scaled = data.train_x[19, :, :, 0]
    assert np.corrcoef(reds.ravel(), scaled.ravel())[0, 1] == pytest.approx(1, abs=1e-6)
    assert samdyn.cifar10(folder).train_x.shape == data.train_x.shape


def test_cifar100_is_read_with_its_fine_labels(tmp_path):
    for name, count in (("train", 7), ("test", 2)):
        write_cifar(tmp_path / name, count, b"fine_labels", np.random.default_rng(0))
    data = samdyn.cifar100(tmp_path)
    assert data.classes == 100
    assert len(data.train_y) == 7


def as_python_2_wrote_it(rows, labels):
    """A pickle of protocol 2 whose bytes are a byte string, as in the published files."""

    def word(raw):
        return b"U" + struct.pack("<B", len(raw)) + raw

    dtype = b"cnumpy\ndtype\n" + word(b"u1") + b"K\x00K\x01\x87R(K\x03" + word(b"|")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + word(b"b")
    array += b"\x87R(K\x01K" + bytes([len(rows)]) + b"M\x00\x0c\x86" + dtype + b"\x89"
    array += b"T" + struct.pack("<I", rows.size) + rows.tobytes() + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + word(b"data") + array + word(b"fine_labels") + listed + b"u."


def test_a_pickle_of_python_2_is_read(tmp_path):
    rows = np.random.default_rng(1).integers(256, size=(2, 3072), dtype=np.uint8)
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(as_python_2_wrote_it(rows, [3, 99]))
    assert list(samdyn.cifar100(tmp_path).train_y) == [3, 99]


@pytest.mark.parametrize("numpy_module", [b"numpy.core.numeric", b"numpy._core.numeric"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_pickled_anew_by_a_later_python_is_read(order, numpy_module, tmp_path):
    rows = np.random.default_rng(1).integers(256, size=(5, 3072), dtype=np.uint8)
    content = {b"data": np.asarray(rows, order=order), b"fine_labels": [0, 99, 1, 2, 3]}
    raw = pickle.dumps(content, protocol=5)
    [written] = {name for name in (b"numpy.core.numeric", b"numpy._core.numeric") if name in raw}
    short = lambda name: bytes([len(name)]) + name  # noqa: E731
    frame = raw[:11]  # the length of the frame follows from that of the name
    length = int.from_bytes(frame[3:], "little") + len(numpy_module) - len(written)
    raw = frame[:3] + length.to_bytes(8, "little") + raw[11:]
    (tmp_path / "train").write_bytes(raw.replace(short(written), short(numpy_module)))
    write_cifar(tmp_path / "test", 2, b"fine_labels", np.random.default_rng(0))
    data = samdyn.cifar100(tmp_path)
    assert list(data.train_y) == [0, 99, 1, 2, 3]
    images = rows.reshape(5, 3, 32, 32).transpose(0, 2, 3, 1)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    np.testing.assert_allclose(data.train_x, expected, rtol=0, atol=1e-5)


class NotBytes:
    """What a forged file may give the function that makes arrays."""

    def __reduce__(self):
        from numpy._core import numeric

        return numeric._frombuffer, (np.zeros(3072, np.uint8), np.dtype("u1"), (1, 3072), "C")


class Malicious:
    def __reduce__(self):
        return print, ("this must not be printed",)


ROWS = np.zeros((2, 3072), np.uint8)
DAMAGED = {
    "code": (Malicious(), "not a CIFAR file"),
    "an array of an array": ({b"data": NotBytes(), b"fine_labels": [1]}, "not a CIFAR file"),
    "no mapping": ([1, 2], "not a CIFAR file"),
    "no data": ({b"fine_labels": [1, 2]}, "b'data'"),
    "wrong shape": ({b"data": ROWS[:, 1:], b"fine_labels": [1, 2]}, "b'data'"),
    "wrong type": ({b"data": ROWS.astype(float), b"fine_labels": [1, 2]}, "b'data'"),
    "no labels": ({b"data": ROWS}, "fine_labels"),
    "too few labels": ({b"data": ROWS, b"fine_labels": [1]}, "fine_labels"),
    "label out of range": ({b"data": ROWS, b"fine_labels": [1, 100]}, "fine_labels"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_is_not_as_expected_is_named_and_runs_nothing(case, tmp_path, capsys):
    content, expected = DAMAGED[case]
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(samdyn.InvalidInput, match=expected) as told:
        samdyn.cifar100(tmp_path)
    assert str(tmp_path / "train") in str(told.value)
    assert capsys.readouterr().out == ""


def test_a_truncated_file_is_named(tmp_path):
    write_cifar(tmp_path / "train", 2, b"fine_labels", np.random.default_rng(0))
    whole = (tmp_path / "train").read_bytes()
    (tmp_path / "train").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(samdyn.InvalidInput, match="not a CIFAR file"):
        samdyn.cifar100(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist", "Accepted: digits"),
        ("digits:here", "Accepted: digits"),
        ("cifar10", "cifar10:FOLDER"),
        ("cifar10:/nowhere", "data_batch_1"),
        ("cifar100:/nowhere", "/nowhere/train"),
    ],
)
def test_data_that_is_not_there_is_told_in_one_line(name, expected):
    with pytest.raises(samdyn.InvalidInput, match=expected) as told:
        dataset(name)
    assert "\n" not in str(told.value)


def test_wrong_options_of_data_are_told():
    with pytest.raises(samdyn.InvalidInput, match="imbalance"):
        samdyn.long_tailed_digits(imbalance=0.5)
    with pytest.raises(samdyn.InvalidInput, match="imbalance must be a finite number ≥ 1, not 'x'"):
        samdyn.long_tailed_digits("x")
    with pytest.raises(samdyn.InvalidInput, match="share of test examples"):
        samdyn.digits(test_share=1.0)
    with pytest.raises(samdyn.InvalidInput, match="classes ≥ 2, not 1"):
        samdyn.teacher_student(classes=1)


def test_missing_scikit_learn_is_told(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(samdyn.InvalidInput, match=r"samdyn\[data\]"):
        samdyn.digits()
