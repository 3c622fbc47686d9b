"""Every stored critical point is one, of the stated type, with the stated spectrum."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.losses.families import quadratic
from samdyn.losses.loss import type_of_eigenvalues
from samdyn.losses.registry import get_loss, loss_names

STORED = [*loss_names(), "styblinski-tang-3d", "rosenbrock-4d"]
KNOWN = [name for name in STORED if name != "toy-net"]
COUNTS = {
    "beale": 3,
    "saddle": 1,
    "himmelblau": 9,
    "six-hump-camel": 15,
    "three-hump-camel": 5,
    "muller-brown": 5,
    "monkey-saddle": 1,
    "mexican-hat": 1,
    "double-well": 3,
    "double-well-2d": 3,
    "double-well-product": 27,
    "rosenbrock": 1,
    "rosenbrock-4d": 3,
    "styblinski-tang": 9,
    "styblinski-tang-3d": 27,
    "quadratic": 1,
}


STEP = 1e-5  # of the central differences


@functools.cache
def known(name):
    """The loss, its stored points, and (w, value, gradient, Hessian) there and at one more
    point, where nothing vanishes; `slopes` are the central differences at that one."""
    loss = get_loss(name)
    low, high = np.array(loss.box).T
    probe = low + (high - low) * np.linspace(0.31, 0.62, loss.dim)
    shifts = STEP * np.concatenate([np.eye(loss.dim), -np.eye(loss.dim)])
    w = np.concatenate([[point.w for point in loss.critical_points], probe[None], probe + shifts])
    value_gradient = jax.value_and_grad(loss)
    parts = jax.jit(jax.vmap(lambda v: (*value_gradient(v), jax.hessian(loss)(v))))(w)
    value, gradient, hessian = map(np.asarray, parts)
    ahead, behind = np.split(value[-2 * loss.dim :], 2)
    slopes = (ahead - behind) / (2 * STEP)
    n = len(loss.critical_points)
    return loss, w[:n], value[:n], gradient[: n + 1], hessian[: n + 1], slopes


def test_every_known_loss_is_counted_here_and_only_the_toy_net_has_no_list():
    assert set(COUNTS) == set(KNOWN)
    assert get_loss("toy-net").critical_points is None


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.thorough
def test_every_stored_point_is_critical_with_the_stored_spectrum_type_and_value(name):
    loss, w, value, gradient, hessian, _ = known(name)
    assert len(w) == COUNTS[name]

    # Rounding w to double moves the gradient by up to ulp·‖H‖·‖w‖, and each of the handful of
    # terms that cancel in it (none above ‖H‖·(1 + ‖w‖)) is itself rounded.
    size = np.linalg.norm(hessian[:-1], 2, axis=(1, 2)) * (1 + np.linalg.norm(w, axis=1))
    assert np.all(np.abs(gradient[:-1]) <= 16 * np.finfo(float).eps * size[:, None])

    spectra = np.linalg.eigvalsh(hessian[:-1])
    for point, spectrum, height in zip(loss.critical_points, spectra, value, strict=True):
        assert np.all(np.diff(point.hessian_eigenvalues) >= 0)
        # Relative, for small eigenvalues too: condition numbers stay below 1e4, so eigvalsh's
        # rounding is far below 1e-9.
        np.testing.assert_allclose(spectrum, point.hessian_eigenvalues, rtol=1e-9, atol=0)
        if point.critical_type == "degenerate":
            assert np.any(spectrum == 0)
        else:
            assert point.critical_type == type_of_eigenvalues(spectrum)
        assert height == pytest.approx(point.loss, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", KNOWN)
def test_stored_points_are_distinct_and_inside_the_box(name):
    loss = get_loss(name)
    w = np.array([point.w for point in loss.critical_points])
    box = np.array(loss.box)
    assert w.shape == (COUNTS[name], loss.dim)
    assert np.all((w >= box[:, 0]) & (w <= box[:, 1]))
    gaps = np.linalg.norm(w[:, None] - w[None], axis=-1) + 10 * np.eye(len(w))
    assert gaps.min() > 1e-3


@pytest.mark.parametrize("name", KNOWN)
def test_gradient_is_the_central_difference_of_the_loss(name):
    *_, gradient, _, slopes = known(name)
    # STEP² from truncation and ulp/STEP from rounding, each times the size of the loss nearby.
    size = 1 + np.linalg.norm(gradient[-1])
    assert np.max(np.abs(slopes - gradient[-1])) <= 1e-7 * size
    assert np.linalg.norm(gradient[-1]) > 1e-3


def test_type_follows_the_signs_of_the_eigenvalues():
    assert type_of_eigenvalues(np.array([1e-9, 3.0])) == "minimum"
    assert type_of_eigenvalues(np.array([-3.0, -1e-9])) == "maximum"
    assert type_of_eigenvalues(np.array([-1.0, 2.0])) == "saddle"


def test_beale_saddle_is_the_exact_one():
    beale = get_loss("beale")
    (saddle,) = (point for point in beale.critical_points if np.array_equal(point.w, [0.0, 1.0]))
    assert saddle.critical_type == "saddle"
    np.testing.assert_array_equal(saddle.hessian_eigenvalues, [-27.75, 27.75])
    assert saddle.loss == float(beale(jnp.array([0.0, 1.0]))) == 14.203125


def test_product_of_double_wells_has_the_product_of_its_critical_points():
    points = get_loss("double-well-product").critical_points
    corners = {tuple(np.round(point.w, 12)) for point in points}
    assert corners == {(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)}
    for point in points:
        np.testing.assert_allclose(point.hessian_eigenvalues, np.sort(3 * point.w**2 - 1))


def test_the_circle_of_minima_of_the_mexican_hat_is_named_and_critical():
    hat = get_loss("mexican-hat")
    assert hat.continua == ("the circle x² + y² = 1 of minima",)
    angle = np.linspace(0, 2 * np.pi, 17)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gradient, hessian = jax.jit(jax.vmap(lambda w: (jax.grad(hat)(w), jax.hessian(hat)(w))))(circle)
    assert np.all(np.abs(gradient) < 1e-15)
    spectra = np.linalg.eigvalsh(np.asarray(hessian))
    np.testing.assert_allclose(spectra, np.tile([0.0, 2.0], (17, 1)), atol=1e-14)
    (origin,) = hat.critical_points  # the circle's points are not isolated, so not listed
    assert origin.critical_type == "maximum"


def test_the_continua_of_the_toy_net_are_named_and_critical():
    net = get_loss("toy-net")
    assert len(net.continua) == 2
    value_and_gradient = jax.jit(jax.vmap(jax.value_and_grad(net)))
    line = np.stack([np.zeros(4), [-2.0, -0.5, 0.0, 2.0]], axis=1)
    _, gradient = value_and_gradient(line)
    assert np.all(gradient == 0)
    inner = np.array([-1.7, -0.8, 0.8, 1.7])
    value, gradient = value_and_gradient(np.stack([inner, 1 / inner**2], axis=1))
    assert np.all(np.abs(gradient) < 1e-13)
    np.testing.assert_allclose(value, 0, atol=1e-28)


def test_the_toy_net_is_the_mean_squared_error_of_its_network():
    x = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5])
    by_hand = np.mean((0.7 * (1.3 * x) ** 2 - x**2) ** 2)
    assert float(get_loss("toy-net")(jnp.array([1.3, 0.7]))) == pytest.approx(by_hand, rel=1e-14)


def test_critical_point_of_a_quadratic_is_its_origin_with_the_spectrum_asked_for():
    (origin,) = quadratic((3.0, -1.0, 0.5), 7).critical_points
    assert origin.critical_type == "saddle"
    assert origin.loss == 0
    np.testing.assert_array_equal(origin.w, np.zeros(3))
    np.testing.assert_allclose(origin.hessian_eigenvalues, [-1.0, 0.5, 3.0], rtol=1e-13)


def test_a_zero_eigenvalue_makes_the_origin_of_a_quadratic_degenerate():
    for seed in (None, 0):
        (origin,) = quadratic((0.0, 1.0), seed).critical_points
        assert origin.critical_type == "degenerate"


def test_no_critical_points_are_claimed_for_a_dimension_that_is_not_stored():
    assert get_loss("rosenbrock-5d").critical_points is None
