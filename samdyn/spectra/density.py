"""The density of a spectrum by stochastic Lanczos quadrature.

Source: Golub & Welsch 1969 (nodes and weights from Lanczos coefficients); Ghorbani, Krishnan &
Xiao, arXiv 1901.10159 (for Hessians of networks).
"""

from typing import NamedTuple

import numpy as np

from .krylov import Basis
from .operator import Operator
from .search import Look, Progress, krylov_size


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

    def on(self, grid: np.ndarray, width: float) -> np.ndarray:
        """The density (grid.size,), smoothed by a Gaussian of standard deviation `width`."""
        scaled = (grid[:, None, None] - self.nodes) / width
        kernel = np.exp(-(scaled**2) / 2) / (width * np.sqrt(2 * np.pi))
        return np.mean(np.sum(kernel * self.weights, axis=2), axis=1)


def spectral_density(
    operator: Operator,
    probes: int = 8,
    krylov: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralDensity:
    """Quadratures of the spectrum from `probes` random vectors, `krylov` products each."""
    size = krylov_size(operator, krylov, default=64)
    before = operator.products
    nodes, weights = np.zeros((probes, size)), np.zeros((probes, size))
    for probe in range(probes):
        basis = Basis(size, operator.dim, operator.dtype, seed + probe)
        for _ in range(size):
            basis.extend(operator(basis[basis.count]))
            if basis.projection[basis.count, basis.count - 1] == 0:
                break  # the probe's own space is exhausted: its quadrature is exact
        matrix = basis.projection[: basis.count, : basis.count]
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        nodes[probe, : basis.count], weights[probe, : basis.count] = values, vectors[0] ** 2
        if progress:
            done = operator.products - before
            progress(Look(done, probes * size, values[[0, -1]], np.zeros(2), 0.0))
    return SpectralDensity(nodes, weights, operator.products - before)
