"""Does momentum matter more to SAM than to SGD? One contrast of test accuracies, and its interval.

For every seed, radius and batch size

    (SAM, largest momentum − SAM, smallest) − (SGD, largest momentum − SGD, smallest),

averaged over radii and batch sizes; the mean over seeds is the estimate. Runs of one seed share
their first parameters and their order of examples, so the differences are paired.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from ...results.encoding import storable

DRAWS = 10_000


@storable
class Row(NamedTuple):
    """One training run. Losses and accuracies are None where it diverged."""

    method: str
    rho: float
    momentum: float
    batch_size: int
    lr: float
    seed: int
    train_loss: float | None
    train_accuracy: float | None
    test_accuracy: float | None
    plateau_steps: int | None
    status: str


class Interaction(NamedTuple):
    """The contrast in test accuracy; `estimate`, or an interval, is None for the reason `why`.

    `ci95` holds the 2.5 and 97.5 % quantiles over resampled seeds. With few seeds it is too
    narrow: with three it covers the truth in about 75 % of studies. `t95` is Student's interval,
    estimate ± t·s/√K for K seeds, right at any K where the seeds' contrasts are normal. `used`
    of `possible` pairs (radius, batch size) enter: those where all four runs of every seed stayed
    finite.
    """

    estimate: float | None
    ci95: tuple[float, float] | None
    t95: tuple[float, float] | None
    why: str | None
    method: str | None = None
    momenta: tuple[float, float] | None = None
    seeds: int = 0
    used: int = 0
    possible: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        lists = {key: list(v) if isinstance(v, tuple) else v for key, v in self._asdict().items()}
        return lists


def interaction(rows: Sequence[Row]) -> Interaction:
    """The contrast of `rows`, for SAM or, where it was not run, the first method beside gd."""
    methods = list(dict.fromkeys(row.method for row in rows))
    others = [method for method in methods if method != "gd"]
    momenta = sorted({row.momentum for row in rows})
    if "gd" not in methods or not others:
        return Interaction(None, None, None, "it compares gd with sam: run both")
    if len(momenta) < 2:
        return Interaction(None, None, None, "it compares two momenta: run more than one")
    method, ends = "sam" if "sam" in others else others[0], (momenta[0], momenta[-1])
    contrasts, possible = _contrasts(rows, method, ends)
    seeds = contrasts.shape[1]
    about = (method, ends, seeds, len(contrasts), possible)
    if not contrasts.size:
        why = "no radius and batch size has all its runs, unfinished or diverged ones left out"
        return Interaction(None, None, None, why, *about)
    each = np.mean(contrasts, axis=0)
    estimate = float(np.mean(each))
    if seeds < 2:
        return Interaction(estimate, None, None, "an interval needs two seeds or more", *about)
    drawn = np.random.default_rng(0).integers(seeds, size=(DRAWS, seeds))
    low, high = np.quantile(np.mean(each[drawn], axis=1), [0.025, 0.975])
    half = float(scipy.special.stdtrit(seeds - 1, 0.975) * np.std(each, ddof=1) / seeds**0.5)
    student = estimate - half, estimate + half
    return Interaction(estimate, (float(low), float(high)), student, None, *about)


def _contrasts(
    rows: Sequence[Row], method: str, ends: tuple[float, float]
) -> tuple[np.ndarray, int]:
    """(pairs, seeds) of contrasts where all are known, and how many pairs there could be."""
    key = lambda row: (row.method, row.rho, row.momentum, row.batch_size, row.seed)  # noqa: E731
    found = {key(row): row.test_accuracy for row in rows if row.test_accuracy is not None}
    seeds = list(dict.fromkeys(row.seed for row in rows))
    pairs = list(dict.fromkeys((r.rho, r.batch_size) for r in rows if r.method == method))
    low, high = ends

    def contrast(rho: float, batch: int, seed: int) -> float:
        sam, gd = (method, rho), ("gd", 0.0)
        terms = [(*sam, high), (*sam, low), (*gd, high), (*gd, low)]
        a, b, c, d = (found.get((*term, batch, seed), np.nan) for term in terms)
        return (a - b) - (c - d)

    values = np.array([[contrast(*pair, seed) for seed in seeds] for pair in pairs])
    values = values.reshape(len(pairs), len(seeds))
    return values[np.all(np.isfinite(values), axis=1)], len(pairs)
