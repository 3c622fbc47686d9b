"""Exit times in one dimension against closed forms and known values."""

import numpy as np
import pytest
from scipy.integrate import quad

from samdyn import InvalidInput
from samdyn.errors import ComputationFailed
from samdyn.escape.exact.exit_time_1d import exit_time, saddle_exit_time

INF = float("inf")


def constant(value):
    return lambda x: value + 0 * x


def double_well(x):
    return x - x**3


def test_brownian_motion_leaves_an_interval_in_the_textbook_time():
    centre = exit_time(constant(0), constant(0.5), 0, -1, 1)
    assert centre.mean == pytest.approx(1 / 0.25, rel=1e-13)
    assert centre.variance == pytest.approx(2 / 3 / 0.5**4, rel=1e-13)
    assert exit_time(constant(0), constant(0.5), 0.3, -1, 1).mean == pytest.approx(3.64, rel=1e-13)


def test_drifting_brownian_motion_that_may_come_back_from_infinity():
    for sign, ends in ((1, (-INF, 1.5)), (-1, (-1.5, INF))):
        time = exit_time(constant(2.0 * sign), constant(0.7), 0, *ends)
        assert time.mean == pytest.approx(1.5 / 2, rel=1e-12)
        assert time.variance == pytest.approx(1.5 * 0.7**2 / 2**3, rel=1e-12)


def test_geometric_brownian_motion():
    """ln X is Brownian with drift ν = m − σ²/2; Itô and Stratonovich differ by σ²/2 here."""
    m, sigma, x, a, b = 0.3, 0.8, 1.5, 0.5, 4.0
    nu = m - sigma**2 / 2
    k = 2 * nu / sigma**2
    upper = (1 - (x / a) ** -k) / (1 - (b / a) ** -k)
    exact = (upper * np.log(b / a) - np.log(x / a)) / nu
    time = exit_time(lambda x: m * x, lambda x: sigma * x, x, a, b)
    assert time.mean == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    ("ends", "known"), [((-INF, 0), 30.821302), ((-INF, 1), 66.268626), ((-1.5, 1), None)]
)
def test_the_double_well_agrees_with_known_values_and_its_error_is_honest(ends, known):
    start, s = -1, np.sqrt(0.2)
    time = exit_time(double_well, constant(s), start, *ends)
    assert time.error < 1e-9 * time.mean
    assert np.log(time.mean) == pytest.approx(time.log_mean)
    if known:
        assert time.mean == pytest.approx(known, abs=1e-6)
        mirrored = exit_time(double_well, constant(s), -start, -ends[1], -ends[0])
        assert mirrored.mean == pytest.approx(time.mean, rel=1e-11)


def test_means_add_up_along_the_path():
    """−1 → 1 passes through ½, and first passages are independent: means and variances add."""
    s = constant(np.sqrt(0.2))
    whole, first, second = (
        exit_time(double_well, s, a, -INF, b) for a, b in ((-1, 1), (-1, 0.5), (0.5, 1))
    )
    assert first.mean + second.mean == pytest.approx(whole.mean, rel=1e-11)
    assert first.variance + second.variance == pytest.approx(whole.variance, rel=1e-11)


def test_a_kink_in_the_drift_and_a_jump_in_the_noise_cost_no_digits():
    """Drift −sign(x): T' = −(2/s²)(e^{kx} − 1)/k for x > 0, with k = 2/s²."""
    k = 2 / 0.5**2
    exact = 2 / 0.25 * quad(lambda y: np.expm1(k * y) / k, 0.3, 1, epsrel=1e-13)[0]
    time = exit_time(lambda x: -np.sign(x), constant(0.5), 0.3, -1, 1)
    assert time.mean == pytest.approx(exact, rel=1e-11)
    jump = exit_time(constant(0), lambda x: np.where(np.abs(x) < 0.37, 1.0, 0.1), 0, -1, 1)
    inner = 0.37**2 + 2 * 0.37 * 0.63  # ∫ 2(1 − z) dz: the speed density weighs the distance left
    assert jump.mean == pytest.approx(inner + 0.63**2 / 0.01, rel=1e-10)


