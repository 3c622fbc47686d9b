"""How fast a product of random matrices grows: in the mean, in mean square, almost surely.

Step i multiplies a displacement by a matrix A_b drawn anew from those of the point that it is at.
The mean grows by the spectral radius of E A, the mean square by that of E A⊗A on symmetric
matrices, the p-th moment for even p by that of E A⊗…⊗A, and almost every run by the Lyapunov
exponent of the product (Furstenberg & Kesten 1960). The three may differ in sign; what a run does
is the last.
"""

import functools
import itertools
import math

import numpy as np

from .positive import dominant
from .rates import Growth, Rate

MOST_SQUARED = 24  # the dimension up to which the mean square's matrix is written down
LARGEST_POWER = 1296  # the same for higher powers: entries of the tensor power of a vector
TRIANGULAR = 1e-12  # of its size: a matrix that is triangular but for rounding
CHAINS, STEPS, BURN, WORK = 128, 3000, 100, 4e8
COPIES, GENERATIONS, GROUPS = 1024, 400, 8


def growth_of(matrices: np.ndarray, weights: np.ndarray, seed: int = 0) -> Growth:
    """The rates of `matrices` (points, n, k, k), n at each point of an orbit that is passed in
    order, drawn with probabilities `weights` (n,)."""
    mean, square = moment(matrices, weights, 1), moment(matrices, weights, 2)
    return Growth(Rate(mean, 0.0), Rate(square, 0.0), almost_sure(matrices, weights, seed))


def moment(matrices: np.ndarray, weights: np.ndarray, p: int) -> float:
    """(1/p) log of the growth per step of E of p-fold products of coordinates, p = 1 or even."""
    count, k = len(matrices), matrices.shape[-1]
    if p == 2 and k > MOST_SQUARED:
        return _mean_square_of_many(matrices, weights) / (2 * count)
    factors = [_mean_power(at_point, weights, p) for at_point in matrices]
    return log_radius(factors) / (p * count)


def log_radius(factors: list[np.ndarray]) -> float:
    """log of the spectral radius of the product of matrices, the first of which acts first."""
    product, scale = np.eye(len(factors[0])), 0.0
    for factor in factors:
        if not np.all(np.isfinite(factor)):
            return math.inf
        size = float(np.max(np.abs(factor)))
        if size == 0:
            return -math.inf
        product, scale = factor / size @ product, scale + math.log(size)
    radius = float(np.max(np.abs(np.linalg.eigvals(product))))
    return math.log(radius) + scale if radius > 0 else -math.inf


def _mean_power(matrices: np.ndarray, weights: np.ndarray, p: int) -> np.ndarray:
    """E of the p-th tensor power of matrices (n, k, k), on symmetric tensors."""
    if p == 1:
        return np.einsum("n,nij->ij", weights, matrices)
    k = matrices.shape[-1]
    into, back = _symmetric(k, p)
    if p == 2:
        flat = matrices.reshape(-1, k * k)
        pairs = ((flat * weights[:, None]).T @ flat).reshape(k, k, k, k)
        return back @ pairs.transpose(0, 2, 1, 3).reshape(k * k, k * k) @ into
    total = np.zeros((len(back), len(back)))
    for matrix, weight in zip(matrices, weights, strict=True):
        total += weight * (back @ functools.reduce(np.kron, [matrix] * p) @ into)
    return total


