"""Noise that changes with w: exact moments against enumeration, recursion and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import spread

import samdyn
from samdyn.dynamics.systems.stochastic_map import StochasticStepMap
from samdyn.errors import InvalidInput
from samdyn.escape.exact.moments import cubature, noise_depends_on_w, sde_moments, step_moments


def squared(w, example):
    return 0.5 * (jnp.sum(example[0] * w) - example[1]) ** 2


def least_squares(rng, n, d, offset=0.0):
    """(noise of a batch of one, its minimum (d,), x (n, d), residuals (n,))."""
    x = rng.normal(size=(n, d))
    truth = offset + rng.normal(size=d)
    noise = rng.normal(size=n)
    at = truth + np.linalg.solve(x.T @ x, x.T @ noise)
    y = x @ truth + noise
    return samdyn.Empirical(squared, (jnp.asarray(x), jnp.asarray(y)), 1), at, x, x @ at - y


def enumerated(x, residuals, eta, gamma, steps):
    """E ww^T over every example that a step of batch 1 may draw, by its own recursion."""
    n, d = x.shape
    p = np.zeros((2 * d, 2 * d))
    for _ in range(steps):
        after = np.zeros_like(p)
        for row, r in zip(x, residuals, strict=True):
            h, b = np.outer(row, row), row * r
            a = np.block([[np.eye(d) - eta * h, -eta * gamma * np.eye(d)], [h, gamma * np.eye(d)]])
            kick = np.concatenate([-eta * b, b])
            after += (a @ p @ a.T + np.outer(kick, kick)) / n
        p = after
    return p[:d, :d]


def test_the_cubature_is_exact_up_to_degree_5():
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7):
        nodes, weights = cubature(n)
        a, b = rng.normal(size=(2, n))
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-13)
        for u, v, want in ((a, b, a @ b), (a, a, a @ a)):
            np.testing.assert_allclose(weights @ ((nodes @ u) * (nodes @ v)), want, rtol=1e-12)
        fourth = weights @ ((nodes @ a) ** 2 * (nodes @ b) ** 2)
        np.testing.assert_allclose(fourth, (a @ a) * (b @ b) + 2 * (a @ b) ** 2, rtol=1e-12)
        np.testing.assert_allclose(weights @ (nodes @ a) ** 5, 0, atol=1e-10)


def test_least_squares_of_a_hundred_samples_is_what_enumeration_says():
    """Random data, rates, momenta and origins up to 10⁶; what overflows in both does so."""
    rng = np.random.default_rng(1)
    for number in range(100):
        offset = rng.choice([0.0, 1e3, -1e6])
        noise, at, x, residuals = least_squares(rng, 5, 1, offset)
        eta, gamma = 10 ** rng.uniform(-2, -0.3), float(rng.choice([0.0, 0.6]))
        step_map = StochasticStepMap(
            noise.loss, samdyn.GD(), eta, noise, samdyn.SameBatch(), samdyn.HeavyBall(gamma)
        )
        found = step_moments(step_map, jnp.asarray(at), 1 + number % 20)
        want = enumerated(x, residuals, eta, gamma, 1 + number % 20)
        tolerance = 1e-9 if offset == 0 else 1e-6  # the residuals themselves lose digits
        np.testing.assert_allclose(found, want, rtol=tolerance)


@pytest.mark.parametrize("coupling", ["same-batch", "fresh", "independent"])
@pytest.mark.thorough
def test_simulation_agrees_where_the_noise_changes_with_w(coupling):
    noise, at, _, _ = least_squares(np.random.default_rng(2), 6, 2)
    result = spread(
        *(noise.loss, at, samdyn.USAM(0.2), 0.1, noise, samdyn.COUPLINGS[coupling], 0.5),
        time=1.0,
        paths=100_000,
    )
    error = (result.ci95[:, 1] - result.ci95[:, 0]) / (2 * 1.96)
    assert np.all(np.abs(result.variance - result.exact.map) < 4 * error)
    frozen = samdyn.map_variance(*frozen_rates(noise, at, coupling), 0.1, 10, 0.5)
    assert np.any(np.abs(result.exact.map - frozen) > 0.05 * frozen)


def frozen_rates(noise, at, coupling):
    values, vectors = np.linalg.eigh(np.asarray(jax.hessian(noise.loss)(jnp.asarray(at))))
    nu = np.diag(vectors.T @ np.asarray(noise.covariance(noise.loss, jnp.asarray(at))) @ vectors)
    a, factor = samdyn.rates(coupling, values, 0.2)
    return a, factor * nu


def test_the_diffusion_grows_as_a_geometric_brownian_motion_does():
    """dw = −hw dt + √η σ(w) dW with σ² = v + 2cw + qw²: E w² by its own linear equation."""
    rng = np.random.default_rng(3)
    noise, at, x, residuals = least_squares(rng, 5, 1)
    eta, time, n = 0.05, 0.8, 20_000
    step_map = StochasticStepMap(noise.loss, samdyn.GD(), eta, noise)
    h, slope = x[:, 0] ** 2, x[:, 0] * residuals
    v, q, mean = np.mean(slope**2), np.mean((h - h.mean()) ** 2), h.mean()
    second = 0.0
    for _ in range(n):  # midpoint rule
        middle = second + time / n / 2 * ((-2 * mean + eta * q) * second + eta * v)
        second += time / n * ((-2 * mean + eta * q) * middle + eta * v)
    np.testing.assert_allclose(sde_moments(step_map, jnp.asarray(at), time), second, rtol=1e-7)


def test_noise_that_does_not_change_with_w_keeps_the_closed_form():
    for noise in (samdyn.Isotropic(1.0), samdyn.Fisher(4), samdyn.Additive(0.3)):
        step_map = StochasticStepMap(samdyn.get_loss("saddle"), samdyn.USAM(0.2), 0.1, noise)
        assert not noise_depends_on_w(step_map, jnp.zeros(2))
    noise, at, _, _ = least_squares(np.random.default_rng(4), 5, 1)
    assert noise_depends_on_w(
        StochasticStepMap(noise.loss, samdyn.GD(), 0.1, noise), jnp.asarray(at)
    )


@pytest.mark.thorough
def test_too_many_numbers_for_exact_moments_are_said():
    noise, at, _, _ = least_squares(np.random.default_rng(5), 60, 1)
    result = spread(noise.loss, at, samdyn.GD(), 0.05, noise, time=0.05, paths=10)
    assert result.exact.map is None
    assert "too many numbers" in str(result)


def test_few_digits_far_from_the_origin_are_refused_in_one_sentence():
    far = lambda w: 0.5 * jnp.sum((w - 1e5) ** 2)  # noqa: E731
    options = {"time": 0.5, "paths": 20_000}
    arguments = far, [1e5], samdyn.GD(), 0.1, samdyn.Isotropic(0.01)
    with pytest.raises(InvalidInput, match=r"spacings of float32.*float64"):
        spread(*arguments, **options, dtype=jnp.float32)
    result = spread(*arguments, **options)
    near = spread(
        lambda w: 0.5 * jnp.sum(w**2), [0.0], samdyn.GD(), 0.1, samdyn.Isotropic(0.01), **options
    )
    np.testing.assert_allclose(result.variance, near.variance, rtol=1e-6)
    np.testing.assert_allclose(result.exact.map, near.exact.map, rtol=1e-12)
    with pytest.raises(InvalidInput, match="Move the origin"):
        spread(
            lambda w: 0.5 * jnp.sum((w - 1e14) ** 2),
            [1e14],
            *arguments[2:],
            **options,
        )


@pytest.mark.parametrize(("curvature", "gamma"), [(-1.0, 0.0), (2.0, 0.9), (-0.3, 0.5)])
@pytest.mark.thorough
def test_a_gradient_that_competes_with_the_noise_is_refused(curvature, gamma):
    """A point 10⁻⁷ beside the critical one passes under large noise and not under small."""
    loss = samdyn.quadratic([curvature, 3.0])
    arguments = [1e-7, 0.0], samdyn.GD(), 0.1
    options = {"momentum": gamma, "time": 2.0, "paths": 1000}
    with pytest.raises(InvalidInput, match="gradient alone carries"):
        spread(loss, *arguments, samdyn.Isotropic(1e-7), **options)
    result = spread(loss, *arguments, samdyn.Isotropic(1e-3), **options)
    at_rest = spread(loss, [0.0, 0.0], *arguments[1:], samdyn.Isotropic(1e-3), **options)
    np.testing.assert_allclose(result.variance, at_rest.variance, rtol=1e-2)


@pytest.mark.parametrize("gamma", [0.0, 0.6])
def test_the_way_without_noise_is_that_of_the_steps_themselves(gamma):
    from samdyn.escape.spread import _carried

    rate, pull = np.array([-1.0, 0.0, 2.5]), np.array([1e-3, -2e-3, 5e-4])
    w, m = np.zeros(3), np.zeros(3)
    for _ in range(17):
        m = gamma * m + rate * w + pull
        w = w - 0.1 * m
    np.testing.assert_allclose(_carried(rate, pull, 0.1, 17, gamma), w, rtol=1e-12)
