"""Branches over ρ, and where they change, against closed forms."""

import numpy as np
import pytest
from verbs import sweep

from samdyn import GD, SAM, USAM, Flow, InvalidInput, fixed_points, get_loss, quadratic


def events(result, kind=None):
    return [e for e in result.bifurcations if kind is None or e.type == kind]


@pytest.mark.thorough
def test_beale_saddle_crosses_at_one_over_27_75():
    result = sweep(get_loss("beale"), USAM(0.1), np.linspace(0, 0.1, 101), at=[0.0, 1.0])
    (event,) = result.bifurcations
    assert event.rho == pytest.approx(1 / 27.75, rel=1e-10)
    assert (event.before, event.after) == ("saddle", "attractor")
    (branch,) = result.branches
    rate = -27.75 * (1 - result.rho * 27.75) * -1
    np.testing.assert_allclose(
        branch.leading_real_part, np.maximum(rate, -27.75 * (1 + result.rho * 27.75)), rtol=1e-9
    )


@pytest.mark.thorough
def test_each_negative_direction_crosses_at_its_own_radius():
    result = sweep(quadratic((-4.0, -0.5, 2.0)), USAM(1.0), np.linspace(0, 3, 50), at=[0.0] * 3)
    np.testing.assert_allclose([e.rho for e in result.bifurcations], [0.25, 2.0], rtol=1e-10)
    assert [(e.before, e.after) for e in result.bifurcations] == [
        ("saddle", "saddle"),
        ("saddle", "attractor"),
    ]


def test_double_well_has_its_pitchfork_and_its_folds():
    """w + ρ(w³ − w) = 0 splits at ρ = 1, w = ±√(1 − 1/ρ); = ±1 folds at ρ = 4, w = ∓½."""
    loss = get_loss("double-well")
    result = sweep(loss, USAM(1.0), np.linspace(0, 5, 101), box=loss.box)
    (fork,) = events(result, "pitchfork")
    assert fork.rho == pytest.approx(1, rel=1e-9)
    np.testing.assert_allclose(fork.w, [0], atol=1e-9)
    folds = events(result, "fold")
    np.testing.assert_allclose([e.rho for e in folds], [4, 4], rtol=1e-8)
    assert sorted(round(float(e.w[0]), 6) for e in folds) == [-0.5, 0.5]
    assert len(result.bifurcations) == 3
    arms = [b for b in result.branches if b.kind == "hallucinated"]
    exists = ~np.isnan(arms[0].w[:, 0])
    rho = result.rho[exists]
    np.testing.assert_allclose(np.abs(arms[0].w[exists, 0]), np.sqrt(1 - 1 / rho), atol=1e-8)
    assert len(arms) == 6


@pytest.mark.thorough
def test_sam_trades_the_maximum_for_two_hallucinated_attractors_at_rho_one():
    loss = get_loss("double-well")
    result = sweep(loss, SAM(1.0), np.linspace(0, 2.5, 51), box=loss.box)
    jump, change = (e for e in events(result, "sliding") if e.w[0] == 0)
    assert (jump.rho, jump.before, jump.after) == (0, "repeller", "attractor")
    assert change.rho == pytest.approx(1, rel=1e-9)
    assert (change.before, change.after) == ("attractor", "repeller")
    at_15 = int(np.argmin(np.abs(result.rho - 1.5)))
    there = {
        round(float(b.w[at_15, 0]), 6): b.verdict[at_15]
        for b in result.branches
        if b.kind == "hallucinated" and b.verdict[at_15]
    }
    assert there == {-0.5: "attractor", 0.5: "attractor"}


@pytest.mark.thorough
def test_branches_agree_with_an_independent_search_at_a_radius_between_the_anchors():
    loss, radii = get_loss("beale"), np.linspace(0, 0.5, 36)
    result = sweep(loss, USAM(0.1), radii, box=loss.box)
    i = 23
    followed = [b.w[i] for b in result.branches if not np.isnan(b.w[i]).any()]
    found = [p.w for p in fixed_points(Flow(loss, USAM(radii[i])), loss.box, seed=3).points]
    assert len(followed) == len(found)
    for w in found:
        assert min(np.linalg.norm(w - other) for other in followed) < 1e-6


@pytest.mark.thorough
def test_a_fold_is_where_the_jacobian_is_singular():
    import jax
    import jax.numpy as jnp

    loss = get_loss("beale")
    result = sweep(loss, USAM(0.1), np.linspace(0, 0.5, 36), box=loss.box)
    folds = events(result, "fold")
    assert len(folds) == 4
    for event in folds:
        flow = Flow(loss, USAM(event.rho))
        w = jnp.asarray(event.w)
        jacobian = np.asarray(jax.jacfwd(flow.velocity)(w))
        # det vanishes linearly in the arclength, so a fold good to ε has det of order √ε
        assert abs(np.linalg.det(jacobian)) < 1e-5 * np.linalg.norm(jacobian) ** 2
        assert float(jnp.linalg.norm(flow.velocity(w))) < 1e-7


@pytest.mark.thorough
def test_the_step_map_loses_stability_at_the_upper_end_of_the_window():
    loss, eta = quadratic((-2.0, 1.0), seed=None), 0.1
    result = sweep(loss, USAM(1.0), np.linspace(0, 25, 101), at=[0.0, 0.0], learning_rate=eta)
    radius = result.branches[0].spectral_radius
    curvatures = np.array([-2.0, 1.0])
    expected = np.max(np.abs(1 - eta * curvatures * (1 + result.rho[:, None] * curvatures)), axis=1)
    np.testing.assert_allclose(radius, expected, rtol=1e-10)


def test_gradient_descent_has_constant_branches():
    loss = get_loss("double-well-2d")
    result = sweep(loss, GD(), [0.0, 1.0, 2.0], box=loss.box)
    assert len(result.branches) == 3
    assert not result.bifurcations
    assert all(len(set(b.verdict)) == 1 for b in result.branches)


@pytest.mark.thorough
def test_ten_thousand_radii_trace_once():
    traces = 0
    beale = get_loss("beale")

    def counted(w):
        nonlocal traces
        traces += 1
        return beale(w)

    grid = np.linspace(0, 0.1, 10_000)
    sweep(counted, USAM(0.1), grid, at=[0.0, 1.0])
    first = traces
    sweep(counted, USAM(0.1), grid + 1e-4, at=[0.0, 1.0])
    assert traces == first


@pytest.mark.parametrize("radii", [[0.1], [0.2, 0.1], [-0.1, 0.1], [0.0, np.nan], [[0.1, 0.2]]])
def test_bad_radii_are_refused(radii):
    with pytest.raises(InvalidInput):
        sweep(get_loss("beale"), USAM(0.1), radii, at=[0.0, 1.0])


@pytest.mark.thorough
def test_absent_points_are_null_in_the_dictionary():
    import json

    loss = get_loss("double-well")
    result = sweep(loss, USAM(1.0), np.linspace(0, 2, 9), box=loss.box).to_dict()
    text = json.dumps(result, allow_nan=False)
    assert "null" in text
    hallucinated = [b for b in result["branches"] if b["kind"] == "hallucinated"]
    assert all(
        (w is None) == (name is None)
        for b in hallucinated
        for w, name in zip(b["w"], b["verdict"], strict=True)
    )
