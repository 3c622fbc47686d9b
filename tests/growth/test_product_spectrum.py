"""Eigenvalues of products, of sizes that no single matrix could hold."""

import numpy as np
import pytest
import scipy.linalg

from samdyn.growth.product_spectrum import eigenvalues_of_product


def turned(blocks):
    basis = np.random.default_rng(0).normal(size=(3, 3))
    return basis @ scipy.linalg.block_diag(*blocks) @ np.linalg.inv(basis)


@pytest.mark.parametrize("small", [1e-3, 1e-7])
def test_a_small_complex_pair(small):
    size, angle = small ** (1 / 16), 1.3 / 16
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = eigenvalues_of_product(np.stack([turned([np.eye(1), turn])] * 16))
    expected = [1, small * np.exp(1.3j), small * np.exp(-1.3j)]
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-8 * small)


def test_real_ones_of_any_size_and_sign():
    matrix = turned([np.diag([2.0, 0.5, -1e-9])])
    found = eigenvalues_of_product(np.stack([matrix] * 3))
    np.testing.assert_allclose(found, [8, 0.125, -1e-27], rtol=1e-5)


def test_it_is_the_spectrum_of_the_product():
    a, b, c, d = np.random.default_rng(1).normal(size=(4, 3, 3))
    found = eigenvalues_of_product(np.stack([a, b, c, d]))
    expected = np.linalg.eigvals(d @ c @ b @ a)
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), rtol=1e-9)


def test_nothing_is_left_of_nothing():
    np.testing.assert_array_equal(eigenvalues_of_product(np.zeros((2, 2, 2))), 0)
