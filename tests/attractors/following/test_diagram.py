"""Diagrams over two parameters against closed forms and against `stability`, pair by pair."""

import equinox as eqx
import numpy as np
import pytest

import samdyn
from samdyn import GD, SAM, USAM, Flow, StepMap


def saddle(w):
    return w[0] ** 2 - w[1] ** 2


class Bowl(eqx.Module):
    """½λw² about c."""

    curvature: float = 1.0
    centre: float = 0.0

    def __call__(self, w):
        return 0.5 * self.curvature * (w[0] - self.centre) ** 2


RHO, RATE = np.linspace(0.0, 1.2, 9) + 0.01, np.linspace(0.05, 0.9, 7)


def test_usam_at_a_saddle_is_its_window():
    """Curvatures a = ±2(1 ± 2ρ): the flow attracts from ρ = ½ on, the step where also ηa < 2."""
    step = StepMap(saddle, USAM(0.1), 0.1)
    found = samdyn.diagram(step, {"rho": RHO, "learning_rate": RATE}, at=[0.0, 0.0])
    rho, eta = np.meshgrid(RHO, RATE, indexing="ij")
    across, along = 2 * (1 + 2 * rho), -2 * (1 - 2 * rho)
    np.testing.assert_array_equal(found.flow == "attractor", rho > 0.5)
    inside = (np.abs(1 - eta * across) < 1) & (np.abs(1 - eta * along) < 1)
    np.testing.assert_array_equal(found.step == "attractor", inside)
    radius = np.maximum(np.abs(1 - eta * across), np.abs(1 - eta * along))
    np.testing.assert_allclose(found.leading, radius, rtol=1e-12)


def test_the_point_may_move_with_a_number_of_the_loss():
    step = StepMap(Bowl(), GD(), 0.1, 0.5)
    centres, curvatures = np.linspace(-3, 3, 5), np.array([1.0, 29.0, 31.0])
    found = samdyn.diagram(step, {"centre": centres, "curvature": curvatures}, at=[0.0])
    np.testing.assert_allclose(found.w[:, 0, 0], centres, atol=1e-9)
    assert found.step.tolist() == [["attractor", "attractor", "repeller"]] * 5


def test_it_is_stability_at_every_pair():
    loss = samdyn.get_loss("beale")
    radii, rates = np.array([0.01, 0.05, 0.1]), np.array([0.001, 0.02])
    step = StepMap(loss, USAM(0.1), 0.1)
    found = samdyn.diagram(step, {"rho": radii, "learning_rate": rates}, at=[0.0, 1.0])
    for i, rho in enumerate(radii):
        for j, rate in enumerate(rates):
            one = samdyn.stability(step.at(rho=rho, learning_rate=rate), at=[0.0, 1.0]).points[0]
            assert (one.flow.verdict, one.step.verdict) == (found.flow[i, j], found.step[i, j])


def test_a_flow_has_no_step_and_a_jump_no_jacobian(tmp_path):
    flow = samdyn.diagram(Flow(Bowl(), USAM(0.1)), {"rho": RHO, "curvature": RATE}, at=[0.0])
    assert flow.step is None
    np.testing.assert_allclose(flow.leading, -RATE * (1 + RHO[:, None] * RATE), rtol=1e-12)
    jumps = samdyn.diagram(
        StepMap(saddle, SAM(0.1), 0.1), {"rho": RHO, "learning_rate": RATE}, at=[0.0, 0.0]
    )
    assert np.all(jumps.flow == "attractor")
    assert np.all(jumps.step == "unknown")
    assert "no Jacobian" in str(jumps)
    assert samdyn.load(flow.save(tmp_path / "a.samdyn")).to_dict() == flow.to_dict()
    assert flow.plot().get_xlabel() == "curvature"


@pytest.mark.parametrize("place", [0.0, 0.7, 1e6])
def test_a_degenerate_point_gets_no_linear_verdict(place):
    """The monkey saddle, wherever it lies; rates that are rounding are no rates."""
    x = lambda w: w - place  # noqa: E731
    monkey = lambda w: x(w[0]) ** 3 - 3 * x(w[0]) * x(w[1]) ** 2  # noqa: E731
    given = {"rho": RHO, "learning_rate": RATE}
    found = samdyn.diagram(StepMap(monkey, USAM(0.1), 0.1), given, at=[place, place])
    assert np.all(found.flow == "degenerate")
    assert np.all(found.step == "degenerate")


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_point_of_a_hyperbola_of_minima_is_judged_across(momentum):
    """(xy − 1)² has curvature λ = 4 across at (1, 1): USAM's edge is ηλ(1 + ρλ) = 2(1 + γ)."""
    step = StepMap(lambda w: (w[0] * w[1] - 1) ** 2, USAM(0.1), 0.1, momentum)
    rho, rate = np.linspace(0, 0.3, 13), np.linspace(0.05, 0.8, 14)
    found = samdyn.diagram(step, {"rho": rho, "learning_rate": rate}, at=[1.0, 1.0])
    edge = 4 * rate * (1 + 4 * rho[:, None]) - 2 * (1 + momentum)
    assert np.all((found.step == "attractor") == (edge < 0))
    assert np.all(found.flow == "attractor")
    assert "transverse to a line of minima" in str(found)
    if not momentum:
        np.testing.assert_allclose(found.leading, np.abs(1 + edge), atol=1e-9)


def test_wrong_input_is_told():
    step = StepMap(saddle, USAM(0.1), 0.1)
    with pytest.raises(samdyn.InvalidInput, match="over two parameters"):
        samdyn.diagram(step, {"rho": RHO}, at=[0.0, 0.0])
    with pytest.raises(samdyn.InvalidInput, match="no parameter 'beta'"):
        samdyn.diagram(step, {"rho": RHO, "beta": RATE}, at=[0.0, 0.0])
    with pytest.raises(samdyn.InvalidInput, match="ascending"):
        samdyn.diagram(step, {"rho": RHO[::-1], "learning_rate": RATE}, at=[0.0, 0.0])
