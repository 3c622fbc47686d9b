"""Flow and step verdicts where the truth is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from verbs import iterate, stability

from samdyn import (
    GD,
    SAM,
    USAM,
    Flow,
    HeavyBall,
    InvalidInput,
    Nesterov,
    PerturbedLossGradient,
    StepMap,
    critical_rho,
    get_loss,
    period_two_amplitude,
    period_two_range,
    quadratic,
    rho_window,
    sam_edge,
    sliding_verdict,
    trap_threshold,
)

ORIGIN = [0.0, 0.0]


def at(loss, method, point, **settings):
    return stability(loss, method, at=point, **settings).points[0]


def test_beale_saddle_under_usam_flips_between_003_and_005():
    """Rates λ(1 + ρλ) for λ = ∓27.75."""
    beale = get_loss("beale")
    below, above = (at(beale, USAM(rho), [0.0, 1.0]) for rho in (0.03, 0.05))
    assert below.flow.verdict == "saddle"
    np.testing.assert_allclose(below.flow.eigenvalues, [-50.851875, 4.648125], rtol=1e-10)
    assert above.flow.verdict == "attractor"
    assert below.critical_rho == pytest.approx(1 / 27.75, rel=1e-12)


@pytest.mark.parametrize("rho", [0.1, 0.5, 1.0])
def test_beale_saddle_attracts_under_sam_by_sliding(rho):
    point = at(get_loss("beale"), SAM(rho), [0.0, 1.0])
    assert point.flow.verdict == "attractor"
    assert point.flow.eigenvalues is None
    assert "sliding" in point.flow.why
    assert 0.8 * rho < point.flow.capture_radius <= rho


@pytest.mark.parametrize("spectrum", [(1.0, 4.0), (-1.0, 4.0), (-1.0, -3.0), (-2.0, 1.0, 5.0)])
def test_every_nondegenerate_quadratic_attracts_under_sam_within_rho(spectrum):
    loss = quadratic(spectrum)
    point = at(loss, SAM(0.3), [0.0] * len(spectrum))
    assert point.flow.verdict == "attractor"
    if min(spectrum) < 0:
        assert point.flow.capture_radius == pytest.approx(0.3, rel=1e-6)


def test_the_capture_radius_bounds_a_ball_that_the_step_map_confirms():
    loss, rho = get_loss("beale"), 0.5
    radius = at(loss, SAM(rho), [0.0, 1.0]).flow.capture_radius
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    step_map = StepMap(loss, SAM(rho), 1e-5)
    for theta in angle:
        offset = 0.99 * radius * np.array([np.cos(theta), np.sin(theta)])
        run = iterate(step_map, jnp.asarray(np.array([0.0, 1.0]) + offset), 60_000)
        assert np.linalg.norm(np.asarray(run.w) - [0, 1]) < 0.02


@pytest.mark.parametrize("rho", [0.1, 0.3, 1.0])
@pytest.mark.thorough
def test_a_stiff_minimum_still_attracts_when_the_distance_alone_does_not_decide(rho):
    """Beale's minimum, condition 160: SAM's orbit ends ever closer as the step shrinks."""
    loss = get_loss("beale")
    verdict = sliding_verdict(Flow(loss, SAM(rho)), jnp.array([3.0, 0.5]), rho)
    assert verdict.verdict == "attractor"
    ends = []
    for eta in (1e-4, 1e-5):
        run = iterate(StepMap(loss, SAM(rho), eta), jnp.array([3.0, 0.5001]), int(10 / eta))
        ends.append(float(np.linalg.norm(np.asarray(run.w) - [3, 0.5])))
    assert ends[1] < 0.2 * ends[0]


@pytest.mark.thorough
def test_sliding_changes_where_a_neighbour_comes_within_rho():
    """Double well: the maximum repels once its ±ρ lie beyond the minima, at ρ = 1."""
    loss = get_loss("double-well")
    verdicts = [at(loss, SAM(rho), [0.0]).flow.verdict for rho in (0.9, 1.1)]
    assert verdicts == ["attractor", "repeller"]


@pytest.mark.parametrize("method", [GD(), USAM(0.5), SAM(0.5)])
@pytest.mark.parametrize("name", ["monkey-saddle"])
@pytest.mark.thorough
def test_a_singular_hessian_is_degenerate_for_flow_and_step(method, name):
    point = at(get_loss(name), method, ORIGIN, learning_rate=0.01)
    assert point.point.critical_type == "degenerate"
    assert point.flow.verdict == "degenerate"
    assert point.step.verdict == "degenerate"


def test_the_boundary_of_theorem_1_is_degenerate():
    """x² − y² has λ = ∓2, so ρ = ½ puts the rate λ(1 + ρλ) at zero."""
    point = at(get_loss("saddle"), USAM(0.5), ORIGIN, learning_rate=0.01)
    assert point.point.critical_type == "saddle"
    assert point.flow.verdict == "degenerate"
    assert point.step.verdict == "degenerate"


@pytest.mark.thorough
def test_double_well_hallucinated_attractors():
    loss = get_loss("double-well")
    sam = {round(float(p.point.w[0]), 9): p for p in stability(loss, SAM(1.5), box=loss.box).points}
    for w in (-0.5, 0.5):
        assert sam[w].point.kind == "hallucinated"
        assert sam[w].flow.verdict == "attractor"
        np.testing.assert_allclose(sam[w].flow.eigenvalues, [-2], rtol=1e-9)
    usam = stability(loss, USAM(4.5), box=loss.box).points
    values = {round(float(p.point.w[0]), 6): p.flow for p in usam}
    np.testing.assert_allclose(values[-0.666667].eigenvalues, [-5], rtol=1e-8)
    np.testing.assert_allclose(values[-0.333333].eigenvalues, [4], rtol=1e-8)
    assert values[-0.666667].verdict == "attractor"
    assert values[-0.333333].verdict == "repeller"


@pytest.mark.thorough
def test_no_saddle_attracts_under_the_true_gradient_of_the_perturbed_loss():
    """Rates λ(1 + ρλ)²: the sign of λ survives."""
    loss = get_loss("saddle")
    for rho in (0.1, 0.7, 3.0):
        point = at(loss, PerturbedLossGradient(USAM(rho)), ORIGIN)
        assert point.flow.verdict == "saddle"
        np.testing.assert_allclose(
            point.flow.eigenvalues, [-2 * (1 + 2 * rho) ** 2, 2 * (1 - 2 * rho) ** 2], rtol=1e-9
        )


ETA, TOP, RHO = 0.05, 10.0, 0.1
THRESHOLD = 10 / 3


def test_the_trap_threshold_is_ten_thirds():
    assert trap_threshold(TOP, ETA) == pytest.approx(THRESHOLD)


@pytest.mark.parametrize(("factor", "orbit"), [(0.97, "escapes"), (1.03, "period-2")])
def test_sam_escapes_below_the_trap_threshold_and_alternates_above(factor, orbit):
    loss = quadratic((TOP, -factor * THRESHOLD), seed=None)
    point = at(loss, SAM(RHO), ORIGIN, learning_rate=ETA)
    assert point.step.orbit == orbit
    assert point.step.verdict == ("saddle" if orbit == "escapes" else "attractor")
    amplitude = ETA * RHO * TOP / (2 - ETA * TOP)
    assert period_two_amplitude(TOP, RHO, ETA) == pytest.approx(amplitude)
    if orbit == "period-2":
        assert point.step.amplitude == pytest.approx(amplitude, rel=1e-9)
    run = iterate(StepMap(loss, SAM(RHO), ETA), jnp.array([0.004, 0.003]), 20_000)
    end = np.abs(np.asarray(run.w))
    if orbit == "escapes":
        assert not end[1] < 1
    else:
        np.testing.assert_allclose(end, [amplitude, 0], atol=1e-9)


@pytest.mark.thorough
def test_the_orbit_is_chaotic_where_no_period_two_orbit_is_stable():
    """A maximum: every direction has negative curvature, and |w| stays within ηρμ."""
    loss = quadratic((-4.0,), seed=None)
    point = at(loss, SAM(0.1), [0.0], learning_rate=0.05)
    assert point.step.orbit == "chaotic"
    assert point.step.verdict == "attractor"
    assert point.step.amplitude <= 0.05 * 0.1 * 4 * (1 + 1e-9)


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.thorough
def test_the_period_two_orbit_is_stable_exactly_within_its_range(end):
    """Its two-step multiplier leaves the unit circle at both ends, at η = ρ = 1, λ₂ = 0.8."""
    edge = period_two_range(0.8, 1.0)[end]
    for factor, inside in ((0.999, end == 1), (1.001, end == 0)):
        loss = quadratic((0.8, -factor * edge), seed=None)
        step_map = StepMap(loss, SAM(1.0), 1.0)
        orbit = jnp.array([period_two_amplitude(0.8, 1.0, 1.0), 0.0])
        twice = lambda w, f=step_map: f(f(f.init(w))).w  # noqa: E731
        np.testing.assert_allclose(twice(orbit), orbit, atol=1e-15)
        radius = np.max(np.abs(np.linalg.eigvals(np.asarray(jax.jacfwd(twice)(orbit)))))
        assert (radius < 1) == inside


@pytest.mark.thorough
def test_sam_can_hold_a_saddle_beyond_eta_mu_one():
    """Not so in one dimension; here the alternation along the top direction holds it."""
    loss = quadratic((0.9, -1.1), seed=None)
    point = at(loss, SAM(0.1), ORIGIN, learning_rate=1.0)
    assert point.step.orbit == "period-2"


@pytest.mark.thorough
def test_momentum_moves_the_amplitude_as_stated():
    loss = quadratic((1.0, 4.0), seed=None)
    point = at(loss, SAM(0.1), ORIGIN, learning_rate=0.1, momentum=0.5)
    assert point.step.orbit == "period-2"
    expected = period_two_amplitude(4.0, 0.1, 0.1, gamma=0.5)
    assert point.step.amplitude == pytest.approx(expected, rel=1e-8)


def test_critical_rho_needs_every_negative_direction_to_flip():
    assert critical_rho([-4.0, -0.5, 3.0]) == 2.0
    assert critical_rho([1.0, 3.0]) is None


def test_the_window_of_rho_ends_where_multipliers_leave_the_unit_circle():
    loss, eta = quadratic((-2.0, 1.0), seed=None), 0.1
    low, high = rho_window((-2.0, 1.0), eta)
    inside = [at(loss, USAM(r), ORIGIN, learning_rate=eta).step for r in (low * 1.01, high * 0.99)]
    outside = [at(loss, USAM(r), ORIGIN, learning_rate=eta).step for r in (low * 0.99, high * 1.01)]
    assert all(v.verdict == "attractor" for v in inside)
    assert all(v.verdict != "attractor" for v in outside)
    assert rho_window((-1.0, 1000.0), eta) is None


def test_sam_edge_solves_its_quadratic_and_tends_to_two_over_eta():
    norm, rho, eta = 0.7, 0.2, 0.01
    edge = float(sam_edge(norm, rho, eta))
    assert eta * edge * (1 + rho / norm * edge) == pytest.approx(2)
    assert float(sam_edge(norm, 1e-14, eta)) == pytest.approx(2 / eta)


def test_box_and_point_exclude_each_other():
    with pytest.raises(InvalidInput, match="not both or neither"):
        stability(get_loss("saddle"), GD())
    with pytest.raises(InvalidInput, match="not both or neither"):
        stability(get_loss("saddle"), GD(), box=[(0, 1)] * 2, at=ORIGIN)


def test_newton_that_reaches_nothing_says_so():
    with pytest.raises(InvalidInput, match="reaches no fixed point"):
        stability(lambda w: w[0] + w[1], GD(), at=ORIGIN)


@pytest.mark.thorough
def test_the_table_fits_a_screen_and_the_dictionary_is_plain():
    import json

    loss = get_loss("six-hump-camel")
    result = stability(loss, SAM(0.1), box=loss.box)
    text = str(result)
    assert max(len(line) for line in text.splitlines()) < 160
    assert len(text.splitlines()) < 80
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.thorough
def test_an_optax_optimizer_has_the_multipliers_of_its_momentum(nesterov):
    loss, momentum = quadratic((-2.0, 0.5)), Nesterov(0.9) if nesterov else HeavyBall(0.9)
    settings = {"at": ORIGIN, "learning_rate": 0.1, "momentum": momentum}
    ours = stability(loss, USAM(0.7), **settings).points[0].step
    optimizer = optax.sgd(0.1, momentum=0.9, nesterov=nesterov)
    theirs = stability(loss, USAM(0.7), at=ORIGIN, optimizer=optimizer).points[0].step
    order = lambda z: np.sort_complex(np.round(z, 12))  # noqa: E731
    np.testing.assert_allclose(order(theirs.eigenvalues), order(ours.eigenvalues), atol=1e-11)
    assert theirs.verdict == ours.verdict == "attractor"


@pytest.mark.thorough
def test_an_optimizer_without_a_jacobian_is_degenerate_and_says_why():
    signed = optax.chain(optax.scale_by_sign(), optax.scale(-0.1))
    rms = optax.chain(optax.stateless(lambda g, _: g / jnp.sqrt(g**2)), optax.scale(-0.1))
    loss = quadratic((1.0, 2.0), seed=None)
    step = stability(loss, GD(), at=ORIGIN, optimizer=signed).points[0].step
    assert step.verdict == "attractor"
    assert "never rests" in step.why
    step = stability(loss, GD(), at=ORIGIN, optimizer=rms).points[0].step
    assert step.verdict == "degenerate"
    assert "not differentiable" in step.why


@pytest.mark.parametrize("method", [GD(), USAM(0.3), SAM(0.3)], ids=lambda m: type(m).__name__)
@pytest.mark.thorough
def test_a_minimum_of_fourth_order_is_one_degenerate_point(method):
    quartic = lambda w: w[0] ** 2 / 2 + w[1] ** 4  # noqa: E731
    points = stability(quartic, method, box=[(-2.0, 2.0)] * 2).points
    critical = [p for p in points if p.point.kind == "critical"]
    assert [(p.point.critical_type, p.flow.verdict) for p in critical] == [("degenerate",) * 2]
    assert critical[0].critical_rho is None
    np.testing.assert_allclose(critical[0].point.w, [0, 0], atol=1e-3)


@pytest.mark.thorough
def test_a_pole_is_no_fixed_point():
    pole = lambda w: 1 / jnp.sum(w**2) + jnp.sum(w**2)  # noqa: E731
    points = stability(pole, SAM(0.3), box=[(-2.0, 2.0)] * 2).points
    assert all(p.point.residual < 1e-6 for p in points)
    assert all(np.linalg.norm(p.point.w) > 0.1 for p in points)


@pytest.mark.thorough
def test_hallucinated_points_over_a_degenerate_one_get_no_linear_verdict():
    points = stability(get_loss("monkey-saddle"), SAM(0.3), box=[(-2.0, 2.0)] * 2).points
    hallucinated = [p for p in points if p.point.kind == "hallucinated"]
    assert len(hallucinated) == 3
    assert {p.flow.verdict for p in hallucinated} == {"degenerate"}


@pytest.mark.thorough
def test_an_orbit_that_lies_off_its_point_says_where():
    """Beale's minimum at η = 1e-3: two steps from the centre named lead back to it."""
    loss = get_loss("beale")
    step = at(loss, SAM(0.5), [3.0, 0.5], learning_rate=1e-3).step
    assert step.orbit == "period-2"
    assert np.linalg.norm(step.centre - [3, 0.5]) == pytest.approx(0.2923, abs=1e-3)
    run = iterate(StepMap(loss, SAM(0.5), 1e-3), jnp.array([3.01, 0.5]), 100_000)
    np.testing.assert_allclose(np.mean(np.asarray(run.tail)[-2:], axis=0), step.centre, atol=1e-8)
