"""Arithmetic on parameters: any pytree, the dtype of the parameters, 0 where g/‖g‖ is 0/0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.dynamics import tree

V = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[-4.0]])}


def test_norm_runs_over_every_leaf():
    assert float(tree.squared_norm(V)) == 25


def test_unit_has_norm_one_and_eps_shortens_it():
    np.testing.assert_allclose(tree.unit(V)["b"], [[-0.8]], rtol=1e-15)
    np.testing.assert_allclose(tree.unit(V, 5.0)["a"], [0.3, 0.0], rtol=1e-15)


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_unit_of_zero_is_zero_with_finite_derivatives(eps):
    zero = jnp.zeros(3)
    np.testing.assert_array_equal(tree.unit(zero, eps), zero)
    for jacobian in (jax.jacfwd, jax.jacrev):
        assert np.all(np.isfinite(jacobian(lambda v: tree.unit(v, eps))(zero)))


RANGES = {jnp.float32: (1e35, 1e19, 1.0, 1e-19, 1e-30, 1e-37), jnp.float64: (1e150, 1.0, 1e-153)}


@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.thorough
def test_unit_has_no_scale_of_its_own(dtype, batched):
    unit = lambda v: jax.vmap(tree.unit)(v[None])[0] if batched else tree.unit(v)  # noqa: E731
    for scale in RANGES[dtype]:
        v = jnp.array([3 * scale, 4 * scale], dtype)
        np.testing.assert_allclose(unit(v), [0.6, 0.8], rtol=3 * jnp.finfo(dtype).eps)
        turns = np.array([[0.64, -0.48], [-0.48, 0.36]]) / (5 * scale)
        for jacobian in (jax.jacfwd, jax.jacrev):
            np.testing.assert_allclose(jacobian(unit)(v), turns, rtol=1e-5)


def test_unit_of_what_is_below_the_range_is_zero_with_derivative_zero():
    for v in (jnp.array([3e-320, 4e-320]), jnp.array([3e-156, 4e-156])):
        np.testing.assert_array_equal(tree.unit(v), [0, 0])
        np.testing.assert_array_equal(jax.jacfwd(tree.unit)(v), np.zeros((2, 2)))
    tiny = jnp.array([3e-40, 4e-40], jnp.float32)
    np.testing.assert_array_equal(tree.unit(tiny), [0, 0])


def test_unit_of_what_is_beyond_the_range_of_float64_is_not_a_number():
    assert np.all(np.isnan(tree.unit(jnp.array([3e160, 4e150]))))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_arithmetic_keeps_the_dtype_of_the_parameters(dtype):
    w = jnp.array([1.0, 2.0], dtype)
    scale = jnp.asarray(0.1)  # float64
    assert tree.add_scaled(w, scale, w).dtype == dtype
    assert tree.scaled(scale, w).dtype == dtype
    assert tree.unit(w, scale).dtype == dtype


def test_add_scaled_is_w_plus_scale_times_v():
    moved = tree.add_scaled(V, -0.5, V)
    np.testing.assert_array_equal(moved["a"], [1.5, 0.0])
    np.testing.assert_array_equal(moved["b"], [[-2.0]])


def test_flatten_gives_the_loss_of_the_flat_vector_and_the_way_back():
    loss, flat, unravel = tree.flatten(tree.squared_norm, V)
    np.testing.assert_array_equal(flat, [3, 0, -4])
    assert float(loss(flat)) == 25
    assert jax.tree.structure(unravel(flat)) == jax.tree.structure(V)
    vector = jnp.array([1.0, 2.0])
    same_loss, same, _ = tree.flatten(tree.squared_norm, vector)
    assert same_loss is tree.squared_norm
    assert same is vector
