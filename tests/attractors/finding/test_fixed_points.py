"""Every critical point of every registered loss is found, once, with its type; and the check
that none is missing can tell when one is."""

import jax
import numpy as np
import pytest

from samdyn import GD, SAM, USAM, Flow, InvalidInput, fixed_points, get_loss, loss_names
from samdyn.attractors.finding.completeness import completeness, degree_checks
from samdyn.attractors.finding.fixed_points import fixed_point_near, nearest_fixed_point
from samdyn.attractors.finding.point import as_box

KNOWN = [name for name in loss_names() if get_loss(name).critical_points is not None]
EXTRA = ["styblinski-tang-3d", "rosenbrock-4d"]
PLANAR = [name for name in loss_names() if get_loss(name).dim == 2]


def test_only_the_toy_net_has_no_exact_list():
    """All its critical points lie on curves."""
    assert set(loss_names()) - set(KNOWN) == {"toy-net"}


@pytest.mark.parametrize("name", [*KNOWN, *EXTRA])
def test_every_critical_point_is_found_exactly_once(name):
    loss = get_loss(name)
    truth = loss.critical_points
    found = [p for p in fixed_points(Flow(loss, GD()), loss.box).points if p.continuum is None]
    assert len(found) == len(truth)
    order = lambda p: tuple(np.round(p.w, 6))  # noqa: E731
    for point, exact in zip(sorted(found, key=order), sorted(truth, key=order), strict=True):
        np.testing.assert_allclose(point.w, exact.w, atol=1e-9, rtol=0)
        assert point.kind == "critical"
        assert point.critical_type == exact.critical_type
        if exact.critical_type != "degenerate":
            np.testing.assert_allclose(
                point.hessian_eigenvalues, exact.hessian_eigenvalues, rtol=1e-8
            )


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.thorough
def test_the_degree_check_is_consistent_on_every_planar_loss(name):
    loss = get_loss(name)
    complete = fixed_points(Flow(loss, GD()), loss.box).complete
    assert complete.checked
    assert complete.consistent is True


@pytest.mark.parametrize("name", ["beale", "himmelblau", "six-hump-camel", "double-well"])
@pytest.mark.thorough
def test_the_degree_check_notices_each_removed_point(name):
    loss = get_loss(name)
    flow = Flow(loss, GD())
    points = fixed_points(flow, loss.box).points
    for missing in range(len(points)):
        rest = points[:missing] + points[missing + 1 :]
        verdict = completeness(degree_checks(flow, as_box(loss.box), rest), loss.dim)
        assert verdict.consistent is False
        cell = verdict.mismatches[0].box
        assert np.all((cell[:, 0] <= points[missing].w) & (points[missing].w <= cell[:, 1]))


def test_a_continuum_is_kept_and_named_degenerate():
    result = fixed_points(Flow(get_loss("mexican-hat"), GD()), get_loss("mexican-hat").box)
    circle, origin = sorted(result.points, key=lambda p: p.continuum is None)
    assert circle.critical_type == "degenerate"
    np.testing.assert_allclose(np.linalg.norm(circle.continuum, axis=1), 1, atol=1e-7)
    angles = np.sort(np.arctan2(*circle.continuum.T))
    assert np.max(np.diff(angles)) < 0.2  # all round
    assert origin.critical_type == "maximum"


@pytest.mark.thorough
def test_the_toy_net_has_its_three_curves():
    loss = get_loss("toy-net")
    result = fixed_points(Flow(loss, GD()), loss.box)
    assert len(result.points) == 3
    for point in result.points:
        first, second = point.continuum.T
        on_line = np.max(np.abs(first)) < 1e-5
        on_branch = np.max(np.abs(second * first**2 - 1)) < 1e-5
        assert on_line or on_branch


def test_a_higher_dimension_says_that_it_was_not_checked():
    loss = get_loss("rosenbrock-4d")
    complete = fixed_points(Flow(loss, GD()), loss.box).complete
    assert not complete.checked
    assert complete.consistent is None
    assert "not checked" in complete.method


@pytest.mark.thorough
def test_hallucinated_points_of_sam_solve_their_equation():
    """x = ±(1 − ρ) for 1 < ρ < 2: w^p is the other minimum; beyond them ±(ρ … ) map to 0."""
    loss, rho = get_loss("double-well"), 1.5
    flow = Flow(loss, SAM(rho))
    result = fixed_points(flow, loss.box)
    hallucinated = [p for p in result.points if p.kind == "hallucinated"]
    assert {round(float(p.w[0]), 9) for p in hallucinated} == {-0.5, 0.5}
    for point in hallucinated:
        assert point.gradient_norm > 0.1
        gradient = jax.grad(loss)(flow.perturbed(jax.numpy.asarray(point.w)))
        assert abs(float(gradient[0])) < 1e-12


@pytest.mark.thorough
def test_usam_has_the_hallucinated_points_of_a_cubic():
    """w + ρ(w³ − w) = c for c ∈ {−1, 0, 1} and ρ = 4.5 has roots ∓1/3, ∓2/3, ±√(1 − 1/ρ)."""
    loss = get_loss("double-well")
    points = fixed_points(Flow(loss, USAM(4.5)), loss.box).points
    found = sorted(float(p.w[0]) for p in points if p.kind == "hallucinated")
    root = np.sqrt(1 - 1 / 4.5)
    exact = [-root, -2 / 3, -1 / 3, 1 / 3, 2 / 3, root]
    np.testing.assert_allclose(found, exact, atol=1e-9)


@pytest.mark.thorough
def test_newton_from_near_a_saddle_ends_at_it():
    flow = Flow(get_loss("beale"), USAM(0.03))
    point = fixed_point_near(flow, [0.01, 0.99])
    np.testing.assert_allclose(point.w, [0, 1], atol=1e-12)
    assert point.critical_type == "saddle"


def test_the_nearest_fixed_point_of_a_valley_is_its_minimum():
    flow = Flow(get_loss("beale"), GD())
    point = nearest_fixed_point(flow, [2.47529, 0.335141])
    np.testing.assert_allclose(point.w, [3, 0.5], atol=1e-9)


@pytest.mark.thorough
def test_the_result_depends_on_the_seed_only_in_rounding():
    flow, box = Flow(get_loss("himmelblau"), USAM(0.01)), get_loss("himmelblau").box
    one, two = (fixed_points(flow, box, seed=seed).points for seed in (0, 5))
    assert len(one) == len(two)
    for p, q in zip(one, two, strict=True):
        np.testing.assert_allclose(p.w, q.w, atol=1e-9)


@pytest.mark.parametrize(
    "box", [[(1, 0), (0, 1)], [(0, np.nan), (0, 1)], [(0, 1, 2)], [], [(0, np.inf)]]
)
def test_a_bad_box_is_refused(box):
    with pytest.raises(InvalidInput):
        fixed_points(Flow(get_loss("beale"), GD()), box)


def test_a_box_of_the_wrong_dimension_is_refused():
    with pytest.raises(InvalidInput, match="dimension 2, but 3"):
        fixed_points(Flow(get_loss("beale"), GD()), [(0, 1)] * 3)
