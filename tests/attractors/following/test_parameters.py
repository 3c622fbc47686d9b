"""Sweeps over any parameter: events of flow and step where closed forms put them."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, SAM, USAM, Flow, HeavyBall, StepMap


class Pitchfork(eqx.Module):
    """w⁴/4 − μw²/2."""

    mu: float = 1.0

    def __call__(self, w):
        return w[0] ** 4 / 4 - self.mu * w[0] ** 2 / 2


class SaddleNode(eqx.Module):
    """w₀³/3 − aw₀ + w₁²: a minimum and a saddle at ±√a."""

    a: float = 1.0

    def __call__(self, w):
        return w[0] ** 3 / 3 - self.a * w[0] + w[1] ** 2


class Exchange(eqx.Module):
    """w³/3 − aw²/2: 0 and a exchange their stability."""

    a: float = 1.0

    def __call__(self, w):
        return w[0] ** 3 / 3 - self.a * w[0] ** 2 / 2


def bowl(w):
    return w[0] ** 2


def saddle(w):
    return w[0] ** 2 - w[1] ** 2


def events(found, of=None):
    return [e for e in found.bifurcations if of in (None, e.of)]


def test_usam_s_step_doubles_its_period_at_the_upper_end_of_the_window():
    """1 − ηλ(1 + ρλ) = −1 at ρ = (2/(ηλ) − 1)/λ, λ = 2."""
    found = samdyn.sweep(StepMap(bowl, USAM(0.1), 0.8), "rho", np.linspace(0, 0.6, 31), at=[0.0])
    (event,) = found.bifurcations
    assert (event.type, event.of) == ("period-doubling", "step")
    assert event.value == pytest.approx(0.125, abs=1e-12)
    assert (event.before, event.after) == ("attractor", "repeller")
    assert event.to_dict()["of"] == "step"
    branch = found.branches[0]
    assert branch.step_verdict[0] == "attractor"
    assert branch.step_verdict[-1] == "repeller"


def test_a_learning_rate_moves_no_point_and_changes_the_step():
    values = np.linspace(0.1, 3, 30)
    found = samdyn.sweep(StepMap(bowl, USAM(0.1), 0.5), "learning_rate", values, at=[0.0])
    (event,) = found.bifurcations
    assert event.value == pytest.approx(1 / 1.2, abs=1e-12)
    assert found.to_dict()["parameter"] == "learning_rate"
    assert found.to_dict()["bifurcations"][0]["value"] == event.value
    assert "step: ● attractor 0.1–0.8" in str(found)


def test_hallucinated_points_stand_still_where_the_step_alone_changes():
    """(x² − 1)²/4 under USAM ρ = 2 has its two hallucinated points at ±√(1 − 1/ρ)."""
    well = lambda w: (w[0] ** 2 - 1) ** 2 / 4  # noqa: E731
    step = StepMap(well, USAM(2.0), 0.1)
    found = samdyn.sweep(step, "learning_rate", np.linspace(0.05, 3.0, 12), box=[(-2.0, 2.0)])
    fixed = [b for b in found.branches if b.period == 1]
    assert {"critical", "hallucinated"} == {b.kind for b in fixed}
    for branch in fixed:
        assert np.ptp(branch.w) == 0
        at = [float(branch.w[0, 0])]
        for i in (0, 11):
            (one,) = samdyn.stability(step.at(learning_rate=found.values[i]), at=at).points
            assert branch.step_verdict[i] == one.step.verdict
            assert branch.verdict[i] == one.flow.verdict


def test_the_jump_at_radius_0_is_an_event():
    found = samdyn.sweep(Flow(saddle, SAM(0.1)), "rho", np.linspace(0, 0.5, 6), at=[0.0, 0.0])
    (event,) = found.bifurcations
    assert (event.value, event.type) == (0.0, "sliding")
    assert (event.before, event.after) == ("saddle", "attractor")


def test_momentum_carries_the_step_over_its_edge():
    """Heavy ball holds ηλ < 2(1 + γ): with ηλ = 3 from γ = ½ on."""
    step = StepMap(bowl, GD(), 1.5, HeavyBall(0.1))
    found = samdyn.sweep(step, "momentum", np.linspace(0.05, 0.95, 19), at=[0.0])
    (event,) = found.bifurcations
    assert event.type == "period-doubling"
    assert event.value == pytest.approx(0.5, abs=1e-10)


def test_the_logistic_map():
    """x ↦ rx(1 − x): 0 and 1 − 1/r meet at r = 1; the latter doubles its period at 3."""
    step = samdyn.Map(lambda w, args: args["r"] * w * (1 - w), {"r": 2.0})
    found = samdyn.sweep(step, "r", np.linspace(0.5, 3.6, 32), box=[(-1.5, 1.5)])
    meet, double, again = found.bifurcations
    assert (meet.type, double.type, double.of) == ("transcritical", "period-doubling", "step")
    assert (again.type, again.period) == ("period-doubling", 2)
    assert again.value == pytest.approx(1 + 6**0.5, abs=1e-9)
    assert meet.value == pytest.approx(1, abs=1e-9)
    assert double.value == pytest.approx(3, abs=1e-9)
    assert all(b.verdict == b.step_verdict for b in found.branches)


def test_the_delayed_logistic_map_turns_by_a_sixth():
    """(x, y) ↦ (rx(1 − y), x): multipliers e^{±2πi/6} at r = 2."""
    step = samdyn.Map(lambda w, args: jnp.stack([args["r"] * w[0] * (1 - w[1]), w[0]]), {"r": 1.5})
    found = samdyn.sweep(step, "r", np.linspace(1.3, 2.25, 20), at=[0.3, 0.3])
    (event,) = found.bifurcations
    assert event.type == "neimark-sacker"
    assert event.value == pytest.approx(2, abs=1e-9)
    assert event.rotation == pytest.approx(1 / 6, abs=1e-8)
    assert "rotation 0.166667" in str(found)


def test_a_hopf_of_anyone_s_own_flow():
    """Van der Pol's origin, x' = y, y' = μ(1 − x²)y − x, at μ = 0."""
    flow = samdyn.ODE(
        lambda t, w, args: jnp.stack([w[1], args["mu"] * (1 - w[0] ** 2) * w[1] - w[0]]),
        {"mu": 1.0},
    )
    found = samdyn.sweep(flow, "mu", np.linspace(-1, 1.1, 15), at=[0.0, 0.0])
    (event,) = found.bifurcations
    assert (event.type, event.before, event.after) == ("hopf", "attractor", "repeller")
    assert event.value == pytest.approx(0, abs=1e-9)


