"""Escape times are right or come with a word, on a hundred generated problems and on hard ones.

The reference is quadrature about the centre, written here from ∫∫ e^{(U(y)−U(z))/D},
or the exact value of a quadratic; never what the run itself prints.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn
from samdyn.escape.statistics import Z95

FEW = 4.5  # standard errors: of some hundred comparisons
BIAS = 0.02


class Walled(eqx.Module):
    """½ Σ λᵢ(w−c)ᵢ² + ½ k max(|w₀−c₀| − foot, 0)²: every problem below with one compiled loop."""

    curvature: jax.Array
    centre: jax.Array
    wall: jax.Array
    foot: jax.Array

    def __call__(self, w):
        x = w - self.centre.astype(w.dtype)
        beyond = jnp.maximum(jnp.abs(x[0]) - self.foot.astype(w.dtype), 0)
        bowl = jnp.sum(self.curvature.astype(w.dtype) * x**2)
        return (bowl + self.wall.astype(w.dtype) * beyond**2) / 2


def walled(curvature, centre, wall=0.0, foot=1.0):
    return Walled(*(jnp.asarray(v, float) for v in (curvature, centre, wall, foot)))


def log_mean(curvature, wall, foot, radius, s):
    """The logarithm of the mean time from the centre to distance `radius`, by a plain sum.

    In one dimension and by symmetry ∫₀^R dy e^{U(y)/D}/D ∫₀^y dz e^{−U(z)/D}.
    """
    x = np.linspace(0, radius, 200_001)
    u = (curvature * x**2 + wall * np.maximum(x - foot, 0) ** 2) / s**2
    middle, h = (u[1:] + u[:-1]) / 2, x[1]
    inner = np.logaddexp.accumulate(-middle) + np.log(h)
    return float(np.logaddexp.reduce(middle + inner) + np.log(h) - np.log(s**2 / 2))


def is_wrong(found, log_truth):
    """Whether the mean, or its lower bound, is off by more than chance and the step's bias."""
    summary = found.summary
    with np.errstate(over="ignore"):
        truth = np.exp(log_truth)
    if summary.mean is None:
        return summary.mean_lower95 is not None and summary.mean_lower95 > 3 * truth
    low, high = (
        summary.mean + (end - summary.mean) * FEW / Z95 * (1 + BIAS) for end in summary.mean_ci95
    )
    return not low * (1 - BIAS) <= truth <= high * (1 + BIAS)


def run(loss, s, start, region, **how):
    how = {"paths": 64, "block": 64, "workers": 1, "scheme": "heun", "max_time": 300.0} | how
    dynamics = samdyn.Diffusion(loss, samdyn.GD(), 0.01, samdyn.Additive(s))
    return verbs.escape_times(dynamics, start, region, **how)


def problem(number):
    """(curvatures, centre, wall, foot, radius, s): scales over decades; some far away or stiff."""
    rng = np.random.default_rng(number)
    curvature = 10.0 ** rng.uniform(-1, 1)
    s = 10.0 ** rng.uniform(-2, 1)
    width = s / np.sqrt(2 * curvature)  # of the stationary law
    radius = width * rng.uniform(0.5, 2.5)
    centre = 10.0 ** rng.uniform(0, 6) * rng.choice([-1, 1]) if rng.random() < 0.4 else 0.0
    wall = curvature * 10.0 ** rng.uniform(0, 4) if rng.random() < 0.4 else 0.0
    return curvature, centre, wall, radius * rng.uniform(0.6, 1), radius, s


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.thorough
def test_generated_wells_are_right_or_come_with_a_word(dim):
    wrong, silent, compared = [], 0, 0
    for number in range(50):
        curvature, centre, wall, foot, radius, s = problem(1000 * dim + number)
        condition = 10.0 ** np.random.default_rng(number).uniform(0, 12)
        # the other direction is softer: the slab does not bound it
        curvatures = [curvature, curvature / condition][:dim]
        point = np.array([centre, -centre])[:dim]
        loss = walled(curvatures, point, wall, foot)
        region = samdyn.Slab(point, 0, radius)
        horizon = (10 if dim == 1 else 4) / curvature
        try:
            found = run(loss, s, point, region, seed=number, max_time=horizon)
        except samdyn.InvalidInput:
            continue
        found.theory = verbs.theory(
            samdyn.Diffusion(loss, samdyn.GD(), 0.01, samdyn.Additive(s)), point, region
        )
        truth = log_mean(curvature, wall, foot, radius, s)
        for name in ("exact", "exact_linear"):
            value = found.theory.get(name)
            assert value is None or abs(np.log(value) - truth) < 1e-3, (number, name)
        bad = is_wrong(found, truth)
        silent += not found.warnings
        compared += found.summary.mean is not None
        if bad and not found.warnings:
            wrong.append((number, found.summary.mean, np.exp(truth)))
    assert not wrong
    assert silent >= 25  # words are for the hard ones
    assert compared >= 25


@pytest.fixture(scope="module")
def unwalled():
    return {"paths": 500, "block": 256, "scheme": "heun"}


