"""Fixed points of an optimizer's own step, against runs of the optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from verbs import stability

from samdyn import GD, USAM, InvalidInput, quadratic


@pytest.fixture(autouse=True)
def _promotion_as_optax_needs_it():
    with jax.numpy_dtype_promotion("standard"):
        yield


def double_well(w):
    return jnp.sum((w**2 - 1) ** 2) / 4


def judged(optimizer, loss=double_well, box=((-2, 2),), method=None):
    result = stability(loss, method or GD(), box=box, optimizer=optimizer)
    return {round(float(p.point.w[0]), 4) + 0.0: p for p in result.points}


def rests(found):
    return sorted(w for w, p in found.items() if p.step.verdict == "attractor")


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.9])
@pytest.mark.thorough
def test_weight_decay_moves_the_points_where_the_step_rests(decay):
    """w³ − w + decay·w = 0 at ±√(1 − decay)."""
    found = judged(optax.chain(optax.add_decayed_weights(decay), optax.sgd(0.1)))
    root = round(float(np.sqrt(1 - decay)), 4)
    assert rests(found) == [-root, root]
    assert found[0.0].step.verdict == "repeller"
    assert found[1.0].step.verdict == "not a fixed map"
    assert found[root].flow.verdict == "unknown"


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1),
        optax.sgd(0.1, 0.9),
        optax.chain(optax.clip(0.1), optax.sgd(0.1)),
        optax.inject_hyperparams(optax.sgd)(0.1),
        optax.chain(optax.trace(0.5), optax.scale(-0.1)),
        optax.sign_sgd(0.01),
        optax.lion(0.01),
        optax.adam(0.1),
    ],
)
@pytest.mark.thorough
def test_minima_attract_and_the_maximum_does_not(optimizer):
    """As 5,000 steps from beside each point end."""
    found = judged(optimizer)
    assert rests(found) == [-1.0, 1.0]
    assert found[0.0].step.verdict in ("repeller", "saddle")
    update = jax.jit(lambda w, s: optimizer.update(jax.grad(double_well)(w), s, w))
    for start, end in ((1.05, 1.0), (0.01, 1.0), (-0.01, -1.0)):
        w = jnp.asarray([start])
        state = optimizer.init(w)
        for _ in range(500):
            updates, state = update(w, state)
            w = optax.apply_updates(w, updates)
        assert abs(float(w[0]) - end) < 0.05


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (optax.sgd(optax.exponential_decay(0.1, 100, 0.5)), "changes with its count"),
        (optax.sgd(optax.piecewise_constant_schedule(0.1, {5000: 50.0})), "changes with its count"),
        (optax.sgd(optax.linear_schedule(0.0, 1.0, 100)), "moves nothing anywhere"),
        (optax.chain(optax.add_noise(0.1, 0.5, 0), optax.sgd(0.1)), "random numbers"),
        (optax.MultiSteps(optax.sgd(0.1), 4).gradient_transformation(), "moves nothing anywhere"),
    ],
)
@pytest.mark.filterwarnings("ignore:Specifying a key")
@pytest.mark.thorough
def test_a_step_that_is_not_the_same_every_time_is_no_fixed_map(optimizer, words):
    found = judged(optimizer)
    assert {p.step.verdict for p in found.values()} == {"not a fixed map"}
    assert all(words in p.step.why for p in found.values())


@pytest.mark.parametrize(
    "optimizer",
    [optax.lbfgs(), optax.lookahead(optax.sgd(0.1), 5, 0.5), optax.polyak_sgd()],
)
def test_an_optimizer_that_needs_more_is_one_sentence(optimizer):
    with pytest.raises(InvalidInput, match="more than a gradient and parameters"):
        stability(double_well, GD(), at=[1.0], optimizer=optimizer)


@pytest.mark.thorough
def test_in_several_dimensions_and_under_usam():
    """Curvatures (2, −1) with decay ½: the origin is a saddle of the step, and USAM mends it."""
    loss = quadratic((2.0, -1.0), seed=None)
    optimizer = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1))
    box = ((-1, 1), (-1, 1))
    for rho, verdict in ((0.0, "saddle"), (0.4, "saddle"), (0.6, "attractor")):
        (point,) = judged(optimizer, loss, box, USAM(rho)).values()
        want = 1 - 0.1 * (np.array([2.0, -1.0]) * (1 + rho * np.array([2.0, -1.0])) + 0.5)
        np.testing.assert_allclose(np.sort(point.step.eigenvalues.real), np.sort(want), rtol=1e-12)
        assert point.step.verdict == verdict


@pytest.mark.parametrize("rate", [1e-2, 1e-3, 1e-7])
@pytest.mark.parametrize("kind", [optax.sign_sgd, optax.lion, optax.adam])
@pytest.mark.thorough
def test_a_step_that_jumps_is_judged_alike_at_every_learning_rate(kind, rate):
    """A maximum is left by any jump, however small; a minimum holds the run within some jumps."""
    for at, verdict in ((0.0, "repeller"), (1.0, "attractor")):
        points = stability(double_well, GD(), at=[at], optimizer=kind(rate)).points
        point = min(points, key=lambda p: abs(p.point.w[0] - at))
        assert point.step.verdict == verdict
        if verdict == "attractor":
            assert point.step.amplitude < 200 * rate


@pytest.mark.parametrize(("gamma", "decay"), [(0.9, 0.5), (0.5, 0.5), (0.8, 0.1)])
@pytest.mark.thorough
def test_memory_that_is_not_zero_where_the_step_rests(gamma, decay):
    """Decay behind momentum: g/(1 − γ) + decay·w = 0, so w² = 1 − decay(1 − γ)."""
    optimizer = optax.chain(optax.trace(gamma), optax.add_decayed_weights(decay), optax.scale(-0.1))
    root = round(float(np.sqrt(1 - decay * (1 - gamma))), 4)
    found = judged(optimizer)
    assert rests(found) == [-root, root]
    a, d = 0.1 * (3 * root**2 - 1), 0.1 * decay
    exact = np.linalg.eigvals([[1 - a - d, -0.1 * gamma], [a / 0.1, gamma]])
    modulus = np.max(np.abs(found[root].step.eigenvalues))
    assert modulus == pytest.approx(np.max(np.abs(exact)), rel=1e-3)


@pytest.mark.parametrize("optimizer", [optax.rmsprop(0.01), optax.rmsprop(0.003, eps=1e-10)])
@pytest.mark.thorough
def test_an_eps_is_negligible_beyond_the_point_where_runs_are_held(optimizer):
    found = judged(optimizer)
    assert rests(found) == [-1.0, 1.0]
    assert found[0.0].step.verdict == "repeller"
    assert "outside the unit circle" in found[1.0].step.why


def test_the_list_of_a_step_is_not_called_complete():
    result = stability(double_well, GD(), box=[(-2, 2)], optimizer=optax.sgd(0.1))
    assert result.complete.consistent is None
    assert "Newton" in result.complete.method


def half(updates, params):
    del params
    return jax.tree.map(lambda u: jnp.where(u > 0, u, u / 2), updates)


@pytest.mark.parametrize(
    ("after", "place"), [(optax.keep_params_nonnegative(), 0), (optax.stateless(half), 1)]
)
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
@pytest.mark.thorough
def test_a_step_that_bends_at_a_point_has_no_verdict_by_one_side(after, place, unit):
    """Held at 0 from below and leaving upwards; or twice as slow on one side of a minimum."""
    loss = lambda w: jnp.sum(((w / unit) ** 2 - 1) ** 2) / 4 * unit**2  # noqa: E731
    optimizer = optax.chain(optax.sgd(0.1), after)
    points = stability(loss, GD(), box=[(-2 * unit, 2 * unit)], optimizer=optimizer).points
    (point,) = [p for p in points if abs(p.point.w[0] - place * unit) < 1e-9 * unit]
    assert point.step.verdict == "unknown"
    assert "bends" in point.step.why


@pytest.mark.thorough
def test_steps_too_short_to_be_told_from_rounding_are_refused():
    for offset, rate in ((0.0, 1e-12), (1e6, 1e-7)):
        loss = lambda w, c=offset: jnp.sum(((w - c) ** 2 - 1) ** 2) / 4  # noqa: E731
        box = [(offset - 2, offset + 2)]
        with pytest.raises(InvalidInput, match="spacings of the numbers"):
            stability(loss, GD(), box=box, optimizer=optax.sgd(rate))
