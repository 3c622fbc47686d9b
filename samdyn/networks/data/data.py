"""The data sets that can be had without a download: digits, a long tail of them, a teacher's.

`dataset` finds any of them, and those of `cifar.py`, by the name the command line uses.
"""

from typing import Any

import numpy as np

from ...errors import InvalidInput
from ..studying.grid import number
from .cifar import cifar10, cifar100
from .dataset import Dataset, normalised, split

CLASSES = 10


def digits(seed: int = 0, test_share: float = 0.2) -> Dataset:
    """1,797 handwritten digits of 8×8×1, of which `test_share`, chosen by `seed`, are for testing.

    Source: scikit-learn's `load_digits` (UCI Optical Recognition of Handwritten Digits).
    `InvalidInput` without scikit-learn.
    """
    train, test = split(*_load_digits(), test_share, seed)
    return normalised(train, test, CLASSES, "digits")


def long_tailed_digits(imbalance: Any = 10, seed: int = 0, test_share: float = 0.2) -> Dataset:
    """Digits whose training classes shrink geometrically: class c keeps m·imbalance^(−c/9).

    m is the size of the smallest class in the training part, so class 0 has `imbalance` ≥ 1 times
    as many examples as class 9, up to rounding. The test part is that of `digits`.
    Source: Cui, Jia, Lin, Song & Belongie, arXiv 1901.05555.
    """
    told = "the imbalance must be a finite number ≥ 1"
    imbalance = number(imbalance, lambda value: value >= 1, told)
    (x, y), test = split(*_load_digits(), test_share, seed)
    largest = np.min(np.bincount(y, minlength=CLASSES))
    counts = largest * imbalance ** (-np.arange(CLASSES) / (CLASSES - 1))
    kept = [np.flatnonzero(y == c)[: max(1, round(counts[c]))] for c in range(CLASSES)]
    chosen = np.sort(np.concatenate(kept))
    return normalised((x[chosen], y[chosen]), test, CLASSES, "digits-long-tailed")


def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8, 1) and labels (1797,)."""
    try:
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InvalidInput("the digits come with scikit-learn: install samdyn[data].") from error
    found: Any = load_digits()
    return found.images[..., None].astype(np.float32), found.target


def teacher_student(
    seed: int = 0,
    examples: int = 2048,
    test_examples: int = 2048,
    dim: int = 20,
    classes: int = 4,
    width: int = 16,
) -> Dataset:
    """Gaussian inputs (dim,), labelled by the largest output of a random tanh network.

    The teacher has one hidden layer of `width` and no biases; `seed` draws it and the inputs.
    """
    sizes = {"examples": examples, "test_examples": test_examples, "dim": dim, "width": width}
    for name, value in {**sizes, "classes": classes - 1}.items():
        if value < 1:
            least = 2 if name == "classes" else 1
            raise InvalidInput(f"a teacher needs {name} ≥ {least}, not {value + least - 1}.")
    generator = np.random.default_rng(seed)
    inner = generator.normal(size=(dim, width)) * np.sqrt(2 / dim)
    outer = generator.normal(size=(width, classes))
    x = generator.normal(size=(examples + test_examples, dim))
    y = np.argmax(np.tanh(x @ inner) @ outer, axis=1)
    train, test = (x[:examples], y[:examples]), (x[examples:], y[examples:])
    return normalised(train, test, classes, "teacher-student")


_BY_NAME = {
    "digits": digits,
    "digits-long-tailed": long_tailed_digits,
    "teacher-student": teacher_student,
}
_IN_FOLDER = {"cifar10": cifar10, "cifar100": cifar100}
DATASETS = (*_BY_NAME, *(f"{name}:FOLDER" for name in _IN_FOLDER))


def dataset(name: str) -> Dataset:
    """The data called `name`: one of `DATASETS`, with the folder of its files after a colon."""
    first, colon, folder = name.partition(":")
    if first in _IN_FOLDER:
        if not folder:
            raise InvalidInput(f"{first} needs the folder of its files: {first}:FOLDER.")
        return _IN_FOLDER[first](folder)
    if first not in _BY_NAME or colon:
        raise InvalidInput(f"there is no data {name!r}. Accepted: {', '.join(DATASETS)}.")
    return _BY_NAME[first]()
