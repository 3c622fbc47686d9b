"""What is certain about eigenvalues holds for every matrix between the bounds."""

import numpy as np
import pytest

from samdyn.attractors.judging.enclosed import bases_of, discs, eigenvalue_bounds, signs
from samdyn.attractors.judging.thresholds import (
    critical_rho,
    critical_rho_bounds,
    rho_window,
    rho_window_bounds,
)
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


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [0.0, 1e-9, 1e-2])
def test_bounds_of_symmetric_eigenvalues_hold_those_at_40_digits(dim, width):
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(dim)
    for _ in range(6):
        root = rng.normal(size=(dim, dim)) * 10.0 ** rng.uniform(-3, 3, dim)
        middle = root @ np.diag(rng.choice([-1.0, 1.0], dim)) @ root.T
        middle = (middle + middle.T) / 2
        low, high = middle - width * np.abs(middle), middle + width * np.abs(middle)
        found = eigenvalue_bounds(low, high)
        for matrix in matrices(low, high, 6):
            whole = np.tril(matrix) + np.tril(matrix, -1).T
            with mpmath.workdps(40):
                exact = sorted(mpmath.eigsy(mpmath.matrix(whole.tolist()), eigvals_only=True))
                for value, (least, most) in zip(exact, found, strict=True):
                    assert least <= value <= most
        if not width:
            assert np.max(found[:, 1] - found[:, 0]) < 1e-11 * np.max(np.abs(found))


def test_in_a_basis_a_norm_shrinks_as_its_rows_say():
    rng = np.random.default_rng(3)
    middle = np.array([[-1.0, 30.0], [0.0, -2.0]])
    low, high = middle - 0.01, middle + 0.01
    (basis,) = bases_of(middle)
    centres, radii = basis.rows(low, high)
    assert np.all(np.real(centres) + radii < 0)
    for matrix in matrices(low, high, 50):
        x = rng.normal(size=2)
        before = np.max(np.abs(basis.out @ x))
        after = np.max(np.abs(basis.out @ (x + 1e-4 * matrix @ x)))
        assert after < before


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_lie_between_their_bounds(seed):
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(seed)
    values = np.sort(rng.choice([-1, 1], 3) * 10 ** rng.uniform(-1, 2, 3))
    bounds = np.stack([values - 1e-13, values + 1e-13], axis=1)
    with mpmath.workdps(40):
        negative = [-mpmath.mpf(v) for v in values if v < 0]
        exact = None if not negative else 1 / min(negative)
    found = critical_rho_bounds(bounds)
    assert (found is None) == (exact is None)
    if exact is not None:
        assert found[0] <= exact <= found[1]
        assert found[1] - found[0] < 1e-10
        assert found[0] <= critical_rho(values) <= found[1]
    window, sure = rho_window(values, 0.01, 0.5), rho_window_bounds(bounds, 0.01, 0.5)
    assert (window is None) == (sure is None)
    for end, between in zip(window or (), sure or (), strict=True):
        assert (end is None) == (between is None)
        assert end is None or between[0] <= end <= between[1]


def test_ends_of_a_window_lie_between_bounds_where_terms_cancel():
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    with mpmath.workdps(40):
        for _ in range(300):
            values = np.sort(10 ** rng.uniform(-2, 2, 2))
            rate = 2 / values[1] * (1 - 10 ** rng.uniform(-13, -1))
            found = rho_window_bounds(np.stack([values, values], axis=1), rate)
            edge = mpmath.mpf(2) / mpmath.mpf(rate)
            exact = min((edge / mpmath.mpf(x) - 1) / mpmath.mpf(x) for x in values)
            assert found is None or found[1][0] <= exact <= found[1][1]


def test_a_jordan_block_has_discs_that_tell():
    """Critical damping: eigenvectors are one and the same, and the eigenvalue known to 10⁻⁵."""
    block = np.array([[0.5, 3.0], [0.0, 0.5]])
    found = discs(block, block)
    np.testing.assert_allclose(found.centres, 0.5, atol=1e-12)
    assert np.max(found.radii) < 1e-4


def test_a_sign_that_is_not_certain_leaves_thresholds_unknown():
    bounds = np.array([[-1e-9, 1e-9], [1.0, 1.1]])
    assert critical_rho_bounds(bounds) is None
    assert rho_window_bounds(bounds, 0.1) is None


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
