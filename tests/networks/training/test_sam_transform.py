"""SAM as an optax transformation: by hand for two steps, against StepMap, and what stays exact."""

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from verbs import iterate

from samdyn.dynamics import tree
from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.method import AbstractMethod
from samdyn.dynamics.methods.multi_step import MultiStep
from samdyn.dynamics.methods.perturbed_loss import PerturbedLossGradient
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import HeavyBall, NoMomentum
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss
from samdyn.networks.training.sam_transform import check_parts, sam

RATE, GAMMA, RHO = 0.05, 0.7, 0.3
CURVATURES = np.array([3.0, -1.0])
QUADRATIC = quadratic(tuple(CURVATURES), None)
START = np.array([0.6, -0.8])
BEALE, NEAR_BEALE = get_loss("beale"), jnp.array([1.0, 2.0])


def net(w):
    """A loss of a pytree with a matrix, a vector and a scalar."""
    x = jnp.linspace(-1, 1, 15).reshape(5, 3).astype(w["b"].dtype)
    hidden = jnp.tanh(x @ w["a"] + w["b"][None, :])
    return jnp.mean((jnp.sum(hidden, 1) * w["c"] - x[:, 0] ** 2) ** 2)


def weights(dtype=jnp.float64, seed=0):
    one, two = jax.random.split(jax.random.key(seed))
    return {
        "a": jax.random.normal(one, (3, 4), dtype),
        "b": jax.random.normal(two, (4,), dtype),
        "c": jnp.asarray(0.7, dtype),
    }


def opaque_step(loss, optimizer):
    @jax.jit
    def step(w, state):
        gradient = jax.grad(loss)
        updates, state = optimizer.update(gradient(w), state, w, grad_fn=gradient)
        return optax.apply_updates(w, updates), state

    return step


def transparent_step(loss, optimizer):
    @jax.jit
    def half(w, state):
        updates, state = optimizer.update(jax.grad(loss)(w), state, w)
        return optax.apply_updates(w, updates), state

    return lambda w, state: half(*half(w, state))


def plain_step(loss, optimizer):
    @jax.jit
    def step(w, state):
        updates, state = optimizer.update(jax.grad(loss)(w), state, w)
        return optax.apply_updates(w, updates), state

    return step


STEPPERS = {False: opaque_step, True: transparent_step}
both_modes = pytest.mark.parametrize("transparent", [False, True])


def run(loss, optimizer, w, steps, transparent=False):
    step, state, path = STEPPERS[transparent](loss, optimizer), optimizer.init(w), []
    for _ in range(steps):
        w, state = step(w, state)
        path.append(w)
    return path, state


def bits(x):
    x = np.asarray(x)
    return x.view(f"u{x.itemsize}")


