"""Eigenvalues of a product of matrices whose sizes may differ by more than numbers have digits."""

import numpy as np

LAPS = 64  # of the orthogonal iteration
ALIKE = 1e-12  # of a logarithm: a lap that changes nothing
DIGITS = 1e-6  # of the largest eigenvalue: larger ones the product itself gives to enough digits


def eigenvalues_of_product(matrices: np.ndarray) -> np.ndarray:
    """Of A_n … A_1, from A_1 first (n, d, d): (d,) complex, by descending modulus.

    Those far below the largest are real, from the QR factors of the pieces, turn by turn.
    """
    whole = np.linalg.multi_dot([*matrices[::-1], np.eye(matrices.shape[-1])])
    direct = np.linalg.eigvals(whole).astype(complex)
    direct = direct[np.argsort(-np.abs(direct), kind="stable")]
    largest = np.abs(direct[0])
    small = np.abs(direct) <= DIGITS * largest
    if not np.any(small):
        return direct
    logs, signs = _by_turns(matrices)
    fine = signs * np.exp(np.clip(logs, -700, 700))
    return np.where(small, fine, direct)


def _by_turns(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log moduli (d,), descending; signs (d,)) by orthogonal iteration over the whole product."""
    d = matrices.shape[-1]
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    before = np.full(d, np.inf)
    logs, signs = before, np.ones(d)
    for _ in range(LAPS):
        logs, signs, start = np.zeros(d), np.ones(d), q
        for matrix in matrices:
            q, r = np.linalg.qr(matrix @ q)
            with np.errstate(divide="ignore"):
                logs += np.log(np.abs(np.diagonal(r)))
            signs *= np.sign(np.diagonal(r))
        signs *= np.sign(np.einsum("ij,ij->j", start, q))
        if np.all(np.abs(logs - before) <= ALIKE * (1 + np.abs(logs))):
            break
        before = logs
    return logs, signs
