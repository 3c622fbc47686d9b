"""Periodic orbits against closed forms, counts that are known, and runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, SAM, USAM, FriendlySAM, InvalidInput, Map, OptaxStepMap, StepMap

LOGISTIC = Map(lambda w, args: args["r"] * w * (1 - w), {"r": 4.0})
HENON = Map(lambda w, _: jnp.stack([1 - 1.4 * w[0] ** 2 + w[1], 0.3 * w[0]]))


def well(w):
    """(x² − 1)²/4, whose step is x − ηx(x² − 1)."""
    return (w[0] ** 2 - 1) ** 2 / 4


def bowl(w):
    return jnp.sum(jnp.array([4.0, 3.0, 1.0]) * w**2) / 2


@pytest.mark.parametrize(("period", "count"), [(2, 1), (3, 2), (4, 3), (5, 6), (6, 9), (7, 18)])
def test_the_logistic_map_at_4_has_as_many_orbits_as_necklaces(period, count):
    """Every one is unstable, with multiplier ±2^period, and proven."""
    found = samdyn.orbits(LOGISTIC, box=[(-0.01, 1.01)], period=period)
    assert len(found) == count
    assert found.complete[period].proven
    for orbit in found.orbits:
        assert abs(orbit.multipliers[0]) == pytest.approx(2**period, rel=1e-9)
        assert orbit.verdict.verdict == "repeller"
        after = 4 * orbit.points * (1 - orbit.points)
        np.testing.assert_allclose(np.roll(orbit.points, -1, axis=0), after, atol=1e-12)


@pytest.mark.parametrize(("period", "count"), [(2, 1), (3, 0), (4, 1), (5, 0), (6, 2)])
def test_henon_s_orbits(period, count):
    """As many as Galias found by interval Newton (2001)."""
    found = samdyn.orbits(HENON, box=[(-2, 2), (-2, 2)], period=period)
    assert len(found) == count
    assert found.complete[period].proven


@pytest.mark.parametrize("eta", [1.05, 1.2, 1.3])
def test_orbits_about_the_minima_of_a_double_well(eta):
    """x, y with xy = 1/η and x² + y² = 1 + 1/η … from x − y = ηx(x² − 1) and back; one more is
    symmetric, x = −y = √(1 + 2/η)."""
    found = samdyn.orbits(StepMap(well, GD(), eta), box=[(-2.0, 2.0)])
    total, product = np.sqrt(1 + 3 / eta), 1 / eta
    pair = np.roots([1, -total, product])
    symmetric = np.sqrt(1 + 2 / eta)
    expected = [(-symmetric, symmetric), tuple(sorted(-pair)), tuple(sorted(pair))]
    points = sorted(tuple(np.sort(orbit.points[:, 0])) for orbit in found.orbits)
    np.testing.assert_allclose(points, sorted(expected), atol=1e-12)
    slope = lambda x: 1 - eta * (3 * x**2 - 1)  # noqa: E731
    inner = min(found.orbits, key=lambda orbit: orbit.amplitude)
    assert inner.multipliers[0].real == pytest.approx(slope(pair[0]) * slope(pair[1]), rel=1e-9)
    attracts = eta < np.sqrt(5) - 1
    assert inner.verdict.verdict == ("attractor" if attracts else "repeller")


def test_sam_on_a_bowl_has_an_orbit_along_each_axis():
    """±ρηλ/(2 − ηλ) along the axis of curvature λ; two steps contract by 0.4225 along 4's."""
    step = StepMap(bowl, SAM(0.1), 0.3)
    found = samdyn.orbits(step, box=[(-0.5, 0.5)] * 3)
    amplitudes = sorted(orbit.amplitude for orbit in found.orbits)
    expected = [0.1 * 0.3 * c / (2 - 0.3 * c) for c in (1, 3, 4)]
    np.testing.assert_allclose(amplitudes, expected, rtol=1e-9)
    (attracting,) = [o for o in found.orbits if o.verdict.verdict == "attractor"]
    assert attracting.spectral_radius == pytest.approx(0.4225, abs=1e-12)
    assert found.complete[2].consistent is None


def test_momentum_belongs_to_the_state():
    """The points of heavy ball's orbit obey w⁺ − w = γ(w − w⁻) − ηg, and differ from GD's."""
    eta, gamma = 1.55, 0.5
    found = samdyn.orbits(StepMap(well, GD(), eta, gamma), box=[(-2.0, 2.0)])
    assert len(found) >= 2
    for orbit in found.orbits:
        x, y = orbit.points[:, 0]
        for one, other in ((x, y), (y, x)):
            gradient = one * (one**2 - 1)
            moved = gamma * (one - other) - eta * gradient
            assert other - one == pytest.approx(moved, abs=1e-10)
        assert orbit.multipliers.size == 2


