"""The lowest and the highest eigenvalue of a symmetric operator, and what can be said of signs."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..errors import InvalidInput
from .operator import Operator
from .search import Found, Pairs, Progress, Target, krylov_size, search

NEGATIVE, NONE_FOUND, UNRESOLVED = "negative", "none found", "unresolved"
CONFIDENCE = 0.99


class Eigenvalue(NamedTuple):
    """`value` is within `residual` = ‖A x − value·x‖ (computed, not estimated) of an eigenvalue.

    `error` is the arithmetic's own; `vector` (dim,) is x, of length 1.
    """

    value: float
    residual: float
    error: float
    vector: np.ndarray

    @property
    def sign(self) -> int:
        """−1 or +1 where |value| exceeds residual and error together, else 0: unresolved."""
        certain = abs(self.value) > self.residual + self.error
        return int(np.sign(self.value)) if certain else 0

    def to_dict(self) -> dict:
        """As `--json` prints it."""
        return {"value": self.value, "residual": self.residual}


class SpectrumEnds(NamedTuple):
    """Both ends of a spectrum.

    No search by products can exclude a further eigenvalue beyond those found, in a direction that
    the start hardly has. `unseen` is the lowest that one can be with 99 % confidence.
    """

    low: Eigenvalue
    high: Eigenvalue
    unseen: float
    products: int
    converged: bool
    interrupted: bool

    @property
    def curvature(self) -> str:
        """ "negative", "none found" (then `unseen` says how surely), or "unresolved"."""
        if self.low.sign < 0:
            return NEGATIVE
        error = self.low.residual + self.low.error
        return NONE_FOUND if self.low.value > -error and self.low.sign > 0 else UNRESOLVED

    def __str__(self) -> str:
        rows = [
            f"lowest  {self.low.value:+.6g} ± {self.low.residual:.1g}",
            f"highest {self.high.value:+.6g} ± {self.high.residual:.1g}",
            f"{self.products} products; arithmetic's own error {self.low.error:.1g}; "
            f"99 %: nothing below {self.unseen:.3g}",
        ]
        return "\n".join(rows)


class Ends(Target):
    """Both ends of the spectrum, each to `rtol` of itself or to the arithmetic's error.

    A Ritz value is nearer to an eigenvalue than its residual r: within r²/gap, where the gap is
    that to the rest of the spectrum, here to the next Ritz value (Parlett, The Symmetric
    Eigenvalue Problem, 11.7). The residual itself must be small enough to decide the sign.
    """

    def __init__(self, rtol: float):
        self.rtol = rtol

    def pairs(self, matrix, last):
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        ends, inner = [0, -1], [min(1, values.size - 1), max(values.size - 2, 0) - values.size]
        weights = vectors[:, ends]
        residuals = np.abs(last @ weights)
        gaps = np.abs(values[ends] - values[inner]) - residuals
        errors = np.where(gaps > residuals, residuals**2 / np.where(gaps > 0, gaps, 1), residuals)
        return Pairs(values[ends], weights, residuals, errors)

    def rotation(self, matrix, kept):
        _, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        low = kept // 2
        return np.concatenate([vectors[:, :low], vectors[:, vectors.shape[1] - kept + low :]], 1)

    def enough(self, pairs, error):
        sizes = np.abs(pairs.values)
        close = pairs.errors <= np.maximum(self.rtol * sizes, error)
        signed = pairs.residuals <= np.maximum(sizes / 4, error)
        return bool(np.all(close & signed))


def spectrum_ends(
    operator: Operator,
    krylov: int | None = None,
    rtol: float = 0.01,
    max_products: int = 300,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectrumEnds:
    """The lowest and the highest eigenvalue, by restarted Lanczos with `krylov` vectors kept.

    Stops when both values are known to `rtol` of themselves or to the arithmetic's error, after
    `max_products`, or on Ctrl-C, with what is then known. Two more products check the residuals.
    """
    if not operator.symmetric:
        raise InvalidInput("spectrum_ends needs a symmetric operator; take spectral_radius.")
    if not 0 < rtol < 1:
        raise InvalidInput(f"rtol must be between 0 and 1, it is {rtol:g}.")
    before = operator.products
    size = krylov_size(operator, krylov)
    with operator.precision():
        found = search(operator, Ends(rtol), size, max_products, seed, progress)
        scale = float(np.max(np.abs(found.pairs.values)))
        low, high = (_checked(operator, found, k, scale) for k in (0, 1))
    spent = operator.products - before
    return SpectrumEnds(
        low,
        high,
        _unseen(low, high, operator.dim, min(spent, size)),
        spent,
        found.converged,
        found.interrupted,
    )


def _checked(operator: Operator, found: Found, k: int, scale: float) -> Eigenvalue:
    """The Rayleigh quotient of a Ritz vector, and its residual by a product of its own."""
    x = np.asarray(found.basis.combine(found.pairs.weights[:, k]), float)
    x = (x / np.linalg.norm(x)).astype(operator.dtype)
    after = np.asarray(operator(jnp.asarray(x)), float)
    value = float(x @ after) / float(x @ x)
    return Eigenvalue(value, float(np.linalg.norm(after - value * x)), operator.error(scale), x)


def _unseen(low: Eigenvalue, high: Eigenvalue, dim: int, steps: int) -> float:
    """How low an eigenvalue can be that the search did not see, with 99 % confidence.

    After k Lanczos steps from a random start the end of the spectrum is missed by more than ε of
    its width with a probability below 1.648 √dim exp(−√ε(2k − 1)) (Kuczyński & Woźniakowski
    1992). `steps` are those before the first restart: what comes after is not counted.
    """
    if steps >= dim:
        return low.value - low.residual - low.error
    root = np.log(1.648 * np.sqrt(dim) / (1 - CONFIDENCE)) / (2 * steps - 1)
    share = min(float(root) ** 2, 0.999)
    return low.value - low.residual - share / (1 - share) * (high.value - low.value)
