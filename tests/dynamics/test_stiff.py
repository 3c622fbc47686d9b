"""The stiff solver has its orders, and goes where diffrax goes."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.attractors.curves import flow_curves, follow
from samdyn.dynamics.integrate import integrate as by_diffrax
from samdyn.dynamics.stiff import Tolerance, attempt, integrate
from samdyn.programs.batch import OnPoints

SOLVER = diffrax.Kvaerno5()  # USAM's field is stiff where its perturbation lands far out
ANY = Tolerance(1.0, 1.0)
START = np.array([1.0, 0.7])


def bent(y):
    return jnp.stack([-(y[0] ** 2) * y[1] + jnp.sin(y[1]), y[0] * y[1] - 0.3 * y[1] ** 2 + 0.1])


def errors(h):
    """Of a step of length h at its end and in its middle, and what it says itself."""
    field = OnPoints(bent, 2)
    step = attempt(field, START[None], np.array([h]), 1.0, ANY)
    exact = integrate(bent, START[None], np.array([h / 2, h]), Tolerance(1e-12, 1e-13))[0]
    ends = np.abs(step.after[0] - exact[1]), np.abs(step.at(np.array([0.5]))[0] - exact[0])
    return np.array([np.max(ends[0]), np.max(ends[1]), step.error[0]])


def test_orders():
    """A local error falls as h⁵ at the end, h⁴ in the middle and in the estimate."""
    order = np.log2(errors(0.2) / errors(0.1))
    assert order[0] > 4.7
    assert 3.7 < order[1] < 4.5
    assert 3.7 < order[2] < 4.5


def test_a_step_begins_and_ends_where_it_says():
    field = OnPoints(bent, 2)
    step = attempt(field, START[None], np.array([0.3]), 1.0, ANY)
    np.testing.assert_allclose(step.at(np.array([[0.0, 1.0]]))[0], [START, step.after[0]])


def test_back_in_time_it_returns():
    field, h = OnPoints(bent, 2), np.array([0.01])
    there = attempt(field, START[None], h, 1.0, ANY).after
    back = attempt(field, there, h, np.array([-1.0]), ANY).after
    np.testing.assert_allclose(back[0], START, atol=1e-11)


@pytest.mark.parametrize("method", [samdyn.GD(), samdyn.USAM(0.05), samdyn.SAM(0.3)])
@pytest.mark.thorough
def test_curves_are_those_of_diffrax(method):
    flow = samdyn.Flow(samdyn.get_loss("himmelblau"), method)
    starts, time = np.array([[0.3, 1.0], [-2.0, -0.5], [1.0, -3.0]]), 0.05
    box = np.array([[-6.0, 6.0], [-6.0, 6.0]])
    curves = follow(flow, starts, np.full(3, time), box)
    for start, curve in zip(starts, curves, strict=True):
        path = by_diffrax(flow, jnp.asarray(start), time, solver=SOLVER, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(curve[-1], path.w, atol=1e-5)


def test_a_curve_ends_on_the_border_of_its_box():
    flow = samdyn.ODE(lambda t, w, args: jnp.stack([w[0], -w[1]]))
    box = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    curve = follow(flow, np.array([[0.1, 0.5]]), np.array([1e5]), box)[0]
    assert curve[-1, 0] == pytest.approx(1, abs=1e-9)
    assert np.prod(curve[-1]) == pytest.approx(0.05, rel=1e-6)


def test_a_curve_ends_where_its_flow_slides_or_is_not_defined():
    box = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    slides = samdyn.ODE(lambda t, w, args: jnp.stack([-jnp.sign(w[0]), -0.1 * w[1]]))
    curve = follow(slides, np.array([[0.3, 0.5]]), np.array([50.0]), box)[0]
    assert abs(curve[-1, 0]) < 1e-3
    ends = samdyn.ODE(lambda t, w, args: jnp.stack([-jnp.ones(()), jnp.sqrt(w[0])]))
    curve = follow(ends, np.array([[0.3, 0.5]]), np.array([50.0]), box)[0]
    assert curve[-1, 0] == pytest.approx(0, abs=1e-6)


def wells(k=1.0, unit=1.0, origin=0.0):
    """A double well with its heights, its lengths and its origin elsewhere."""

    def loss(w):
        x, y = (w - origin) / unit
        return k * (-0.5 * x**2 + 0.25 * x**4 + 0.5 * y**2)

    return samdyn.Flow(loss, samdyn.GD())


@pytest.mark.parametrize(
    ("k", "unit", "origin"),
    [(1e-6, 1.0, 0.0), (1e9, 1.0, 0.0), (1.0, 1e-6, 0.0), (1.0, 1e5, 0.0), (1.0, 1.0, 1e6)],
)
def test_units_of_time_and_length_and_the_origin_change_no_curve(k, unit, origin):
    box = np.array([[-2.0, 2.0], [-2.0, 2.1]])
    start, time = np.array([[0.2, 1.5]]), np.array([3.0])
    plain = follow(wells(), start, time, box)[0][-1]
    other = follow(
        wells(k, unit, origin), start * unit + origin, time * unit**2 / k, box * unit + origin
    )[0][-1]
    np.testing.assert_allclose((other - origin) / unit, plain, atol=1e-7)
    found = samdyn.stability(wells(k, unit, origin), box=box * unit + origin)
    curves, _ = flow_curves(found.flow, found.points, box * unit + origin)
    ends = [(c.points[-1] - origin) / unit for c in curves]
    np.testing.assert_allclose(np.abs(ends), [[0, 2.1], [0, 2], [1, 0], [1, 0]], atol=1e-3)
