"""The density of a spectrum by stochastic Lanczos quadrature.

Source: Golub & Welsch 1969 (nodes and weights from Lanczos coefficients); Ghorbani, Krishnan &
Xiao, arXiv 1901.10159 (for Hessians of networks).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import InvalidInput
from .krylov import Basis, symmetric_pairs
from .products.operator import Operator
from .search import krylov_size


class SpectralDensity(NamedTuple):
    """Nodes and weights (probes, krylov) of each probe's quadrature; weights of a probe sum to 1.

    A weight is a share of all eigenvalues, up to the probes' variance.
    """

    nodes: np.ndarray
    weights: np.ndarray
    products: int

    def mean(self, function=lambda x: x) -> tuple[float, float]:
        """(mean of `function` over the eigenvalues, its standard error over the probes)."""
        each = np.sum(self.weights * function(self.nodes), axis=1)
        spread = np.std(each, ddof=1) / np.sqrt(each.size) if each.size > 1 else np.nan
        return float(np.mean(each)), float(spread)

    def __str__(self) -> str:
        mean, error = self.mean()
        seen = self.nodes[self.weights > 0]
        return (
            f"spectral density of {len(self.nodes)} probes: nodes from {np.min(seen):.4g} to "
            f"{np.max(seen):.4g}, mean eigenvalue {mean:.4g} ± {error:.1g}; "
            f"{self.products} products"
        )

    def on(self, grid: np.ndarray, width: float) -> np.ndarray:
        """The density (grid.size,), smoothed by a Gaussian of standard deviation `width`."""
        if not width > 0:
            raise InvalidInput(f"the width of a density must be > 0, not {width:g}.")
        grid = np.asarray(grid, float)
        scaled = (grid[:, None, None] - self.nodes) / width
        kernel = np.exp(-(scaled**2) / 2) / (width * np.sqrt(2 * np.pi))
        return np.mean(np.sum(kernel * self.weights, axis=2), axis=1)


def spectral_density(
    operator: Operator,
    probes: int = 8,
    krylov: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SpectralDensity:
    """Quadratures of the spectrum from `probes` random vectors, `krylov` products each.

    `progress(done, total)` is called after each of them.
    """
    size = krylov_size(operator, krylov, default=64)
    if not operator.symmetric:
        raise InvalidInput("spectral_density needs a symmetric operator.")
    if probes < 1:
        raise InvalidInput(f"a density needs one probe or more, not {probes}.")
    before = operator.products
    nodes, weights = np.zeros((probes, size)), np.zeros((probes, size))
    with operator.precision():
        for probe in range(probes):
            found, shares = _quadrature(operator, size, [seed, probe])
            nodes[probe], weights[probe, : found.size] = found[0], shares  # padded by a real node
            nodes[probe, : found.size] = found
            if progress:
                progress(probe + 1, probes)
    return SpectralDensity(nodes, weights, operator.products - before)


def _quadrature(operator: Operator, size: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the operator as a random vector sees it, by at most `size` products."""
    basis = Basis(size, operator.dim, operator.dtype, seed)
    for _ in range(size):
        basis.extend(operator(basis[basis.count]))
        if basis.projection[basis.count, basis.count - 1] == 0:
            break  # the vector's own space is exhausted: its quadrature is exact
    matrix = basis.projection[: basis.count, : basis.count]
    values, vectors = symmetric_pairs(matrix)
    return values, vectors[0] ** 2
