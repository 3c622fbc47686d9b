"""How fast products of Jacobians grow that are too large to be written down, as a network's are.

The mean square grows by the largest eigenvalue μ of T: P ↦ E A P Aᵀ. It is looked for among the P
that live on a few vectors U (a Galerkin projection): there T is small. Where A carries the P found
out of them, U is extended that way, as a Krylov space is by a product. T keeps positive
semidefinite matrices, so that μ belongs to such a P, of few columns where few directions grow. The
almost sure rate is that of vectors that are multiplied by one batch's Jacobian after the other.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .positive import largest
from .rates import UNKNOWN, Rate

COLUMNS = 4  # by which the space is extended at a time
WIDEST, KEPT = 224, 128  # vectors in the space; then it is compressed to those kept
MEMORY = 2**31  # bytes that vectors and their products may take: for large networks fewer of them
SMALL_SOLVED = 1e-10  # relative: to what T is solved for on the space
SEEN = 1e-16  # of P's trace: a smaller part of it is rounding


class Products:
    """Products with the Jacobians, at one state, of the step on each of n batches.

    `step(state, batch)` maps flat vectors (dim,) to such. `count` says how many were made.
    """

    def __init__(
        self, step: Callable[[Array, PyTree], Array], state: Array, batches: Sequence[PyTree]
    ):
        self.step, self.state, self.batches = step, jnp.asarray(state), list(batches)
        self.dim, self.count = self.state.size, 0

    def of_all(self, columns: Float[Array, "k dim"]) -> list[Array]:
        """A_b v for all vectors v, batch by batch."""
        self.count += len(columns) * len(self.batches)
        return [_times(self.step, self.state, batch, columns) for batch in self.batches]

    def of_one(self, batch: int, columns: Float[Array, "k dim"]) -> Array:
        """A_b v for one batch."""
        self.count += len(columns)
        return _times(self.step, self.state, self.batches[batch], columns)


@eqx.filter_jit
def _times(step: Callable, state: Array, batch: PyTree, columns: Array) -> Array:
    _, product = jax.linearize(lambda v: step(v, batch), state)
    return jax.vmap(product)(columns)


class Squared(NamedTuple):
    """The rate of the mean square, and whether it reached the tolerance in the products allowed."""

    rate: Rate
    converged: bool


def mean_square(
    products: Products, weights: np.ndarray, rtol: float, most: int, seed: int = 0
) -> Squared:
    """½ log μ, to `rtol` of it or of 1e-3 a step, in about `most` products with a Jacobian.

    The error is that of the residual r = ‖T P − μP‖: r²/gap where all Jacobians are symmetric, else
    r over the cosine between P and T's left eigenmatrix. Where the space misses the largest μ
    altogether, neither says so.
    """
    space = _Space(products, weights, seed)
    while True:
        found = space.solve()
        value, error = math.log(found.value) / 2, found.error / (2 * found.value)
        done = error <= rtol * max(abs(value), 1e-3)
        closed = space.width == products.dim or found.closed
        if done or closed or products.count >= most:
            return Squared(Rate(value, float(error)), bool(done or closed))
        space.extend(found)


class _Solved(NamedTuple):
    value: float
    error: float
    pieces: np.ndarray  # (width, r): P = pieces·piecesᵀ
    closed: bool


class _Space:
    """Orthonormal vectors U as rows, A_b U for each batch, and U A_b Uᵀ."""

    def __init__(self, products: Products, weights: np.ndarray, seed: int):
        self.products, self.weights = products, weights
        self.rng = np.random.default_rng(seed)
        self.rows = jnp.zeros((0, products.dim), products.state.dtype)
        self.after: list[Array] = [self.rows for _ in products.batches]
        self.small = np.zeros((len(products.batches), 0, 0))
        self.rounding = 1e3 * float(jnp.finfo(self.rows.dtype).eps)
        each = len(products.batches) * products.dim * self.rows.dtype.itemsize
        self.widest = int(np.clip(MEMORY // each, 4 * COLUMNS, WIDEST))
        self._known = np.eye(1)
        start = self.rng.normal(size=(min(COLUMNS, products.dim), products.dim))
        self._append(jnp.asarray(start, products.state.dtype))

    @property
    def width(self) -> int:
        return len(self.rows)

    def _append(self, rows: Array) -> bool:
        """Take rows into the space; False where nothing of them is new."""
        for _ in range(2):
            rows = rows - (rows @ self.rows.T) @ self.rows
            left, sizes, right = jnp.linalg.svd(rows, full_matrices=False)
            del left
            rows = right[np.asarray(sizes) > 1e-7 * max(float(sizes[0]), 1e-300)]
        rows = rows[: self.products.dim - self.width]
        if not len(rows):
            return False
        new = self.products.of_all(rows)
        self.rows = jnp.concatenate([self.rows, rows])
        self.after = [jnp.concatenate(pair) for pair in zip(self.after, new, strict=True)]
        self.small = np.stack([np.asarray(self.rows @ a.T, float) for a in self.after])
        return True

    def solve(self) -> _Solved:
        """The largest μ on the space, its P, and how far T carries it out of the space."""
        skew = np.max(np.abs(self.small - self.small.swapaxes(1, 2)))
        symmetric = bool(skew <= self.rounding * np.max(np.abs(self.small)))
        found = largest(self.small, self.weights, symmetric, self._guess())
        sizes, vectors = np.linalg.eigh(found.p)
        kept = sizes > SEEN * np.sum(np.abs(sizes))
        pieces = vectors[:, kept] * np.sqrt(sizes[kept])
        inside, outside = self._carried(pieces)
        crossed = np.linalg.norm(inside @ outside.T)
        norm = math.sqrt(2 * crossed**2 + np.linalg.norm(outside.T @ outside) ** 2)
        residual = norm / np.linalg.norm(found.p)
        error = residual / max(found.cosine, 1e-12)
        if symmetric and residual < found.gap:
            error = residual**2 / found.gap
        error += SMALL_SOLVED * found.value / max(found.cosine, 1e-12)
        self._known = found.p
        return _Solved(found.value, float(error), pieces, bool(residual <= 1e-13 * found.value))

    def _guess(self) -> np.ndarray:
        """The P known, on the space as it is now."""
        guess = 1e-3 * np.trace(self._known) / self.width * np.eye(self.width)
        k = len(self._known)
        guess[:k, :k] += self._known
        return guess

    def _carried(self, pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """√w_b A_b·pieces for all batches, as columns: their parts (width, r·n) in the space, and
        those outside, in coordinates of their own span (k, r·n)."""
        roots = np.sqrt(self.weights)
        inside = [r * s @ pieces for r, s in zip(roots, self.small, strict=True)]
        self._out = self._outside(pieces)
        gram = np.asarray(self._out @ self._out.T, float)
        values, vectors = np.linalg.eigh((gram + gram.T) / 2)
        return np.concatenate(inside, axis=1), np.sqrt(np.maximum(values, 0))[:, None] * vectors.T

    def _outside(self, pieces: np.ndarray) -> Array:
        dtype, parts = self.rows.dtype, []
        for weight, after in zip(self.weights, self.after, strict=True):
            moved = jnp.asarray(math.sqrt(weight) * pieces.T, dtype) @ after
            parts.append(moved - (moved @ self.rows.T) @ self.rows)
        return jnp.concatenate(parts)

    def extend(self, found: _Solved) -> None:
        """By the directions in which T carries P out of the space the most."""
        columns = max(COLUMNS, self.width // 6)
        if self.width + columns > self.widest:
            self._compress(found)
        gram = np.asarray(self._out @ self._out.T, float)
        vectors = np.linalg.eigh((gram + gram.T) / 2)[1][:, ::-1][:, :columns]
        if not self._append(jnp.asarray(vectors.T, self.rows.dtype) @ self._out):
            start = self.rng.normal(size=(COLUMNS, self.products.dim))
            self._append(jnp.asarray(start, self.rows.dtype))

    def _compress(self, found: _Solved) -> None:
        """Keep the directions of which P is made, the largest first."""
        vectors = np.linalg.svd(found.pieces)[0][:, : KEPT * self.widest // WIDEST]
        self._known = vectors.T @ self._known @ vectors
        turn = jnp.asarray(vectors.T, self.rows.dtype)
        self.rows = turn @ self.rows
        self.after = [turn @ a for a in self.after]
        self.small = np.stack([np.asarray(self.rows @ a.T, float) for a in self.after])
        self._out = self._out - (self._out @ self.rows.T) @ self.rows


def almost_sure(
    products: Products, weights: np.ndarray, steps: int, chains: int = 4, seed: int = 0
) -> Rate:
    """The Lyapunov exponent from `chains` vectors, each multiplied `steps` times by the Jacobian of
    a batch that is drawn anew; a quarter more before counting begins."""
    if steps < 8:
        return UNKNOWN
    rng = np.random.default_rng(seed)
    v = jnp.asarray(rng.normal(size=(chains, products.dim)), products.state.dtype)
    edges = np.cumsum(weights)[:-1]
    logs = np.zeros((steps + steps // 4, chains))
    for row in logs:
        picks = np.searchsorted(edges, rng.random(chains))
        moved = []
        for batch in np.unique(picks):
            mine = np.flatnonzero(picks == batch)
            moved.append((mine, products.of_one(int(batch), v[mine])))
        v = v.at[np.concatenate([m for m, _ in moved])].set(jnp.concatenate([a for _, a in moved]))
        length = jnp.linalg.norm(v, axis=1)
        row[:] = np.log(np.asarray(length, float))
        v = v / length[:, None]
    kept = logs[steps // 4 :]
    if not np.all(np.isfinite(kept)):
        return Rate(-math.inf, 0.0)
    return _rate_of(kept)


def _rate_of(logs: np.ndarray) -> Rate:
    """Mean of logs (steps, chains) with 2 standard errors, from batches of successive steps; what
    the later half says otherwise than the earlier is added: the transient that is left."""
    steps, chains = logs.shape
    blocks = np.array([b.mean(axis=0) for b in np.array_split(logs, max(2, 16 // chains))])
    error = 2.1 * float(np.std(blocks, ddof=1)) / math.sqrt(blocks.size)
    early, late = (float(half.mean()) for half in np.array_split(logs, 2))
    drift = max(0.0, abs(late - early) - 2 * error)
    return Rate(float(logs.mean()), error + drift + 1 / steps / math.sqrt(chains))