def assert_same_bits(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(bits(x), bits(y))


def direction_by_hand(method, w):
    g = CURVATURES * w
    if isinstance(method, SAM):
        return CURVATURES * (w + RHO * g / np.linalg.norm(g))
    if isinstance(method, USAM):
        return CURVATURES * (w + RHO * g)
    t = np.abs(w) + 0.01
    return CURVATURES * (w + RHO * t**2 * g / np.linalg.norm(t * g))


@both_modes
@pytest.mark.parametrize("method", [SAM(RHO), USAM(RHO), ASAM(RHO)])
def test_first_two_steps_are_those_of_the_rule(method, transparent):
    optimizer = sam(optax.sgd(RATE, GAMMA), method, transparent=transparent)
    path, state = run(QUADRATIC, optimizer, jnp.asarray(START), 2, transparent)
    w, buffer = START, np.zeros(2)
    for found in path:
        buffer = GAMMA * buffer + direction_by_hand(method, w)
        w = w - RATE * buffer
        np.testing.assert_allclose(found, w, rtol=0, atol=4e-16)
    assert int(state.count) == 2


@both_modes
@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("method", [GD(), SAM(0.1), USAM(0.01), ASAM(0.1)])
@pytest.mark.thorough
def test_a_hundred_steps_are_those_of_the_step_map(method, momentum, transparent):
    optimizer = sam(optax.sgd(1e-3, momentum or None), method, transparent=transparent)
    path, _ = run(BEALE, optimizer, NEAR_BEALE, 100, transparent)
    rule = HeavyBall(momentum) if momentum else NoMomentum()
    ours = iterate(StepMap(BEALE, method, 1e-3, rule), NEAR_BEALE, 100, at_steps=range(1, 101))
    # 100 steps of rounding on numbers near 1, without amplification
    np.testing.assert_allclose(np.stack(path), ours.checkpoints, rtol=0, atol=2e-13)


def test_several_ascents_are_those_of_the_step_map():
    path, _ = run(BEALE, sam(optax.sgd(1e-3), MultiStep(SAM(0.1), 3)), NEAR_BEALE, 20)
    ours = iterate(StepMap(BEALE, MultiStep(SAM(0.1), 3), 1e-3), NEAR_BEALE, 20)
    np.testing.assert_allclose(path[-1], ours.w, rtol=0, atol=4e-14)


@both_modes
@jax.numpy_dtype_promotion("standard")  # optax's own demand
def test_it_stands_in_for_the_sam_of_optax(transparent):
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.1))
    theirs = optax.contrib.sam(optax.adam(0.01), adversary, opaque_mode=not transparent)
    ours = sam(optax.adam(0.01), SAM(0.1), transparent=transparent)
    paths = []
    gradient, other_gradient = jax.jit(jax.grad(net)), jax.grad(lambda w, _: net(w))
    for optimizer in (ours, theirs):
        w, state = weights(), optimizer.init(weights())
        update = jax.jit(optimizer.update, static_argnames="grad_fn")
        for _ in range(40 if transparent else 20):
            updates, state = update(gradient(w), state, w, grad_fn=other_gradient)
            w = optax.apply_updates(w, updates)
        paths.append(jax.flatten_util.ravel_pytree(w)[0])
    np.testing.assert_allclose(paths[0], paths[1], rtol=0, atol=1e-13)


BASES = [
    optax.sgd(0.1),
    optax.sgd(0.1, 0.9),
    optax.chain(optax.add_decayed_weights(0.1), optax.rmsprop(0.01, momentum=0.9)),
]
ZERO = [(SAM(0.0), None), (SAM(0.1), 0), (SAM(0.1), lambda count: 0.0 * count.astype(float))]


@both_modes
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("method", "rho"), ZERO)
@pytest.mark.thorough
def test_radius_zero_is_the_optimizer_to_the_last_bit(method, rho, dtype, base, transparent):
    w = weights(dtype) | {"c": jnp.asarray(-0.0, dtype)}
    gradient = jax.jit(jax.grad(net))
    ours = sam(base, method, rho, transparent=transparent)
    update, plain = jax.jit(ours.update, static_argnames="grad_fn"), jax.jit(base.update)
    state, plain_state = ours.init(w), base.init(w)
    for _ in range(100):
        wanted, plain_state = plain(gradient(w), plain_state, w)
        if transparent:
            nothing, state = update(gradient(w), state, w)
            assert_same_bits(optax.apply_updates(w, nothing), w)
        updates, state = update(gradient(w), state, w, grad_fn=gradient)
        assert_same_bits(updates, wanted)
        assert_same_bits(state.base, plain_state)
        w = optax.apply_updates(w, updates)


@pytest.mark.parametrize("method", [SAM(0.0), GD()])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.thorough
def test_radius_zero_compiles_to_the_steps_of_the_optimizer_alone(base, method):
    path, _ = run(net, sam(base, method), weights(), 100)
    step, w, state = plain_step(net, base), weights(), base.init(weights())
    for found in path:
        w, state = step(w, state)
        assert_same_bits(found, w)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.thorough
