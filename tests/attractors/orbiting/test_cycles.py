"""Limit cycles: closed forms in polar coordinates, Van der Pol's known period, exp(∮div)."""

import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, ODE, Flow, InvalidInput

VAN_DER_POL = ODE(
    lambda t, w, args: jnp.stack([w[1], args["mu"] * (1 - w[0] ** 2) * w[1] - w[0]]), {"mu": 1.0}
)


def rings(t, w, args):
    """ṙ = r(1 − r²)(r² − 4), θ̇ = 1: cycles at r = 1 (repelling) and 2, of period 2π."""
    rate = (1 - w @ w) * (w @ w - 4)
    return rate * w + jnp.stack([-w[1], w[0]])


def test_van_der_pol():
    (cycle,) = samdyn.orbits(VAN_DER_POL, box=[(-3, 3), (-3, 3)]).orbits
    assert cycle.period == pytest.approx(6.6632868593, abs=1e-9)
    divergence = np.mean(1 - cycle.points[:, 0] ** 2)  # over equal times of a smooth cycle
    around = np.exp(cycle.period * divergence)
    np.testing.assert_allclose(np.sort(cycle.multipliers.real), [around, 1], rtol=1e-7)
    assert cycle.verdict.verdict == "attractor"


def test_a_repelling_cycle_within_an_attracting_one():
    """Multipliers exp(2π f'(r)) with f' = 6 at r = 1 and −24 at r = 2: e^{−151} has its digits."""
    inner, outer = samdyn.orbits(ODE(rings), box=[(-3, 3), (-3, 3)]).orbits
    for cycle, radius, rate in ((inner, 1, 6), (outer, 2, -24)):
        np.testing.assert_allclose(np.linalg.norm(cycle.points, axis=1), radius, rtol=1e-9)
        assert cycle.period == pytest.approx(2 * np.pi, rel=1e-10)
        beside = cycle.multipliers[np.argmax(np.abs(cycle.multipliers - 1))]
        assert np.log(beside.real) == pytest.approx(2 * np.pi * rate, rel=1e-6)
    assert (inner.verdict.verdict, outer.verdict.verdict) == ("repeller", "attractor")


@pytest.mark.thorough
@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_units_and_origin_change_nothing(scale):
    field = lambda t, w, args: scale * rings(t, w / scale - 3, args)  # noqa: E731
    box = [(0, 6 * scale), (0, 6 * scale)]
    found = samdyn.orbits(ODE(field), box=box)
    assert [o.verdict.verdict for o in found.orbits] == ["repeller", "attractor"]
    np.testing.assert_allclose([o.amplitude / scale for o in found.orbits], [1, 2], rtol=1e-6)


@pytest.mark.thorough
def test_an_unstable_cycle_of_lorenz_from_nearby():
    """Its shortest: period 1.5586522107 (Viswanath 2003)."""
    lorenz = ODE(
        lambda t, w, _: jnp.stack(
            [10 * (w[1] - w[0]), w[0] * (28 - w[2]) - w[1], w[0] * w[1] - 8 / 3 * w[2]]
        )
    )
    at = [-13.763610682134, -19.578751942452, 27.0]
    (cycle,) = samdyn.orbits(lorenz, at=at, period=1.5586).orbits
    assert cycle.period == pytest.approx(1.5586522107, abs=1e-9)
    assert cycle.verdict.verdict == "saddle"
    assert np.prod(cycle.multipliers).real == pytest.approx(
        np.exp(-(10 + 1 + 8 / 3) * cycle.period), rel=1e-5
    )


@pytest.mark.thorough
def test_a_centre_is_a_family_and_no_repeller():
    turn = ODE(lambda t, w, _: jnp.stack([w[1], -w[0]]))
    found = samdyn.orbits(turn, box=[(-1, 1), (-1, 1)])
    assert [o.verdict.verdict for o in found.orbits] == ["degenerate"]
    assert "of which one is listed" in found.warnings[0]


def test_jitter_at_rest_is_no_loop():
    found = samdyn.orbits(ODE(lambda t, w, _: -w), box=[(-1, 1), (-1, 1)])
    assert not len(found)
    assert not found.warnings
    assert not len(samdyn.orbits(ODE(lambda t, w, _: -w), box=[(-1, 1)]))


@pytest.mark.thorough
@pytest.mark.parametrize(("unit", "shift"), [(1e-4, 0.0), (1.0, 1e3)])
def test_from_a_point_in_any_units(unit, shift):
    def field(t, w, _):
        x, y = (w - shift) / unit
        return unit * jnp.stack([y, (1 - x**2) * y - x])

    (cycle,) = samdyn.orbits(ODE(field), at=[shift + 2 * unit, shift]).orbits
    assert cycle.period == pytest.approx(6.6632868593, abs=1e-7)


def test_a_gradient_flow_has_none():
    found = samdyn.orbits(Flow(lambda w: (w[0] ** 2 - 1) ** 2, GD()), box=[(-2, 2)])
    assert not len(found)
    assert found.complete[0].consistent is True


def test_where_nothing_closes_that_is_told():
    with pytest.raises(InvalidInput, match="no cycle is reached"):
        samdyn.orbits(ODE(lambda t, w, _: -w), at=[1.0, 0.0])
    with pytest.raises(InvalidInput, match="time > 0"):
        samdyn.orbits(VAN_DER_POL, at=[1.0, 0.0], period=-1)
