"""Printed formulas: the numbers they give, where they are right, and where they are not."""

import jax.numpy as jnp
import numpy as np
import pytest
from verbs import theory

from samdyn import GD, Additive, Ball, Diffusion, InvalidInput
from samdyn.escape.exact import published
from samdyn.escape.exact.exit_time_1d import exit_time, saddle_exit_time
from samdyn.escape.exact.linear import gradient_noise, rates, sde_variance

ETA, BATCH = 0.01, 32


def exact(coupling, eigenvalue, rho, t, eta=ETA, gamma=0.0):
    a, noise = rates(coupling, eigenvalue, rho)
    return sde_variance(a, gradient_noise(eigenvalue, BATCH) * noise, eta, t, gamma)


def double_well(D):
    return exit_time(lambda x: x - x**3, lambda x: np.sqrt(2 * D) + 0 * x, -1, -np.inf, 1).mean


def test_theorem_2_is_the_variance_under_its_own_drift_only():
    eigenvalue, t = np.array([-3.0, -1.0, 0.5, 4.0]), 1.3
    printed = published.kim_theorem_2(eigenvalue, 0.4, t, ETA, BATCH)
    np.testing.assert_allclose(printed, exact("paper", eigenvalue, 0.4, t), rtol=1e-12)
    at_zero_rate = published.kim_theorem_2(-2.0, 0.5, t, ETA, BATCH)
    assert at_zero_rate == pytest.approx(ETA * 2 / BATCH * t)
    # past ρ|λ| = 1 the theorem diverges where SAM's own drift, of Theorem 1, holds w
    assert published.kim_theorem_2(-2.0, 1.5, 10.0, ETA, BATCH) > 1e3
    assert exact("fresh", -2.0, 1.5, 10.0) < 1e-3


def test_the_corollary_is_twice_what_sam_s_drift_gives_and_of_another_order_for_one_minibatch():
    mu, rho, t = 1.5, 1e-3, 1e-3
    printed = published.kim_corollary(-mu, rho, t, ETA, BATCH)
    lag = {name: exact("sgd", -mu, 0, t) - exact(name, -mu, rho, t) for name in rates_of_interest()}
    assert lag["paper"] / printed == pytest.approx(1, abs=5e-3)
    assert lag["fresh"] / printed == pytest.approx(0.5, abs=5e-3)
    assert lag["same-batch"] / printed * mu * t == pytest.approx(1, abs=5e-3)


def rates_of_interest():
    return ("paper", "fresh", "same-batch")


def test_theorem_3_is_right_after_the_inertia_and_before_the_rate_saturates():
    """η/(1−γ) = 1e-5 and (1−γ)²/η = 1e4 leave a wide window."""
    t = np.array([0.01, 0.1, 1.0])
    printed = published.kim_theorem_3(-1.0, 0.2, t, 1e-6, BATCH, 0.9)
    np.testing.assert_allclose(printed, exact("paper", -1.0, 0.2, t, 1e-6, 0.9), rtol=3e-3)


def test_theorem_3_misses_the_inertia_at_first_and_the_growth_in_the_end():
    early = 1e-4 * ETA / 0.1
    printed = published.kim_theorem_3(-1.0, 0.2, early, ETA, BATCH, 0.9)
    assert printed == pytest.approx(ETA / BATCH * early / 0.1**2, rel=1e-3)
    assert exact("paper", -1.0, 0.2, early, ETA, 0.9) == pytest.approx(
        early**3 / (3 * ETA * BATCH), rel=1e-3
    )
    late = published.kim_theorem_3(-1.0, 0.2, 3.0, ETA, BATCH, 0.9)
    assert late > 1e5 * exact("paper", -1.0, 0.2, 3.0, ETA, 0.9)


def test_theorem_3_with_the_exponent_as_printed_loses_its_first_term():
    t = 1e-3
    meant = published.kim_theorem_3(-1.0, 0.2, t, 0.1, BATCH, 0.9)
    given = published.kim_theorem_3(-1.0, 0.2, t, 0.1, BATCH, 0.9, exponent=t / 0.1)
    printed = published.kim_theorem_3(-1.0, 0.2, t, 0.1, BATCH, 0.9, exponent=0.1 / t)
    assert given == meant
    assert printed > 5 * meant  # η/t says that the memory fades at the start, not in the end


def test_kramers_gives_5413_for_the_double_well_22_percent_below_the_truth():
    printed = published.kramers(2.0, -1.0, 0.25, 0.1)
    assert printed == pytest.approx(54.13, abs=0.01)
    assert double_well(0.1) / printed == pytest.approx(1.2244, abs=1e-4)
    gaps = [double_well(D) / published.kramers(2.0, -1.0, 0.25, D) - 1 for D in (0.02, 0.01)]
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.2)  # an error of the order of D


