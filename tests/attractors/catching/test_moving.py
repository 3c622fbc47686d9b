"""Basins whose ends never rest: period-2 orbits, limit cycles, circles, chaos."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, ODE, Map, OptaxStepMap, StepMap

HENON = Map(lambda w, _: jnp.stack([1 - 1.4 * w[0] ** 2 + w[1], 0.3 * w[0]]))
VAN_DER_POL = ODE(lambda t, w, _: jnp.stack([w[1], (1 - w[0] ** 2) * w[1] - w[0]]))


def well(w):
    """(x² − 1)²/4, with y²/2 where there is a y."""
    return (w[0] ** 2 - 1) ** 2 / 4 + jnp.sum(w[1:] ** 2) / 2


@pytest.mark.parametrize("eta", [1.05, 1.2])
def test_every_start_of_gd_beyond_its_edge_settles_on_an_orbit(eta):
    """For 1 < η < √5 − 1, within |x| < √(1 + 2/η), where an unstable orbit lies."""
    found = samdyn.basins(StepMap(well, GD(), eta), [(-1.5, 1.5), (-1, 1)], grid=40)
    assert [one.kind for one in found.attractors] == ["period-2", "period-2"]
    assert found.undecided == found.diverged == 0
    half = np.sqrt((1 + 3 / eta) - 4 / eta) / 2
    for one in found.attractors:
        assert np.ptp(one.points[:, 0]) / 2 == pytest.approx(half, rel=1e-6)
        assert one.fraction == pytest.approx(0.5, abs=0.01)


@pytest.mark.thorough
def test_van_der_pol():
    found = samdyn.basins(VAN_DER_POL, [(-3, 3), (-3, 3)], grid=8)
    (one,) = found.attractors
    assert (one.kind, one.fraction) == ("limit cycle", 1)
    assert one.period == pytest.approx(6.6632868593, abs=1e-8)


def test_henon_is_chaotic():
    found = samdyn.basins(HENON, [(-2, 2), (-2, 2)], grid=50, steps=2000)
    (one,) = found.attractors
    assert one.kind == "chaotic"
    assert found.undecided == 0
    assert one.fraction + found.diverged == pytest.approx(1)


def test_a_circle_of_the_delayed_logistic_map():
    step = Map(lambda w, _: jnp.stack([2.1 * w[0] * (1 - w[1]), w[0]]))
    found = samdyn.basins(step, [(0.1, 0.9), (0.1, 0.9)], grid=20, steps=3000)
    assert [one.kind for one in found.attractors] == ["quasi-periodic"]


def test_what_rests_is_told_beside_what_moves():
    """A fixed point at y = −1 below the axis and the orbit x = ±1 at y = 1 above it."""
    step = Map(
        lambda w, _: jnp.stack(
            [
                jnp.where(w[1] > 0, -1.5 * w[0] + 0.5 * w[0] ** 3, w[0] / 2),
                w[1] + 0.1 * w[1] * (1 - w[1] ** 2),
            ]
        )
    )
    found = samdyn.basins(step, [(-1.4, 1.4), (-1.5, 1.5)], grid=20)
    assert sorted(one.kind for one in found.attractors) == ["fixed point", "period-2"]
    assert [one.fraction for one in found.attractors] == [0.5, 0.5]


def test_momentum_is_run_on():
    """Heavy ball's orbit obeys w⁺ − w = γ(w − w⁻) − ηg."""
    found = samdyn.basins(StepMap(well, GD(), 1.55, 0.5), [(-1.1, 1.1)], grid=31)
    orbits = [one for one in found.attractors if one.kind == "period-2"]
    assert len(orbits) == 2
    for one in orbits:
        x, y = one.points[:, 0]
        assert y - x == pytest.approx(0.5 * (x - y) - 1.55 * x * (x**2 - 1), abs=1e-9)


def test_a_step_that_counts_stays_undecided():
    import optax

    step = OptaxStepMap(well, optax.scale_by_schedule(lambda n: -1.1 + 0.0 * n))
    with jax.numpy_dtype_promotion("standard"):  # optax's own demand
        found = samdyn.basins(step, [(-1.2, 1.2)], grid=10, steps=600)
    assert found.undecided == 1


def test_runs_at_rest_are_not_asked_for_orbits(monkeypatch):
    from samdyn.attractors.catching import basins as module

    asked = []
    monkeypatch.setattr(module, "moving_sets", lambda *a: asked.append(a))
    samdyn.basins(StepMap(well, GD(), 0.01), [(-1.2, 1.2), (-1, 1)], grid=10)
    assert not asked


def test_the_result_is_told_kept_and_drawn(tmp_path):
    found = samdyn.basins(StepMap(well, GD(), 1.1), [(-1.5, 1.5), (-1, 1)], grid=10)
    assert "period-2" in str(found)
    told = found.to_dict()["attractors"][0]
    assert told["period"] == 2
    assert len(told["points"]) == 2
    again = samdyn.load(found.save(tmp_path / "basins.samdyn"))
    np.testing.assert_array_equal(again.attractors[0].points, found.attractors[0].points)
    assert found.plot().get_legend() is not None
