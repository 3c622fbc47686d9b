"""Momentum, by hand for two steps, against optax, and its stability edges against iteration."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from verbs import iterate

from samdyn.attractors.judging.thresholds import stable_curvatures
from samdyn.dynamics.iterate import DIVERGED
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import EMA, HeavyBall, Nesterov, NoMomentum, as_momentum
from samdyn.dynamics.systems.map import state_jacobian
from samdyn.dynamics.systems.optax_map import OptaxStepMap
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.errors import InvalidInput
from samdyn.losses.families import QuadraticForm, quadratic
from samdyn.losses.registry import get_loss

RATE = 0.05
CURVATURES = np.array([3.0, -1.0])
LOSS = quadratic(tuple(CURVATURES), None)
START = np.array([0.6, -0.8])
GAMMA = 0.7


def heavy_ball(w, buffer, d):
    buffer = GAMMA * buffer + d
    return w - RATE * buffer, buffer


def ema(w, buffer, d):
    buffer = GAMMA * buffer + (1 - GAMMA) * d
    return w - RATE * buffer, buffer


def nesterov(w, buffer, d):
    buffer = GAMMA * buffer + d
    return w - RATE * (d + GAMMA * buffer), buffer


def plain(w, buffer, d):
    return w - RATE * d, buffer


BY_HAND = [
    (NoMomentum(), plain),
    (HeavyBall(GAMMA), heavy_ball),
    (EMA(GAMMA), ema),
    (Nesterov(GAMMA), nesterov),
]


@pytest.mark.parametrize(("momentum", "rule"), BY_HAND)
def test_the_gain_is_the_sum_of_all_steps_after_one_unit_of_descent(momentum, rule):
    w, buffer, d = 0.0, 0.0, 1.0
    for _ in range(400):
        w, buffer = rule(w, buffer, d)
        d = 0.0
    assert float(momentum.gain()) == pytest.approx(-w / RATE, rel=1e-12)


@pytest.mark.parametrize(("momentum", "rule"), BY_HAND)
def test_first_two_steps_are_those_of_the_rule(momentum, rule):
    step = StepMap(LOSS, USAM(0.3), RATE, momentum)
    w, buffer = START, np.zeros(2)
    state = step.init(jnp.asarray(START))
    for _ in range(2):
        w, buffer = rule(w, buffer, CURVATURES * (1 + 0.3 * CURVATURES) * w)
        state = step(state)
        np.testing.assert_allclose(state.w, w, rtol=0, atol=4e-16)
        if state.memory is not None:
            np.testing.assert_allclose(state.memory, buffer, rtol=0, atol=2e-15)


def test_the_first_heavy_ball_step_is_plain_and_the_second_is_not():
    plain_run, heavy = (
        iterate(StepMap(LOSS, GD(), RATE, gamma), jnp.asarray(START), 2, at_steps=[1, 2])
        for gamma in (0, GAMMA)
    )
    np.testing.assert_array_equal(plain_run.checkpoints[0], heavy.checkpoints[0])
    # w₂ differs by exactly −ηγ·g(w₀)
    gap = np.asarray(heavy.checkpoints[1] - plain_run.checkpoints[1])
    np.testing.assert_allclose(gap, -RATE * GAMMA * CURVATURES * START, rtol=0, atol=4e-16)


OPTAX = [
    (NoMomentum(), optax.sgd(1e-3)),
    (HeavyBall(0.9), optax.sgd(1e-3, momentum=0.9)),
    (Nesterov(0.9), optax.sgd(1e-3, momentum=0.9, nesterov=True)),
    (EMA(0.9), optax.chain(optax.ema(0.9, debias=False), optax.scale(-1e-3))),
]


@pytest.mark.parametrize(("momentum", "optimizer"), OPTAX)
@pytest.mark.parametrize("method", [GD(), SAM(0.1)])
@pytest.mark.thorough
def test_each_momentum_is_the_optax_one(momentum, optimizer, method):
    beale, start = get_loss("beale"), jnp.array([1.0, 2.0])
    kept = [1, 2, 10, 60]
    ours = iterate(StepMap(beale, method, 1e-3, momentum), start, 60, at_steps=kept)
    theirs = iterate(OptaxStepMap(beale, optimizer, method), start, 60, at_steps=kept)
    # 60 steps of rounding on numbers near 1, without amplification
    np.testing.assert_allclose(ours.checkpoints, theirs.checkpoints, rtol=0, atol=1e-13)


def test_ema_is_heavy_ball_with_a_smaller_step():
    beale, start = get_loss("beale"), jnp.array([1.0, 2.0])
    ema_run = iterate(StepMap(beale, SAM(0.1), 1e-2, EMA(0.9)), start, 60)
    heavy = iterate(StepMap(beale, SAM(0.1), 1e-2 * (1 - 0.9), HeavyBall(0.9)), start, 60)
    np.testing.assert_allclose(ema_run.w, heavy.w, rtol=0, atol=1e-13)


def test_edges_by_formula():
    assert float(NoMomentum().edge()) == 2
    assert float(HeavyBall(0.9).edge()) == pytest.approx(3.8, rel=1e-15)
    assert float(EMA(0.9).edge()) == pytest.approx(38, rel=1e-14)
    assert float(Nesterov(0.9).edge()) == pytest.approx(3.8 / 2.8, rel=1e-15)
    for none in (HeavyBall(0.0), EMA(0.0), Nesterov(0.0)):
        assert float(none.edge()) == 2


MOMENTA = [NoMomentum(), HeavyBall(0.6), EMA(0.6), Nesterov(0.6), HeavyBall(0.9)]


@eqx.filter_jit
def jacobian_at_the_origin(curvature, method, momentum):
    loss = QuadraticForm(curvature[None, None])
    return state_jacobian(StepMap(loss, method, RATE, momentum), jnp.zeros(1))


def is_stable(curvature, method, momentum):
    matrix = np.asarray(jacobian_at_the_origin(jnp.asarray(curvature), method, momentum))
    return np.max(np.abs(np.linalg.eigvals(matrix))) < 1


def bisect(inside, outside, stable):
    assert stable(inside)
    assert not stable(outside)
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if stable(middle) else (inside, middle)
    return inside


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_stable_curvatures_are_where_the_spectral_radius_crosses_one(momentum, rho):
    method = GD() if rho == 0 else USAM(rho)
    intervals = stable_curvatures(rho, RATE, momentum)
    assert len(intervals) == (1 if rho == 0 else 2)
    for low, high in intervals:
        inside, width = (low + high) / 2, high - low
        for end, outside in ((low, low - width / 10), (high, high + width / 10)):
            found = bisect(inside, outside, lambda value: is_stable(value, method, momentum))
            # The crossing eigenvalue is simple (±1): its own rounding, a few ulp, is divided
            # by a slope in η·curvature of at least ½.
            assert found == pytest.approx(end, abs=1e-12 * (abs(low) + abs(high)))


@pytest.mark.parametrize("momentum", MOMENTA)
def test_edge_is_the_end_of_the_stable_curvatures_of_gradient_descent(momentum):
    ((low, high),) = stable_curvatures(0.0, RATE, momentum)
    assert low == 0
    assert RATE * high == pytest.approx(float(momentum.edge()), rel=1e-15)


@eqx.filter_jit
def run_from_one(curvatures, method, momentum):
    def run(curvature):
        loss = QuadraticForm(curvature[None, None])
        return iterate(StepMap(loss, method, RATE, momentum), jnp.ones(1), 12_000)

    return jax.vmap(run)(curvatures)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("rho", [0.0, 0.1])
@pytest.mark.thorough
def test_runs_decay_just_inside_and_grow_just_outside_every_end(momentum, rho):
    method = GD() if rho == 0 else USAM(rho)
    for low, high in stable_curvatures(rho, RATE, momentum):
        shift = 1e-3 * (high - low)
        curvatures = jnp.array([low - shift, low + shift, high - shift, high + shift])
        run = run_from_one(curvatures, method, momentum)
        size = np.abs(np.asarray(run.w)[:, 0])
        # 12,000 steps whose multiplier is further than 7e-4 from 1: a factor e⁸ ≈ 3000 or more
        grew = (np.asarray(run.status) == DIVERGED) | (size > 1e3)
        assert grew.tolist() == [True, False, False, True]
        assert np.all(size[1:3] < 1e-3)


@pytest.mark.parametrize("kind", [HeavyBall, EMA, Nesterov])
@pytest.mark.parametrize("bad", [1.0, 1.5, -0.1, np.nan])
def test_a_momentum_outside_zero_to_one_is_refused(kind, bad):
    with pytest.raises(InvalidInput, match=r"momentum must lie in \[0, 1\), not"):
        kind(bad)


def test_a_number_means_heavy_ball_and_zero_or_nothing_means_none():
    for nothing in (0, 0.0, None):
        assert isinstance(as_momentum(nothing), NoMomentum)
    made = as_momentum(0.9)
    assert isinstance(made, HeavyBall)
    assert float(made.gamma) == 0.9
    nesterov_object = Nesterov(0.5)
    assert as_momentum(nesterov_object) is nesterov_object
    with pytest.raises(InvalidInput, match="not 1"):
        StepMap(LOSS, GD(), 0.1, 1.0)
