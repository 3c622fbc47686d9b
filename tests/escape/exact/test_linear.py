"""The linear problem against recursions and integrations that share no formula with it."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from samdyn import InvalidInput
from samdyn.escape.exact.linear import (
    COUPLINGS,
    continuous_roots,
    escape_multiplier,
    gradient_noise,
    map_variance,
    rates,
    sde_variance,
    stationary_map_variance,
)


def recursion(a, nu, eta, steps, gamma):
    A, b = np.array([[1 - eta * a, -eta * gamma], [a, gamma]]), np.array([-eta, 1.0])
    P = np.zeros((2, 2))
    for _ in range(steps):
        P = A @ P @ A.T + nu * np.outer(b, b)
    return P[0, 0]


def system(a, nu, eta, gamma):
    return np.array([[0, -1], [a / eta, -(1 - gamma) / eta]]), np.diag([0, nu / eta])


def van_loan(a, nu, eta, t, gamma):
    """Covariance by a matrix exponential over t/64, doubled six times."""
    F, Q = system(a, nu, eta, gamma)
    M = expm(np.block([[-F, Q], [np.zeros((2, 2)), F.T]]) * t / 64)
    A = M[2:, 2:].T
    P = A @ M[:2, 2:]
    for _ in range(6):
        P, A = P + A @ P @ A.T, A @ A
    return P[0, 0]


@pytest.mark.parametrize(("eta", "gamma"), [(0.1, 0.9), (0.01, 0.5), (0.05, 0.99), (0.1, 0.1)])
@pytest.mark.thorough
def test_the_underdamped_variance_is_the_matrix_exponential_also_where_roots_meet(eta, gamma):
    """ac is the critical rate (1−γ)²/4η."""
    ac = (1 - gamma) ** 2 / (4 * eta)
    at_ac = ac * np.array([1 - 1e-7, 1, 1 + 1e-3, 1.05, 1.3, 2, 10])
    for a in (-1, -0.1, -1e-6, 0, 1e-6, 0.1, *at_ac):
        times = np.array([1e-3, 0.05, 0.3, 1, 5])
        exact = [van_loan(a, 0.7, eta, t, gamma) for t in times]
        np.testing.assert_allclose(sde_variance(a, 0.7, eta, times, gamma), exact, rtol=1e-10)


@pytest.mark.parametrize("a", [-0.8, 0.025, 0.9])
def test_the_underdamped_variance_solves_the_lyapunov_equation(a):
    eta, gamma, t = 0.1, 0.9, 1.5
    F, Q = system(a, 0.7, eta, gamma)

    def velocity(_, p):
        P = p.reshape(2, 2)
        return (F @ P + P @ F.T + Q).ravel()

    run = solve_ivp(velocity, (0, t), np.zeros(4), method="DOP853", rtol=1e-12, atol=1e-16)
    assert sde_variance(a, 0.7, eta, t, gamma) == pytest.approx(run.y[0, -1], rel=1e-9)


def test_the_plain_variance_and_its_limits():
    eta, nu, t = 0.1, 0.7, 2.0
    for a in (-1.3, -0.2, 0.4):
        exact = eta * nu * (1 - np.exp(-2 * a * t)) / (2 * a)
        assert sde_variance(a, nu, eta, t) == pytest.approx(exact, rel=1e-13)
    for a in (0, 1e-14, -1e-14):
        assert sde_variance(a, nu, eta, t) == pytest.approx(eta * nu * t, rel=1e-12)
    assert np.isinf(sde_variance(-1.0, nu, eta, 1e4))
    assert sde_variance(np.ones((3, 1)), nu, eta, np.ones(2), 0.9).shape == (3, 2)


@pytest.mark.parametrize(("eta", "gamma"), [(0.1, 0.9), (0.01, 0.0), (0.05, 0.99), (0.1, 0.1)])
def test_the_map_variance_is_the_recursion(eta, gamma):
    for a in (-1, -0.1, -1e-6, 0, 1e-9, 0.1, 1.0, 10.0):
        for steps in (1, 2, 7, 100, 999):
            exact = recursion(a, 0.7, eta, steps, gamma)
            assert map_variance(a, 0.7, eta, steps, gamma) == pytest.approx(exact, rel=1e-10)


def test_a_million_steps_lose_no_digits():
    a, eta, steps = np.array([-1e-3, 1e-3, 1e-9]), 1e-2, 10**6
    growth = np.expm1(2 * steps * np.log1p(-eta * a))
    exact = eta**2 * growth / (eta * a * (eta * a - 2))
    np.testing.assert_allclose(map_variance(a, 1.0, eta, steps), exact, rtol=1e-12)
    many = map_variance(0.5, 1.0, 0.1, [10**6, 3, 0], 0.9)
    assert many[0] == pytest.approx(stationary_map_variance(0.5, 1.0, 0.1, 0.9), rel=1e-12)
    assert many[1] == pytest.approx(recursion(0.5, 1.0, 0.1, 3, 0.9), rel=1e-13)
    assert many[2] == 0
    assert np.isinf(map_variance(-1.0, 1.0, 0.1, 10**6, 0.9))


def test_the_stationary_variance_is_a_fixed_point_and_ends_at_the_stability_edge():
    for gamma in (0.0, 0.5, 0.9):
        for a in (0.3, 5.0, 2 * (1 + gamma) / 0.1 * 0.99):
            limit = stationary_map_variance(a, 0.7, 0.1, gamma)
            assert map_variance(a, 0.7, 0.1, 10**6, gamma) == pytest.approx(limit, rel=1e-9)
        outside = np.array([-1, 0, 2 * (1 + gamma) / 0.1 * 1.001])
        assert np.all(np.isinf(stationary_map_variance(outside, 0.7, 0.1, gamma)))


def test_the_map_tends_to_its_sde():
    """First order in η at fixed friction (1−γ)/η: halving η halves the distance."""
    a, t, gaps = -0.5, 2.0, []
    for eta in (0.01, 0.005, 0.0025):
        nu, gamma = 1 / eta, 1 - 4 * eta
        a_eta = a * eta  # a/η fixed: one and the same SDE
        sde = sde_variance(a_eta, nu * eta**2, eta, t, gamma)
        gaps.append(map_variance(a_eta, nu * eta**2, eta, round(t / eta), gamma) / sde - 1)
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(2, abs=0.05)


def test_multipliers_and_roots():
    eta, gamma = 0.1, 0.9
    for a in (-2.0, 0.0, 0.05, 3.0, 60.0):
        A = np.array([[1 - eta * a, -eta * gamma], [a, gamma]])
        radius = np.abs(np.linalg.eigvals(A)).max()
        assert escape_multiplier(a, eta, gamma) == pytest.approx(radius, rel=1e-9)
        F, _ = system(a, 1, eta, gamma)
        plus, minus = continuous_roots(a, eta, gamma)
        assert plus + minus == pytest.approx(np.trace(F), rel=1e-12)
        assert plus * minus == pytest.approx(np.linalg.det(F), abs=1e-9)
    guess = np.exp(eta * 2 / (1 - gamma))
    assert escape_multiplier(-2.0, eta, gamma) < guess
    small = np.log(escape_multiplier(-1e-5, eta, gamma)) / (eta * 1e-5 / (1 - gamma))
    assert small == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("coupling", "order", "coefficient"),
    [
        ("sgd", 2, lambda m, r: 0),
        ("paper", 2, lambda m, r: m**3 * r * (2 - r * m)),
        ("fresh", 2, lambda m, r: m**3 * r),
        ("same-batch", 1, lambda m, r: m**2 * r * (2 - r * m)),
        ("independent", 1, lambda m, r: -(m**3) * r**2),
    ],
)
def test_what_sam_lags_behind_sgd_to_leading_order(coupling, order, coefficient):
    mu, rho, eta, batch, t = 1.7, 0.2, 0.01, 32, 1e-5
    nu = gradient_noise(-mu, batch)
    assert nu == mu / batch
    (a, noise), (a0, _) = rates(coupling, -mu, rho), rates("sgd", -mu)
    lag = sde_variance(a0, nu, eta, t) - sde_variance(a, nu * noise, eta, t)
    expected = eta / batch * coefficient(mu, rho) * t**order
    assert lag == pytest.approx(expected, rel=1e-3, abs=1e-18)


def test_one_minibatch_for_both_gradients_is_exact_on_a_quadratic():
    """The step of ½λw² − ξw with w^p = w + ρg, sampled, against rate and factor."""
    lam, rho, eta, steps, n = -1.0, 0.4, 0.05, 40, 100_000
    rng = np.random.default_rng(0)
    w = {"same-batch": np.zeros(n), "independent": np.zeros(n), "fresh": np.zeros(n)}
    for _ in range(steps):
        first, second = rng.standard_normal((2, n))
        kicks = {"same-batch": (first, first), "independent": (first, second), "fresh": (0, second)}
        for name, (inner, outer) in kicks.items():
            perturbed = w[name] + rho * (lam * w[name] + inner)
            w[name] = w[name] - eta * (lam * perturbed + outer)
    for name, end in w.items():
        a, noise = rates(name, lam, rho)
        exact = map_variance(a, noise, eta, steps)
        assert abs(np.mean(end**2) - exact) < 4 * exact * np.sqrt(2 / n)


def test_wrong_input_is_told():
    assert all(rates(name, np.array([-1.0, 2.0]), 0.1).rate.shape == (2,) for name in COUPLINGS)
    with pytest.raises(InvalidInput, match="coupling"):
        rates("other", 1.0)
    with pytest.raises(InvalidInput, match="rho"):
        rates("fresh", 1.0, -1.0)
    with pytest.raises(InvalidInput, match="whole"):
        map_variance(1.0, 1.0, 0.1, 1.5)
    with pytest.raises(InvalidInput, match="momentum"):
        sde_variance(1.0, 1.0, 0.1, 1.0, 1.0)
    with pytest.raises(InvalidInput, match="learning rate"):
        sde_variance(1.0, 1.0, 0.0, 1.0)
