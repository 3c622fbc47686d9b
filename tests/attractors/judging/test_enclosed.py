"""What is certain about eigenvalues holds for every matrix between the bounds."""

import numpy as np
import pytest

from samdyn.attractors.judging.enclosed import discs, signs
from samdyn.dynamics.stiff import integrate


def matrices(low, high, count=200):
    share = np.random.default_rng(0).uniform(size=(count, *low.shape))
    share[: count // 2] = np.round(share[: count // 2])  # corners
    return low + share * (high - low)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [0.0, 1e-9, 1e-3, 0.1])
@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e8])
def test_discs_hold_the_eigenvalues_of_all_matrices(dim, width, unit):
    rng = np.random.default_rng(dim)
    scale = unit ** np.arange(dim)
    middle = rng.normal(size=(dim, dim)) * scale / scale[:, None]
    low, high = middle - width * np.abs(middle), middle + width * np.abs(middle)
    found = discs(low, high)
    for matrix in matrices(low, high):
        gaps = np.abs(np.linalg.eigvals(matrix)[:, None] - found.centres)
        slack = 1e-12 * np.max(np.abs(found.centres))  # of eigvals itself
        assert np.all(np.any(gaps <= found.radii + slack, axis=1))
    if not width:
        assert np.max(found.radii) < 1e-11 * np.max(np.abs(found.centres))


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("unit", [1.0, 1e-5, 1e7])
def test_signs_are_those_of_every_symmetric_matrix(dim, unit):
    rng = np.random.default_rng(dim)
    known = 0
    for _ in range(50):
        root = rng.normal(size=(dim, dim))
        scale = unit ** np.arange(dim)
        middle = root @ np.diag(rng.choice([-1.0, 1.0], dim)) @ root.T * scale * scale[:, None]
        middle = (middle + middle.T) / 2
        spread = 1e-6 * np.abs(middle)
        found = signs(middle - spread, middle + spread)
        if found is None:
            continue
        known += 1
        for matrix in matrices(middle - spread, middle + spread, 20):
            whole = (matrix + matrix.T) / 2 / scale / scale[:, None]  # a congruence keeps the signs
            assert np.array_equal(np.sign(np.linalg.eigvalsh(whole)), found)
    assert known >= 40


def test_a_singular_matrix_has_no_certain_signs():
    for matrix in ([[0.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 2.0]]):
        matrix = np.array(matrix)
        assert signs(matrix, matrix) is None


def test_the_stiff_solver_has_the_decay_of_a_linear_equation():
    """y' = −λy for λ = 1 and 10⁶ beside each other, within the tolerance that is asked."""
    import jax.numpy as jnp

    rates = np.array([1.0, 1e6])
    field = lambda y: -jnp.asarray(rates) * y  # noqa: E731
    found = integrate(field, np.ones((3, 2)), np.array([0.5, 2.0]))
    exact = np.exp(-np.array([0.5, 2.0])[:, None] * rates)
    np.testing.assert_allclose(found, np.broadcast_to(exact, (3, 2, 2)), rtol=2e-3, atol=1e-5)


def test_the_stiff_solver_follows_van_der_pol_onto_its_slow_branch():
    """μ = 1000: on the slow branch y = 1/(μ(1/x − x)) to first order, whatever it starts from."""
    import jax.numpy as jnp

    field = lambda y: jnp.stack([y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]])  # noqa: E731
    starts = np.array([[2.0, 0.0], [2.0, 1.0], [2.0, -0.2]])
    found = integrate(field, starts, np.array([1.0, 10.0]))
    x, y = np.moveaxis(found[:, -1], -1, 0)
    np.testing.assert_allclose(y, x / (1000 * (1 - x**2)), rtol=1e-2)
