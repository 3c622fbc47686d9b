"""Verdicts across sets of fixed points, by hand-computed curvatures and by runs of the step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import GD, ODE, SAM, USAM, Flow, HeavyBall, Map, OptaxStepMap, StepMap, stability


def hyperbola(w):
    """(xy − 1)², whose curvature across xy = 1 is 2(x² + y²)."""
    return (w[0] * w[1] - 1) ** 2


def soft(w):
    """log(eˣʸ + e⁻ˣʸ), whose curvature across x = 0 is y²."""
    return jnp.logaddexp(w[0] * w[1], -w[0] * w[1])


@pytest.mark.parametrize(("eta", "verdict"), [(0.49, "attractor"), (0.51, "saddle")])
def test_the_edge_across_a_hyperbola_of_minima(eta, verdict):
    """2/η = 2(x² + y²) = 4 at (1, 1)."""
    (point,) = stability(StepMap(hyperbola, GD(), eta), at=[1.0, 1.0]).points
    assert point.flow.verdict == point.step.verdict == "degenerate"
    assert point.flow.transverse == "attractor"
    assert point.step.transverse == {"saddle": "repeller"}.get(verdict, verdict)
    np.testing.assert_allclose(np.sort(point.flow.eigenvalues.real), [-4, 0], atol=1e-9)
    assert "a line of minima" in point.step.why


@pytest.mark.parametrize(("y", "verdict"), [(7.771, "attractor"), (7.772, "repeller")])
def test_the_edge_of_usam_across_the_line_x_0(y, verdict):
    """y² = (−1 + √(1 + 8ρ/η))/(2ρ) = 60.391256383, y = 7.77118."""
    (point,) = stability(StepMap(soft, USAM(0.02), 0.015), at=[0.0, y]).points
    assert point.step.transverse == verdict


@pytest.mark.parametrize("shift", [0.0, 30.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_units_and_origin_change_no_verdict(scale, shift):
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    moved = lambda v: hyperbola(turn @ (v / scale - shift))  # noqa: E731
    at = scale * (turn.T @ np.array([0.5, 2.0]) + shift)
    step = StepMap(moved, GD(), 0.3 * scale**2)  # against 2/8.5 = 0.235
    (point,) = stability(step, at=at).points
    assert (point.flow.transverse, point.step.transverse) == ("attractor", "repeller")


def test_a_sphere_of_minima_is_a_surface():
    (point,) = stability(Flow(lambda w: (w @ w - 1) ** 2, GD()), at=[0.0, 0.6, 0.8]).points
    assert (point.flow.transverse, point.flow.tangent_dim) == ("attractor", 2)
    assert "a surface of minima" in point.flow.why


def test_what_changes_along_a_continuum_is_counted():
    """Where 2(x² + y²) is beyond 2/η = 8 the step leaves."""
    found = stability(StepMap(hyperbola, GD(), 0.25), box=[(0.2, 3), (0.2, 3)])
    (point,) = [p for p in found.points if p.point.continuum is not None]
    assert "attractor at" in point.step.why
    assert "repeller at" in point.step.why
    assert "across" in str(found)
    told = found.to_dict()["fixed_points"][0]
    assert told["map"]["transverse"] == point.step.transverse
    assert told["map"]["verdict"] == "degenerate"


@pytest.mark.parametrize("momentum", [0.0, HeavyBall(0.9)])
def test_a_line_of_saddles(momentum):
    loss = lambda w: w[0] ** 2 - w[1] ** 2 + 0 * w[2]  # noqa: E731
    (point,) = stability(StepMap(loss, GD(), 0.1, momentum), at=[0.0, 0.0, 1.0]).points
    assert point.flow.transverse == point.step.transverse == "saddle"
    assert "a line of saddle points" in point.flow.why


def test_sam_slides_onto_a_line_and_its_step_alternates_about_it():
    """Across xy = 1 at (1, 1) the curvature is 4, and a run of 300 steps stays within its orbit."""
    (point,) = stability(StepMap(hyperbola, SAM(0.01), 0.1), at=[1.0, 1.0]).points
    assert (point.flow.transverse, point.step.transverse) == ("attractor", "attractor")
    run = np.array([1.001, 1.001])
    step, state = StepMap(hyperbola, SAM(0.01), 0.1), None
    state = step.init(jnp.asarray(run))
    path = jax.lax.scan(lambda s, _: (step(s), s.w), state, length=300)[1]
    assert np.max(np.abs(np.prod(np.asarray(path), axis=1) - 1)) < 0.02


def test_hallucinated_points_on_a_circle():
    """USAM of a loss of r alone: each lies on a circle, and is judged as on the radius."""
    loss = lambda w: (w @ w - 1) ** 2 / 4  # noqa: E731
    found = stability(Flow(loss, USAM(1.5)), box=[(-2, 2), (-2, 2)])
    circles = [p for p in found.points if p.point.kind == "hallucinated"]
    assert circles
    for item in circles:
        # against the one-dimensional slice, a radius
        (same,) = [
            p
            for p in stability(
                Flow(lambda r: (r[0] ** 2 - 1) ** 2 / 4, USAM(1.5)), box=[(-2, 2)]
            ).points
            if p.point.kind == "hallucinated"
            and abs(p.point.w[0] - np.linalg.norm(item.point.w)) < 1e-6
        ]
        assert item.flow.transverse == same.flow.verdict


def test_anyones_own_map_and_flow():
    (point,) = stability(Map(lambda w, _: jnp.array([w[0] / 2, w[1]])), at=[0.0, 1.0]).points
    assert (point.step.verdict, point.step.transverse) == ("degenerate", "attractor")
    (point,) = stability(ODE(lambda t, w, _: jnp.array([w[0], 0 * w[1]])), at=[0.0, 1.0]).points
    assert point.flow.transverse == "repeller"


def test_an_optax_chain_is_judged_across():
    import optax

    step = OptaxStepMap(hyperbola, optax.sgd(0.1, momentum=0.9))
    (point,) = stability(step, at=[1.0, 1.0]).points
    assert point.step.transverse == "attractor"


@pytest.mark.parametrize(
    "loss",
    [
        lambda w: w[0] ** 4 + w[1] ** 2,
        lambda w: w[0] ** 3 + w[1] ** 2,
        lambda w: (w[0] ** 2 + w[1] ** 4) ** 2,
        lambda w: w[0] ** 2 * w[1] ** 2,  # two lines that cross
    ],
)
def test_isolated_and_crossing_points_have_no_verdict_across(loss):
    (point,) = stability(StepMap(loss, GD(), 0.1), at=[0.0, 0.0]).points
    assert point.flow.transverse is None
    assert point.step.transverse is None
