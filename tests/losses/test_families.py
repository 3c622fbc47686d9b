"""Losses in any dimension, and quadratic forms with a chosen spectrum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.errors import InvalidInput
from samdyn.losses.families import double_well_product, quadratic, rosenbrock, styblinski_tang


def hessian(loss):
    return np.asarray(jax.jit(jax.hessian(loss))(jnp.zeros(loss.dim)))


@pytest.mark.parametrize("spectrum", [(2.0,), (-2.0, 1.0, 4.0), (0.5, 0.5, -1e-3, 1e3, 7.0)])
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_quadratic_has_exactly_the_spectrum_asked_for(spectrum, seed):
    found = np.linalg.eigvalsh(hessian(quadratic(spectrum, seed)))
    # A backward-stable rotation moves eigenvalues by a few ulp of the largest one.
    np.testing.assert_allclose(found, np.sort(spectrum), rtol=0, atol=4e-15 * np.max(spectrum))


def test_axes_are_the_eigenvectors_in_the_order_given_when_there_is_no_seed():
    np.testing.assert_array_equal(hessian(quadratic((3.0, -1.0, 2.0), None)), np.diag([3.0, -1, 2]))


def test_a_seed_rotates_the_frame_and_another_seed_rotates_it_otherwise():
    spectrum = (3.0, -1.0, 2.0)
    first, again, other = (hessian(quadratic(spectrum, seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert np.abs(first - np.diag(np.diag(first))).max() > 0.1


def test_quadratic_value_is_half_the_form():
    loss = quadratic((2.0, -3.0), None)
    assert float(loss(jnp.array([1.5, 2.0]))) == 0.5 * (2 * 1.5**2 - 3 * 2.0**2)


def test_quadratic_works_in_the_dtype_of_w():
    w = jnp.array([1.0, 2.0], jnp.float32)
    loss = quadratic((2.0, -3.0))
    assert loss(w).dtype == jnp.float32
    assert jax.grad(loss)(w).dtype == jnp.float32


@pytest.mark.parametrize("spectrum", [(), (1.0, np.nan), (np.inf,)])
def test_quadratic_rejects_what_is_no_list_of_finite_eigenvalues(spectrum):
    with pytest.raises(InvalidInput, match="finite eigenvalues"):
        quadratic(spectrum)


def test_rosenbrock_by_hand():
    w = jnp.array([1.5, 2.0, -1.0])
    by_hand = 100 * (2 - 2.25) ** 2 + 0.25 + 100 * (-1 - 4) ** 2 + 1
    assert float(rosenbrock(w)) == pytest.approx(by_hand, rel=1e-15)


def test_styblinski_tang_by_hand():
    assert float(styblinski_tang(jnp.array([2.0, -1.0]))) == (16 - 64 + 10 + 1 - 16 - 5) / 2


def test_double_well_product_is_the_sum_over_coordinates():
    w = jnp.array([0.5, -2.0, 1.0])
    assert float(double_well_product(w)) == (0.75**2 + 3**2) / 4
