"""`iterate` is the plain loop: same points, right stops, right tail, constant memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from verbs import iterate

from samdyn.dynamics.iterate import BLOCK, DIVERGED, RAN, REACHED, describe_tail, run_steps
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import Nesterov
from samdyn.dynamics.systems.optax_map import OptaxStepMap
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss

BEALE = get_loss("beale")
START = jnp.array([1.0, 2.0])
MAPS = [
    StepMap(BEALE, GD(), 1e-3),
    StepMap(BEALE, SAM(0.1), 1e-3),
    StepMap(BEALE, SAM(0.5), 1e-3, Nesterov(0.5)),
    OptaxStepMap(BEALE, optax.sgd(1e-4, momentum=0.5), SAM(0.1)),
]


def plain_loop(step_map, start, steps):
    step = eqx.filter_jit(step_map)
    state = step_map.init(start)
    points = [np.asarray(state.w)]
    for _ in range(steps):
        state = step(state)
        points.append(np.asarray(state.w))
    return np.array(points)


@pytest.mark.parametrize("step_map", MAPS)
@pytest.mark.thorough
def test_every_point_is_bitwise_that_of_a_plain_loop(step_map):
    steps = 300
    points = plain_loop(step_map, START, steps)
    run = iterate(step_map, START, steps, at_steps=range(steps + 1))
    np.testing.assert_array_equal(run.checkpoints, points)
    np.testing.assert_array_equal(run.w, points[-1])
    assert (int(run.steps), int(run.status)) == (steps, RAN)

    # the tail, at lengths before, at and after the seams of its blocks
    for length in (0, 1, 2, 63, 64, 65, 127, 128, 129, 200):
        run = iterate(step_map, START, length, at_steps=[0, length])
        expected = points[max(0, length - BLOCK + 1) : length + 1]
        assert int(run.tail_length) == len(expected)
        np.testing.assert_array_equal(run.tail[-len(expected) :], expected)
        np.testing.assert_array_equal(run.checkpoints, points[[0, length]])


def test_checkpoints_do_not_change_the_run():
    bare = iterate(MAPS[1], START, 300)
    assert bare.checkpoints.shape == (0, 2)
    kept = iterate(MAPS[1], START, 300, at_steps=[0, 7, 64, 64, 130, 300])
    assert kept.checkpoints.shape == (6, 2)
    for field in ("w", "steps", "status", "tail", "tail_length"):
        np.testing.assert_array_equal(getattr(bare, field), getattr(kept, field))


@pytest.mark.parametrize(
    ("at_steps", "steps", "said"),
    [
        ([5, 3], 10, "must ascend within 0 … 10, not"),
        ([-1], 10, "each of at_steps must be a whole number ≥ 0"),
        ([3, 11], 10, "must ascend within"),
        ([], -1, "steps must be a whole number ≥ 0"),
    ],
)
def test_impossible_checkpoints_or_steps_are_refused(at_steps, steps, said):
    with pytest.raises(InvalidInput, match=said):
        iterate(MAPS[0], START, steps, at_steps=at_steps)


def test_the_first_step_within_the_target_is_reported():
    # w after k steps is 0.9ᵏ; 0.9⁴³ = 0.01077, 0.9⁴⁴ = 0.00970
    step_map = StepMap(quadratic((1.0,), None), GD(), 0.1)
    target = jnp.zeros(1)
    run = iterate(step_map, jnp.ones(1), 200, at_steps=[43, 44, 100], target=target, within=0.01)
    assert (int(run.steps), int(run.status)) == (44, REACHED)
    np.testing.assert_allclose(run.w, [0.9**44], rtol=1e-14)
    # a run that stopped repeats its last point
    np.testing.assert_allclose(run.checkpoints[:, 0], [0.9**43, 0.9**44, 0.9**44], rtol=1e-14)
    np.testing.assert_array_equal(run.tail[-1], run.w)
    not_yet = iterate(step_map, jnp.ones(1), 43, target=target, within=0.01)
    assert (int(not_yet.steps), int(not_yet.status)) == (43, RAN)


def test_a_start_within_the_target_takes_no_step():
    run = iterate(MAPS[1], START, 50, at_steps=[0, 50], target=START, within=0.0)
    assert (int(run.steps), int(run.status), int(run.tail_length)) == (0, REACHED, 1)
    np.testing.assert_array_equal(run.checkpoints, jnp.stack([START, START]))


def test_the_step_at_which_the_run_diverged_is_reported():
    # w⁺ = w − 4w³ from 10: about 10^(1, 3.6, 11.4, 34.8, 105, overflow)
    points = [np.float64(10.0)]
    with np.errstate(over="ignore"):
        while np.isfinite(points[-1]):
            points.append(points[-1] - 4 * points[-1] ** 3)
    step_map = StepMap(lambda w: jnp.sum(w**4), GD(), 1.0)
    run = iterate(step_map, jnp.array([10.0]), 100, at_steps=[0, len(points) - 2])
    assert (int(run.steps), int(run.status)) == (len(points) - 1, DIVERGED)
    np.testing.assert_allclose(run.checkpoints[:, 0], [10.0, points[-2]], rtol=1e-12)


def test_a_large_w_is_finite_and_has_not_diverged():
    # w after k steps is (−10)ᵏ: finite up to k = 308, though its square is not beyond 154
    step_map = StepMap(quadratic((1.0,), None), GD(), 11.0)
    for steps in (150, 200):
        run = iterate(step_map, jnp.ones(1), steps)
        assert np.isfinite(run.w[0])
        assert (int(run.steps), int(run.status)) == (steps, RAN)
    run = iterate(step_map, jnp.ones(1), 400)
    assert (int(run.steps), int(run.status)) == (309, DIVERGED)


def test_a_minimum_is_rest():
    run = iterate(StepMap(quadratic((1.0, 2.0)), GD(), 0.5), START, 300)
    tail = describe_tail(np.asarray(run.tail))
    assert (tail.period, tail.amplitude) == (1, 0)
    np.testing.assert_allclose(tail.centre, [0, 0], atol=1e-12)


def test_sam_on_the_saddle_demo_ends_alternating_at_the_known_amplitude():
    """x² − y² with η = 0.01, ρ = ½ from (−3, −0.01): x alternates between ±ηρλ/(2 − ηλ)."""
    step_map = StepMap(get_loss("saddle"), SAM(0.5), 0.01)
    start = jnp.array([-3.0, -0.01])
    amplitude = 0.01 * 0.5 * 2 / (2 - 0.01 * 2)
    after_500 = np.asarray(iterate(step_map, start, 500).tail)
    # 500 steps leave a transient in x of about 1e-7 that alternates in sign
    assert np.mean(np.abs(after_500[:, 0])) == pytest.approx(0.00505051, abs=5e-9)
    assert np.all(np.diff(np.sign(after_500[:, 0])) != 0)
    tail = describe_tail(np.asarray(iterate(step_map, start, 1500).tail))
    assert tail.period == 2
    assert tail.amplitude == pytest.approx(amplitude, rel=1e-12)
    np.testing.assert_allclose(tail.centre, [0, 0], atol=1e-12)


def test_sam_on_negative_curvature_is_neither_at_rest_nor_alternating():
    """w⁺ = (1 + ημ)w − ηρμ·sign(w) expands everywhere yet never leaves |w| ≤ ηρμ: chaos."""
    eta, rho, mu = 0.1, 0.5, 3.0
    step_map = StepMap(quadratic((-mu,)), SAM(rho), eta)
    tail = np.asarray(iterate(step_map, jnp.array([0.1]), 1000).tail)
    assert np.all(np.abs(tail) <= eta * rho * mu)
    described = describe_tail(tail)
    assert described.period is None
    assert 0 < described.amplitude <= 2 * eta * rho * mu


def test_tails_are_told_apart():
    one = np.array([[1.0, 2.0]])
    assert describe_tail(np.repeat(one, 5, 0))[:2] == (1, 0.0)
    two = np.tile([[1.0, 0.0], [1.0, 0.5]], (4, 1))
    found = describe_tail(two)
    assert (found.period, found.amplitude) == (2, 0.25)
    np.testing.assert_array_equal(found.centre, [1.0, 0.25])
    three = np.tile([[0.0], [1.0], [3.0]], (4, 1))
    assert describe_tail(three).period is None
    assert describe_tail(np.arange(9.0)[:, None]).period is None
    assert describe_tail(np.array([[0.0], [np.nan], [0.0], [0.0]])).period is None
    assert describe_tail(two[:2]).period is None  # too short to tell
    # drifting by 1e-3 of a step is no orbit yet, by 1e-9 it is
    drift = np.arange(8.0)[:, None] * np.array([[1.0, 0.0]])
    assert describe_tail(two + 5e-4 * drift).period is None
    assert describe_tail(two + 5e-10 * drift).period == 2


def test_rest_is_judged_by_the_precision_of_the_points():
    trembling = 1 + 1e-7 * np.arange(6.0)[:, None]
    assert describe_tail(trembling.astype(np.float32)).period == 1
    assert describe_tail(trembling).period is None


def test_vmap_over_starts_is_a_loop_whatever_way_each_run_ends():
    step_map = StepMap(lambda w: jnp.sum(w**4 / 4 - w**2 / 2), SAM(0.01), 0.1)
    starts = jnp.array([[0.5, 0.9], [1.0, 1.0], [9.0, 1.0], [-0.3, 0.2], [-6.0, 5.0]])
    target = jnp.ones(2)

    def run(start):
        return iterate(step_map, start, 200, at_steps=[0, 3, 200], target=target, within=0.02)

    batch = jax.vmap(run)(starts)
    assert {RAN, REACHED, DIVERGED} == set(np.asarray(batch.status).tolist())
    for i, start in enumerate(starts):
        one = run(start)
        assert (one.steps, one.status, one.tail_length) == (
            batch.steps[i], batch.status[i], batch.tail_length[i],
        )  # fmt: skip
        np.testing.assert_allclose(batch.checkpoints[i], one.checkpoints, rtol=1e-12)
        n = int(one.tail_length)
        np.testing.assert_allclose(batch.tail[i][-n:], one.tail[-n:], rtol=1e-12)


def test_vmap_over_radius_rate_and_momentum_is_a_loop():
    radii = jnp.array([0.0, 0.05, 0.1])
    rates = jnp.array([1e-3, 2e-3, 5e-4])

    def run(rho, rate):
        return iterate(StepMap(BEALE, USAM(rho), rate, rate * 100), START, 100).w

    batch = jax.jit(jax.vmap(run))(radii, rates)
    loop = np.array([run(rho, rate) for rho, rate in zip(radii, rates, strict=True)])
    np.testing.assert_allclose(batch, loop, rtol=1e-12)


def test_inside_jit_it_is_what_it_is_outside():
    kept = [0, 5, 20]
    run = lambda w: iterate(MAPS[1], w, 20, at_steps=kept)  # noqa: E731
    outside, inside = run(START), jax.jit(run)(START)
    for one, other in zip(jax.tree.leaves(outside), jax.tree.leaves(inside), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-15)


def test_memory_is_a_few_blocks_and_one_program_serves_every_number_of_steps():
    traces = []

    def loss(w):
        traces.append(None)
        return BEALE(w)

    step_map = StepMap(loss, SAM(0.1), 1e-4)
    none = jnp.zeros(0, int)
    lowered = jax.jit(lambda w, steps: run_steps(step_map, w, steps, none)).lower
    memory = lowered(START, jnp.asarray(10)).compile().memory_analysis()
    # every buffer that the program may ever use: two blocks of points, a few copies, scalars
    assert memory.temp_size_in_bytes + memory.output_size_in_bytes < 8 * 2 * BLOCK * 8

    iterate(step_map, START, 10)
    traced = len(traces)
    for steps in (0, 1, 64, 100, 10**5):
        assert int(iterate(step_map, START, steps).steps) == steps
    assert len(traces) == traced


def test_float32_stays_float32():
    run = iterate(MAPS[1], START.astype(jnp.float32), 70, at_steps=[3], target=None)
    for leaf in (run.w, run.checkpoints, run.tail):
        assert leaf.dtype == jnp.float32
    reached = iterate(
        MAPS[0], START.astype(jnp.float32), 70, target=START.astype(jnp.float32), within=0.1
    )
    assert int(reached.status) == REACHED


def test_pytree_parameters_give_the_flat_run():
    tree = {"x": jnp.array(1.0), "y": jnp.array([[2.0]])}

    def loss(w):
        return BEALE(jnp.stack([w["x"], w["y"][0, 0]]))

    kept = [0, 10, 90]
    flat = iterate(MAPS[1], START, 90, at_steps=kept, target=jnp.zeros(2), within=1.0)
    run = iterate(
        StepMap(loss, SAM(0.1), 1e-3),
        tree,
        90,
        at_steps=kept,
        target={"x": jnp.array(0.0), "y": jnp.zeros((1, 1))},
        within=1.0,
    )
    assert run.checkpoints["y"].shape == (3, 1, 1)
    assert run.tail["x"].shape == (BLOCK,)
    assert (run.steps, run.status) == (flat.steps, flat.status)
    np.testing.assert_allclose(run.checkpoints["x"], flat.checkpoints[:, 0], rtol=1e-13)
    np.testing.assert_allclose(run.checkpoints["y"][:, 0, 0], flat.checkpoints[:, 1], rtol=1e-13)


@pytest.mark.parametrize("offset", [1e4, -3e5, 1e6])
def test_a_run_that_single_precision_rounds_away_is_warned_of(offset):
    """A step of 1e-3 where neighbouring numbers are about as far apart, or farther."""
    start = jnp.asarray([offset + 1.0], jnp.float32)
    step_map = StepMap(lambda w: jnp.sum((w - offset) ** 2) / 2, GD(), 1e-3)
    with pytest.warns(UserWarning, match="spacings of float32"):
        iterate(step_map, start, 5)
    wide = iterate(step_map, jnp.asarray([offset + 1.0]), 3000)
    assert float(wide.w[0]) - offset == pytest.approx(0.999**3000, rel=1e-5)
    iterate(step_map, jnp.asarray([offset], jnp.float32), 5)  # at rest: nothing to say


def test_a_start_of_integers_is_one_of_numbers():
    run = iterate(StepMap(lambda w: jnp.sum(w**2), GD(), 0.1), jnp.array([2]), 3)
    assert float(run.w[0]) == pytest.approx(2 * 0.8**3)