def test_quasi_potentials_of_a_thousand_do_not_overflow():
    """Kramers' law becomes exact: errors of the order of D/ΔL."""
    D = 0.25 / 1000
    time = exit_time(double_well, constant(np.sqrt(2 * D)), -1, -INF, 1)
    assert np.isinf(time.mean)
    assert time.log_mean == pytest.approx(1000 + np.log(np.sqrt(2) * np.pi), abs=3e-3)
    down = exit_time(lambda x: x, constant(np.sqrt(2e-3)), 0, -1, 1)  # ψ falls by 1000
    assert down.mean == pytest.approx(saddle_exit_time(1, np.sqrt(2e-3), 1), rel=1e-9)


def test_a_heavy_tail_has_a_mean_but_no_variance():
    """Speed density (1 + x²)^{−1}: to the right of it ∫ m = π/2, and the second moment diverges."""
    time = exit_time(lambda x: -x / (1 + x**2), constant(1), 0, -INF, 1)
    exact = quad(lambda y: (1 + y**2) * 2 * (np.arctan(y) + np.pi / 2), 0, 1, epsrel=1e-13)[0]
    assert time.mean == pytest.approx(exact, rel=1e-9)
    assert np.isinf(time.variance)


@pytest.mark.parametrize(("s", "known"), [(0.1, 3.281821), (0.01, 5.586900)])
def test_the_unstable_line(s, known):
    assert saddle_exit_time(1, s, 1) == pytest.approx(known, abs=1e-6)
    line = exit_time(lambda x: x, constant(s), 0, -1, 1)
    assert line.mean == pytest.approx(saddle_exit_time(1, s, 1), rel=1e-9)


def test_the_saddle_time_is_smooth_across_zero_and_across_its_two_methods():
    assert saddle_exit_time(0, 0.5, 2) == pytest.approx(16)
    mu = np.array([-1e-6, 0, 1e-6])
    left, middle, right = saddle_exit_time(mu, 1, 1)
    assert right - left == pytest.approx(-2 * 1e-6 / 3, rel=1e-6)  # 1 − q/3 + …
    assert (left + right) / 2 == pytest.approx(middle, rel=1e-12)
    below, above = saddle_exit_time(np.array([100 * (1 - 1e-12), 100 * (1 + 1e-12)]), 1, 1)
    assert below == pytest.approx(above, rel=1e-11)


@pytest.mark.parametrize("mu", [-300.0, -4.0, -0.1, 0.3, 20.0, 95.0, 150.0])
def test_the_saddle_time_agrees_with_the_double_integral(mu):
    time = exit_time(lambda x: mu * x, constant(1), 0, -1, 1)
    assert time.mean == pytest.approx(saddle_exit_time(mu, 1, 1), rel=1e-10)


def test_the_saddle_time_of_a_tiny_noise():
    """L√μ/s = 1e4: the logarithm and its constant, to the last digit but one."""
    exact = np.log(1e4) + (np.euler_gamma + 2 * np.log(2)) / 2 - 1 / 4e8
    assert saddle_exit_time(1, 1e-4, 1) == pytest.approx(exact, rel=1e-14)
    assert np.isinf(saddle_exit_time(-1, 1e-4, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((double_well, constant(1), 2, -1, 1), "start must lie"),
        ((double_well, constant(1), 0, -INF, INF), "nowhere to leave"),
        ((double_well, constant(0), 0, -1, 1), "diffusion is 0"),
        ((constant(0), constant(1), 0, -INF, 1), "infinite"),
        ((constant(-1), constant(1), 0, -INF, 1), "infinite"),
        ((lambda x: x, lambda x: x, 0.5, 0, 1), "the noise 0"),
        ((lambda x: 1 / (x * 0), constant(1), 0.5, 0, 1), "drift must be finite"),
        ((lambda x: double_well(np.float32(x)), constant(1), 0, -1, 1), "drift returns float32"),
        ((double_well, lambda x: np.float32(1 + x**2), 0, -1, 1), "diffusion returns float32"),
    ],
)
@pytest.mark.thorough
def test_what_cannot_be_answered_is_told(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        exit_time(*arguments)


def test_noise_that_vanishes_inside_is_not_passed_over():
    with pytest.raises((InvalidInput, ComputationFailed)):
        exit_time(constant(0), lambda x: x, 0.5, -1, 1)
    with pytest.raises(InvalidInput, match="s > 0"):
        saddle_exit_time(1, 0, 1)
