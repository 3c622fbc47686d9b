"""Where the noise enters: rates and noises of the five models, and the smoothed SAM."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special

from samdyn.dynamics.coupling import (
    COUPLINGS,
    Fresh,
    Independent,
    Paper,
    SameBatch,
)
from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.multi_step import MultiStep
from samdyn.dynamics.methods.perturbed_loss import PerturbedLossGradient
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.noise.noise import Empirical, Fisher, Isotropic
from samdyn.dynamics.noise.smoothing import mean_unit, mean_unit_isotropic
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss

RHO, BATCH = 0.3, 4
BEALE = get_loss("beale")
W = jnp.array([0.7, 0.4])


def squared_factor(coupling, loss, method, noise, w):
    """The covariance of the direction, from `disperse` as a matrix."""
    z = jnp.zeros(coupling.draws(noise, w))
    factor = jax.jacfwd(lambda z: coupling.disperse(loss, method, noise, w, z))(z)
    return factor @ factor.T


@pytest.mark.parametrize("curvature", [2.0, -1.0, -5.0])
@pytest.mark.parametrize(
    ("name", "rate", "variance"),
    [
        ("sgd", lambda x: x, lambda x: 1),
        ("paper", lambda x: x * (1 + RHO * x) ** 2, lambda x: 1),
        ("fresh", lambda x: x * (1 + RHO * x), lambda x: 1),
        ("same-batch", lambda x: x * (1 + RHO * x), lambda x: (1 + RHO * x) ** 2),
        ("independent", lambda x: x * (1 + RHO * x), lambda x: 1 + (RHO * x) ** 2),
    ],
)
@pytest.mark.thorough
def test_rate_and_noise_on_a_quadratic_are_those_of_each_model(name, rate, variance, curvature):
    loss, w = quadratic((curvature,), None), jnp.array([0.8])
    coupling = COUPLINGS.get(name, SameBatch())
    method = GD() if name == "sgd" else USAM(RHO)
    noise = Fisher(BATCH)
    drift = coupling.drift(loss, method, noise, w)
    np.testing.assert_allclose(drift, rate(curvature) * w, rtol=0, atol=1e-12)
    expected = abs(curvature) / BATCH * variance(curvature)
    found = squared_factor(coupling, loss, method, noise, w)
    np.testing.assert_allclose(found, [[expected]], rtol=0, atol=1e-12)
    # on a quadratic the first order is all there is
    z = jnp.linspace(0.5, -1.2, coupling.draws(noise, w))
    step = coupling.modelled_step(loss, method, noise, None, w, z)[0]
    spread = coupling.disperse(loss, method, noise, w, z)
    np.testing.assert_allclose(step, drift + spread, rtol=0, atol=1e-12)


def test_same_batch_noise_in_two_dimensions_is_multiplied_by_the_ascent():
    loss = quadratic((3.0, -1.0), 2)
    h = np.asarray(loss.function.matrix)
    noise = Fisher(BATCH)
    inside = (np.eye(2) + RHO * h) @ noise.covariance(loss, W) @ (np.eye(2) + RHO * h)
    found = squared_factor(SameBatch(), loss, USAM(RHO), noise, W)
    np.testing.assert_allclose(found, inside, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", COUPLINGS)
def test_all_couplings_of_gradient_descent_are_one(name):
    coupling, noise = COUPLINGS[name], Fisher(BATCH)
    z = jnp.linspace(0.5, -1.2, coupling.draws(noise, W))
    xi = noise.draw(BEALE, W, z[:2])
    g = jax.grad(BEALE)(W)
    step = coupling.modelled_step(BEALE, GD(), noise, None, W, z)[0]
    np.testing.assert_allclose(step, g + xi, rtol=1e-14)
    np.testing.assert_allclose(coupling.drift(BEALE, GD(), noise, W), g, rtol=1e-14)
    np.testing.assert_allclose(coupling.disperse(BEALE, GD(), noise, W, z), xi, rtol=1e-14)


@pytest.mark.parametrize("method", [SAM(RHO), USAM(0.02), MultiStep(SAM(RHO), 2), ASAM(RHO)])
@pytest.mark.thorough
def test_each_step_is_its_definition(method):
    noise, z = Isotropic(0.7), jnp.array([0.5, -1.2, 0.3, 0.9])
    gradient = jax.grad(BEALE)

    def noisy(xi):
        return lambda v: gradient(v) + 0.7 * xi

    def step(coupling, z):
        return coupling.modelled_step(BEALE, method, noise, None, W, z)[0]

    outer, inner = z[:2], z[2:]
    exact = {
        "same-batch": noisy(outer)(method.perturb(noisy(outer), W)),
        "independent": noisy(outer)(method.perturb(noisy(inner), W)),
        "fresh": noisy(outer)(method.perturb(gradient, W)),
        "paper": PerturbedLossGradient(method).direction(jax.grad(BEALE), W) + 0.7 * outer,
    }
    for name, coupling in COUPLINGS.items():
        draws = z[: coupling.draws(noise, W)]
        np.testing.assert_allclose(step(coupling, draws), exact[name], rtol=1e-13)


def examples():
    rng = np.random.default_rng(3)
    return rng.normal(size=(5, 2)), rng.normal(size=5)


def example_loss(w, example):
    x, y = example
    return jnp.tanh(jnp.sum(w * x) - y) ** 2


def batch_steps(method, w, batch):
    """The direction on every batch with replacement, shape (5^batch, 2)."""
    x, y = (jnp.asarray(part) for part in examples())
    batches = jnp.array(list(itertools.product(range(5), repeat=batch)))

    def one(chosen):
        loss = lambda w: jnp.mean(jax.vmap(example_loss, (None, 0))(w, (x[chosen], y[chosen])))  # noqa: E731
        return method.direction(jax.grad(loss), w)

    return jax.jit(jax.vmap(one))(batches)


@pytest.mark.parametrize("make", [USAM, lambda rho: MultiStep(USAM(rho), 2)])
@pytest.mark.thorough
def test_same_batch_mean_is_that_of_real_minibatches_to_first_order_in_rho(make):
    w, noise = jnp.array([0.4, -0.3]), Empirical(example_loss, examples(), 3)
    error, correction = [], []
    for rho in (0.02, 0.01):
        mean = batch_steps(make(rho), w, 3).mean(axis=0)
        error.append(np.max(np.abs(mean - SameBatch().drift(noise.loss, make(rho), noise, w))))
        correction.append(np.max(np.abs(mean - make(rho).direction(jax.grad(noise.loss), w))))
    assert error[0] / error[1] == pytest.approx(4, rel=0.2)  # O(ρ²), where
    assert correction[0] / correction[1] == pytest.approx(2, rel=0.2)  # the correction is O(ρ)


@pytest.mark.thorough
def test_same_batch_drift_of_usam_is_that_of_the_published_regularised_loss():
    w, noise = jnp.array([0.4, -0.3]), Empirical(example_loss, examples(), 3)
    gradient = jax.grad(noise.loss)

    def regularised(w, rho):
        square = jnp.sum(gradient(w) ** 2) + noise.trace(noise.loss, w)
        return noise.loss(w) + rho / 2 * square

    error = []
    for rho in (1e-2, 1e-3):
        drift = SameBatch().drift(noise.loss, USAM(rho), noise, w)
        error.append(np.max(np.abs(drift - jax.grad(regularised)(w, rho))))
    assert error[1] < 2e-5
    assert 90 < error[0] / error[1] < 110  # they differ by O(ρ²)


@pytest.mark.parametrize(
    ("coupling", "make", "noise"),
    [
        (SameBatch(), SAM, Isotropic(1.5)),
        (SameBatch(), SAM, Fisher(4)),
        (SameBatch(), SAM, Empirical(example_loss, examples(), 2)),
        (SameBatch(), USAM, Fisher(4)),
        (SameBatch(), USAM, Empirical(example_loss, examples(), 2)),
        (Independent(), SAM, Fisher(4)),
        (Independent(), USAM, Fisher(4)),
    ],
)
@pytest.mark.thorough
def test_mean_and_covariance_of_the_modelled_step_to_first_order_in_rho(coupling, make, noise):
    loss = lambda w: jnp.sum(w**4) / 4 - w[0] ** 2 + w[0] * w[1] ** 2  # noqa: E731
    loss = noise.loss if isinstance(noise, Empirical) else loss
    w, n = jnp.array([0.5, -0.4]), 100_000
    z = jax.random.normal(jax.random.key(0), (n, coupling.draws(noise, w)))
    outer = z[:, : noise.draws(w)]
    xi = np.asarray(jax.vmap(lambda z: noise.draw(loss, w, z))(outer))

    def errors(rho):
        """(of the mean, of the covariance, standard error of the mean), in units of ρ."""
        step = lambda z: coupling.modelled_step(loss, make(rho), noise, None, w, z)[0]  # noqa: E731
        steps = np.asarray(jax.jit(jax.vmap(step))(z))
        rest = steps - xi  # the noise at w has mean 0 and needs no sampling
        mean = rest.mean(axis=0) - coupling.drift(loss, make(rho), noise, w)
        # likewise Cov(steps) = Σ(w) + Cov(ξ, rest) + Cov(rest, ξ) + O(ρ²)
        cross = np.cov(xi.T, rest.T)[:2, 2:]
        factor = squared_factor(coupling, loss, make(rho), noise, w)
        covariance = noise.covariance(loss, w) + cross + cross.T - factor
        return mean / rho, covariance / rho, rest.std(axis=0) / rho / np.sqrt(n)

    coarse, fine = errors(0.01), errors(0.005)
    # what is left when the O(ρ²) is extrapolated away
    assert np.all(np.abs(2 * fine[0] - coarse[0]) < 4 * 3 * fine[2] + 0.01)
    if make is SAM and not noise.isotropic:
        return  # noise that varies and a nonlinear ascent: O(ρ) remains, below weak order 1
    scale = np.max(noise.covariance(loss, w))
    assert np.max(np.abs(2 * fine[1] - coarse[1])) < 0.1 * scale


def test_smoothed_sam_in_one_dimension_is_the_error_function():
    loss, s = quadratic((-2.0,), None), 0.7
    for x in (0.0, 0.05, -0.4, 3.0):
        w = jnp.array([x])
        expected = -2 * (x + RHO * scipy.special.erf(-2 * x / (s / 2 * np.sqrt(2))))
        for coupling in (SameBatch(), Independent()):
            found = coupling.drift(loss, SAM(RHO), Isotropic(s, 4), w)
            np.testing.assert_allclose(found, [expected], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
@pytest.mark.thorough
def test_smoothed_sam_near_a_critical_point_is_usam_with_a_radius_that_the_noise_sets(d):
    s = 0.7
    loss = quadratic(tuple(np.linspace(-2.0, 3.0, d) if d > 1 else (-2.0,)), 1)
    h = np.asarray(loss.function.matrix)
    gamma = scipy.special.gamma
    effective = RHO * np.sqrt(2) * gamma((d + 1) / 2) / (d * s * gamma(d / 2))
    slope = jax.jacfwd(lambda w: SameBatch().drift(loss, SAM(RHO), Isotropic(s), w))(jnp.zeros(d))
    np.testing.assert_allclose(slope, h @ (np.eye(d) + effective * h), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("ratio", [1e-8, 1e-3, 0.01, 0.02, 0.3, 10.0, 1e4])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 10])
@pytest.mark.thorough
def test_the_mean_direction_of_an_isotropic_gaussian_is_a_kummer_function(d, ratio):
    m = np.linspace(-1.0, 2.0, d) if d > 1 else np.array([0.8])
    variance = ratio * m @ m
    argument = scipy.special.hyp1f1(0.5, d / 2 + 1, -min(1 / (2 * ratio), 600))
    gamma = scipy.special.gamma
    expected = m * argument * np.sqrt(2 / variance) * gamma((d + 1) / 2) / (d * gamma(d / 2))
    if ratio < 1e-3:
        expected = m / np.linalg.norm(m)
    found = mean_unit_isotropic(jnp.asarray(m), jnp.asarray(variance))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 if ratio < 1e-3 else 2e-10)
    if d > 1:
        general = mean_unit(jnp.asarray(m), variance * jnp.eye(d))
        np.testing.assert_allclose(general, found, rtol=0, atol=2e-10)


@pytest.mark.parametrize("small", [0.3, 1e-3, 0.0])
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.thorough
def test_the_mean_direction_of_any_gaussian_is_its_integral(d, small):
    m = np.array([0.3, -0.5, 0.2])[:d]
    deviations = np.array([1.0, small, 0.2])[:d]
    frame = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    found = mean_unit(jnp.asarray(frame @ m), jnp.asarray(frame @ np.diag(deviations**2) @ frame.T))

    def integrand(y, k):
        a = 1 + 2 * np.sinh(y) ** 2 * deviations**2
        return (
            np.cosh(y)
            * m[k]
            / a[k]
            / np.sqrt(a.prod())
            * np.exp(-np.sum(np.sinh(y) ** 2 * m**2 / a))
        )

    expected = [
        scipy.integrate.quad(integrand, 0, 20, (k,), epsabs=1e-12, epsrel=1e-12, limit=200)[0]
        for k in range(d)
    ]
    np.testing.assert_allclose(frame.T @ found, 2 / np.sqrt(np.pi) * np.array(expected), atol=1e-9)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.thorough
def test_the_mean_direction_of_any_gaussian_is_that_of_samples(d):
    m, n = jnp.array([0.3, -0.5, 0.2])[:d], 400_000
    factor = jnp.array([[0.5, 0, 0], [0.9, 0.4, 0], [-0.3, 0.1, 0.2]])[:d, :d]
    x = m[None] + jax.random.normal(jax.random.key(1), (n, d)) @ factor.T
    unit = np.asarray(x / jnp.linalg.norm(x, axis=1, keepdims=True))
    error = unit.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(unit.mean(axis=0) - mean_unit(m, factor @ factor.T)) < 4 * error)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.thorough
def test_without_noise_smoothed_sam_is_sam_and_zero_at_a_critical_point(d):
    loss = quadratic(tuple(np.linspace(-2.0, 3.0, d) if d > 1 else (-2.0,)), 1)
    w = jnp.linspace(0.2, 0.9, d)
    for noise in (Isotropic(0.0), Isotropic(1e-14), Fisher(10**18)):
        for at in (w, jnp.zeros(d)):
            drift = lambda w, n=noise: SameBatch().drift(loss, SAM(RHO), n, w)  # noqa: E731
            expected = SAM(RHO).direction(jax.grad(loss), at)
            np.testing.assert_allclose(jax.jit(drift)(at), expected, rtol=0, atol=2e-12)
            assert np.all(np.isfinite(jax.jit(jax.jacfwd(drift))(at)))


@eqx.filter_jit
def three(coupling, method, noise, w, z):
    parts = BEALE, method, noise, w
    return (
        coupling.drift(*parts),
        coupling.disperse(*parts, z),
        coupling.modelled_step(*parts[:-1], None, parts[-1], z)[0],
    )


@pytest.mark.thorough
def test_float32_stays_float32():
    w, z = jnp.array([0.7, 0.4], jnp.float32), jnp.ones(4)
    for name, coupling in COUPLINGS.items():
        for method in (SAM(RHO), USAM(RHO)):
            noise = Fisher(4)
            found = three(coupling, method, noise, w, z[: coupling.draws(noise, w)])
            assert {part.dtype for part in found} == {jnp.dtype("float32")}, name
            assert np.all(np.isfinite(found))


def test_isotropic_smoothing_in_two_dimensions_needs_no_factorisation():
    for method, noise in [
        (SAM(RHO), Isotropic(0.5)),
        (SAM(RHO), Fisher(4)),
        (USAM(RHO), Fisher(4)),
    ]:
        drift = jax.jit(lambda w, m=method, n=noise: SameBatch().drift(BEALE, m, n, w))
        assert "custom_call" not in drift.lower(W).as_text()


def test_what_has_no_meaning_or_no_formula_is_refused():
    own = PerturbedLossGradient(USAM(RHO))
    noise, z = Isotropic(1.0), jnp.ones(2)
    for coupling in (Fresh(), Paper()):
        step = coupling.modelled_step(BEALE, own, noise, None, W, z)[0]
        np.testing.assert_allclose(step, own.direction(jax.grad(BEALE), W) + z, rtol=1e-14)
    for coupling in (SameBatch(), Independent()):
        both = jnp.ones(coupling.draws(noise, W))
        with pytest.raises(InvalidInput, match="PerturbedLossGradient does not descend"):
            coupling.modelled_step(BEALE, own, noise, None, W, both)[0]
        for method in (ASAM(RHO), MultiStep(SAM(RHO), 2)):
            with pytest.raises(InvalidInput, match="use dynamics map"):
                coupling.drift(BEALE, method, noise, W)
            with pytest.raises(InvalidInput, match="use dynamics map"):
                coupling.disperse(BEALE, method, noise, W, both)
