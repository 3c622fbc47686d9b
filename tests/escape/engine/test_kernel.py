"""The engine's bookkeeping, and the exit correction against its exact law."""

import threading
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from samdyn import GD, USAM, Additive, Below, Diffusion, Slab, get_loss
from samdyn.dynamics.regions.regions import Predicate
from samdyn.escape.engine import engine as engine_module
from samdyn.escape.engine import on_xla
from samdyn.escape.engine.ended import Finished
from samdyn.escape.engine.engine import Engine
from samdyn.escape.engine.stepping import bridge, generator, kernel
from samdyn.escape.engine.stepping.schemes import EulerMaruyama
from samdyn.escape.engine.stepping.stepper import AbstractStepper
from samdyn.escape.statistics import CENSORED, ESCAPED, FAILED

pytestmark = pytest.mark.usefixtures("either_back_end")

ONE = jax.devices()[:1]
DOUBLE_WELL = get_loss("double-well-2d")


def euler(loss, s, region, start, dt, dtype=jnp.float32, method=None):
    diffusion = Diffusion(loss, method or GD(), 1.0, Additive(s))
    cast = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
    diffusion, region = jax.tree.map(cast, (diffusion, region))
    return EulerMaruyama(diffusion, region, jnp.asarray(start, dtype), dt)


def run(engine, ranges):
    """What finished, ordered by path."""
    parts: list[Any] = []
    engine.run(ranges, lambda finished, _: parts.append(finished))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    return Finished(*(column[order] for column in joined))