@functools.lru_cache(maxsize=32)
def _symmetric(k: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """(basis (kᵖ, m) of the symmetric tensors of degree p, orthonormal; its transpose)."""
    names = list(itertools.combinations_with_replacement(range(k), p))
    basis = np.zeros((k**p, len(names)))
    places = {name: column for column, name in enumerate(names)}
    for row, index in enumerate(itertools.product(range(k), repeat=p)):
        basis[row, places[tuple(sorted(index))]] = 1
    basis /= np.linalg.norm(basis, axis=0)
    return basis, basis.T


def _mean_square_of_many(matrices: np.ndarray, weights: np.ndarray) -> float:
    """log of the growth of P ↦ E A P Aᵀ over all points, which is never written down.

    It maps positive semidefinite matrices to such, so that its largest eigenvalue is real.
    """
    k = matrices.shape[-1]

    def through(p: np.ndarray) -> np.ndarray:
        for at_point in matrices:
            p = np.einsum("n,nij->ij", weights, at_point @ p @ at_point.swapaxes(1, 2))
        return p

    (radius,), _ = dominant(through, np.eye(k), 1)
    return math.log(radius) if radius > 0 else -math.inf


def almost_sure(matrices: np.ndarray, weights: np.ndarray, seed: int = 0) -> Rate:
    """The Lyapunov exponent; exact for one matrix a point, and for matrices that are triangular in
    one basis: those of one dimension, and those that commute."""
    if matrices.shape[1] == 1:
        return Rate(log_radius([at_point[0] for at_point in matrices]) / len(matrices), 0.0)
    if not np.all(np.isfinite(matrices)):
        return Rate(math.inf, 0.0)
    diagonals = _diagonals(matrices)
    if diagonals is None:
        return _simulated(matrices, weights, seed)
    with np.errstate(divide="ignore"):
        rates = np.einsum("pnk,n->k", np.log(np.abs(diagonals)), weights) / len(matrices)
    return Rate(float(np.max(rates)), 0.0)


def _diagonals(matrices: np.ndarray) -> np.ndarray | None:
    """Their diagonals (points, n, k) in a basis in which all are triangular; None without one."""
    if matrices.shape[-1] == 1:
        return matrices[..., 0]
    import scipy.linalg

    all_of_them = matrices.reshape(-1, *matrices.shape[2:])
    mixed = np.einsum(
        "n,nij->ij", np.random.default_rng(0).normal(size=len(all_of_them)), all_of_them
    )
    basis = scipy.linalg.schur(mixed.astype(complex), output="complex")[1]
    turned = basis.conj().T @ all_of_them @ basis
    below = np.linalg.norm(np.tril(turned, -1), axis=(1, 2))
    if np.any(below > TRIANGULAR * np.linalg.norm(turned, axis=(1, 2))):
        return None
    return np.diagonal(turned, axis1=1, axis2=2).reshape(*matrices.shape[:2], -1)


def _simulated(matrices: np.ndarray, weights: np.ndarray, seed: int) -> Rate:
    """From products of matrices drawn, in chains side by side."""
    points, _, k, _ = matrices.shape
    rng = np.random.default_rng(seed)
    chains = CHAINS if k <= 32 else 32
    turns = int(np.clip(WORK / (chains * k * k * points), 200, STEPS // points))
    v = rng.normal(size=(chains, k))
    total, edges = np.zeros(chains), np.cumsum(weights)[:-1]
    for turn in range(-max(BURN // points, 10), turns):
        for at_point in matrices:
            drawn = at_point[np.searchsorted(edges, rng.random(chains))]
            v = np.einsum("cij,cj->ci", drawn, v)
            length = np.linalg.norm(v, axis=1)
            if not np.all(length > 0):
                return Rate(-math.inf, 0.0)  # what happens to one run happens to all, in the end
            v = v / length[:, None]
            if turn >= 0:
                total += np.log(length)
    rates = total / (turns * points)
    # of a run that ends somewhere within a turn of the state about the origin, 1/steps is left
    error = 2 * np.std(rates, ddof=1) / math.sqrt(chains) + 1 / (turns * points)
    return Rate(float(np.mean(rates)), float(error))


def moment_rate(matrices: np.ndarray, weights: np.ndarray, p: float, seed: int = 0) -> Rate:
    """(1/p) log of the growth per step of E‖displacement‖ᵖ, for any p > 0.

    Exact in one dimension, for matrices triangular in one basis, and for even p of few dimensions.
    """
    if matrices.shape[1] == 1 or not np.all(np.isfinite(matrices)):
        return almost_sure(matrices, weights)
    k = matrices.shape[-1]
    if p % 2 == 0 and (p == 2 or k**p <= LARGEST_POWER):
        return Rate(moment(matrices, weights, int(p)), 0.0)
    diagonals = _diagonals(matrices)
    if diagonals is None:
        return _resampled(matrices, weights, p, seed)
    with np.errstate(divide="ignore"):
        each = np.log(np.einsum("pnk,n->pk", np.abs(diagonals) ** p, weights))
    return Rate(float(np.max(np.sum(each, axis=0))) / (p * len(matrices)), 0.0)


def _resampled(matrices: np.ndarray, weights: np.ndarray, p: float, seed: int) -> Rate:
    """From copies of runs that are drawn anew, after every step, as often as ‖·‖ᵖ grew in them.

    So few copies as there are bias the mean by about 1/copies: half as many tell how much.
    """
    rates = _populations(matrices, weights, p, COPIES, seed)
    fewer = _populations(matrices, weights, p, COPIES // 2, seed + 1)
    error = 2.4 * float(np.std(rates, ddof=1)) / math.sqrt(GROUPS)
    bias = abs(float(np.mean(rates) - np.mean(fewer)))
    return Rate(float(np.mean(rates)), error + bias) if math.isfinite(error) else _ENDED


_ENDED = Rate(-math.inf, 0.0)


def _populations(
    matrices: np.ndarray, weights: np.ndarray, p: float, copies: int, seed: int
) -> np.ndarray:
    """The rates (GROUPS,) of as many populations of copies; −∞ where one dies."""
    rng = np.random.default_rng(seed)
    points, _, k, _ = matrices.shape
    v = rng.normal(size=(GROUPS, copies, k))
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    total, edges = np.zeros(GROUPS), np.cumsum(weights)[:-1]
    rows, turns = np.arange(GROUPS)[:, None], max(1, GENERATIONS // points)
    for turn in range(-(BURN // points), turns):
        for at_point in matrices:
            drawn = at_point[np.searchsorted(edges, rng.random((GROUPS, copies)))]
            v = np.einsum("gcij,gcj->gci", drawn, v)
            length = np.linalg.norm(v, axis=-1)
            grown = length**p
            mean = np.mean(grown, axis=1)
            if not np.all(mean > 0):
                return np.full(GROUPS, -np.inf)
            total += np.log(mean) * (turn >= 0)
            chosen = _chosen(grown / (mean[:, None] * copies), rng)
            v = v[rows, chosen] / length[rows, chosen][..., None]
    return total / (p * points * turns)


def _chosen(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which copies (groups, n) live on, by `shares` (groups, n) that sum to 1: systematic draws."""
    groups, count = shares.shape
    places = (np.arange(count) + rng.random((groups, 1))) / count
    ends = np.cumsum(shares, axis=1)
    found = [np.searchsorted(e, x) for e, x in zip(ends, places, strict=True)]
    return np.minimum(np.array(found), count - 1)