def test_two_transparent_calls_restore_every_bit_of_w_plus_the_update(dtype, jit):
    generator = np.random.default_rng(1)
    size = 100_000
    draw = lambda low: jnp.asarray(  # noqa: E731
        generator.normal(size=size) * 10.0 ** generator.uniform(low, 0, size), dtype
    )
    optimizer = sam(optax.sgd(0.1, 0.9), USAM(1.0), transparent=True)
    update = jax.jit(optimizer.update) if jit else optimizer.update
    base = jax.jit(optax.sgd(0.1, 0.9).update) if jit else optax.sgd(0.1, 0.9).update
    params = draw(-12)
    state = optimizer.init(params)
    w, base_state, unreached = params, optax.sgd(0.1, 0.9).init(params), 0
    for _ in range(20):
        first, second = draw(-12), draw(-12)
        wp = w + first
        updates, state = update(first, state, params)
        assert_same_bits(state.kept, w)
        found = optax.apply_updates(params, updates)
        assert np.all(np.abs(found - wp) <= np.spacing(np.maximum(np.abs(wp), np.abs(params))))
        params = found

        wanted, base_state = base(second, base_state, w)
        w = optax.apply_updates(w, wanted)
        updates, state = update(second, state, params)
        found = optax.apply_updates(params, updates)
        assert np.all(np.abs(found - w) <= np.spacing(np.maximum(np.abs(params), np.abs(w))))
        unreached += np.sum(found != w)
        params = found
        assert_same_bits(optax.apply_updates(params, state.kept), w)
    # the case that the state is there for does occur
    assert unreached > size


def test_no_other_addition_comes_closer_than_the_one_returned():
    generator = np.random.default_rng(2)
    size = 200_000
    w = generator.normal(size=size) * 10.0 ** generator.uniform(-20, 0, size)
    g = generator.normal(size=size) * 10.0 ** generator.uniform(-20, 0, size)
    optimizer = sam(optax.set_to_zero(), USAM(1.0), transparent=True)
    w, g = jnp.asarray(w), jnp.asarray(g)
    updates, state = optimizer.update(g, optimizer.init(w), w)
    wp = optax.apply_updates(w, updates)
    back, _ = optimizer.update(g, state, wp)
    error = np.abs(wp + back - w)
    for towards in (-np.inf, np.inf):
        neighbour = np.asarray(back)
        for _ in range(3):
            neighbour = np.nextafter(neighbour, towards)
            assert np.all(np.abs(wp + neighbour - w) >= error)


def test_parameters_changed_between_steps_are_where_the_next_step_begins():
    optimizer = sam(optax.sgd(RATE), SAM(RHO), transparent=True)
    w = jnp.asarray(START)
    _, state = run(QUADRATIC, optimizer, w, 1, transparent=True)
    moved = jnp.array([5.0, 7.0])
    _, state = optimizer.update(jax.grad(QUADRATIC)(moved), state, moved)
    np.testing.assert_allclose(state.kept, moved, rtol=0, atol=1e-16)


def test_both_modes_make_the_same_steps():
    base = optax.sgd(0.01, 0.9)
    one, _ = run(net, sam(base, SAM(0.1)), weights(), 100)
    two, _ = run(net, sam(base, SAM(0.1), transparent=True), weights(), 100, True)
    for v, w in zip(one, two, strict=True):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=2e-13), v, w)


@both_modes
@pytest.mark.parametrize("method", [SAM(0.1), USAM(0.1), ASAM(0.1)])
def test_a_zero_gradient_perturbs_nothing(method, transparent):
    loss = lambda w: jnp.sum(w["a"] ** 2) + w["b"] ** 4  # noqa: E731
    w = {"a": jnp.zeros(3), "b": jnp.asarray(0.0)}
    optimizer = sam(optax.rmsprop(0.1), method, transparent=transparent)
    path, _ = run(loss, optimizer, w, 3, transparent)
    for found in path:
        jax.tree.map(np.testing.assert_array_equal, found, w)


