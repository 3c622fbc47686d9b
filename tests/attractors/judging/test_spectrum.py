"""The closed forms agree with LAPACK, in every dimension and at awkward batch sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import eigenvalues


def lapack(matrix):
    values = np.linalg.eigvals(matrix)
    order = np.lexsort((values.imag, values.real), axis=-1)
    return np.take_along_axis(values, order, axis=-1)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [1, 999, 16385, 32769])
@pytest.mark.thorough
def test_a_batch_agrees_with_lapack(dim, rows):
    matrices = np.random.default_rng(dim).standard_normal((rows, dim, dim))
    found = np.asarray(jax.jit(jax.vmap(eigenvalues))(jnp.asarray(matrices)))
    exact = lapack(matrices)
    scale = np.max(np.abs(exact), axis=-1, keepdims=True)
    # a near-double eigenvalue moves by √ε; pairs may swap order, so compare as sets
    gaps = np.abs(found[:, :, None] - exact[:, None, :]) / scale[..., None]
    assert np.max(np.min(gaps, axis=2)) < 1e-6
    assert np.quantile(np.min(gaps, axis=2), 0.99) < 1e-12


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.thorough
def test_a_symmetric_double_eigenvalue_keeps_full_precision(dim):
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))
    values = np.array([-2e3, 1.0, 1.0][:dim])
    matrix = q @ np.diag(values) @ q.T
    found = np.asarray(eigenvalues(jnp.asarray((matrix + matrix.T) / 2)))
    np.testing.assert_allclose(found.real, np.sort(values), atol=2e3 * 4e-15 * 8)
    assert np.all(found.imag == 0)


def test_a_rotation_has_conjugate_eigenvalues():
    c, s = np.cos(0.3), np.sin(0.3)
    found = np.asarray(eigenvalues(jnp.array([[c, -s], [s, c]])))
    np.testing.assert_allclose(found, [c - 1j * s, c + 1j * s], atol=1e-15)


def test_float32_stays_single():
    assert eigenvalues(jnp.eye(3, dtype=jnp.float32)).dtype == jnp.complex64