def test_eyring_kramers_multiplies_over_independent_directions():
    """A direction with curvature 3 at the minimum and 7 at the saddle adds √(7/3)."""
    one = published.kramers(2.0, -1.0, 0.25, 0.1)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    at = [turn @ np.diag(d) @ turn.T for d in ([2.0, 3.0], [-1.0, 7.0])]
    two = published.eyring_kramers(*at, 0.25, 0.1)
    assert two == pytest.approx(one * np.sqrt(7 / 3), rel=1e-12)


def piecewise_well(scale, s, prefactor_at_end):
    """−1 → 1 in the double well, D going from 2·scale to scale once s of the barrier is climbed.

    Itô, or with the drift D′ that evaluates the noise at the end of a step.
    """
    cut, width = 1 - np.sqrt(s), 0.02

    def step(x):
        return 1 / (1 + np.exp((cut - x**2) / width))

    def drift(x):
        slope = scale * 2 * x / width * step(x) * (1 - step(x))
        return x - x**3 + prefactor_at_end * slope

    return exit_time(drift, lambda x: np.sqrt(2 * scale * (1 + step(x))), -1, -np.inf, 1).mean


def test_xie_has_the_exponent_of_two_temperatures_and_the_prefactor_of_the_end_of_a_step():
    """SGD evaluates its noise at the start of a step (Itô), which divides by H_ae/|H_be| = 2."""
    ratios = []
    for scale in (0.04, 0.01):
        printed = published.xie_sgd_escape(2.0, -1.0, 0.25, 2 * scale, 1, s=0.5)
        sharp = exit_time(
            lambda x: x - x**3,
            lambda x, d=scale: np.sqrt(2 * d * np.where(x**2 > 1 - np.sqrt(0.5), 2, 1)),
            -1,
            -np.inf,
            1,
        ).mean
        ratios.append(sharp / printed)
    assert abs(ratios[1] - 0.5) < 0.35 * abs(ratios[0] - 0.5) < 0.1
    end, start = (piecewise_well(0.01, 0.5, sense) for sense in (1, 0))
    assert end / start == pytest.approx(2, abs=0.02)


def test_xie_reduces_to_kramers_where_both_curvatures_are_the_same():
    """One temperature D = η|H|/2B: then s does not matter."""
    for s in (0.0, 0.3, 1.0):
        printed = published.xie_sgd_escape(1.5, -1.5, 0.25, 0.2, 2, s=s)
        D = 0.2 * 1.5 / (2 * 2)
        assert printed == pytest.approx(published.kramers(1.5, -1.5, 0.25, D), rel=1e-12)


def test_the_logarithm_of_a_saddle_exit_needs_its_constant():
    assert published.saddle_logarithm(1, 0.1, 1) == pytest.approx(3.28434, abs=1e-5)
    mu, L = 2.0, 1.5
    for s in (0.1, 0.01):
        gap = saddle_exit_time(mu, s, L) - published.saddle_logarithm(mu, s, L)
        assert gap == pytest.approx(-((s / (2 * mu * L)) ** 2), rel=0.01)


def test_wrong_input_is_told():
    with pytest.raises(InvalidInput, match="saddle must have exactly one"):
        published.kramers(2.0, 1.0, 0.25, 0.1)
    with pytest.raises(InvalidInput, match="positive eigenvalues"):
        published.kramers(-2.0, -1.0, 0.25, 0.1)
    with pytest.raises(InvalidInput, match="s in"):
        published.xie_sgd_escape(2.0, -1.0, 0.25, 0.1, 1, s=2)
    with pytest.raises(InvalidInput, match="> 0"):
        published.saddle_logarithm(-1, 0.1, 1)


@pytest.mark.thorough
def test_kramers_is_not_told_where_paths_leave_on_the_other_side():
    """A narrow bump on the way to 1, and a lower loss at −1: it would be 18 times too long."""
    bump = lambda w: 0.5 * w[0] ** 2 + 0.8 * jnp.exp(-(((w[0] - 0.5) / 0.1) ** 2))  # noqa: E731
    well = lambda w: 0.25 * (w[0] ** 2 - 1) ** 2  # noqa: E731
    told = {
        name: set(theory(Diffusion(loss, GD(), 0.01, Additive(s)), start, Ball(start, r)))
        for name, loss, s, start, r in [
            ("bump", bump, 0.5, [0.0], 1.0),
            ("well", well, 0.3, [-1.0], 1.5),
        ]
    }
    assert told == {"bump": {"exact"}, "well": {"exact", "kramers"}}