def test_from_a_point_the_nearest_orbit():
    step = StepMap(well, GD(), 1.2)
    left = samdyn.orbits(step, at=[-1.1]).orbits[0]
    right = samdyn.orbits(step, at=[1.1]).orbits[0]
    assert left.centre[0] == pytest.approx(-right.centre[0], abs=1e-12)
    assert abs(left.points[0, 0] + 1.1) <= abs(left.points[1, 0] + 1.1)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_units_and_origin_change_no_orbit(scale, shift):
    moved = lambda w: well(w / scale - shift)  # noqa: E731
    box = [(scale * (shift - 2), scale * (shift + 2))]
    found = samdyn.orbits(StepMap(moved, GD(), 1.1 * scale**2), box=box)
    amplitudes = sorted(orbit.amplitude / scale for orbit in found.orbits)
    total, product = np.sqrt(1 + 3 / 1.1), 1 / 1.1
    half = np.sqrt(total**2 - 4 * product) / 2
    np.testing.assert_allclose(amplitudes, [half, half, np.sqrt(1 + 2 / 1.1)], rtol=1e-6)


@pytest.mark.thorough
def test_a_method_with_memory_is_one_that_has_begun():
    """Friendly SAM's orbit is that of a run long since begun."""
    step = StepMap(lambda w: w[0] ** 2, FriendlySAM(0.1, sigma=0.5), 0.3)
    (orbit,) = samdyn.orbits(step, at=[0.1]).orbits
    state = step.init(jnp.array([0.1]))
    for _ in range(600):
        state = step(state)
    assert np.min(np.abs(orbit.points - float(state.w[0]))) < 1e-9


def test_a_step_that_counts_has_no_orbits():
    import optax

    step = OptaxStepMap(well, optax.adam(0.1))
    standard = jax.numpy_dtype_promotion("standard")  # optax's own demand
    with standard, pytest.raises(InvalidInput, match="counts"):
        samdyn.orbits(step, box=[(-2.0, 2.0)])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"box": [(0, 1)], "period": 1}, "stability finds"),
        ({"box": [(0, 1)], "period": 9}, "2 to 8"),
        ({"box": [(0, 1)], "period": 2.5}, "whole number"),
        ({"box": [(0, 1)], "at": [0.3]}, "not both"),
        ({}, "not both"),
        ({"at": [0.3], "period": 3}, "no orbit of period 3"),
    ],
)
def test_wrong_input_is_told(call, told):
    step = LOGISTIC.at(r=3.2)
    with pytest.raises(InvalidInput, match=told):
        samdyn.orbits(step, **call)


def test_a_random_system_is_refused():
    step = samdyn.StochasticStepMap(well, GD(), 0.1, samdyn.Isotropic(0.1))
    with pytest.raises(InvalidInput, match="not random"):
        samdyn.orbits(step, box=[(-1, 1)])


def test_usam_has_orbits_too():
    """Under USAM every orbit that is found closes under the step itself."""
    step = StepMap(well, USAM(0.1), 1.0)
    found = samdyn.orbits(step, box=[(-2.0, 2.0)])
    assert found.complete[2].proven
    assert len(found)
    for orbit in found.orbits:
        after = [float(step(step.init(jnp.asarray(w))).w[0]) for w in orbit.points]
        np.testing.assert_allclose(after, np.roll(orbit.points[:, 0], -1), atol=1e-12)


def test_the_result_tells_and_keeps_itself(tmp_path):
    found = samdyn.orbits(LOGISTIC.at(r=3.2), box=[(0.0, 1.0)], period=[2, 3])
    assert "period 3" in str(found)
    assert found.to_dict()["orbits"][0]["period"] == 2
    again = samdyn.load(found.save(tmp_path / "orbits.samdyn"))
    np.testing.assert_array_equal(again.orbits[0].points, found.orbits[0].points)
    assert str(again) == str(found)


def test_stability_tells_the_orbit_about_a_point_that_a_step_leaves():
    """GD on two wells beyond 2/λ: half their distance is √((1 + 3/η) − 4/η)/2."""
    (point,) = samdyn.stability(StepMap(well, GD(), 1.1), at=[1.0]).points
    assert (point.step.verdict, point.step.orbit) == ("repeller", "period-2")
    half = np.sqrt((1 + 3 / 1.1) - 4 / 1.1) / 2
    assert point.step.amplitude == pytest.approx(half, rel=1e-9)
    assert "attracts" in point.step.why
    (still,) = samdyn.stability(StepMap(well, GD(), 0.9), at=[1.0]).points
    assert still.step.orbit is None


def test_stability_tells_the_orbit_of_anyone_s_own_map():
    found = samdyn.stability(LOGISTIC.at(r=3.2), box=[(0.1, 1.0)])
    assert found.points[0].step.orbit == "period-2"


def test_from_a_point_in_small_units():
    step = StepMap(lambda w: jnp.sum(w**2) / 2, SAM(1e-7), 0.5)
    (orbit,) = samdyn.orbits(step, at=[4e-8]).orbits
    assert orbit.amplitude == pytest.approx(1e-7 / 3, rel=1e-9)
