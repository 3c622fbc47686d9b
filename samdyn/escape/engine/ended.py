"""Paths that ended, and what lanes must say of themselves whoever advances them."""

import abc
from typing import Any, NamedTuple

import numpy as np

from ..statistics import CENSORED as IS_CENSORED
from ..statistics import ESCAPED as IS_ESCAPED
from ..statistics import FAILED as IS_FAILED
from .stepping.bridge import CENSORED


class Finished(NamedTuple):
    """Paths that ended, a row each: exit or end at `time`, after `steps` steps, at `point`."""

    index: np.ndarray
    time: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    point: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """As the store names them."""
        return {
            "index": self.index,
            "time": self.time,
            "status": self.status,
            "steps": self.steps,
            "exit_point": self.point,
        }


class Advance(NamedTuple):
    """What a call did: paths of the queue begun, paths ended, those on their way as if they were
    censored now, how much of the effort was made, and how many steps of lanes that was."""

    taken: int
    ended: Finished
    running: Finished
    effort: int
    lane_steps: int


class AbstractLanes(abc.ABC):
    """A worker's lanes, `count` of them, with the paths that they are on."""

    count: int

    @abc.abstractmethod
    def advance(self, queue: np.ndarray, effort: int, limit: int, more: bool) -> Advance:
        """Run, and refill from `queue` (path indices, uint32), until `effort` is made or nothing is
        left to do; with `more` to come, also as soon as lanes stand still for want of paths.
        No path makes more than `limit` steps."""


class AbstractBackEnd(abc.ABC):
    """What compiles a stepper's lanes. `name` stands in results, as paths of two back ends agree
    to rounding only; `most_queued` is the length that a queue may have."""

    name: str
    most_queued: int
    halt: np.ndarray  # (1,) int32: not 0, and calls return soon

    @abc.abstractmethod
    def lanes(self, worker: int) -> AbstractLanes:
        """New lanes for a worker."""


def read(index, y, steps, life, dim: int, dt: float) -> Finished:
    """Rows of ended lanes: states y (size, n), steps and settled life (n,)."""
    status = np.where(life == life.dtype.type(CENSORED), IS_CENSORED, IS_FAILED)
    status = np.where(life > 0, IS_ESCAPED, status).astype(np.int8)
    return _rows(index, y, steps, np.where(life > 0, life, 1.0), status, dim, dt)


def on_their_way(index, y, steps, dim: int, dt: float) -> Finished:
    """Rows of lanes that are running, as if they were censored now."""
    return _rows(index, y, steps, 1.0, np.full(len(index), IS_CENSORED, np.int8), dim, dt)


def _rows(index, y, steps, fraction: Any, status, dim: int, dt: float) -> Finished:
    passed = (steps.astype(np.float64) - 1 + fraction) * dt
    point = np.asarray(y)[:dim].T.astype(np.float64)
    return Finished(index.astype(np.int64), passed, status, steps.astype(np.int64), point)
