"""Averages over runs and time against stationary variances that are known."""

import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import (
    GD,
    SDE,
    Additive,
    Diffusion,
    Flow,
    InvalidInput,
    Isotropic,
    Map,
    StepMap,
    StochasticStepMap,
)


def bowl(w):
    return jnp.sum(w**2)


def second(w):
    """The second moments."""
    return w**2


def test_the_stationary_variance_of_sgd():
    """η s²/(λ(2 − ηλ)) with λ = 2 (Liu, Ziyin & Ueda, arXiv 2012.03636)."""
    step = StochasticStepMap(bowl, GD(), 0.3, Isotropic(0.5))
    found = samdyn.ensemble(step, [0.0, 0.0], second, steps=2000, paths=400, burn=0.1)
    exact = 0.3 * 0.5**2 / (2 * (2 - 0.6))
    assert np.all(np.abs(found.mean - exact) <= 2 * found.error)
    assert np.all(found.error < 0.02 * exact)


def test_the_interval_holds_in_nearly_all_seeds():
    step = StochasticStepMap(bowl, GD(), 0.05, Isotropic(0.5))
    exact = 0.05 * 0.25 / (2 * (2 - 0.1))
    held = []
    for seed in range(60):
        found = samdyn.ensemble(step, [0.0], second, steps=640, paths=20, burn=0.5, seed=seed)
        held.append(abs(found.mean[0] - exact) <= found.error[0])
    assert np.mean(held) >= 0.87  # 95 % less three standard errors of 60 seeds


@pytest.mark.thorough
def test_correlation_along_a_run_is_known():
    """An AR(1) run with multiplier r = 0.9: values are independent (1 + r)/(1 − r) = 19 apart."""
    step = StochasticStepMap(bowl, GD(), 0.05, Isotropic(0.5))
    found = samdyn.ensemble(step, [0.0], lambda w: w[0], steps=6400, paths=1000, burn=0.1)
    assert abs(found.mean) <= 2 * found.error
    whole = float(found.error) * np.sqrt(1000 * 5760) / 2
    alone = np.sqrt(0.05 * 0.25 / (2 * 1.9))
    assert (whole / alone) ** 2 == pytest.approx(19, rel=0.2)


def test_ornstein_uhlenbeck():
    """dX = −2X dt + 0.5 dW settles to variance 0.5²/4; from 1 its mean is e^{−2t}."""
    sde = SDE(lambda w, _: -2 * w, lambda w, _: 0.5 * jnp.eye(1))
    found = samdyn.ensemble(sde, [1.0], second, time=6.0, dt=0.002, paths=2000, burn=0.5)
    assert abs(found.mean[0] - 0.0625) <= 2 * found.error[0] + 0.002 * 0.0625
    early = samdyn.ensemble(sde, [1.0], lambda w: w[0], time=1.0, dt=0.001, paths=2000)
    centres = early.times - early.times[0] / 2
    gap = np.abs(early.series - np.exp(-2 * centres))
    assert np.mean(gap <= 1.5 * early.series_errors + 2e-3) > 0.9


def test_a_diffusion_steps_by_its_learning_rate():
    sde = Diffusion(bowl, GD(), 0.01, Additive(0.5), momentum=0.9)
    found = samdyn.ensemble(sde, [0.0], second, time=1.0, paths=50)
    assert found.unit == "time"
    assert found.times[-1] == pytest.approx(1.0)


def test_without_noise_time_alone_is_averaged():
    """The logistic map at 4 spends its time with density 1/(π√(x(1 − x))): mean ½."""
    step = Map(lambda w, _: 4 * w * (1 - w))
    found = samdyn.ensemble(step, [0.3], lambda w: w[0], steps=64_000, paths=1)
    assert abs(found.mean - 0.5) <= 2 * found.error
    assert "parts of each" in found.warnings[0]


def test_runs_that_fail_are_counted():
    step = StochasticStepMap(lambda w: -jnp.sum(w**4), GD(), 0.1, Isotropic(0.5))
    with pytest.raises(InvalidInput, match="every run left"):
        samdyn.ensemble(step, [2.0], second, steps=64, paths=10)


def test_numbers_depend_on_the_seed_alone():
    step = StochasticStepMap(bowl, GD(), 0.3, Isotropic(0.5))
    how = {"steps": 64, "paths": 5}
    one, again = (samdyn.ensemble(step, [0.0], second, seed=3, **how) for _ in range(2))
    np.testing.assert_array_equal(one.series, again.series)
    other = samdyn.ensemble(step, [0.0], second, seed=4, **how)
    assert np.all(one.mean != other.mean)


def test_a_pytree_is_observed():
    loss = lambda p: jnp.sum(p["a"] ** 2)  # noqa: E731
    step = StepMap(loss, GD(), 0.1)
    found = samdyn.ensemble(step, {"a": np.ones(2)}, lambda p: p["a"], steps=32, paths=1)
    np.testing.assert_allclose(found.series[-1], 0.8**32, rtol=1e-12)


@pytest.mark.parametrize(
    ("system", "how", "told"),
    [
        (Flow(bowl, GD()), {"steps": 64}, "a map or an SDE"),
        (StepMap(bowl, GD(), 0.1), {"time": 1.0}, "give steps"),
        (SDE(lambda w, _: -w, lambda w, _: jnp.eye(1)), {"time": 1.0}, "time and dt"),
        (StepMap(bowl, GD(), 0.1), {"steps": 10}, "too few"),
        (StepMap(bowl, GD(), 0.1), {"steps": 64, "burn": 1.0}, "share"),
    ],
)
def test_wrong_input_is_told(system, how, told):
    with pytest.raises(InvalidInput, match=told):
        samdyn.ensemble(system, [0.1], second, **how)


def test_the_result_is_kept_and_told(tmp_path):
    step = StochasticStepMap(bowl, GD(), 0.3, Isotropic(0.5))
    found = samdyn.ensemble(step, [0.0, 0.0], second, steps=64, paths=30)
    again = samdyn.load(found.save(tmp_path / "ensemble.samdyn"))
    assert str(again) == str(found)
    assert "30 runs" in str(found)
    assert len(found.to_dict()["ci95"]) == 2
