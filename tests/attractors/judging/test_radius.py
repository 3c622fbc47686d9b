"""Within a proven radius every start ends at its attractor; sliding inwards is so everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.attractors.judging.inward import inward_everywhere
from samdyn.attractors.judging.radius import flow_radius, step_radius
from samdyn.attractors.judging.sliding import sliding_verdict
from samdyn.dynamics.stiff import integrate


def attractors(system, loss, verdict):
    found = samdyn.stability(system, box=loss.box)
    judged = [(item.point, getattr(item, verdict)) for item in found.points]
    return [(point.w, known.proven_radius) for point, known in judged if known.proven_radius]


def starts_about(w, radius, count=40):
    rng = np.random.default_rng(0)
    way = rng.normal(size=(count, w.size))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    return w + radius * way  # on the very border of the ball


LOSSES = ["double-well", "double-well-2d", "himmelblau", "three-hump-camel", "beale"]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("method", [samdyn.GD(), samdyn.USAM(0.05)], ids=["GD", "USAM"])
def test_the_flow_leads_to_the_point_from_everywhere_in_the_ball(name, method):
    loss = samdyn.get_loss(name)
    flow = samdyn.Flow(loss, method)
    found = attractors(flow, loss, "flow")
    assert found
    for w, radius in found:
        slowest = np.min(np.abs(np.linalg.eigvals(jax.jacfwd(flow.velocity)(jnp.asarray(w)))))
        ends = integrate(flow.velocity, starts_about(w, radius), np.array([1.0, 30.0]) / slowest)
        gaps = np.linalg.norm(ends[:, -1] - w, axis=1)
        assert np.max(gaps) < 1e-2 * radius + 1e-5


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_lead_to_the_point_from_everywhere_in_the_ball(momentum):
    loss = samdyn.get_loss("double-well-2d")
    step = samdyn.StepMap(loss, samdyn.USAM(0.05), 0.05, momentum)
    found = attractors(step, loss, "step")
    assert len(found) == 2
    for w, radius in found:
        run = jax.vmap(lambda start: samdyn.iterate(step, start, 4000).w)
        ends = np.asarray(run(jnp.asarray(starts_about(w, radius))))
        assert np.max(np.abs(ends - w)) < 1e-8


def test_the_ball_does_not_reach_the_border_of_the_basin():
    """The double well's basins meet at 0; the flow's norm shrinks while 3x² > 1, x > 0.577."""
    found = samdyn.stability(
        samdyn.Flow(samdyn.get_loss("double-well"), samdyn.GD()), box=[(-2, 2)]
    )
    radii = [item.flow.proven_radius for item in found.points if item.flow.proven_radius]
    assert len(radii) == 2
    assert all(0.2 < radius < 1 - 3**-0.5 for radius in radii)


def test_what_is_not_enclosed_has_no_radius():
    loss = samdyn.get_loss("double-well-2d")
    step = samdyn.StepMap(loss, samdyn.GD(), 0.1)
    point = samdyn.stability(step, at=[1.0, 0.0]).points[0].point
    assert point.enclosure is None
    assert flow_radius(samdyn.Flow(loss, samdyn.GD()), point) is None
    assert step_radius(step, point) is None


def test_units_change_a_radius_as_they_change_lengths():
    unit = 1e6
    loss = samdyn.get_loss("double-well")
    box = np.array([[-2.0, 2.0]])
    plain = samdyn.stability(samdyn.Flow(loss, samdyn.GD()), box=box)
    scaled = samdyn.stability(samdyn.Flow(lambda w: loss(w / unit), samdyn.GD()), box=unit * box)
    one, other = (found.points[0].flow.proven_radius for found in (plain, scaled))
    assert 0.5 <= other / (unit * one) <= 2  # powers of two are tried


WALLED = {
    "inf": lambda w: 0.5 * w[0] ** 2 + jnp.where(w[0] > 0.5, jnp.inf, 0.0),
    "nan": lambda w: 0.5 * w[0] ** 2 + jnp.where(w[0] > 0.5, jnp.nan, 0.0),
    "log": lambda w: 0.5 * w[0] ** 2 + 1e-9 * jnp.log(0.5 - w[0]),
}


@pytest.mark.parametrize("name", WALLED)
@pytest.mark.parametrize("method", [samdyn.GD(), samdyn.USAM(0.05)], ids=["GD", "USAM"])
def test_the_ball_ends_where_the_loss_does(name, method):
    step = samdyn.StepMap(WALLED[name], method, 0.1, 0.9)
    (item,) = [p for p in samdyn.stability(step, box=[(-3, 3.1)]).points if abs(p.point.w) < 0.1]
    radii = [verdict.proven_radius for verdict in (item.flow, item.step)]
    assert all(radius is None or radius < 0.5 for radius in radii)


def test_where_a_perturbation_lands_beyond_the_loss_nothing_slides_for_sure():
    def loss(w):
        return -0.5 * w[0] ** 2 - w[1] ** 2 + jnp.where(jnp.vdot(w, w) > 0.0025, jnp.inf, 0)

    assert inward_everywhere(loss, enclosed([0, 0]), 0.1) == 0
    assert inward_everywhere(loss, enclosed([0, 0]), 0.03) != 0


def enclosed(c, width=1e-12):
    c = np.asarray(c, float)
    return np.stack([c - width, c + width], axis=1)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_inward_everywhere_agrees_with_directions(seed, dim):
    """On random quadratics with a cubic term, at saddles, minima and maxima."""
    rng = np.random.default_rng(100 * dim + seed)
    axes, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    values = rng.choice([-1, 1], dim) * 10 ** rng.uniform(-1, 1, dim)
    hessian, cubic = jnp.asarray(axes * values @ axes.T), jnp.asarray(rng.normal(size=dim))
    loss = lambda w: 0.5 * w @ hessian @ w + jnp.sum(cubic * w**3) / 6  # noqa: E731
    rho = float(rng.uniform(0.02, 0.3))
    known = inward_everywhere(loss, enclosed(np.zeros(dim)), rho)
    judged = sliding_verdict(samdyn.Flow(loss, samdyn.SAM(rho)), np.zeros(dim), rho)
    everywhere = "distance alone" not in judged.why and judged.verdict in ("attractor", "repeller")
    if known:
        assert judged.verdict == {1: "attractor", -1: "repeller"}[known]
    elif everywhere:  # the bounds need not know what directions tell, where it is close
        assert dim == 3


def test_what_grows_in_some_direction_is_not_inward():
    loss, c = samdyn.get_loss("beale"), np.array([3.0, 0.5])
    judged = sliding_verdict(samdyn.Flow(loss, samdyn.SAM(0.5)), c, 0.5, enclosed(c))
    assert "distance alone does not decide" in judged.why
    assert not judged.proven
    assert inward_everywhere(loss, enclosed(c), 0.5) == 0


def test_a_proven_verdict_of_sliding_says_so():
    loss = samdyn.get_loss("double-well-2d")
    found = samdyn.stability(samdyn.Flow(loss, samdyn.SAM(0.1)), box=loss.box)
    critical = [item for item in found.points if item.point.kind == "critical"]
    assert len(critical) == 3
    assert all(item.flow.proven and item.flow.verdict == "attractor" for item in critical)
