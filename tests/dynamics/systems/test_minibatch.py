"""Steps on real minibatches: the batches are those that the words say, with the known moments."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.dynamics.coupling import Fresh, Independent, Paper, SameBatch
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.perturbed_loss import PerturbedLossGradient
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import EMA, HeavyBall, Nesterov, NoMomentum
from samdyn.dynamics.noise.noise import Empirical, MeanLoss
from samdyn.dynamics.systems.minibatch_map import MinibatchStepMap, below
from samdyn.errors import InvalidInput

W = jnp.array([0.4, -0.3])
RNG = np.random.default_rng(3)
DATA = RNG.normal(size=(4, 2)), RNG.normal(size=4)
ETA = 0.1


def residual(w, example):
    x, y = example
    return (jnp.tanh(jnp.sum(w * x)) - y) ** 2


def word(index, n=4):
    """The smallest word that chooses an index."""
    return -(-index * 2**32 // n)


def words_of(*indices):
    return jnp.array([word(i) for i in indices], jnp.uint32)


def mean_over(*indices):
    chosen = np.array(indices)
    return MeanLoss(residual, (DATA[0][chosen], DATA[1][chosen]))


def make(method, coupling=None, batch=2, **options):
    coupling = SameBatch() if coupling is None else coupling
    return MinibatchStepMap(residual, DATA, batch, method, ETA, coupling, **options)


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 65535, 65536, 65537, 10**6 + 3, 2**31 - 1])
def test_a_word_chooses_the_index_of_exact_arithmetic(n):
    words = np.random.default_rng(n).integers(0, 2**32, 2000, dtype=np.uint64)
    words[:4] = 0, 2**32 - 1, 2**16 - 1, 2**16
    found = below(n, jnp.asarray(words.astype(np.uint32)))
    expected = [int(value) * n >> 32 for value in words]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("momentum", [NoMomentum(), HeavyBall(0.7), EMA(0.7), Nesterov(0.7)])
def test_first_two_steps_are_those_of_the_chosen_batches(momentum):
    step_map = make(SAM(0.2), momentum=momentum)
    state, w, memory = step_map.init(W), W, momentum.init(W)
    for batch in ((0, 3), (1, 1)):
        state = eqx.filter_jit(step_map.step)(state, words_of(*batch))
        memory, move = momentum.update(memory, SAM(0.2).direction(jax.grad(mean_over(*batch)), w))
        w = w - ETA * move
        np.testing.assert_allclose(state.w, w, rtol=1e-14)


def test_each_coupling_sees_its_batches():
    method, every = SAM(0.2), mean_over(0, 1, 2, 3)
    independent = make(method, Independent())
    assert independent.draws(W) == 4
    inner = method.perturb(jax.grad(mean_over(1, 2)), W)
    found = independent.direction(independent.init(W), words_of(0, 3, 1, 2))[0]
    np.testing.assert_allclose(found, jax.grad(mean_over(0, 3))(inner), rtol=1e-14)
    fresh = make(method, Fresh())
    assert fresh.draws(W) == 2
    outside = jax.grad(mean_over(0, 3))(method.perturb(jax.grad(every), W))
    np.testing.assert_allclose(
        fresh.direction(fresh.init(W), words_of(0, 3))[0], outside, rtol=1e-14
    )
    own = PerturbedLossGradient(USAM(0.2))
    found = make(own).direction(make(own).init(W), words_of(0, 3))[0]
    np.testing.assert_allclose(found, own.direction(jax.grad(mean_over(0, 3)), W), rtol=1e-14)


def test_without_replacement_the_smallest_words_are_the_batch():
    step_map = make(GD(), replacement=False)
    assert step_map.draws(W) == 4
    assert make(GD(), Independent(), replacement=False).draws(W) == 8
    found = step_map.direction(step_map.init(W), jnp.array([9, 2, 7, 5], jnp.uint32))[0]
    np.testing.assert_allclose(found, jax.grad(mean_over(1, 3))(W), rtol=1e-14)
    whole = make(GD(), batch=4, replacement=False)
    found = whole.direction(whole.init(W), jnp.array([9, 2, 7, 5], jnp.uint32))[0]
    np.testing.assert_allclose(found, jax.grad(whole.loss)(W), rtol=1e-13)


def every_step(step_map, words):
    return np.asarray(jax.jit(jax.vmap(lambda u: step_map.step(step_map.init(W), u).w))(words))


@pytest.mark.parametrize("replacement", [True, False])
def test_over_all_batches_the_step_has_the_mean_and_covariance_of_the_noise_model(replacement):
    step_map = make(GD(), replacement=replacement)
    if replacement:
        words = jnp.stack([words_of(*pair) for pair in itertools.product(range(4), repeat=2)])
    else:
        words = jnp.array(list(itertools.permutations(range(4))), jnp.uint32)
    after = every_step(step_map, words)
    noise = Empirical(residual, DATA, 2, replacement)
    np.testing.assert_allclose(after.mean(axis=0), W - ETA * jax.grad(step_map.loss)(W), rtol=1e-13)
    expected = ETA**2 * noise.covariance(step_map.loss, W)
    np.testing.assert_allclose(np.cov(after.T, bias=True), expected, rtol=1e-11)


def test_random_batches_have_that_mean_and_covariance_within_standard_errors():
    n = 40_000
    for replacement in (True, False):
        step_map = make(GD(), replacement=replacement)
        step = jax.jit(jax.vmap(lambda key, m=step_map: m(m.init(W), key).w))
        after = np.asarray(step(jax.random.split(jax.random.key(1), n)))
        mean = W - ETA * jax.grad(step_map.loss)(W)
        noise = Empirical(residual, DATA, 2, replacement)
        exact = ETA**2 * np.asarray(noise.covariance(step_map.loss, W))
        assert np.all(np.abs(after.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(exact) / n))
        off = after - after.mean(axis=0)
        squares = off[:, :, None] * off[:, None, :]
        assert np.all(np.abs(squares.mean(axis=0) - exact) < 4 * squares.std(axis=0) / np.sqrt(n))


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.thorough
def test_small_batches_move_the_rate_of_usam_by_the_variance_of_the_curvature(batch):
    h, rho = np.array([3.0, -1.0, 0.5, 1.5]), 0.3
    quadratic = lambda w, h: h * w[0] ** 2 / 2  # noqa: E731
    step_map = MinibatchStepMap(quadratic, h, batch, USAM(rho), 1.0)
    batches = itertools.product(range(4), repeat=batch)
    words = jnp.stack([words_of(*chosen) for chosen in batches])
    rates = jax.vmap(lambda u: step_map.direction(step_map.init(jnp.ones(1)), u)[0][0])(words)
    exact = h.mean() + rho * (h.mean() ** 2 + h.var() / batch)
    np.testing.assert_allclose(np.mean(rates), exact, rtol=1e-13)
    # and the modelled mean is the same on quadratics
    noise = Empirical(quadratic, h, batch)
    modelled = SameBatch().drift(noise.loss, USAM(rho), noise, jnp.ones(1))
    np.testing.assert_allclose(modelled, [exact], rtol=1e-13)


def test_float32_stays_float32_and_steps_are_reproducible():
    step_map = make(SAM(0.2), momentum=0.9)
    state = step_map.init(W.astype(jnp.float32))
    key = jax.random.key(0)
    after = step_map(state, key)
    assert after.w.dtype == after.memory.dtype == jnp.float32
    np.testing.assert_array_equal(after.w, step_map(state, key).w)
    np.testing.assert_array_equal(
        after.w, step_map.step(state, jax.random.bits(key, (2,), jnp.uint32)).w
    )


def test_new_numbers_do_not_compile_again_and_radii_are_replaced():
    traces = []

    @eqx.filter_jit
    def step(step_map, state, words):
        traces.append(0)
        return step_map.step(state, words)

    for number in (0.1, 0.2, 0.3):
        step_map = MinibatchStepMap(residual, DATA, 2, SAM(number), number, momentum=number)
        step(step_map, step_map.init(W), words_of(0, 1))
        assert float(step_map.at_radius(0.5).method.radius) == 0.5
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: make(SAM(0.1), Paper()), "the paper coupling is a model of noise"),
        (lambda: make(SAM(0.1), batch=0), "batch size must be an integer >= 1, like 32, not 0"),
        (lambda: make(SAM(0.1), batch=2.0), "batch size must be an integer >= 1, like 32, not 2.0"),
        (lambda: make(SAM(0.1), batch=5, replacement=False), "a batch of 5 cannot be drawn from 4"),
    ],
)
def test_impossible_minibatches_are_refused(build, said):
    with pytest.raises(InvalidInput, match=said):
        build()


def test_a_method_that_differentiates_its_ascent_has_fresh_noise_of_real_minibatches():
    own, every = PerturbedLossGradient(USAM(0.2)), mean_over(0, 1, 2, 3)
    fresh = make(own, Fresh())
    directions = [
        fresh.direction(fresh.init(W), words_of(i, j))[0] for i in range(4) for j in range(4)
    ]
    mean = own.direction(jax.grad(every), W)
    np.testing.assert_allclose(np.mean(directions, axis=0), mean, rtol=1e-13)
    two = make(own, Independent())
    with pytest.raises(InvalidInput, match="use fresh or paper"):
        two.direction(two.init(W), words_of(0, 3, 1, 2))
