"""One Krylov loop for symmetric and other operators: fill the basis, look, restart.

Restarting keeps the wanted part of the projection and the newest vector, a Krylov–Schur
decomposition (Stewart 2001; for symmetric maps it is thick-restart Lanczos, Wu & Simon 2000).
A `Target` says which part is wanted and when it is good enough.
"""

import abc
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import InvalidInput
from ..interrupts import heed, heeded
from .krylov import Basis
from .products.operator import Operator, require_operator

SMALL = 32  # a space that is exhausted, where the basis holds it
STEADY = 4  # products over which a value must hold still
CONSTANT, MISSED = 1.648, 0.005  # of Kuczyński & Woźniakowski 1992, and of their bound at each end


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
    how far the values may be from an eigenvalue as far as the basis can tell. `conditions` (k,)
    are what a residual, or an error of the arithmetic, is multiplied by in the eigenvalue.
    """

    values: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    errors: np.ndarray
    conditions: np.ndarray


class Target(abc.ABC):
    """Which eigenpairs are wanted. `matrix` (j, j) is the projection, `last` (j,) its coupling."""

    @abc.abstractmethod
    def pairs(self, matrix: np.ndarray, last: np.ndarray) -> Pairs:
        """The wanted Ritz pairs."""

    @abc.abstractmethod
    def rotation(self, matrix: np.ndarray, kept: int) -> np.ndarray:
        """(j, about `kept`) orthonormal columns that span what a restart keeps."""

    @abc.abstractmethod
    def enough(self, pairs: Pairs, before: np.ndarray, error: float) -> bool:
        """Whether this is the answer. `before` holds the values of STEADY products ago, `error`
        is that of the arithmetic."""


class Found(NamedTuple):
    """Where the search stopped: Ritz pairs in the basis, and whether it was the target's answer.

    `first` is the number of products before the first restart.
    """

    pairs: Pairs
    basis: Basis
    first: int
    converged: bool
    interrupted: bool


def least_products(dim: int) -> int:
    """Products before a residual is believed.

    A random start has only 1/√dim of an outlying direction, so that a small residual comes at
    once where a cluster dominates. After these many the ends of a symmetric spectrum are known
    to a quarter of its width with 99 % confidence (see `unseen`).
    """
    return min(dim, math.ceil((1 + 2 * math.log(CONSTANT * math.sqrt(dim) / MISSED)) / 2))


def krylov_size(operator: Operator, krylov: int | None, default: int = 32) -> int:
    """The size of the basis; `InvalidInput` where it cannot be that, or without an operator."""
    require_operator(operator)
    if krylov is None:
        return min(default, operator.dim)
    if isinstance(krylov, bool) or krylov != int(krylov):
        raise InvalidInput(f"krylov must be a whole number, it is {krylov}.")
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
    """Products until the target has enough, `limit` are spent, or Ctrl-C: what is then known.

    A small space is exhausted: then the answer is exact.
    """
    if limit < 1:
        raise InvalidInput(f"max_products must be 1 or more, it is {limit}.")
    basis = Basis(krylov, operator.dim, operator.dtype, seed)
    began, converged, interrupted, first = time.perf_counter(), False, False, 0
    least, values = least_products(operator.dim), []
    try:
        with heeded():
            for spent in range(1, limit + 1):
                basis.extend(operator(basis[basis.count]))
                heed()
                pairs = target.pairs(*_projection(basis))
                if progress:
                    passed = time.perf_counter() - began
                    progress(Look(spent, limit, pairs.values, pairs.residuals, passed))
                values.append(pairs.values)
                first = basis.count if spent == basis.count else first
                complete = basis.count == operator.dim
                early = spent < max(least, STEADY + 1) or operator.dim <= min(krylov, SMALL)
                if complete or not early:
                    before = pairs.values if complete else values[-1 - STEADY]
                    scale = float(np.max(np.abs(basis.projection)))
                    converged = target.enough(pairs, before, operator.error(scale))
                if complete or converged:
                    break
                if basis.count == krylov and spent < limit:
                    _restart(basis, target)
    except KeyboardInterrupt:
        interrupted = True
        if basis.count == 0:
            raise
    return Found(target.pairs(*_projection(basis)), basis, first, converged, interrupted)


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