def test_a_schedule_sets_the_radius_of_each_step_and_traces_once():
    traces = 0

    def schedule(count):
        nonlocal traces
        traces += 1
        return jnp.where(count == 1, 0.5, 0.1)

    for transparent in (False, True):
        traces = 0
        optimizer = sam(optax.sgd(RATE), SAM(9.0), schedule, transparent=transparent)
        path, _ = run(QUADRATIC, optimizer, jnp.asarray(START), 3, transparent)
        assert traces == 1
        w = START
        for found, rho in zip(path, (0.1, 0.5, 0.1), strict=True):
            g = CURVATURES * w
            w = w - RATE * CURVATURES * (w + rho * g / np.linalg.norm(g))
            np.testing.assert_allclose(found, w, rtol=0, atol=4e-16)


@both_modes
def test_the_schedules_of_optax_set_the_radius(transparent):
    schedule = optax.linear_schedule(0.0, 0.4, 4)
    optimizer = sam(optax.sgd(RATE), USAM(1.0), schedule, transparent=transparent)
    path, _ = run(QUADRATIC, optimizer, jnp.asarray(START), 6, transparent)
    w = START
    for found, rho in zip(path, (0.0, 0.1, 0.2, 0.3, 0.4, 0.4), strict=True):
        w = w - RATE * CURVATURES * (1 + rho * CURVATURES) * w
        # optax computes its schedules in float32
        np.testing.assert_allclose(found, w, rtol=0, atol=1e-7)


def count_gradients(optimizer, steps):
    seen = []

    def gradient(w):
        jax.debug.callback(lambda: seen.append(1))
        return jax.grad(QUADRATIC)(w)

    @jax.jit
    def step(w, state):
        updates, state = optimizer.update(jax.grad(QUADRATIC)(w), state, w, grad_fn=gradient)
        return optax.apply_updates(w, updates), state

    w, state = jnp.asarray(START), optimizer.init(jnp.asarray(START))
    for _ in range(steps):
        w, state = step(w, state)
    jax.effects_barrier()
    return len(seen)


def test_a_step_asks_for_one_more_gradient_and_none_at_radius_zero():
    base = optax.sgd(RATE)
    assert count_gradients(sam(base, SAM(0.1)), 5) == 5
    assert count_gradients(sam(base, MultiStep(SAM(0.1), 3)), 5) == 15
    assert count_gradients(sam(base, SAM(0.0)), 5) == 0
    assert count_gradients(sam(base, GD()), 5) == 0
    late = lambda count: jnp.where(count < 3, 0.0, 0.1)  # noqa: E731
    assert count_gradients(sam(base, SAM(0.1), late), 5) == 2


def test_a_number_replaces_the_radius():
    one, _ = run(BEALE, sam(optax.sgd(1e-3), SAM(9.0), 0.1), NEAR_BEALE, 3)
    two, _ = run(BEALE, sam(optax.sgd(1e-3), SAM(0.1)), NEAR_BEALE, 3)
    np.testing.assert_array_equal(np.stack(one), np.stack(two))


def test_a_radius_among_injected_hyperparameters_changes_without_recompiling():
    traces = 0

    def loss(w):
        nonlocal traces
        traces += 1
        return QUADRATIC(w)

    make = optax.inject_hyperparams(sam, hyperparam_dtype=jnp.float64)
    optimizer = make(optax.sgd(RATE), USAM(0.0), rho=0.2)
    step, w, state = opaque_step(loss, optimizer), jnp.asarray(START), None
    state = optimizer.init(w)
    by_hand = START
    for rho in (0.2, 0.4, 0.0):
        state.hyperparams["rho"] = jnp.asarray(rho)
        w, state = step(w, state)
        by_hand = by_hand - RATE * CURVATURES * (1 + rho * CURVATURES) * by_hand
        np.testing.assert_allclose(w, by_hand, rtol=0, atol=4e-16)
    assert traces == 2  # one trace of the step holds the gradient at w and the one at w^p