def test_a_pitchfork_in_a_number_of_the_loss():
    """Arms at ±√μ whose step, 1 − 2ημ, doubles its period at μ = 1/η."""
    step = StepMap(Pitchfork(), GD(), 0.3)
    found = samdyn.sweep(step, "mu", np.linspace(-1, 4, 26), box=[(-3.0, 3.0)])
    assert [b.period for b in found.branches] == [1, 1, 1, 2, 2]
    fork, *doublings = (e for e in found.bifurcations if e.period == 1)
    assert fork.type == "pitchfork"
    assert fork.value == pytest.approx(0, abs=1e-10)
    assert [e.type for e in doublings] == ["period-doubling"] * 2
    np.testing.assert_allclose([e.value for e in doublings], 1 / 0.3, rtol=1e-9)
    arm = next(b for b in found.branches if b.w[-1, 0] > 1)
    positive = found.values > 0.01
    np.testing.assert_allclose(arm.w[positive, 0], np.sqrt(found.values[positive]), rtol=1e-9)
    assert arm.critical_type == "minimum"


def test_a_fold_in_a_number_of_the_loss():
    found = samdyn.sweep(
        Flow(SaddleNode(), GD()), "a", np.linspace(-1, 1.1, 22), box=[(-2.0, 2.0), (-1.0, 1.0)]
    )
    assert {b.critical_type for b in found.branches} == {"minimum", "saddle"}
    (event,) = found.bifurcations
    assert event.type == "fold"
    assert event.value == pytest.approx(0, abs=1e-9)
    assert {event.before, event.after} == {"attractor", "saddle"}


