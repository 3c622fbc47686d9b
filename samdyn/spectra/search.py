"""One Krylov loop for symmetric and other operators: fill the basis, look, restart.

Restarting keeps the wanted part of the projection and the newest vector, a Krylov–Schur
decomposition (Stewart 2001; for symmetric maps it is thick-restart Lanczos, Wu & Simon 2000).
A `Target` says which part is wanted and when it is good enough.
"""

import abc
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import InvalidInput
from .krylov import Basis
from .operator import Operator


class Look(NamedTuple):
    """What the basis knows after `products` products: `values` of the target, `residuals`."""

    products: int
    limit: int
    values: np.ndarray
    residuals: np.ndarray
    seconds: float


Progress = Callable[[Look], None]


class Pairs(NamedTuple):
    """Ritz pairs in the basis: values (k,), weights (j, k), residuals (k,), and `errors` (k,),
    how far the values may be from an eigenvalue as far as the basis can tell.
    """

    values: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    errors: np.ndarray


class Target(abc.ABC):
    """Which eigenpairs are wanted. `matrix` (j, j) is the projection, `last` (j,) its coupling."""

    @abc.abstractmethod
    def pairs(self, matrix: np.ndarray, last: np.ndarray) -> Pairs:
        """The wanted Ritz pairs."""

    @abc.abstractmethod
    def rotation(self, matrix: np.ndarray, kept: int) -> np.ndarray:
        """(j, about `kept`) orthonormal columns that span what a restart keeps."""

    @abc.abstractmethod
    def enough(self, pairs: Pairs, error: float) -> bool:
        """Whether this is the answer; `error` is that of the arithmetic."""


class Found(NamedTuple):
    """Where the search stopped: Ritz pairs in the basis, and whether it was the target's answer."""

    pairs: Pairs
    basis: Basis
    converged: bool
    interrupted: bool


def krylov_size(operator: Operator, krylov: int | None, default: int = 32) -> int:
    """The size of the basis; `InvalidInput` where it cannot be that."""
    if krylov is None:
        return min(default, operator.dim)
    if krylov > operator.dim:
        raise InvalidInput(f"krylov must be at most the dimension {operator.dim}, it is {krylov}.")
    if krylov < min(4, operator.dim):
        raise InvalidInput(f"krylov must be at least 4, it is {krylov}.")
    return krylov


def search(
    operator: Operator,
    target: Target,
    krylov: int,
    limit: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> Found:
    """Products until the target has enough, `limit` are spent, or Ctrl-C: what is then known."""
    basis = Basis(krylov, operator.dim, operator.dtype, seed)
    began, converged, interrupted = time.perf_counter(), False, False
    try:
        for spent in range(1, limit + 1):
            basis.extend(operator(basis[basis.count]))
            pairs = target.pairs(*_projection(basis))
            if progress:
                passed = time.perf_counter() - began
                progress(Look(spent, limit, pairs.values, pairs.residuals, passed))
            scale = float(np.max(np.abs(basis.projection)))
            complete = basis.count == operator.dim
            if complete or target.enough(pairs, operator.error(scale)):
                converged = True
                break
            if basis.count == krylov and spent < limit:
                _restart(basis, target)
    except KeyboardInterrupt:
        interrupted = True
        if basis.count == 0:
            raise
    return Found(target.pairs(*_projection(basis)), basis, converged, interrupted)


def _projection(basis: Basis) -> tuple[np.ndarray, np.ndarray]:
    j = basis.count
    return basis.projection[:j, :j], basis.projection[j, :j]


def _restart(basis: Basis, target: Target) -> None:
    matrix, last = _projection(basis)
    rotation = target.rotation(matrix, basis.size // 2)
    kept = rotation.shape[1]
    within, coupling = rotation.T @ matrix @ rotation, last @ rotation
    basis.projection[:] = 0.0
    basis.projection[:kept, :kept] = within
    basis.projection[kept, :kept] = coupling
    basis.rotate(rotation)
