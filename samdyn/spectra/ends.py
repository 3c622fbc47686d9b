"""The lowest and the highest eigenvalue of a symmetric operator, and what can be said of signs."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..errors import InvalidInput
from ..results.encoding import storable
from .krylov import symmetric_pairs
from .products.defect import tolerance
from .products.operator import Operator
from .search import CONSTANT, MISSED, Found, Pairs, Progress, Target, krylov_size, search

NEGATIVE, NONE_FOUND, UNRESOLVED = "negative", "none found", "unresolved"


@storable
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


@storable
class SpectrumEnds(NamedTuple):
    """Both ends of a spectrum.

    No search by products can exclude a further eigenvalue beyond those found, in a direction that
    the start hardly has. `unseen` is the lowest that one can be with 99 % confidence, −inf after
    too few products to say. `converged`: both values hold still and are, by the estimate that
    `Ends` describes, as near to an eigenvalue as was asked for.
    """

    low: Eigenvalue
    high: Eigenvalue
    unseen: float
    products: int
    converged: bool
    interrupted: bool

    @property
    def surely(self) -> str:
        """What `unseen` says."""
        if not np.isfinite(self.unseen):
            return "too few products to bound what was not seen"
        return f"with 99 % confidence no eigenvalue is below {self.unseen:.3g}"

    @property
    def curvature(self) -> str:
        """ "negative", "none found" (then `unseen` says how surely), or "unresolved", which is
        also what a search that did not converge to a positive end found."""
        if self.low.sign < 0:
            return NEGATIVE
        return NONE_FOUND if self.low.sign > 0 and self.converged else UNRESOLVED

    def __str__(self) -> str:
        rows = [
            f"lowest  {self.low.value:+.6g} ± {self.low.residual:.1g}",
            f"highest {self.high.value:+.6g} ± {self.high.residual:.1g}",
            f"{self.products} products; arithmetic's own error {self.low.error:.1g}; {self.surely}",
        ]
        return "\n".join(rows)


class Ends(Target):
    """Both ends of the spectrum, each to `rtol` of itself or to the arithmetic's error.

    A Ritz value is nearer to an eigenvalue than its residual r: within r²/gap, where the gap is
    that to the rest of the spectrum, here to the next Ritz value (Parlett, The Symmetric
    Eigenvalue Problem, 11.7): an estimate, because that Ritz value is one too; hence the value
    must also hold still. The residual itself must be small enough to decide the sign.
    """

    def __init__(self, rtol: float):
        self.rtol = rtol

    def pairs(self, matrix, last):
        values, vectors = symmetric_pairs(matrix)
        ends, inner = [0, -1], [min(1, values.size - 1), max(values.size - 2, 0)]  # neighbours
        weights = vectors[:, ends]
        residuals = np.abs(last @ weights)
        gaps = np.abs(values[ends] - values[inner]) - residuals
        known = gaps > residuals
        errors = residuals * np.where(known, residuals / np.where(known, gaps, 1), 1)
        return Pairs(values[ends], weights, residuals, errors, np.ones(2))

    def rotation(self, matrix, kept):
        _, vectors = symmetric_pairs(matrix)
        low = kept // 2
        return np.concatenate([vectors[:, :low], vectors[:, vectors.shape[1] - kept + low :]], 1)

    def enough(self, pairs, before, error):
        sizes = np.abs(pairs.values)
        allowed = np.maximum(self.rtol * sizes, error)
        close = (pairs.errors <= allowed) & (np.abs(pairs.values - before) <= allowed / 4)
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
    `InvalidInput` for settings out of range, and for products that show to be not symmetric.
    """
    if not operator.symmetric:
        raise InvalidInput("spectrum_ends needs a symmetric operator; take spectral_radius.")
    if not 0 < rtol < 1:
        raise InvalidInput(f"rtol must be between 0 and 1, it is {rtol:g}.")
    before = operator.products
    size = krylov_size(operator, krylov)
    with operator.precision():
        found = search(operator, Ends(rtol), size, max_products, seed, progress)
        _refuse_asymmetry(operator, found)
        scale = float(np.max(np.abs(found.pairs.values)))
        low, high = (_checked(operator, found, k, scale) for k in (0, 1))
    return SpectrumEnds(
        low,
        high,
        _unseen(low, high, operator.dim, found),
        operator.products - before,
        found.converged,
        found.interrupted,
    )


def _checked(operator: Operator, found: Found, k: int, scale: float) -> Eigenvalue:
    """The Rayleigh quotient of a Ritz vector, and its residual by a product of its own."""
    x = np.asarray(found.basis.combine(found.pairs.weights[:, k]), float)
    x = (x / np.linalg.norm(x)).astype(operator.dtype)
    after = np.asarray(operator(jnp.asarray(x)), float)
    value = float(x @ after) / float(x @ x)
    error = operator.error(scale)
    if operator.refined is not None:
        error += float(np.linalg.norm(after - np.asarray(operator.refined(jnp.asarray(x)), float)))
    return Eigenvalue(value, float(np.linalg.norm(after - value * x)), error, x)


def _refuse_asymmetry(operator: Operator, found: Found) -> None:
    """The projection of a symmetric map is symmetric, whatever the start."""
    j = found.basis.count
    matrix = found.basis.projection[:j, :j]
    defect = float(np.max(np.abs(matrix - matrix.T)) / (np.max(np.abs(matrix)) or 1.0))
    if defect > tolerance(operator):
        raise InvalidInput(
            f"products are not symmetric (relative defect {defect:.1g}): they are no Hessian of "
            "one loss."
        )


def _unseen(low: Eigenvalue, high: Eigenvalue, dim: int, found: Found) -> float:
    """How low an eigenvalue can be that the search did not see, with 99 % confidence.

    After k Lanczos steps from a random start an end of the spectrum is missed by more than a share
    ε of its width with a probability below 1.648 √dim exp(−√ε(2k − 1)) (Kuczyński & Woźniakowski
    1992), here ½ % for each end; both together leave a width of (high − low)/(1 − 2ε) at most.
    Steps after the first restart are not counted.
    """
    if found.basis.count == dim:
        return low.value - low.residual - low.error
    if found.first < 1:
        return -math.inf
    share = (math.log(CONSTANT * math.sqrt(dim) / MISSED) / (2 * found.first - 1)) ** 2
    if share >= 0.5:
        return -math.inf
    width = (high.value - low.value) / (1 - 2 * share)
    return low.value - low.residual - low.error - share * width
