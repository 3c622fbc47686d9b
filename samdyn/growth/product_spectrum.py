"""Eigenvalues of a product of matrices whose sizes may differ by more than numbers have digits."""

import numpy as np

LAPS = 64  # of the orthogonal iteration
DIGITS = 1e-6  # of the largest eigenvalue: those above it a product gives to enough digits


def eigenvalues_of_product(matrices: np.ndarray) -> np.ndarray:
    """Of A_n … A_1, from A_1 first (n, d, d): (d,) complex, by descending modulus.

    The product itself gives the largest ones. Orthogonal iteration over its factors turns the
    directions of these to the front; what is behind them is a product of smaller matrices, and so
    on.
    """
    factors, last = _turned(matrices)
    found: list[complex] = []
    while len(found) < matrices.shape[-1]:
        first = len(found)
        values, scale = _of_block([f[first:, first:] for f in factors], last[first:, first:])
        values = values[np.argsort(-np.abs(values), kind="stable")]
        kept = max(1, int(np.sum(np.abs(values) > DIGITS * np.abs(values[0]))))
        if 0 < kept < len(values) and abs(values[kept - 1].imag) > 0:
            pair = np.isclose(values[kept], np.conj(values[kept - 1]))  # not cut in two
            kept += int(pair)
        with np.errstate(over="ignore", under="ignore"):
            found += list(values[:kept] * np.exp(scale))
    return np.array(found, complex)


def _turned(matrices: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """(the triangular factors of the product in a basis that its largest directions lead, the turn
    from the end of it to the beginning): their product has its eigenvalues."""
    q = np.linalg.qr(np.random.default_rng(0).normal(size=matrices.shape[1:]))[0]
    factors, start = [], q
    for _ in range(LAPS):
        factors, start = [], q
        for matrix in matrices:
            q, r = np.linalg.qr(matrix @ q)
            factors.append(r)
    return factors, start.T @ q


def _of_block(factors: list[np.ndarray], last: np.ndarray) -> tuple[np.ndarray, float]:
    """(eigenvalues of last · product of the factors, over exp of a scale; that scale)."""
    product, scale = np.eye(len(last)), 0.0
    for factor in [*factors, last]:
        product = factor @ product
        size = float(np.max(np.abs(product)))
        if not (size > 0 and np.isfinite(size)):
            return np.full(len(last), 0.0 if size == 0 else np.nan, complex), 0.0
        product, scale = product / size, scale + np.log(size)
    return np.linalg.eigvals(product).astype(complex), scale
