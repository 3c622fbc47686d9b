"""The flow is minus the descent direction, fits diffrax as it is, and has the known Jacobians."""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import integrate, iterate

from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.multi_step import MultiStep
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.systems.flow import Flow
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.losses.registry import get_loss

BEALE = get_loss("beale")
SADDLE = jnp.array([0.0, 1.0])
W = jnp.array([0.7, 0.4])


def gradient_and_hessian(w):
    return jax.jit(lambda v: (jax.grad(BEALE)(v), jax.hessian(BEALE)(v)))(w)


@pytest.mark.parametrize("method", [GD(), SAM(0.1), USAM(0.01), ASAM(0.1), MultiStep(SAM(0.1), 2)])
def test_field_is_minus_the_gradient_at_the_perturbed_point(method):
    flow = Flow(BEALE, method)
    w_perturbed = flow.perturbed(W)
    np.testing.assert_array_equal(w_perturbed, method.perturb(jax.grad(BEALE), W))
    np.testing.assert_array_equal(flow.velocity(W), -jax.grad(BEALE)(w_perturbed))
    np.testing.assert_array_equal(flow(3.0, W, "args are not used"), flow.velocity(W))


@pytest.mark.parametrize("rho", [0.0, 0.02, 1 / 27.75, 0.1])
def test_usam_jacobian_at_a_critical_point(rho):
    _, h = gradient_and_hessian(SADDLE)
    jacobian = jax.jacfwd(Flow(BEALE, USAM(rho)).velocity)(SADDLE)
    np.testing.assert_allclose(jacobian, -h @ (np.eye(2) + rho * h), rtol=0, atol=1e-12)
    rates = np.sort(np.linalg.eigvals(np.asarray(jacobian)).real)
    # −λ(1 + ρλ) at λ = ±27.75: the saddle turns into an attractor at ρ = 1/27.75
    expected = np.sort([27.75 * (1 - 27.75 * rho), -27.75 * (1 + 27.75 * rho)])
    np.testing.assert_allclose(rates, expected, rtol=0, atol=1e-12)


def test_usam_jacobian_away_from_critical_points_is_not_symmetric():
    rho = 0.02
    flow = Flow(BEALE, USAM(rho))
    _, h = gradient_and_hessian(W)
    _, h_perturbed = gradient_and_hessian(flow.perturbed(W))
    jacobian = np.asarray(jax.jacfwd(flow.velocity)(W))
    np.testing.assert_allclose(jacobian, -h_perturbed @ (np.eye(2) + rho * h), rtol=1e-12)
    assert abs(jacobian[0, 1] - jacobian[1, 0]) > 0.5


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_sam_jacobian_away_from_critical_points(rho):
    flow = Flow(BEALE, SAM(rho))
    g, h = gradient_and_hessian(W)
    _, h_perturbed = gradient_and_hessian(flow.perturbed(W))
    norm = np.linalg.norm(g)
    projector = np.eye(2) - np.outer(g, g) / norm**2
    expected = -h_perturbed @ (np.eye(2) + rho / norm * projector @ h)
    jacobian = jax.jacfwd(flow.velocity)(W)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-12, atol=1e-12)


def test_sam_field_is_zero_exactly_at_a_critical_point_and_not_beside_it():
    field = Flow(BEALE, SAM(0.5)).velocity
    np.testing.assert_array_equal(field(SADDLE), [0, 0])
    # discontinuous: a distance 1e-9 away the speed is already of the order ρ·27.75
    assert float(jnp.linalg.norm(field(SADDLE + jnp.array([1e-9, 0.0])))) > 1


def test_at_radius_is_the_flow_built_with_that_radius():
    there = Flow(BEALE, SAM(0.1)).at_radius(0.5).velocity(W)
    np.testing.assert_array_equal(there, Flow(BEALE, SAM(0.5)).velocity(W))


def solve(flow, start, t1, solver, steps):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(flow),
        solver,
        0.0,
        t1,
        t1 / steps,
        start,
        stepsize_controller=diffrax.ConstantStepSize(),
    )
    return jax.tree.map(lambda leaf: leaf[0], solution.ys)


@pytest.mark.thorough
def test_eulers_method_on_the_flow_is_the_plain_step():
    for method in (GD(), SAM(0.1)):
        by_steps = iterate(StepMap(BEALE, method, 2.0**-10), W, 64).w
        by_euler = solve(Flow(BEALE, method), W, 64 * 2.0**-10, diffrax.Euler(), 64)
        # a step of 2⁻¹⁰ is exact, so only the order of additions differs
        np.testing.assert_allclose(by_euler, by_steps, rtol=1e-13)


@functools.cache
def reference():
    return integrate(Flow(BEALE, USAM(0.02)), W, 0.2, rtol=1e-13, atol=1e-13, points=2).w


@pytest.mark.parametrize(
    ("solver", "order", "steps", "band"),
    [
        (diffrax.Euler(), 1, (64, 128, 256), 0.05),
        (diffrax.Bosh3(), 3, (16, 32, 64), 0.15),
        # tends to 5 from above (5.46, 5.15 at the next doublings, then rounding)
        (diffrax.Tsit5(), 5, (16, 32, 64), 0.75),
    ],
)
@pytest.mark.thorough
def test_fixed_steps_converge_with_the_order_of_the_solver(solver, order, steps, band):
    flow = Flow(BEALE, USAM(0.02))
    errors = [float(jnp.linalg.norm(solve(flow, W, 0.2, solver, n) - reference())) for n in steps]
    assert errors[-1] > 1e-12  # still above the accuracy of the reference
    slopes = -np.diff(np.log2(errors))
    assert np.all(np.abs(slopes - order) < band), (errors, slopes)


@pytest.mark.thorough
def test_a_flow_of_a_pytree_goes_into_diffrax():
    tree = {"x": W[0], "y": W[1:]}
    flow = Flow(lambda w: BEALE(jnp.concatenate([w["x"][None], w["y"]])), SAM(0.1))
    ended = solve(flow, tree, 0.05, diffrax.Tsit5(), 10)
    flat = solve(Flow(BEALE, SAM(0.1)), W, 0.05, diffrax.Tsit5(), 10)
    np.testing.assert_allclose(ended["x"], flat[0], rtol=1e-13)
    np.testing.assert_allclose(ended["y"], flat[1:], rtol=1e-13)
