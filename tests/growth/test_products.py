"""Growth of random products: closed forms, the enumeration, and other ways to the same number."""

import itertools

import numpy as np
import pytest

from samdyn.growth.products import (
    _resampled,
    _simulated,
    almost_sure,
    growth_of,
    moment,
    moment_rate,
)

RNG = np.random.default_rng(5)
THREE = RNG.normal(size=(1, 3, 2, 2))
EVEN = np.full(3, 1 / 3)


def log_radius(matrix):
    return np.log(np.max(np.abs(np.linalg.eigvals(matrix))))


def test_one_dimension_is_exact():
    a = np.array([0.5, -3.0, 1.5]).reshape(1, 3, 1, 1)
    p = np.array([0.2, 0.3, 0.5])
    found = growth_of(a, p)
    flat = a.ravel()
    assert found.mean.value == pytest.approx(np.log(abs(p @ flat)), abs=1e-14)
    assert found.mean_square.value == pytest.approx(np.log(p @ flat**2) / 2, abs=1e-14)
    assert found.almost_sure == (pytest.approx(p @ np.log(np.abs(flat)), abs=1e-14), 0.0)
    assert moment_rate(a, p, 0.7).value == pytest.approx(np.log(p @ np.abs(flat) ** 0.7) / 0.7)


@pytest.mark.parametrize("p", [2, 4])
def test_even_moments_are_those_of_the_whole_tensor_power(p):
    """On symmetric tensors the power has the radius that it has on all."""
    whole = 0
    for a in THREE[0]:
        power = a
        for _ in range(p - 1):
            power = np.kron(power, a)
        whole = whole + power / 3
    assert moment(THREE, EVEN, p) == pytest.approx(log_radius(whole) / p, abs=1e-12)


def test_many_dimensions_take_the_operator_that_is_never_written_down():
    matrices = RNG.normal(size=(1, 4, 26, 26)) / 6
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    whole = sum(w * np.kron(a, a) for w, a in zip(weights, matrices[0], strict=True))
    assert moment(matrices, weights, 2) == pytest.approx(log_radius(whole) / 2, abs=1e-9)


def test_an_orbit_takes_its_points_in_order():
    """Two steps of a period-2 orbit are one step of the products."""
    two = RNG.normal(size=(2, 2, 2, 2))
    even = np.full(2, 0.5)
    pairs = np.array([b @ a for a, b in itertools.product(two[0], two[1])])[None]
    for p in (1, 2, 4):
        assert 2 * moment(two, even, p) == pytest.approx(moment(pairs, np.full(4, 0.25), p))


def test_matrices_that_commute_are_exact():
    """Their exponent is the largest E log|λ_i|, of all runs of simultaneous eigenvectors."""
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0] @ np.diag([1.0, 3.0, 0.2, 1.0])
    values = RNG.normal(size=(5, 4))
    matrices = np.array([turn @ np.diag(v) @ np.linalg.inv(turn) for v in values])[None]
    found = almost_sure(matrices, np.full(5, 0.2))
    assert found == (pytest.approx(np.max(np.mean(np.log(np.abs(values)), axis=0))), 0.0)


def test_triangular_matrices_are_exact():
    matrices = np.triu(RNG.normal(size=(1, 3, 3, 3)))
    assert almost_sure(matrices, EVEN).error == 0
    simulated = _simulated(matrices, EVEN, 1)
    assert abs(simulated.value - almost_sure(matrices, EVEN).value) <= 1.5 * simulated.error


def test_a_product_that_is_zero_ends_there():
    nilpotent = np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]])[None]
    assert growth_of(nilpotent, np.full(2, 0.5)).almost_sure.value == -np.inf


@pytest.mark.thorough
def test_simulated_rates_lie_within_their_errors():
    """Of 60 seeds 95 % or more do; 90 % allows for two standard errors of that count."""
    rates = [_simulated(THREE, EVEN, seed) for seed in range(60)]
    true = np.mean([rate.value for rate in rates])
    assert np.mean([abs(r.value - true) <= r.error for r in rates]) >= 0.9
    # a closed form: products of rotations by a random angle and a stretch
    angles = np.linspace(0, np.pi, 64, endpoint=False)
    stretch = np.diag([2.0, 0.5])
    turns = np.array([[[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]] for t in angles])
    exact = np.log((2 + 0.5) / 2)  # E log‖stretch·u‖ over uniform directions u
    even = np.full(64, 1 / 64)
    rates = [_simulated((stretch @ turns)[None], even, seed) for seed in range(60)]
    assert np.mean([abs(r.value - exact) <= r.error for r in rates]) >= 0.9


@pytest.mark.thorough
def test_moments_from_copies_agree_with_the_exact_ones():
    for p in (2, 4):
        found = [_resampled(THREE, EVEN, p, seed) for seed in range(12)]
        exact = moment(THREE, EVEN, p)
        assert np.mean([abs(r.value - exact) <= r.error for r in found]) >= 0.8
