"""Branches of periodic orbits: cascades, windows and closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, SAM, Map, StepMap

LOGISTIC = Map(lambda w, args: args["r"] * w * (1 - w), {"r": 3.2})


class Wells(eqx.Module):
    """(x² − μ)²/4."""

    mu: jax.Array = eqx.field(converter=jnp.asarray, default=1.0)

    def __call__(self, w):
        return (w[0] ** 2 - self.mu) ** 2 / 4


def test_the_cascade_of_the_logistic_map():
    found = samdyn.sweep(LOGISTIC, "r", np.linspace(2.5, 3.6, 111), at=[0.6], max_period=8)
    values = [event.value for event in found.bifurcations]
    np.testing.assert_allclose(values[:3], [3, 1 + 6**0.5, 3.5440903596], atol=1e-8)
    assert [event.period for event in found.bifurcations] == [1, 2, 4, 8]
    assert [branch.period for branch in found.branches] == [1, 2, 4, 8]


def test_a_window_begins_with_a_fold():
    found = samdyn.sweep(LOGISTIC, "r", np.linspace(3.8, 3.86, 31), box=[(0.0, 1.0)], period=3)
    fold = found.bifurcations[0]
    assert (fold.type, fold.period) == ("fold", 3)
    assert fold.value == pytest.approx(1 + 8**0.5, abs=1e-8)
    assert {branch.kind for branch in found.branches} == {"period-3"}


@pytest.mark.parametrize("mu", [1.0, 4.0])
def test_the_orbit_that_is_born_at_a_minimum_of_two_wells(mu):
    """Born at K = ημ = 1, stable to √5 − 1, its points the roots of z² − z√(μ + 3/η) + 1/η."""
    etas = np.linspace(0.5, 1.4, 91) / mu
    found = samdyn.sweep(StepMap(Wells(mu), GD(), 1 / mu), "learning_rate", etas, at=[mu**0.5])
    born, doubled = found.bifurcations
    assert born.value * mu == pytest.approx(1, abs=1e-10)
    assert doubled.value * mu == pytest.approx(5**0.5 - 1, abs=1e-10)
    (orbit,) = [branch for branch in found.branches if branch.period == 2]
    exists = np.all(np.isfinite(orbit.w), axis=1)
    assert np.all(exists == (etas * mu > 1 + 1e-9))
    total, product = np.sqrt(mu + 3 / etas[exists]), 1 / etas[exists]
    half = np.sqrt(total**2 - 4 * product) / 2
    amplitude = np.abs(orbit.orbit[0, exists, 0] - orbit.orbit[1, exists, 0]) / 2
    np.testing.assert_allclose(amplitude, half, rtol=1e-8)


def test_orbits_in_a_number_of_the_loss():
    found = samdyn.sweep(StepMap(Wells(), GD(), 0.5), "mu", np.linspace(0.5, 2.6, 43), at=[1.0])
    values = [event.value for event in found.bifurcations]
    np.testing.assert_allclose(values, [2, 2 * (5**0.5 - 1)], rtol=1e-9)


def test_heavy_ball_s_orbit_is_born_at_its_own_edge():
    """ηλ = 2(1 + γ) with λ = 2: η = 1.5 at γ = ½; there the branch has the state's points."""
    step = StepMap(Wells(), GD(), 1.0, momentum=0.5)
    found = samdyn.sweep(step, "learning_rate", np.linspace(0.5, 1.8, 53), at=[1.0])
    assert found.bifurcations[0].value == pytest.approx(1.5, abs=1e-10)
    (orbit,) = [branch for branch in found.branches if branch.period == 2]
    assert orbit.w.shape[1] == 1


def test_sam_s_orbit_over_the_radius():
    """On a bowl its amplitude is ρηλ/(2 − ηλ)."""
    step = StepMap(lambda w: 2 * w[0] ** 2, SAM(0.1), 0.3)
    rho = np.linspace(0.05, 0.5, 10)
    found = samdyn.sweep(step, "rho", rho, at=[0.1], period=2)
    (orbit,) = found.branches
    np.testing.assert_allclose(np.abs(orbit.w[:, 0]), rho * 1.2 / 0.8, rtol=1e-9)
    assert set(orbit.verdict) == {"attractor"}


def test_no_orbits_where_none_are_wanted():
    found = samdyn.sweep(LOGISTIC, "r", np.linspace(2.5, 3.3, 9), at=[0.6], max_period=1)
    assert [branch.period for branch in found.branches] == [1]


def test_what_is_told():
    found = samdyn.sweep(LOGISTIC, "r", np.linspace(2.5, 3.5, 11), at=[0.6])
    assert "period-doubling of the period-2 orbit" in str(found)
    told = found.to_dict()
    assert told["branches"][1]["period"] == 2
    assert len(told["branches"][1]["orbit"][-1]) == 2
    with pytest.raises(samdyn.InvalidInput, match="belong to a step"):
        samdyn.sweep(samdyn.Flow(Wells(), GD()), "mu", [1.0, 2.0], at=[1.0], period=2)


@pytest.mark.parametrize("unit", [1e-7, 1e4])
def test_units_lose_no_orbit(unit):
    loss = lambda w: ((w[0] / unit) ** 2 - 1) ** 2 / 4 * unit**2  # noqa: E731
    rates, box = np.linspace(0.5, 1.4, 19), [(-2 * unit, 2 * unit)]
    found = samdyn.sweep(StepMap(loss, GD(), 0.5), "learning_rate", rates, box=box)
    assert [branch.period for branch in found.branches] == [1, 1, 1, 2, 2]
