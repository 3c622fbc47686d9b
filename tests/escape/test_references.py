"""Mean exit times at default settings, against exact values: within 0.3 % and three errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("either_back_end")]

PATHS = 40_000
BIAS = 0.003


def double_well(w):
    return (w[0] ** 2 - 1) ** 2 / 4


def hill(w):
    return -(w[0] ** 2) / 2


def quartic(w):
    return w[0] ** 2 / 2 + w[0] ** 4 / 4


def flat(w):
    return 0 * jnp.sum(w)


def hill_and_valley(w):
    return (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2 + w[0] * w[1] / 4


def escapes(loss, start, region, noise, method=None, paths=PATHS, **options):
    method = samdyn.GD() if method is None else method
    diffusion = samdyn.Diffusion(loss, method, 0.01, noise)
    found = verbs.escape_times(diffusion, jnp.asarray(start), region, paths=paths, **options)
    return diffusion, found


def check_mean(found, exact):
    summary = found.summary
    assert summary.escaped == summary.n
    error = np.sqrt(summary.variance / summary.n)
    assert abs(summary.mean - exact) < BIAS * exact + 3 * error


def quadrature(diffusion, start, left, right):
    drift = jax.jit(jax.vmap(lambda x: diffusion.drift(x[None])[0]))
    coefficient = jax.jit(jax.vmap(lambda x: diffusion.matrix(x[None])[0, 0]))
    on = lambda f: lambda x: np.asarray(f(jnp.asarray(x).ravel())).reshape(np.shape(x))  # noqa: E731
    return samdyn.exit_time(on(drift), on(coefficient), start, left, right)


LINE = samdyn.Slab([0.0], 0, 1.0)
NOISE = samdyn.Additive(np.sqrt(0.2))  # D = 0.1


@pytest.mark.parametrize(("s", "exact"), [(0.1, 3.281821), (0.01, 5.586900)])
def test_unstable_line(s, exact):
    _, found = escapes(hill, [0.0], LINE, samdyn.Additive(s))
    check_mean(found, exact)


def test_binomial_increments_at_their_default_step():
    _, found = escapes(hill, [0.0], LINE, samdyn.Additive(0.1), scheme="euler-binomial")
    check_mean(found, 3.281821)


@pytest.mark.parametrize(("level", "exact"), [(0.0, 30.821302), (1.0, 66.268626)])
def test_double_well(level, exact):
    _, found = escapes(double_well, [-1.0], samdyn.Below(0, level), NOISE)
    check_mean(found, exact)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_double_well_under_usam(level):
    noise = samdyn.Additive(np.sqrt(0.1))  # D = 0.05
    region = samdyn.Below(0, level)
    diffusion, found = escapes(double_well, [-1.0], region, noise, samdyn.USAM(0.5), paths=10_000)
    check_mean(found, quadrature(diffusion, -1.0, -np.inf, level).mean)


def test_brownian_motion_in_an_interval_mean_and_variance():
    _, found = escapes(flat, [0.0], LINE, samdyn.Additive(1.0))
    check_mean(found, 1.0)
    exact = 2 / 3
    fourth = np.mean((found.times - found.summary.mean) ** 4)
    error = np.sqrt((fourth - found.summary.variance**2) / found.summary.n)
    assert abs(found.summary.variance - exact) < 2 * BIAS * exact + 3 * error


@pytest.mark.parametrize("x", [0.0, 0.5])
def test_brownian_motion_in_a_disc(x):
    _, found = escapes(flat, [x, 0.0], samdyn.Ball([0.0, 0.0], 1.0), samdyn.Additive(1.0))
    check_mean(found, (1 - x**2) / 2)


def test_two_dimensions_against_the_kolmogorov_equation():
    region = samdyn.Ball([-1.0, 0.0], 1.0)
    diffusion, found = escapes(hill_and_valley, [-1.0, 0.0], region, NOISE, samdyn.USAM(0.2))
    drift = jax.jit(jax.vmap(diffusion.drift))
    solution = samdyn.mean_exit_time_2d(
        lambda points: np.asarray(drift(jnp.asarray(points))),
        lambda points: np.sqrt(0.2) * np.eye(2),
        [-1.0, 0.0],
        lambda points: 1 - np.linalg.norm(points - [-1.0, 0.0], axis=1),
        [[-2.1, 0.1], [-1.1, 1.1]],
        128,
    )
    assert solution.error < 1e-3 * solution.value
    check_mean(found, solution.value)


@pytest.mark.parametrize("method", [samdyn.GD(), samdyn.USAM(0.2)], ids=["gd", "same-batch"])
def test_multiplicative_noise(method):
    region = samdyn.Slab([0.0], 0, 0.1)
    noise = samdyn.Fisher(1)
    diffusion, found = escapes(quartic, [0.0], region, noise, method)
    check_mean(found, quadrature(diffusion, 0.0, -0.1, 0.1).mean)


def test_yes_or_no_in_one_dimension_is_the_interval():
    """Its ends are found, so that exits within a step are seen as they are of an interval."""
    inside = samdyn.Predicate(lambda w: jnp.abs(w[0]) < 1)
    for region in (inside, LINE):
        _, found = escapes(flat, [0.0], region, samdyn.Additive(1.0), scheme="euler", dt=0.01)
        check_mean(found, 1.0)
    well = samdyn.get_loss("double-well")
    left = samdyn.Predicate(lambda w: w[0] < 0)
    _, found = escapes(well, [-1.0], left, samdyn.Additive(0.4**0.5))
    check_mean(found, 7.934021540010201)
    assert [exit.where for exit in found.exits] == ["w[0] = 0"]


@pytest.mark.parametrize("dt", [None, 0.02])
def test_yes_or_no_in_two_dimensions_is_extrapolated_and_covered(dt):
    """From the middle of the disc, mean ½; the finest run alone is late by 0.58·√dt·2."""
    inside = samdyn.Predicate(lambda w: jnp.sum(w**2) < 1)
    _, found = escapes(flat, [0.0, 0.0], inside, samdyn.Additive(1.0), scheme="euler", dt=dt)
    low, high = found.summary.mean_ci95
    assert low < 0.5 < high
    assert high - low < 0.08
    assert "extrapolated" in found.summary.estimator
    late = float(np.mean(found.times)) / 0.5 - 1
    assert late > 0.05
    assert len(found.exits) == 4
    for exit in found.exits:
        assert exit.ci95[0] - 0.005 < 0.25 < exit.ci95[1] + 0.005


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_the_share_at_each_end_of_an_interval(drift):
    """1/(1 + e^(−2v)) at the end that a drift v leads to."""
    slope = lambda w: -drift * w[0]  # noqa: E731
    _, found = escapes(slope, [0.0], LINE, samdyn.Additive(1.0))
    shares = {exit.where: exit.share for exit in found.exits}
    want = 1 / (1 + np.exp(-2 * drift))
    assert abs(shares["w[0] = 1"] - want) < 4 * np.sqrt(want * (1 - want) / PATHS) + 1e-3
    assert sum(shares.values()) == pytest.approx(1)
    assert found.to_dict()["exits"][0].keys() == {"where", "share", "ci95"}


def test_momentum_follows_the_step_map():
    """The underdamped diffusion and the optimizer's own steps leave together."""
    noise, region = samdyn.Isotropic(1.0), samdyn.Slab([0.0], 0, 0.3)
    diffusion = samdyn.Diffusion(hill, samdyn.GD(), 0.002, noise, momentum=0.9)
    step_map = samdyn.StochasticStepMap(hill, samdyn.GD(), 0.002, noise, momentum=0.9)
    one, other = (
        verbs.escape_times(dynamics, jnp.asarray([0.0]), region, paths=PATHS)
        for dynamics in (diffusion, step_map)
    )
    error = np.hypot(*(np.sqrt(r.summary.variance / PATHS) for r in (one, other)))
    assert abs(one.summary.mean - other.summary.mean) < 0.01 * one.summary.mean + 3 * error


def test_time_at_risk_is_unbiased_at_60_percent_censoring():
    """At D = 0.05 the well empties at a constant rate: relaxation takes 1/300 of the mean."""
    region, noise = samdyn.Below(0, 0.0), samdyn.Additive(np.sqrt(0.1))
    diffusion = samdyn.Diffusion(double_well, samdyn.GD(), 0.01, noise)
    exact = quadrature(diffusion, -1.0, -np.inf, 0.0).mean
    _, found = escapes(double_well, [-1.0], region, noise, paths=3000, max_time=exact / 2)
    summary = found.summary
    assert 0.57 < summary.censored / summary.n < 0.64
    assert summary.estimator == "time at risk per exit"
    low, high = summary.mean_ci95
    assert low < exact < high
    assert found.times[found.status == 1].mean() < exact / 3  # what exits alone would say
