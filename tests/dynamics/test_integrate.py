"""Flows are integrated to the accuracy asked for, both ways in time, and stop where they must."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import integrate

from samdyn.dynamics.integrate import STATUS
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.systems.flow import Flow
from samdyn.errors import InvalidInput
from samdyn.losses.families import QuadraticForm, quadratic

H = np.asarray(quadratic((3.0, -1.0, 0.5), 0).function.matrix)
FORM = QuadraticForm(jnp.asarray(H))
START = jnp.array([0.6, -0.8, 1.1])


NEVER = (jnp.zeros(1), 1e-9)  # a target that is not reached, for a flow that must end otherwise


def line(curvature, method):
    """The flow on ½·curvature·w² in one dimension."""
    return Flow(QuadraticForm(jnp.array([[curvature]])), method)


def exponential(rates, t, start):
    """exp(−t·R) start for a symmetric R, from its eigenvectors."""
    values, vectors = np.linalg.eigh(rates)
    return vectors @ (np.exp(-t * values) * (vectors.T @ np.asarray(start)))


def status(path):
    return STATUS[int(path.status)]


@pytest.mark.parametrize("rho", [0.0, 0.2])
@pytest.mark.thorough
def test_linear_flow_is_the_matrix_exponential_forwards_and_backwards(rho):
    flow = Flow(FORM, USAM(rho))
    rates = H @ (np.eye(3) + rho * H)
    for t1 in (1.5, -1.0):
        path = integrate(flow, START, t1, points=11)
        assert status(path) == "ran"
        assert float(path.t) == t1
        assert path.ts.shape == (12,)
        assert path.ws.shape == (12, 3)
        np.testing.assert_allclose(path.ts[:-1], np.linspace(0, t1, 11), atol=1e-15)
        exact = np.array([exponential(rates, t, START) for t in np.asarray(path.ts)])
        # rtol 1e-9 a step, tens of steps, growth below e⁵ = 150 backwards
        size = np.max(np.abs(exact))
        np.testing.assert_allclose(path.ws, exact, rtol=0, atol=1e-8 * size)
        np.testing.assert_array_equal(path.w, path.ws[-1])
        # in between, from the dense output
        for fraction in (0.123, 0.5, 0.987):
            t = fraction * t1
            np.testing.assert_allclose(
                path.at(t), exponential(rates, t, START), rtol=0, atol=1e-7 * size
            )


@pytest.mark.thorough
def test_there_and_back_again():
    flow = Flow(FORM, USAM(0.0))
    there = integrate(flow, START, 1.5, t0=0.25, points=11)
    back = integrate(flow, there.w, 0.25, t0=1.5, points=11)
    assert float(back.t) == 0.25
    # the fastest direction contracts by e^3.75 = 43 and comes back by the same factor
    np.testing.assert_allclose(back.w, START, rtol=0, atol=43 * 1e-8)


@pytest.mark.thorough
def test_tolerances_and_solver_are_those_asked_for():
    flow = Flow(FORM, USAM(0.2))
    exact = exponential(H @ (np.eye(3) + 0.2 * H), 1.5, START)
    loose = integrate(flow, START, 1.5, solver=diffrax.Bosh3(), rtol=1e-4, atol=1e-4, points=11)
    tight = integrate(flow, START, 1.5, points=11)
    errors = [float(jnp.linalg.norm(path.w - exact)) for path in (loose, tight)]
    assert 1e-6 < errors[0] < 1e-3
    assert errors[1] < 1e-8


@pytest.mark.parametrize(
    ("curvature", "rho", "start"),
    [(-2.0, 0.5, 0.3), (-2.0, 0.5, -0.45), (3.0, 0.5, 0.3), (0.7, 0.2, -2.0)],
)
@pytest.mark.thorough
def test_sam_reaches_a_one_dimensional_critical_point_at_the_exact_time(curvature, rho, start):
    radius = 0.01  # the flow is stopped that far from the point, where its field still is smooth
    flow = line(curvature, SAM(rho))
    path = integrate(flow, jnp.array([start]), 10.0, arrive=(jnp.zeros(1), radius), points=11)
    distance, rate = abs(start), abs(curvature)

    def time_to_zero(x):
        if curvature < 0:
            return np.log(rho / (rho - x)) / rate
        return np.log((x + rho) / rho) / rate

    assert status(path) == "arrived"
    # the arrival is located to 1e-10; the path itself has rtol 1e-9 a step
    assert float(path.t) == pytest.approx(time_to_zero(distance) - time_to_zero(radius), abs=2e-8)
    np.testing.assert_allclose(path.w, [np.sign(start) * radius], rtol=1e-7)


@pytest.mark.thorough
def test_sam_beyond_rho_of_a_maximum_is_not_captured():
    flow = line(-2.0, SAM(0.5))
    arrive = (jnp.zeros(1), 0.01)
    path = integrate(flow, jnp.array([0.51]), 3.0, arrive=arrive, points=11)
    assert status(path) == "ran"
    # w − ρ grows at rate 2
    assert float(path.w[0]) == pytest.approx(0.5 + 0.01 * np.exp(6), rel=1e-7)


@pytest.mark.thorough
def test_an_early_stop_keeps_what_was_saved_before_it():
    flow = line(1.0, GD())
    path = integrate(flow, jnp.ones(1), 10.0, arrive=(jnp.zeros(1), np.exp(-3.3)), points=11)
    assert status(path) == "arrived"
    np.testing.assert_allclose(path.t, 3.3, atol=1e-8)
    np.testing.assert_allclose(path.ts[:5], [0, 1, 2, 3, 3.3], atol=1e-8)
    np.testing.assert_allclose(path.ws[:5, 0], np.exp(-path.ts[:5]), rtol=1e-8)
    assert np.all(np.isinf(path.ts[5:]))
    assert np.all(np.isinf(path.ws[5:]))
    np.testing.assert_array_equal(path.w, path.ws[4])


@pytest.mark.thorough
def test_arrival_from_inside_and_backwards_in_time():
    flow = line(1.0, GD())
    path = integrate(flow, jnp.array([np.exp(-3.3)]), -10.0, arrive=(jnp.zeros(1), 1.0), points=11)
    assert status(path) == "arrived"
    np.testing.assert_allclose(path.t, -3.3, atol=1e-8)


@pytest.mark.thorough
def test_leaving_a_box_through_each_side_at_the_exact_time():
    # x grows and y shrinks: x leaves at ln(L/x₀)/2
    flow = Flow(QuadraticForm(jnp.diag(jnp.array([-2.0, 1.0]))), GD())
    far_off = (jnp.zeros(2), 1e-9)
    for x, side in [(0.1, 1.5), (-0.1, 1.2)]:
        path = integrate(
            flow, jnp.array([x, 0.5]), 10.0, arrive=far_off, box=[[-1.2, 1.5], [-1, 1]], points=11
        )
        assert status(path) == "left the box"
        assert float(path.t) == pytest.approx(np.log(side / 0.1) / 2, abs=1e-8)
        assert abs(float(path.w[0])) == pytest.approx(side, rel=1e-8)


@pytest.mark.thorough
def test_whichever_stop_comes_first_is_reported():
    flow = Flow(QuadraticForm(jnp.diag(jnp.array([-2.0, 1.0]))), GD())
    box = [[-1.0, 1.0], [-1.0, 1.0]]
    start = jnp.array([0.1, 0.5])
    # ‖w‖ falls from 0.51 to below 0.45 at once, and x reaches the side at ln(10)/2
    early, late = (
        integrate(flow, start, 10.0, arrive=(jnp.zeros(2), r), box=box, points=11)
        for r in (0.45, 0.01)
    )
    assert (status(early), status(late)) == ("arrived", "left the box")
    assert float(early.t) < float(late.t) == pytest.approx(np.log(10) / 2, abs=1e-8)


@pytest.mark.parametrize("diverged", [1e3, 1e6])
def test_divergence_is_an_end_and_not_an_error(diverged):
    flow = line(-2.0, GD())
    path = integrate(flow, jnp.ones(1), 100.0, arrive=NEVER, diverged=diverged, points=11)
    assert float(path.t) == pytest.approx(np.log(1 + diverged) / 2, abs=1e-8)
    assert float(path.w[0]) == pytest.approx(1 + diverged, rel=1e-8)
    assert status(path) == "diverged"


def test_arrival_far_from_the_origin_is_located_too():
    flow = line(1.0, GD())
    arrive = (jnp.zeros(1), 1e3)
    path = integrate(flow, jnp.array([1e4]), 10.0, arrive=arrive, points=11)
    assert float(path.t) == pytest.approx(np.log(10), abs=1e-8)
    assert status(path) == "arrived"


def test_a_start_outside_the_box_has_left_it_before_the_first_step():
    flow = Flow(QuadraticForm(jnp.eye(2)), GD())
    box = [[-1.0, 1.0], [-1.0, 1.0]]
    far_off = (jnp.zeros(2), 1e-9)
    path = integrate(flow, jnp.array([3.0, 0.0]), 10.0, arrive=far_off, box=box, points=11)
    assert (status(path), float(path.t)) == ("left the box", 0)
    np.testing.assert_array_equal(path.w, [3.0, 0.0])


@pytest.mark.thorough
def test_too_few_steps_are_reported():
    path = integrate(Flow(FORM, USAM(0.0)), START, 1.5, max_steps=3, points=11)
    assert status(path) == "stopped short"
    assert 0 <= float(path.t) < 1.5


def test_vmap_over_start_and_radius_is_a_loop():
    def arrival(rho, x):
        flow = line(-2.0, SAM(rho))
        path = integrate(flow, x[None], 10.0, arrive=(jnp.zeros(1), 0.01), points=11)
        return path.t, path.status

    rho, x = jnp.array([0.5, 0.9, 0.6]), jnp.array([0.3, 0.3, 0.59])
    batch_t, batch_status = jax.vmap(arrival)(rho, x)
    for i in range(3):
        t, one = arrival(rho[i], x[i])
        assert int(one) == int(batch_status[i])
        assert float(batch_t[i]) == pytest.approx(float(t), abs=1e-9)


@pytest.mark.thorough
def test_a_pytree_start_gives_the_flat_path():
    tree = {"a": START[:2], "b": START[2]}
    loss = lambda w: FORM(jnp.append(w["a"], w["b"]))  # noqa: E731
    path = integrate(Flow(loss, USAM(0.2)), tree, 0.5, points=11)
    flat = integrate(Flow(FORM, USAM(0.2)), START, 0.5, points=11)
    np.testing.assert_allclose(path.ws["a"], flat.ws[:, :2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(path.at(0.2)["b"], flat.at(0.2)[2], rtol=0, atol=1e-9)


@pytest.mark.thorough
def test_nothing_recompiles_for_another_start_radius_or_time():
    traces = []

    def loss(w):
        traces.append(None)
        return FORM(w)

    integrate(Flow(loss, USAM(0.1)), START, 0.5, arrive=(jnp.zeros(3), 0.01), points=11)
    traced = len(traces)
    for rho, scale, t1, radius in [(0.2, 0.5, 0.7, 0.02), (0.0, 2.0, -0.1, 0.05)]:
        arrive = (jnp.zeros(3), radius)
        integrate(Flow(loss, USAM(rho)), scale * START, t1, arrive=arrive, points=11)
    assert len(traces) == traced


@pytest.mark.parametrize(("t0", "t1"), [(0.0, 0.0), (1.0, 1.0)])
def test_times_that_are_no_interval_are_refused(t0, t1):
    with pytest.raises(InvalidInput, match="two different finite times"):
        integrate(Flow(FORM, GD()), START, t1, t0=t0)


@pytest.mark.parametrize("times", [{"t1": np.nan}, {"t0": np.inf, "t1": 1.0}])
def test_times_are_finite(times):
    with pytest.raises(InvalidInput, match="must be a finite number"):
        integrate(Flow(FORM, GD()), START, **times)


def test_a_box_of_the_wrong_shape_is_refused():
    with pytest.raises(InvalidInput, match=r"box must have shape \(3, 2\), not \(2, 2\)"):
        integrate(Flow(FORM, GD()), START, 1.0, box=[[0, 1], [0, 1]])
