"""When to stop waiting for paths that may never leave, if nobody said.

The time in which the first few of the first paths leave tells the scale. Where exits come at a
constant rate, all of a billion paths have left by a tenth of the time granted here; a path that
is still inside then has most likely gone where it does not come back from.
"""

from collections.abc import Iterable

import numpy as np

from ..statistics import ESCAPED
from .engine import Finished

FIRST, FEW = 64, 3  # paths looked at, and how many of them must have left
TIMES = 10_000  # how many times longer the others may take
MOST = 2**26  # steps of a path where too few leave
LONGEST = 2**31 - 2**10


class Patience:
    """The most steps of a path, found from the first paths alone, whoever runs them and when.

    `limit` is `most` until it is `known`.
    """

    def __init__(self, paths: int, most: int = MOST):
        self.limit, self.most, self.known = most, most, paths < FEW
        self.steps = np.zeros(min(FIRST, paths), np.int64)
        self.status = np.zeros(min(FIRST, paths), np.int8)

    def heed(self, ended: Finished, running: Iterable[Finished]) -> None:
        """Take account of paths that `ended`, and of all that are `running`."""
        if self.known:
            return
        for part in running:
            self._note(part, np.zeros_like(part.status))
        self._note(ended, ended.status)
        left = np.sort(self.steps[self.status == ESCAPED])
        if len(left) < FEW:
            self.known = bool(np.all(self.status > 0))
            return
        scale = int(left[FEW - 1])
        # whoever has not ended has been inside for longer
        self.known = bool(np.all((self.status > 0) | (self.steps >= scale)))
        if self.known and scale <= self.most // 16:
            self.limit = min(TIMES * max(scale, 1), LONGEST)

    def _note(self, rows: Finished, status: np.ndarray) -> None:
        first = rows.index < len(self.steps)
        first[first] &= self.status[rows.index[first]] == 0
        index = rows.index[first]
        self.steps[index], self.status[index] = rows.steps[first], status[first]


def end_of_patience(time: float, censored: int, count: int, escaped: int) -> str:
    """What is said of a run that ended for want of a `max_time`."""
    return (
        f"{censored} of {count} paths were still inside at {time:.4g} and are censored there, as "
        "no max_time (--max-time) was given: some may never leave, and then the mean is infinite. "
        f"The share of paths that left is {escaped / max(count, 1):.4g}."
    )
