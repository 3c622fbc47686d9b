"""Each noise model draws what its covariance says, and stays finite where roots are singular."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.dynamics.noise.noise import Additive, Empirical, Fisher, Isotropic, MeanLoss
from samdyn.errors import InvalidInput
from samdyn.losses.families import QuadraticForm, quadratic


def curved(w):
    """A loss whose Hessian is full, indefinite and different everywhere."""
    return jnp.sum(w**4) / 4 - jnp.sum(w**2) + jnp.sum(w) ** 3 / 3


def residual(w, example):
    x, y = example
    return (jnp.sum(jnp.tanh(w * x)) - y) ** 2


def data(n, d):
    rng = np.random.default_rng(n + d)
    return rng.normal(size=(n, d)), rng.normal(size=n)


def models(d):
    return [
        Additive(0.3),
        Isotropic(0.3, 4),
        Fisher(8),
        Empirical(residual, data(5, d), 3),
        Empirical(residual, data(5, d), 3, replacement=False),
    ]


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("which", range(5))
@pytest.mark.thorough
def test_the_factor_of_a_draw_squares_to_the_covariance_and_its_trace(d, which):
    noise, w = models(d)[which], jnp.linspace(-0.6, 0.7, d)
    z = jnp.zeros(noise.draws(w))
    factor = jax.jacfwd(lambda z: noise.draw(curved, w, z))(z)
    covariance = noise.covariance(curved, w)
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=0, atol=1e-13)
    np.testing.assert_allclose(noise.trace(curved, w), jnp.trace(covariance), rtol=1e-13)
    np.testing.assert_array_equal(noise.draw(curved, w, z), jnp.zeros(d))


def test_the_scale_of_each_model():
    w, h = jnp.array([0.3, -0.2]), np.diag([3.0, -2.0])
    loss = QuadraticForm(jnp.asarray(h))
    np.testing.assert_allclose(Additive(0.3).covariance(loss, w), 0.09 * np.eye(2), rtol=1e-15)
    np.testing.assert_allclose(Isotropic(0.3, 4).covariance(loss, w), 0.0225 * np.eye(2))
    np.testing.assert_allclose(Fisher(8).covariance(loss, w), np.abs(h) / 8, atol=1e-15)
    xi = Fisher(8).draw(loss, w, jnp.array([1.0, -1.0]))
    np.testing.assert_allclose(xi, [np.sqrt(3 / 8), -np.sqrt(2 / 8)], rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize(
    "spectrum",
    [(2.0, 1.0), (2.0, -1.0), (-2.0, -1.0), (2.0, -2.0), (1.0, 1.0), (1.0, 0.0), (-1.0, 0.0)],
)
def test_the_fisher_covariance_folds_negative_eigenvalues(spectrum, scale):
    h = quadratic(spectrum, 4).function.matrix * scale
    values, vectors = np.linalg.eigh(np.asarray(h))
    folded = vectors @ np.diag(np.abs(values)) @ vectors.T
    found = Fisher().covariance(QuadraticForm(h), jnp.zeros(2))
    np.testing.assert_allclose(found, folded, rtol=0, atol=4e-15 * scale)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.thorough
def test_fisher_derivatives_are_finite_where_the_hessian_is_zero_or_isotropic(d, offset):
    loss = lambda w: jnp.sum(w**4) + jnp.sum(w) ** 4 + offset * jnp.sum(w**2)  # noqa: E731
    w, z = jnp.zeros(d), jnp.ones(d)
    for f in (lambda w: Fisher().draw(loss, w, z), lambda w: Fisher().covariance(loss, w)):
        for jacobian in (jax.jacfwd, jax.jacrev):
            assert np.all(np.isfinite(jacobian(f)(w)))
    assert np.all(np.isfinite(jax.grad(lambda w: Fisher().trace(loss, w))(w)))


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.thorough
def test_fisher_derivatives_are_those_of_finite_differences(d):
    w, z = jnp.linspace(-0.6, 0.7, d), jnp.linspace(1.0, -2.0, d)
    for f in (lambda w: Fisher().draw(curved, w, z), lambda w: Fisher().covariance(curved, w)):
        slopes = [(f(w + 1e-6 * e) - f(w - 1e-6 * e)) / 2e-6 for e in jnp.eye(d)]
        for jacobian in (jax.jacfwd, jax.jacrev):
            np.testing.assert_allclose(jacobian(f)(w), jnp.stack(slopes, -1), atol=1e-7)


@pytest.mark.parametrize("d", [1, 2])
def test_small_dimensions_need_no_factorisation(d):
    for noise in models(d):
        w, z = jnp.ones(d), jnp.ones(noise.draws(jnp.ones(d)))
        text = jax.jit(lambda w, z, n=noise: n.draw(curved, w, z)).lower(w, z).as_text()
        assert "custom_call" not in text


@pytest.mark.parametrize("replacement", [True, False])
def test_the_empirical_covariance_is_that_of_every_possible_batch(replacement):
    examples, w = data(4, 2), jnp.array([0.4, -0.3])
    gradients = np.asarray(jax.vmap(jax.grad(residual), (None, 0))(w, examples))
    n = range(4)
    batches = itertools.product(n, n) if replacement else itertools.combinations(n, 2)
    means = np.array([gradients[list(batch)].mean(axis=0) for batch in batches])
    noise = Empirical(residual, examples, 2, replacement)
    expected = np.cov(means.T, bias=True)
    np.testing.assert_allclose(noise.covariance(noise.loss, w), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(noise.loss)(w), gradients.mean(axis=0), rtol=1e-13)


def test_a_batch_of_all_examples_without_replacement_has_no_noise():
    w = jnp.array([0.4, -0.3])
    for n in (1, 4):
        noise = Empirical(residual, data(n, 2), n, replacement=False)
        np.testing.assert_array_equal(noise.covariance(noise.loss, w), np.zeros((2, 2)))


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.thorough
def test_the_response_of_gradient_noise_is_half_the_gradient_of_its_trace(d):
    w = jnp.linspace(-0.6, 0.7, d)
    noise = Empirical(residual, data(5, d), 3)
    rho_shift = lambda xi: 0.1 * xi  # noqa: E731
    expected = 0.05 * jax.grad(lambda v: noise.trace(noise.loss, v))(w)
    np.testing.assert_allclose(noise.response(noise.loss, w, rho_shift), expected, atol=1e-14)
    # in one dimension, or on coordinates that do not interact, any noise is a gradient
    separable = lambda v: jnp.sum(v**4 - v**3)  # noqa: E731
    expected = 0.05 * jax.grad(lambda v: Fisher(2).trace(separable, v))(w)
    np.testing.assert_allclose(Fisher(2).response(separable, w, rho_shift), expected, atol=1e-13)
    np.testing.assert_array_equal(Isotropic(1.0).response(curved, w, rho_shift), jnp.zeros(d))


@pytest.mark.parametrize("which", range(5))
@pytest.mark.thorough
def test_parameters_may_be_a_pytree_and_keep_their_precision(which):
    flat = jnp.array([0.4, -0.3], jnp.float32)
    nested = {"a": flat[:1], "b": flat[1]}

    def join(w):
        return jnp.concatenate([w["a"], w["b"][None]])

    noise = models(2)[which]
    z = jnp.linspace(-1.0, 1.0, noise.draws(flat))
    plain = noise.draw(curved, flat, z)
    if isinstance(noise, Empirical):
        noise = eqx.tree_at(
            lambda n: n.example_loss, noise, lambda w, example: residual(join(w), example)
        )
    found = noise.draw(lambda w: curved(join(w)), nested, z)
    np.testing.assert_allclose(join(found), plain, rtol=1e-5)
    assert plain.dtype == found["b"].dtype == jnp.float32
    assert noise.draws(nested) == noise.draws(flat)
    assert models(2)[which].covariance(curved, flat).dtype == jnp.float32
    assert models(2)[which].trace(curved, flat).dtype == jnp.float32


def test_equal_losses_and_new_numbers_do_not_compile_again():
    traces = []

    @eqx.filter_jit
    def draw(noise, w):
        traces.append(0)
        return noise.draw(noise.loss, w, jnp.ones(5)), noise.loss(w)

    for size in (1, 2, 32):
        draw(Empirical(residual, data(5, 2), size), jnp.ones(2))
    assert len(traces) == 1
    assert eqx.tree_equal(MeanLoss(residual, data(5, 2)), MeanLoss(residual, data(5, 2)))


@pytest.mark.thorough
def test_draws_are_vmapped_and_differentiated():
    noise, w = Fisher(2), jnp.array([[0.4, -0.3], [0.1, 0.2]])
    z = jnp.array([[1.0, 2.0], [-1.0, 0.5]])
    together = jax.vmap(lambda w, z: noise.draw(curved, w, z))(w, z)
    for row in range(2):
        np.testing.assert_allclose(together[row], noise.draw(curved, w[row], z[row]), rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Additive(-1.0), "noise must be a finite number >= 0, not -1"),
        (lambda: Isotropic(np.nan), "noise must be a finite number >= 0, not nan"),
        (lambda: Isotropic(1.0, 0), "batch size must be an integer >= 1, like 32, not 0"),
        (lambda: Fisher(2.5), "batch size must be an integer >= 1, like 32, not 2.5"),
        (lambda: Fisher(True), "batch size must be an integer >= 1, like 32, not True"),
        (lambda: Fisher("32"), "batch size must be an integer >= 1, like 32, not 32"),
        (lambda: Empirical(residual, data(4, 2), 5, False), "a batch of 5 cannot be drawn from 4"),
        (lambda: Empirical(residual, (np.ones(3), np.ones(2)), 1), "must count the same examples"),
        (lambda: MeanLoss(residual, (np.ones((0, 2)), np.ones(0))), "must count the same examples"),
    ],
)
def test_impossible_noise_is_refused(make, said):
    with pytest.raises(InvalidInput, match=said):
        make()