@pytest.mark.parametrize(
    ("curvature", "wall", "foot", "radius", "s"),
    [(1.0, 1e4, 2.0, 2.1, 0.8), (100.0, 1e7, 0.3, 0.33, 1.2), (1.0, 3e3, 3.0, 3.4, 1.3)],
)
@pytest.mark.thorough
def test_nothing_jumps_through_a_stiff_wall(curvature, wall, foot, radius, s):
    loss, start = walled([curvature], [0.0], wall, foot), np.zeros(1)
    assert log_mean(curvature, wall, foot, radius, s) > 40
    found = run(loss, s, start, samdyn.Ball(start, radius), paths=512, max_time=200 / curvature)
    assert found.summary.escaped == 0
    assert found.summary.failed == 0


@pytest.mark.thorough
def test_a_finer_step_that_is_too_dear_fails_the_paths_and_says_so():
    loss, start = walled([1.0], [0.0], 1e4, 2.0), np.zeros(1)
    found = run(loss, 0.8, start, samdyn.Ball(start, 2.1), paths=512, max_time=1e6)
    assert found.summary.escaped == 0
    assert found.summary.failed == 512
    assert "stiff" in str(found).splitlines()[0]
    assert "stiff" in found.to_dict()["warnings"][0]


@pytest.mark.thorough
def test_a_given_step_is_kept_and_said_to_be_too_long():
    loss, start = walled([1.0], [0.0], 1e4, 2.0), np.zeros(1)
    found = run(loss, 0.8, start, samdyn.Ball(start, 2.1), paths=256, max_time=1e4, dt=0.03)
    assert found.dt == 0.03
    assert found.summary.escaped > 200
    assert any("smaller dt" in text for text in found.warnings)
    theory = verbs.theory(
        samdyn.Diffusion(loss, samdyn.GD(), 0.01, samdyn.Additive(0.8)),
        start,
        samdyn.Ball(start, 2.1),
    )
    found.theory = theory
    assert "contradict" in found.warnings[0]
    assert str(found).startswith("warning: the simulated mean")


@pytest.mark.thorough
def test_the_numbers_of_a_finer_attempt_depend_on_seed_and_options_alone(tmp_path):
    loss, start = walled([1.0], [0.0], 300.0, 0.5), np.zeros(1)
    how = {"paths": 200, "max_time": 20.0}
    region = samdyn.Ball(start, 0.6)
    one = run(loss, 0.5, start, region, **how)
    assert one.dt < 0.01  # the first attempt had 0.03
    other = run(loss, 0.5, start, region, **how, out=tmp_path / "runs", workers=2)
    again = run(loss, 0.5, start, region, **how, out=tmp_path / "runs", resume=True)
    for found in (other, again):
        np.testing.assert_array_equal(found.times, one.times)
        assert found.dt == one.dt
    assert again.seconds < 0.5 * other.seconds or again.path_steps == other.path_steps


@pytest.mark.parametrize("centre", [0.0, 1e4, -3e5, 1e7])
@pytest.mark.thorough
def test_a_bowl_far_away_is_the_bowl_at_0(centre):
    loss, start = walled([1.0], [centre]), np.array([centre])
    found = run(loss, 0.02, start, samdyn.Ball(start, 0.03), paths=512, max_time=None)
    assert not is_wrong(found, log_mean(1.0, 0.0, 1.0, 0.03, 0.02))
    assert any("float64" in text for text in found.warnings) == (centre != 0)


def test_a_step_that_no_dtype_resolves_is_refused():
    start = np.array([1e13])
    with pytest.raises(samdyn.InvalidInput, match="spacings of float64"):
        run(walled([1.0], start), 0.02, start, samdyn.Ball(start, 0.05))


@pytest.mark.thorough
def test_a_map_far_away_is_run_in_numbers_that_resolve_its_steps():
    means = []
    for centre in (0.0, 1e5):
        loss, start = walled([1.0], [centre]), np.array([centre])
        dynamics = samdyn.StochasticStepMap(loss, samdyn.GD(), 0.01, samdyn.Additive(0.02))
        found = verbs.escape_times(dynamics, start, samdyn.Ball(start, 0.03), paths=512)
        assert any("float64" in text for text in found.warnings) == (centre != 0)
        means.append(found.summary)
    error = np.hypot(*((m.mean_ci95[1] - m.mean_ci95[0]) / 2 / Z95 for m in means))
    assert abs(means[0].mean - means[1].mean) < 4 * error


@pytest.mark.thorough
def test_the_linear_value_is_given_only_where_the_region_is_linear():
    inside, beyond = walled([-1.0], [0.0], 50.0, 0.5), walled([-1.0], [0.0], 50.0, 2.0)
    region = samdyn.Slab(np.zeros(1), 0, 1.0)
    names = [
        set(
            verbs.theory(
                samdyn.Diffusion(loss, samdyn.GD(), 0.01, samdyn.Additive(0.5)),
                np.zeros(1),
                region,
            )
        )
        for loss in (inside, beyond)
    ]
    assert "exact_linear" not in names[0]
    assert {"exact", "exact_linear", "logarithm_linear"} <= names[1]