def assert_identical(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def short_exits(dtype=jnp.float32):
    """Exits after a few dozen steps, many within a step."""
    region = Slab([0.0, 0.0], 0, 0.5)
    return euler(DOUBLE_WELL, 1.0, region, [0.0, 0.1], 0.01, dtype, USAM(0.1))


RANGES = [(0, 700), (1000, 1003), (2**31 - 3, 2**31 + 4), (2**32 - 9, 2**32 - 1)]


def indices(ranges):
    return np.concatenate([np.arange(*r) for r in ranges])


@pytest.fixture(scope="module")
def reference(either_back_end):
    return run(Engine(short_exits(), 3, None, block=16, workers=1, devices=ONE), RANGES)


def test_each_path_ends_exactly_once(reference):
    np.testing.assert_array_equal(reference.index, indices(RANGES))
    assert np.all(reference.status == ESCAPED)
    assert np.all(reference.steps >= 1)


@pytest.mark.parametrize(("block", "workers"), [(16, 3), (128, 2), (512, 1)])
def test_lanes_and_workers_leave_no_trace(block, workers, reference):
    engine = Engine(short_exits(), 3, None, block=block, workers=workers, devices=ONE)
    assert_identical(run(engine, RANGES), reference)


@pytest.mark.parametrize("patience", [1e-9, 10.0])
def test_the_length_of_a_call_leaves_no_trace(patience, reference, monkeypatch):
    monkeypatch.setattr(engine_module, "PATIENCE", patience)
    engine = Engine(short_exits(), 3, None, block=16, workers=2, devices=ONE)
    assert_identical(run(engine, RANGES), reference)


@pytest.mark.thorough
def test_devices_leave_no_trace(reference):
    engine = Engine(short_exits(), 3, None, block=16, devices=jax.devices()[:2])
    assert_identical(run(engine, RANGES), reference)


@pytest.mark.thorough
def test_unpacked_words_and_shorter_launches_leave_no_trace(reference, monkeypatch):
    plain = lambda stepper, packed: kernel.layout_of(stepper, False)._replace(unroll=2)  # noqa: E731
    monkeypatch.setattr(on_xla, "layout_of", plain)
    engine = Engine(short_exits(), 3, None, block=16, workers=1, devices=ONE)
    assert_identical(run(engine, RANGES), reference)


def test_an_engine_runs_again_and_a_path_is_its_index_alone(reference):
    engine = Engine(short_exits(), 3, None, block=16, workers=2, devices=ONE)
    for chosen in ([(37, 91)], [(1000, 1003), (5, 6)]):
        part = run(engine, chosen)
        rows = np.isin(reference.index, indices(chosen))
        assert_identical(part, [column[rows] for column in reference])


def test_other_seeds_give_other_paths(reference):
    other = run(Engine(short_exits(), 4, None, block=16, workers=1, devices=ONE), [(0, 700)])
    assert np.mean(other.steps == reference.steps[:700]) < 0.2


def test_float32_paths_are_float64_paths_rounded(reference):
    engine = Engine(short_exits(jnp.float64), 3, None, block=16, workers=1, devices=ONE)
    exact = run(engine, RANGES)
    assert np.mean(exact.steps == reference.steps) > 0.99
    same = exact.steps == reference.steps
    np.testing.assert_allclose(reference.point[same], exact.point[same], atol=1e-4)


def test_no_path_lasts_longer_than_the_limit(reference):
    engine = Engine(short_exits(), 3, 21, block=16, workers=2, devices=ONE)
    result = run(engine, [(0, 700)])
    early = reference.steps[:700] <= 21
    assert 0.1 < np.mean(early) < 0.9
    np.testing.assert_array_equal(result.status, np.where(early, ESCAPED, CENSORED))
    np.testing.assert_array_equal(result.steps, np.minimum(reference.steps[:700], 21))
    np.testing.assert_array_equal(result.time[early], reference.time[:700][early])
    np.testing.assert_array_equal(result.time[~early], 21 * float(engine.stepper.dt))


def falling(w):
    return -w[0] + 0.5 * w[1] ** 2


@pytest.mark.thorough
def test_without_noise_the_step_of_the_exit_is_exact():
    """x = t reaches 1 in four steps of ¼, and 0.9 during the fourth."""
    for level, time in ((1.0, 1.0), (0.9, 0.9), (0.51, 0.51)):
        stepper = euler(falling, 0.0, Below(0, level), [0.0, 0.0], 0.25)
        result = run(Engine(stepper, 0, 100, block=16, workers=1, devices=ONE), [(0, 5)])
        assert set(result.status) == {ESCAPED}
        np.testing.assert_array_equal(result.steps, np.ceil(level * 4))
        np.testing.assert_allclose(result.time, time, rtol=1e-6)
        np.testing.assert_allclose(result.point[:, 0], np.ceil(level * 4) / 4, rtol=1e-6)


def test_a_predicate_puts_the_exit_into_the_middle_of_a_step():
    stepper = euler(falling, 0.0, Predicate(lambda w: w[0] < 0.9), [0.0, 0.0], 0.25)
    result = run(Engine(stepper, 0, 100, block=16, workers=1, devices=ONE), [(0, 5)])
    np.testing.assert_array_equal(result.steps, 4)
    np.testing.assert_array_equal(result.time, 3.5 * 0.25)


@pytest.mark.thorough
def test_a_state_that_overflows_has_failed():
    """x' = x⁵ blows up inside the region."""
    stepper = euler(lambda w: -(w[0] ** 6) / 6, 0.0, Below(1, 3.0), [2.0, 0.0], 0.5)
    result = run(Engine(stepper, 0, 1000, block=16, workers=1, devices=ONE), [(0, 40)])
    np.testing.assert_array_equal(result.index, np.arange(40))
    assert set(result.status) == {FAILED}


@pytest.mark.thorough
def test_some_paths_fail_and_others_escape():
    steep = lambda w: jnp.where(w[1] > 0, jnp.nan, 1) * w[0]  # noqa: E731
    stepper = euler(steep, 0.3, Slab([0.0, 0.0], 0, 0.5), [0.0, -0.3], 0.01)
    engine = Engine(stepper, 0, 5000, block=16, workers=2, devices=ONE)
    result = run(engine, [(0, 500)])
    np.testing.assert_array_equal(result.index, np.arange(500))
    assert {ESCAPED, FAILED} == set(result.status)
    assert np.all(np.isfinite(result.point[result.status == ESCAPED]))


@pytest.mark.parametrize("draws", [1, 2, 3, 5])
@pytest.mark.thorough
def test_draws_use_every_normal_of_the_path_once(draws):
    stepper = _WithDraws(draws)
    key = generator.path_key(jnp.asarray(generator.seed_words(1)), jnp.asarray([5], jnp.uint32))
    seen = [
        np.concatenate(z)
        for launch in range(4)
        for z in bridge.draws(stepper, key, jnp.asarray([launch * 6], jnp.int32), 6)
    ]
    flat = np.concatenate(seen)
    counters = jnp.arange(-(-flat.size // 2), dtype=jnp.uint32)
    pairs = generator.normal_pair(generator.random_words(key, counters), jnp.float32)
    np.testing.assert_allclose(flat, np.stack(pairs, 1).ravel()[: flat.size], rtol=1e-5)


class _WithDraws(AbstractStepper):
    """Only its `draws` and dtype are looked at."""

    draws: int = eqx.field(static=True)
    region: Any = None
    start: Any = eqx.field(default_factory=lambda: jnp.zeros(2, jnp.float32))
    dt: Any = 0.1

    def step(self, y, z):
        raise NotImplementedError

    def position(self, y):
        return y


@pytest.mark.thorough
def test_a_bridge_touches_with_its_probability():
    """From gap a to gap b in one step: exp(−2ab/(s²dt)), on 4·10⁵ lanes each."""
    s, dt, lanes = 0.7, 0.04, 400_000
    stepper = euler(lambda w: 0.0 * w[0], s, Below(0, 0.0), [-1.0, 0.0], dt)
    step = kernel.Step(stepper)
    key = generator.path_key(
        jnp.asarray(generator.seed_words(2)), jnp.arange(lanes, dtype=jnp.uint32)
    )
    life = bridge.first_life(key, jnp.float32)
    for a, b in ((0.05, 0.05), (0.1, 0.02), (0.01, 0.3), (0.2, 0.2), (1e-4, 1e-4)):
        y = [jnp.full(lanes, -a, jnp.float32), jnp.zeros(lanes, jnp.float32)]
        z = kernel._components([jnp.full(lanes, (a - b) / (s * dt**0.5), jnp.float32), y[1]])
        _, _, steps, after = step(y, -y[0], jnp.zeros(lanes, jnp.int32), life, z, np.int32(9))
        expected = np.exp(-2 * a * b / (s * s * dt))
        error = np.sqrt(expected * (1 - expected) / lanes)
        assert abs(np.mean(np.asarray(after) <= 0) - expected) < 4 * error + 1e-6
        assert np.all(np.asarray(steps) == 1)


@pytest.fixture(scope="module")
def drifting(either_back_end):
    """dx = dt + dW from 0 to 1 in steps of ¼, which Euler and the bridge make without error."""
    stepper = euler(falling, 1.0, Below(0, 1.0), [0.0, 0.0], 0.25)
    return run(Engine(stepper, 5, None, block=512, workers=1, devices=ONE), [(0, 100_000)])


@pytest.mark.thorough
def test_exits_by_the_end_of_each_step_follow_the_exact_law(drifting):
    """First passage of Brownian motion with drift is inverse Gaussian, however long the step."""
    steps = np.arange(1, 40)
    law = scipy.stats.invgauss(mu=1.0).cdf(steps * 0.25)
    expected = np.diff(law, prepend=0, append=1) * drifting.steps.size
    seen = np.bincount(np.minimum(drifting.steps, 40), minlength=41)[1:]
    enough = expected > 20
    expected = np.append(expected[enough], np.sum(expected[~enough]))
    seen = np.append(seen[enough], np.sum(seen[~enough]))
    assert scipy.stats.chisquare(seen, expected).pvalue > 1e-3


def test_the_moment_within_the_step_is_right_on_average(drifting):
    """Steps of ¼ against a mean of 1: the rest of the error is below a hundredth of a step."""
    error = np.std(drifting.time) / np.sqrt(drifting.time.size)
    assert abs(np.mean(drifting.time) - 1.0) < 4 * error + 0.01 * 0.25


def test_stopping_loses_no_finished_path():
    """`stop` set by the first report: what was reported is right, and not repeated later."""
    engine = Engine(short_exits(), 6, None, block=16, workers=2, devices=ONE)
    stop, parts = threading.Event(), []

    def sink(finished, running):
        parts.append(finished)
        assert all(np.all(part.time >= 0) for part in running)
        stop.set()

    engine.run([(0, 1_000_000)], sink, stop)
    seen = np.concatenate([part.index for part in parts])
    assert np.unique(seen).size == seen.size < 1_000_000


def test_an_error_of_the_sink_reaches_the_caller():
    def sink(finished, running):
        raise KeyError("sink")

    engine = Engine(short_exits(), 0, None, block=16, workers=2, devices=ONE)
    with pytest.raises(KeyError, match="sink"):
        engine.run([(0, 100)], sink)


def test_useful_steps_are_most_of_all_steps():
    engine = Engine(short_exits(), 7, None, block=16, workers=2, devices=ONE)
    result = run(engine, [(0, 60_000)])
    assert np.sum(result.steps) > 0.6 * engine.lane_steps  # a launch is a third of a path here
