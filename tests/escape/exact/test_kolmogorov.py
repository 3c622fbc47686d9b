"""Exit times in the plane against closed forms and the one-dimensional quadrature."""

import numpy as np
import pytest

from samdyn import InvalidInput
from samdyn.errors import ComputationFailed
from samdyn.escape.exact.exit_time_1d import exit_time
from samdyn.escape.exact.kolmogorov import mean_exit_time_2d

AROUND = [[-1.1, 1.13], [-1.07, 1.1]]  # no grid line meets the unit disc at a special place
ELLIPSE = np.array([[2, 0.7], [0.7, 1]])


def still(points):
    return 0 * points


def disc(points):
    return 1 - np.hypot(*points.T)


def ellipse(points):
    return 1 - np.einsum("ni,ij,nj->n", points, ELLIPSE, points)


def noise(s):
    return lambda points: s * np.eye(2)


def square_series(x, y):
    """Brownian motion with s = 1 in (−1, 1)²."""
    k = np.arange(1, 200, 2)
    terms = (-1.0) ** ((k - 1) // 2) * 32 / (k * np.pi) ** 3 * np.cos(k * np.pi * x / 2)
    return np.sum(terms * (1 - np.cosh(k * np.pi * y / 2) / np.cosh(k * np.pi / 2)))


@pytest.mark.parametrize("start", [(0.3, 0.2), (0.9, 0.4), (0.0, 0.0)])
def test_brownian_motion_in_a_disc(start):
    """(R² − r²)/(2s²) is quadratic: the scheme makes no error at all, boundary included."""
    exact = (1 - np.sum(np.square(start))) / (2 * 0.5**2)
    found = mean_exit_time_2d(still, noise(0.5), start, disc, AROUND, 64)
    assert found.value == pytest.approx(exact, rel=1e-10)
    by_predicate = mean_exit_time_2d(still, noise(0.5), start, lambda p: disc(p) > 0, AROUND, 64)
    assert by_predicate.value == pytest.approx(found.value, rel=1e-10)
    x, y = np.meshgrid(*found.grid, indexing="ij")
    np.testing.assert_allclose(found.tau, 2 * np.maximum(1 - x**2 - y**2, 0), atol=1e-10)


def test_brownian_motion_in_a_square_within_its_error():
    def square(points):
        return np.all(np.abs(points) < 1, axis=1)

    found = mean_exit_time_2d(still, noise(1), [0.2, -0.1], square, AROUND, 128)
    assert abs(found.value - square_series(0.2, -0.1)) < found.error < 2e-5


@pytest.mark.parametrize(
    "s", [[[1, 0.3, 0.2], [0.5, -0.4, 0.9]], [[1, 0], [0.95, 0.31]], [[1, 0], [-0.7, 0.9]]]
)
def test_correlated_noise_of_any_width_in_an_ellipse(s):
    """τ = (1 − xᵀMx)/tr(M s sᵀ) in xᵀMx < 1, the cross derivative included."""
    s, start = np.array(s), np.array([0.2, 0.1])
    exact = ellipse(start[None])[0] / np.trace(ELLIPSE @ s @ s.T)
    box = [[-1.01, 1], [-1.3, 1.35]]
    found = mean_exit_time_2d(still, lambda p: s, start, ellipse, box, 64)
    assert found.value == pytest.approx(exact, rel=1e-10)


def test_a_separable_double_well_is_the_quadrature():
    """Beyond x > 0 out; the other three sides of the box reflect."""
    exact = exit_time(lambda x: x - x**3, lambda x: np.sqrt(0.2) + 0 * x, -1, -np.inf, 0).mean
    errors = []
    for cells in (64, 128):
        found = mean_exit_time_2d(
            lambda p: np.stack([p[:, 0] - p[:, 0] ** 3, -p[:, 1]], 1),
            noise(np.sqrt(0.2)),
            [-1, 0.3],
            lambda p: -p[:, 0],
            [[-2.6, 0.2], [-1.5, 1.7]],
            cells,
        )
        assert abs(found.value - exact) < found.error
        errors.append(found.error)
    assert errors[1] < 0.25 * errors[0] < 0.01


def test_an_ornstein_uhlenbeck_disc_is_the_radial_quadrature():
    """y = ln r: dy = −k dt + s e^{−y} dW, by Itô."""
    k, s = 1.0, 0.5
    exact = exit_time(lambda y: -k + 0 * y, lambda y: s * np.exp(-y), np.log(0.5), -np.inf, 0).mean
    found = mean_exit_time_2d(lambda p: -k * p, noise(s), [0.3, 0.4], disc, AROUND, 128)
    assert abs(found.value - exact) < found.error < 1e-3 * exact


def test_multiplicative_noise_turns_with_the_axes():
    """A rotated frame makes cross derivatives that vary, and reflects nothing: same time."""
    c, q = np.cos(0.5), np.sin(0.5)
    turn = np.array([[c, -q], [q, c]])

    def drift(p):
        return np.stack([p[:, 1], -p[:, 0] - p[:, 1]], 1)

    def diffusion(p):
        zero = 0 * p[:, 0]
        return np.stack([1 + p[:, 1] ** 2, zero, zero, 0.6 + zero], 1).reshape(-1, 2, 2)

    straight = mean_exit_time_2d(drift, diffusion, [0.3, 0.2], disc, AROUND, 128)
    turned = mean_exit_time_2d(
        lambda p: drift(p @ turn) @ turn.T,
        lambda p: turn @ diffusion(p @ turn),
        turn @ [0.3, 0.2],
        disc,
        AROUND,
        128,
    )
    assert abs(straight.value - turned.value) < straight.error + turned.error < 1e-3


def test_weak_noise_is_upwinded_and_says_how_wrong_it_is():
    """Out along the flow: dx = dt, from 0 to 1, takes 1 when there is almost no noise."""
    found = mean_exit_time_2d(
        lambda p: np.array([1.0, 0]) + still(p),
        noise(1e-3),
        [0, 0],
        lambda p: 1 - p[:, 0],
        [[-1, 1.2], [-1, 1]],
        64,
    )
    assert abs(found.value - 1) <= found.error + 1e-9
    assert found.tau.min() >= 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": [2, 0]}, "start must lie"),
        ({"region": lambda p: p[:, 0] < 9}, "never left"),
        ({"diffusion": noise(0)}, "diffusion is 0"),
        ({"cells": 30}, "multiple of 4"),
        ({"box": [[1, -1], [-1, 1]]}, "box shape"),
        ({"drift": lambda p: p / 0}, "must be finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_be_answered_is_told(change, words):
    right = {"drift": still, "diffusion": noise(1), "start": [0, 0], "region": disc}
    with pytest.raises(InvalidInput, match=words):
        mean_exit_time_2d(**({"box": AROUND, "cells": 32} | right | change))


def test_a_region_that_noise_cannot_reach_the_edge_of_is_told():
    """Noise along y only, in a strip that is open along x only."""
    with pytest.raises(ComputationFailed, match="can the region be left"):
        mean_exit_time_2d(
            still,
            lambda p: np.array([[0.0], [1.0]]),
            [0, 0],
            lambda p: 1 - np.abs(p[:, 0]),
            [[-1.1, 1.1], [-1, 1]],
            32,
        )
