"""The compiled Lanczos: algebra on small matrices, and nothing invented when the space closes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.spectra.lanczos import ritz_ends, tridiagonal


def symmetric(n, seed=0):
    matrix = np.random.default_rng(seed).standard_normal((n, n))
    return jnp.asarray(matrix + matrix.T)


def test_all_steps_give_a_matrix_similar_to_the_whole():
    matrix = symmetric(9)
    diagonal, off = tridiagonal(lambda v: matrix @ v, jnp.arange(1.0, 10.0), 9)
    small = np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1)
    np.testing.assert_allclose(np.linalg.eigvalsh(small), np.linalg.eigvalsh(matrix), atol=1e-10)


def test_residuals_are_those_of_the_ritz_vectors():
    matrix, start = symmetric(40), jnp.linspace(1.0, 2.0, 40)
    ends = jax.jit(lambda v: ritz_ends(lambda x: matrix @ x, v, 8))(start)
    basis = [start / jnp.linalg.norm(start)]
    for _ in range(7):
        v = matrix @ basis[-1]
        for _ in range(2):
            for b in basis:
                v = v - (b @ v) * b
        basis.append(v / jnp.linalg.norm(v))
    q = np.stack(basis, axis=1)
    values, vectors = np.linalg.eigh(q.T @ np.asarray(matrix) @ q)
    for k, value, residual in (
        (0, ends.low, ends.low_residual),
        (-1, ends.high, ends.high_residual),
    ):
        x = q @ vectors[:, k]
        assert float(value) == pytest.approx(values[k], abs=1e-10)
        exact = np.linalg.norm(np.asarray(matrix) @ x - values[k] * x)
        assert float(residual) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("values", [np.ones(20), np.zeros(20), np.eye(20)[3] * 5.0])
def test_a_closed_space_adds_no_eigenvalue(values):
    ends = ritz_ends(lambda v: jnp.asarray(values) * v, jnp.linspace(1.0, 2.0, 20), 8)
    assert float(ends.low) == pytest.approx(values.min(), abs=1e-12)
    assert float(ends.high) == pytest.approx(values.max(), abs=1e-12)


def test_more_steps_than_dimensions_are_as_many():
    ends = ritz_ends(lambda v: jnp.asarray([1.0, -3.0]) * v, jnp.ones(2), 8)
    assert (float(ends.low), float(ends.high)) == pytest.approx((-3, 1))
