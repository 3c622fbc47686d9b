"""Examples with labels, split into a training and a test part and normalised once.

Mean and deviation come from the training part only, one pair for every channel (the last axis).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ...errors import InvalidInput


class Dataset(NamedTuple):
    """Inputs (n, …) in float32, channels last, and labels (n,) from 0 to `classes` − 1."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: int
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.train_x.shape[1:]

    @property
    def plateau(self) -> float:
        """The training loss of the best constant prediction: the entropy of the labels.

        ln(classes) when every class is as frequent.
        """
        counts = np.bincount(self.train_y, minlength=self.classes)
        share = counts[counts > 0] / np.sum(counts)
        return float(-np.sum(share * np.log(share)))

    def __str__(self) -> str:
        size = "×".join(str(side) for side in self.shape)
        return (
            f"{self.name}: {len(self.train_y)} training and {len(self.test_y)} test examples "
            f"of {size}, {self.classes} classes"
        )


def normalised(train: tuple[Any, Any], test: tuple[Any, Any], classes: int, name: str) -> Dataset:
    """A Dataset from (inputs, labels) of both parts, normalised with the first part's statistics.

    A channel that is constant in the training part is only centred.
    """
    (train_x, train_y), (test_x, test_y) = train, test
    parts = [np.asarray(x, np.float32) for x in (train_x, test_x)]
    axes = tuple(range(parts[0].ndim - 1))
    mean = np.mean(parts[0], axes, dtype=np.float64)
    centred = [x - mean.astype(np.float32) for x in parts]
    deviation = np.sqrt(np.mean(np.square(centred[0]), axes, dtype=np.float64))
    varies = deviation > 1e-6 * np.abs(mean)  # else only rounding is left
    scale = np.where(varies, deviation, 1.0).astype(np.float32)
    scaled = [x / scale for x in centred]
    labels = [np.asarray(y).astype(np.int32) for y in (train_y, test_y)]
    return Dataset(scaled[0], labels[0], scaled[1], labels[1], classes, name)


def split(
    x: Float[np.ndarray, "n ..."], y: Int[np.ndarray, " n"], test_share: float, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """((train x, y), (test x, y)), shuffled by `seed`; ⌈n·test_share⌉ are for testing."""
    if not 0 < test_share < 1:
        raise InvalidInput(f"the share of test examples must lie in (0, 1), not {test_share:g}.")
    order = np.random.default_rng(seed).permutation(len(y))
    test, train = np.split(order, [int(np.ceil(len(y) * test_share))])
    return (x[train], y[train]), (x[test], y[test])
