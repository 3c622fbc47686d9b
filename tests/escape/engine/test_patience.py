"""Runs that need not end do: the end depends on the first paths alone, and is said."""

import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn
from samdyn.escape.engine.engine import Finished
from samdyn.escape.engine.patience import FEW, FIRST, MOST, TIMES, Patience
from samdyn.escape.statistics import ESCAPED


def rows(index, steps, status=0):
    index, steps = np.asarray(index), np.asarray(steps)
    codes = np.full(index.size, status, np.int8)
    return Finished(index, steps * 1.0, codes, steps, np.zeros((index.size, 1)))


def test_the_limit_is_known_when_all_first_paths_have_passed_the_scale():
    patience = Patience(1000)
    everyone = np.arange(FIRST)
    patience.heed(rows(everyone[:FEW], [10, 20, 40], ESCAPED), [rows(everyone[FEW:], [25] * 61)])
    assert not patience.known  # some may still leave before step 40
    patience.heed(rows([FEW], [35], ESCAPED), [rows(everyone[FEW + 1 :], [45] * 60)])
    assert patience.known
    assert patience.limit == 35 * TIMES


def test_other_paths_say_nothing():
    patience = Patience(1000)
    patience.heed(rows(np.arange(FIRST, 900), np.ones(836, int), ESCAPED), [])
    assert not patience.known
    assert patience.limit == MOST


def tilted(w):
    return w[0]


@pytest.mark.parametrize(("s", "level", "seed"), [(1.0, 1.0, 0), (0.5, 0.2, 1), (3.0, 7.0, 2)])
@pytest.mark.thorough
def test_of_paths_that_drift_away_the_right_share_leaves(s, level, seed):
    """P(exit) = exp(−2v·level/s²) for drift −v = −1: the rest never comes back."""
    dynamics = samdyn.Diffusion(tilted, samdyn.GD(), 0.01, samdyn.Additive(s))
    region = samdyn.Below(0, level)
    found = verbs.escape_times(dynamics, np.zeros(1), region, paths=500, seed=seed, dt=0.2)
    share = np.exp(-2 * level / s**2)
    error = np.sqrt(share * (1 - share) / 500)
    assert abs(found.summary.escaped / 500 - share) < 4 * error
    assert "never leave" in found.warnings[0]
    assert f"{found.summary.escaped / 500:.4g}" in found.warnings[0]


@pytest.mark.thorough
def test_the_end_of_patience_is_the_same_whoever_runs_the_paths():
    dynamics = samdyn.Diffusion(tilted, samdyn.GD(), 0.01, samdyn.Additive(1.0))
    how = {"paths": 300, "dt": 0.05, "seed": 3}
    one, other = (
        verbs.escape_times(dynamics, np.zeros(1), samdyn.Below(0, 1.0), **how, **lanes)
        for lanes in ({"block": 64, "workers": 1}, {"block": 256, "workers": 2})
    )
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_array_equal(one.points, other.points)


@pytest.mark.thorough
def test_a_limit_of_paths_takes_memory_for_those_that_run():
    dynamics = samdyn.Diffusion(
        lambda w: jnp.sum(w**2) / 2, samdyn.GD(), 0.01, samdyn.Additive(1.0)
    )
    start = np.zeros(1)
    found = verbs.escape_times(
        dynamics, start, samdyn.Ball(start, 1.0), paths=2**32 - 1, target_error=0.05
    )
    assert len(found.times) < 10_000
    low, high = found.summary.mean_ci95
    assert low - (high - low) < 1.44525 < high + (high - low)