def test_two_points_that_exchange_their_stability():
    found = samdyn.sweep(Flow(Exchange(), GD()), "a", np.linspace(-1, 1, 22), box=[(-2.0, 2.0)])
    assert len(found.branches) == 2
    (event,) = found.bifurcations
    assert event.type == "transcritical"
    assert event.value == pytest.approx(0, abs=1e-9)


def test_normalised_sam_slides_on_points_that_move():
    found = samdyn.sweep(
        Flow(Pitchfork(), SAM(0.2)), "mu", np.linspace(0.1, 2.1, 9), box=[(-3.0, 3.0)]
    )
    critical = [b for b in found.branches if b.kind == "critical"]
    assert len(critical) == 3
    assert all(set(b.verdict) == {"attractor"} for b in critical)


def test_a_method_s_own_number_moves_hallucinated_points():
    """The double well under USAM by the name of its path is the sweep over rho."""
    well = samdyn.get_loss("double-well-2d")
    radii = np.linspace(0.5, 2.0, 7)
    named = samdyn.sweep(Flow(well, USAM(1.0)), "method.rho", radii, box=well.box)
    plain = samdyn.sweep(Flow(well, USAM(1.0)), "rho", radii, box=well.box)
    assert named.to_dict() == plain.to_dict()


class Flat(eqx.Module):
    """a(w − c)⁴: its minimum moves with c and is degenerate everywhere."""

    c: float = 0.0
    a: float = 1.0

    def __call__(self, w):
        return self.a * (w[0] - self.c) ** 4


@pytest.mark.parametrize(("name", "values"), [("c", [-1.0, 0.3, 1.0]), ("a", [0.1, 3.0, 40.0])])
def test_a_degenerate_point_that_moves_gets_no_linear_verdict(name, values):
    found = samdyn.sweep(StepMap(Flat(), GD(), 0.1), name, values, box=[(-2.0, 2.0)])
    for branch in found.branches:
        assert set(branch.verdict) <= {"degenerate", None}
        assert set(branch.step_verdict) <= {"degenerate", None}
    assert found.branches or found.warnings


def test_the_rows_of_a_table_have_the_step():
    found = samdyn.sweep(StepMap(bowl, USAM(0.1), 0.8), "rho", [0.0, 0.3], at=[0.0])
    assert [row["step"] for row in found._table()] == ["attractor", "repeller"]


def test_wrong_parameters_are_told():
    step = StepMap(Pitchfork(), GD(), 0.1)
    with pytest.raises(samdyn.InvalidInput, match="no parameter 'beta'"):
        samdyn.sweep(step, "beta", [0.1, 0.2], at=[0.0])
    with pytest.raises(samdyn.InvalidInput, match="two or more values of mu"):
        samdyn.sweep(step, "mu", [0.2, 0.1], at=[0.0])
    with pytest.raises(samdyn.InvalidInput, match="learning rate must be a finite number > 0"):
        samdyn.sweep(step, "learning_rate", [-1.0, 0.1], at=[0.0])


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_of_the_parameter_do_not_count(scale):
    class Scaled(eqx.Module):
        mu: float = 1.0

        def __call__(self, w):
            return w[0] ** 4 / 4 - self.mu / scale * w[0] ** 2 / 2

    found = samdyn.sweep(
        Flow(Scaled(), GD()), "mu", scale * np.linspace(-1, 2, 13), box=[(-3.0, 3.0)]
    )
    (fork,) = found.bifurcations
    assert fork.type == "pitchfork"
    assert fork.value == pytest.approx(0, abs=1e-9 * scale)
    assert len(found.branches) == 3
    assert jnp.ndim(found.values) == 1