@both_modes
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.thorough
def test_the_state_keeps_its_structure_through_scan_and_a_checkpoint(dtype, transparent):
    optimizer = sam(
        optax.rmsprop(0.01), ASAM(0.1), optax.constant_schedule(0.1), transparent=transparent
    )
    w = weights(dtype)
    first = optimizer.init(w)

    def body(carry, _):
        w, state = carry
        gradient = jax.grad(net)
        updates, state = optimizer.update(gradient(w), state, w, grad_fn=gradient)
        return (optax.apply_updates(w, updates), state), None

    calls = 24 if transparent else 12
    scan = jax.jit(lambda carry: jax.lax.scan(body, carry, length=calls // 2)[0])
    shape = lambda x: (x.shape, x.dtype)  # noqa: E731
    half_way = scan((w, first))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(half_way))
    assert eqx.tree_equal(jax.tree.map(shape, half_way[1]), jax.tree.map(shape, first))
    stored = io.BytesIO()
    eqx.tree_serialise_leaves(stored, half_way)
    stored.seek(0)
    again = eqx.tree_deserialise_leaves(stored, (w, first))
    assert eqx.tree_equal(again, half_way)
    end, state = scan(again)

    path, looped = run(net, optimizer, w, 12, transparent)
    tolerance = 300 * float(jnp.finfo(dtype).eps)
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)  # noqa: E731
    jax.tree.map(close, end, path[-1])
    assert int(state.count) == int(looped.count) == 12
    assert {leaf.dtype for leaf in jax.tree.leaves(end)} == {jnp.dtype(dtype)}


@both_modes
@pytest.mark.parametrize("rho", [None, lambda count: 0.1 / (1 + count.astype(float))])
@pytest.mark.thorough
def test_vmap_is_the_loop(rho, transparent):
    optimizer = sam(optax.sgd(0.01, 0.9), SAM(0.1), rho, transparent=transparent)
    starts = [weights(seed=seed) for seed in range(3)]
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)

    def one(w, state):
        gradient = jax.grad(net)
        updates, state = optimizer.update(gradient(w), state, w, grad_fn=gradient)
        return optax.apply_updates(w, updates), state

    state = jax.vmap(optimizer.init)(many)
    for _ in range(4):
        many, state = jax.vmap(one)(many, state)
    for index, w in enumerate(starts):
        path, _ = run(net, optimizer, w, 2 if transparent else 4, transparent)
        picked = jax.tree.map(lambda leaf: leaf[index], many)  # noqa: B023
        close = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-14)  # noqa: E731
        jax.tree.map(close, picked, path[-1])


def test_a_radius_to_vmap_over_is_a_radius():
    def step(rho):
        optimizer = sam(optax.sgd(RATE), USAM(rho))
        w, gradient = jnp.asarray(START), jax.grad(QUADRATIC)
        updates, _ = optimizer.update(gradient(w), optimizer.init(w), w, grad_fn=gradient)
        return optax.apply_updates(w, updates)

    radii = np.array([0.0, 0.1, 0.4])
    by_hand = START - RATE * CURVATURES * (1 + radii[:, None] * CURVATURES) * START
    np.testing.assert_allclose(jax.vmap(step)(jnp.asarray(radii)), by_hand, rtol=0, atol=4e-16)


@both_modes
def test_other_extra_arguments_reach_the_optimizer(transparent):
    def update(updates, state, params=None, *, value, **extra):
        assert not extra
        return jax.tree.map(lambda u: -value * u, updates), state

    base = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    optimizer = optax.chain(sam(base, GD(), transparent=transparent))
    w = jnp.asarray(START)
    state = optimizer.init(w)
    arguments = {"grad_fn": jax.grad(QUADRATIC), "value": jnp.asarray(0.25)}
    for _ in range(2 if transparent else 1):
        updates, state = optimizer.update(jax.grad(QUADRATIC)(w), state, w, **arguments)
    np.testing.assert_array_equal(updates, -0.25 * CURVATURES * START)


class Shift(AbstractMethod):
    """A perturbation of a user's own: a constant shift."""

    rho: jax.Array = eqx.field(converter=tree.as_array)

    def perturb(self, gradient, w):
        del gradient
        return jax.tree.map(lambda x: x + self.rho.astype(x.dtype), w)


@both_modes
def test_a_perturbation_of_your_own_works(transparent):
    optimizer = sam(optax.sgd(RATE), Shift(0.5), transparent=transparent)
    path, _ = run(QUADRATIC, optimizer, jnp.asarray(START), 1, transparent)
    by_hand = START - RATE * CURVATURES * (START + 0.5)
    np.testing.assert_allclose(path[0], by_hand, rtol=0, atol=2e-16)


def test_wrong_input_is_told_in_one_sentence():
    base, w = optax.sgd(0.1), jnp.asarray(START)
    with pytest.raises(InvalidInput, match=r"rho must be a finite number ≥ 0, not -0\.1\."):
        sam(base, SAM(0.1), -0.1)
    with pytest.raises(InvalidInput, match=r"rho must be a finite number ≥ 0, not -1\."):
        sam(base, SAM(0.1), lambda count: -1.0).update(w, sam(base, SAM(0.1)).init(w), w)
    with pytest.raises(InvalidInput, match=r"one radius, not an array of shape \(2,\)"):
        sam(base, SAM(jnp.array([0.1, 0.2])))
    with pytest.raises(InvalidInput, match=r"floating-point arrays, not int64"):
        sam(base, SAM(0.1)).init({"a": w, "n": jnp.asarray(3)})
    with pytest.raises(InvalidInput, match=r"floating-point arrays, not none"):
        sam(base, SAM(0.1)).init({})
    with pytest.raises(InvalidInput, match="needs the parameters"):
        sam(base, SAM(0.1)).update(w, sam(base, SAM(0.1)).init(w))
    with pytest.raises(InvalidInput, match="needs grad_fn"):
        sam(base, SAM(0.1)).update(w, sam(base, SAM(0.1)).init(w), w)
    with pytest.raises(InvalidInput, match="wraps an optax optimizer, not float"):
        check_parts(0.1, SAM(0.1))
    with pytest.raises(InvalidInput, match="wraps an optax optimizer, not the class MultiSteps"):
        check_parts(optax.MultiSteps, SAM(0.1))
    with pytest.raises(InvalidInput, match=r"a method such as .* is needed, not 0\.05"):
        check_parts(base, 0.05)
    with pytest.raises(InvalidInput, match="which PerturbedLossGradient does not"):
        sam(base, PerturbedLossGradient(USAM(0.1)))
    several = sam(base, MultiStep(SAM(0.1), 2), transparent=True)
    with pytest.raises(InvalidInput, match="use the opaque mode"):
        several.update(w, several.init(w), w)


def test_a_gradient_of_a_loss_of_two_arguments_is_not_given_a_number_for_the_batch():
    loss = lambda w, batch: jnp.mean((w * batch - 1) ** 2)  # noqa: E731
    w, batch = jnp.array([2.0]), jnp.array([1.0, 2.0])
    optimizer = sam(optax.sgd(0.1), SAM(0.1))
    for wrong in (
        jax.grad(loss),
        lambda w, batch, more: jax.grad(loss)(w, batch),
        lambda w, *, batch: jax.grad(loss)(w, batch),
    ):
        with pytest.raises(InvalidInput, match=r"close over|would be given the number 0"):
            optimizer.update(jax.grad(loss)(w, batch), optimizer.init(w), w, grad_fn=wrong)
    right = lambda w, _: jax.grad(loss)(w, batch)  # noqa: E731
    updates, _ = optimizer.update(right(w, 0), optimizer.init(w), w, grad_fn=right)
    np.testing.assert_allclose(updates, -0.1 * jax.grad(loss)(w + 0.1, batch))
