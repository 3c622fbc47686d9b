"""The monitor: right numbers at the right steps, and training that keeps every bit."""

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import samdyn
from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.networks.training.monitor import MonitorState, monitor, readings
from samdyn.networks.training.sam_transform import as_optimizer, sam

RATE, RHO = 0.05, 0.3
CURVATURES = np.array([3.0, -1.0, 0.5])
QUADRATIC = quadratic(tuple(CURVATURES), None)
START = np.array([0.6, -0.8, 0.3])


def net(w, batch):
    x, y = batch
    hidden = jnp.tanh(x @ w["a"] + w["b"][None, :])
    return jnp.mean((jnp.sum(hidden, 1) * w["c"] - y) ** 2)


def weights(dtype=jnp.float64, seed=0):
    one, two = jax.random.split(jax.random.key(seed))
    return {
        "a": jax.random.normal(one, (3, 4), dtype),
        "b": jax.random.normal(two, (4,), dtype),
        "c": jnp.asarray(0.7, dtype),
    }


def examples(dtype=jnp.float64, seed=1, number=6):
    one, two = jax.random.split(jax.random.key(seed))
    return jax.random.normal(one, (number, 3), dtype), jax.random.normal(two, (number,), dtype)


DATA = {dtype.dtype: examples(dtype) for dtype in (jnp.float32, jnp.float64)}


def quiet(w):
    """The loss of training, on the batch that the monitor gets too."""
    return net(w, DATA[w["b"].dtype])


def promotion(name):
    """The transparent SAM of optax multiplies floats by booleans."""
    return jax.numpy_dtype_promotion("standard" if name == "optax sam transparent" else "strict")


def train(loss, optimizer, w, calls, state=None):
    """Every w on the way, and the last state; each call of `update` is one compiled step."""
    gradient = jax.grad(loss)

    @jax.jit
    def step(w, state):
        updates, state = optimizer.update(
            gradient(w), state, w, grad_fn=lambda w, *index: gradient(w)
        )
        return optax.apply_updates(w, updates), state

    state, path = optimizer.init(w) if state is None else state, [w]
    for _ in range(calls):
        w, state = step(w, state)
        path.append(w)
    return path, state


def assert_same_bits(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def optax_sam(opaque):
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.1))
    return optax.contrib.sam(optax.sgd(0.05, 0.9), adversary, opaque_mode=opaque)


PLAIN = optax.with_extra_args_support(optax.sgd(0.05, 0.9))
OPTIMIZERS = {
    "sgd": (PLAIN, 1),
    "rmsprop": (optax.with_extra_args_support(optax.rmsprop(0.01)), 1),
    "sam": (sam(optax.sgd(0.05, 0.9), SAM(0.1)), 1),
    "sam transparent": (sam(optax.sgd(0.05, 0.9), SAM(0.1), transparent=True), 2),
    "optax sam": (optax_sam(True), 1),
    "optax sam transparent": (optax_sam(False), 2),
    "inside a chain": (
        optax.chain(optax.clip(10.0), sam(optax.sgd(0.05), SAM(0.1), transparent=True)),
        2,
    ),
}
CASES = [(name, jnp.float64) for name in OPTIMIZERS]
CASES += [("sam", jnp.float32), ("sam transparent", jnp.float32)]


def test_first_two_records_are_the_algebra_of_a_quadratic():
    watched = monitor(optax.sgd(RATE), QUADRATIC, every=1, products=3, method=USAM(RHO))
    _, state = train(QUADRATIC, watched, jnp.asarray(START), 2)
    found = readings(state)
    for k, w in enumerate([START, (1 - RATE * CURVATURES) * START]):
        g = CURVATURES * w
        there = CURVATURES * (w + RHO * g)
        norm = np.linalg.norm(g)
        by_hand = {
            "step": k,
            "gradient_norm": norm,
            "lambda_min": -1.0,
            "lambda_max": 3.0,
            "rho_now": norm,
            "cosine": g @ there / norm / np.linalg.norm(there),
        }
        for key, value in by_hand.items():
            # three products span the space: only rounding is left
            np.testing.assert_allclose(found[key][k], value, rtol=0, atol=4e-15, err_msg=key)
    for side in ("min", "max"):
        assert np.all(found[f"lambda_{side}_residual"] < 1e-14)


@pytest.mark.thorough
def test_an_eigenvalue_lies_within_the_residual_of_each_end():
    watched = monitor(PLAIN, net, examples(), every=1, products=6)
    path, state = train(quiet, watched, weights(), 5)
    found = readings(state)
    for k, w in enumerate(path[:-1]):
        flat, unravel = jax.flatten_util.ravel_pytree(w)
        values = np.linalg.eigvalsh(jax.hessian(lambda v: quiet(unravel(v)))(flat))  # noqa: B023
        for side in ("min", "max"):
            ritz, residual = found[f"lambda_{side}"][k], found[f"lambda_{side}_residual"][k]
            assert residual > 0
            assert np.min(np.abs(values - ritz)) <= residual + 1e-13
            assert values[0] - 1e-13 <= ritz <= values[-1] + 1e-13


@pytest.mark.parametrize("method", [SAM(0.4), USAM(0.4), ASAM(0.4)])
@pytest.mark.thorough
def test_the_cosine_is_that_of_the_gradients_at_w_and_at_the_perturbed_point(method):
    watched = monitor(PLAIN, net, examples(), every=2, method=method)
    path, state = train(quiet, watched, weights(), 5)
    for cosine, w in zip(readings(state)["cosine"], path[0:5:2], strict=True):
        gradient = jax.grad(quiet)
        one, two = (
            jax.flatten_util.ravel_pytree(gradient(v))[0] for v in (w, method.perturb(gradient, w))
        )
        by_hand = one @ two / jnp.linalg.norm(one) / jnp.linalg.norm(two)
        np.testing.assert_allclose(cosine, by_hand, rtol=0, atol=1e-14)


def test_where_there_is_no_negative_curvature_or_no_gradient_every_number_is_documented():
    bowl = quadratic((3.0, 1.0), None)
    watched = monitor(optax.sgd(RATE), bowl, every=1, products=2, method=SAM(0.1))
    _, state = train(bowl, watched, jnp.array([0.0, 0.5]), 1)
    found = readings(state)
    assert found["rho_now"][0] == np.inf
    np.testing.assert_allclose(found["cosine"], 1, rtol=0, atol=1e-15)
    _, state = train(bowl, watched, jnp.zeros(2), 1)
    found = readings(state)
    assert found["gradient_norm"][0] == 0
    assert found["cosine"][0] == 0
    assert not any(np.any(np.isnan(values)) for values in found.values())


def test_without_a_perturbation_the_cosine_is_one():
    _, state = train(QUADRATIC, monitor(PLAIN, QUADRATIC, every=1), jnp.asarray(START), 3)
    np.testing.assert_allclose(readings(state)["cosine"], 1, rtol=0, atol=4e-16)


@pytest.mark.parametrize(("name", "dtype"), CASES)
@pytest.mark.thorough
def test_training_keeps_every_bit_and_records_are_made_at_w_itself(name, dtype):
    optimizer, calls = OPTIMIZERS[name]
    # the monitor's loss and batch are those of training: the compiler may well join them
    watched = monitor(optimizer, net, DATA[jnp.dtype(dtype)], every=3, products=2)
    with promotion(name):
        alone, alone_state = train(quiet, optimizer, weights(dtype), 10 * calls)
        path, state = train(quiet, watched, weights(dtype), 10 * calls)
    for one, two in zip(alone, path, strict=True):
        assert_same_bits(one, two)
    assert_same_bits(alone_state, state.inner)

    found = readings(state)
    np.testing.assert_array_equal(found["step"], [0, 3, 6, 9])
    assert int(state.step) == 10
    for k, norm in zip(found["step"], found["gradient_norm"], strict=True):
        g, _ = jax.flatten_util.ravel_pytree(jax.grad(quiet)(path[k * calls]))
        rounding = 40 * float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(norm, jnp.linalg.norm(g), rtol=rounding, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.thorough
def test_training_keeps_every_bit_inside_a_scan_over_batches(name):
    optimizer, calls = OPTIMIZERS[name]
    x, y = examples(seed=2, number=20 * 5)
    batches = x.reshape(20, 5, 3).repeat(calls, 0), y.reshape(20, 5).repeat(calls, 0)

    def end(optimizer):
        def body(carry, batch):
            w, state = carry
            gradient = lambda w, *index: jax.grad(net)(w, batch)  # noqa: E731
            updates, state = optimizer.update(gradient(w), state, w, grad_fn=gradient)
            return (optax.apply_updates(w, updates), state), w

        start = (weights(), optimizer.init(weights()))
        return jax.jit(lambda carry: jax.lax.scan(body, carry, batches))(start)

    with promotion(name):
        (w, state), path = end(monitor(optimizer, net, examples(), every=2, products=3))
        (w_alone, state_alone), path_alone = end(optimizer)
    assert_same_bits((w, state.inner, path), (w_alone, state_alone, path_alone))
    assert len(readings(state)["step"]) == 10


def test_nothing_is_computed_between_records():
    seen = []

    def loss(w):
        jax.debug.callback(lambda: seen.append(1))
        return QUADRATIC(w)

    watched = monitor(optax.sgd(RATE), loss, every=10, products=2)
    _, state = train(QUADRATIC, watched, jnp.asarray(START), 1)
    jax.effects_barrier()
    once = len(seen)
    assert once > 0
    train(QUADRATIC, watched, jnp.asarray(START), 9, state)
    jax.effects_barrier()
    assert len(seen) == once


def test_the_newest_records_are_kept_oldest_first():
    watched = monitor(optax.sgd(RATE), QUADRATIC, every=2, products=3, capacity=4)
    path, state = train(QUADRATIC, watched, jnp.asarray(START), 15)
    found = readings(state)
    np.testing.assert_array_equal(found["step"], [8, 10, 12, 14])
    norms = [np.linalg.norm(CURVATURES * np.asarray(path[k])) for k in (8, 10, 12, 14)]
    np.testing.assert_allclose(found["gradient_norm"], norms, rtol=0, atol=1e-15)
    assert readings(watched.init(jnp.asarray(START)))["step"].size == 0


@pytest.mark.thorough
def test_batches_may_depend_on_the_step():
    x, y = examples(number=8)
    rows = lambda k: (x.reshape(4, 2, 3)[k % 4], y.reshape(4, 2)[k % 4])  # noqa: E731
    watched = monitor(PLAIN, net, rows, every=3, products=2)
    path, state = train(quiet, watched, weights(), 7)
    for k, norm in zip((0, 3, 6), readings(state)["gradient_norm"], strict=True):
        g, _ = jax.flatten_util.ravel_pytree(jax.grad(net)(path[k], rows(k)))
        np.testing.assert_allclose(norm, jnp.linalg.norm(g), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["sam", "sam transparent", "optax sam transparent"])
@pytest.mark.thorough
def test_the_state_keeps_its_structure_through_scan_and_a_checkpoint(name, dtype):
    optimizer, calls = OPTIMIZERS[name]
    watched = monitor(
        optimizer, net, examples(dtype), every=3, products=3, capacity=5, method=SAM(0.1)
    )
    first = watched.init(weights(dtype))
    gradient = jax.grad(quiet)

    def body(carry, _):
        w, state = carry
        updates, state = watched.update(
            gradient(w), state, w, grad_fn=lambda w, *index: gradient(w)
        )
        return (optax.apply_updates(w, updates), state), None

    scan = jax.jit(lambda carry: jax.lax.scan(body, carry, length=6 * calls)[0])
    with promotion(name):
        half_way = scan((weights(dtype), first))
    shape = lambda x: (x.shape, x.dtype)  # noqa: E731
    assert eqx.tree_equal(jax.tree.map(shape, half_way[1]), jax.tree.map(shape, first))
    stored = io.BytesIO()
    eqx.tree_serialise_leaves(stored, half_way)
    stored.seek(0)
    again = eqx.tree_deserialise_leaves(stored, (weights(dtype), first))
    assert eqx.tree_equal(again, half_way)
    with promotion(name):
        _, state = scan(again)
        _, looped = train(quiet, watched, weights(dtype), 12 * calls)
    found = readings(state)
    np.testing.assert_array_equal(found["step"], [0, 3, 6, 9])
    tolerance = 3000 * float(jnp.finfo(dtype).eps)
    for key, values in readings(looped).items():
        if "residual" not in key:
            np.testing.assert_allclose(
                found[key], values, rtol=tolerance, atol=tolerance, err_msg=key
            )


@pytest.mark.thorough
def test_jit_eager_and_vmap_make_one_record():
    watched = monitor(PLAIN, net, examples(), every=2, products=3, method=SAM(0.1))
    starts = [weights(seed=seed) for seed in range(2)]
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)

    def step(w, state):
        updates, state = watched.update(jax.grad(quiet)(w), state, w)
        return optax.apply_updates(w, updates), state

    state, together = jax.vmap(watched.init)(many), jax.jit(jax.vmap(step))
    for _ in range(3):
        many, state = together(many, state)
    with pytest.raises(InvalidInput, match="readings are of one run"):
        readings(state)
    for index, w in enumerate(starts):
        _, jitted = train(quiet, watched, w, 3)
        eager = watched.init(w)
        for _ in range(3):
            w, eager = step(w, eager)
        mine = jax.tree.map(lambda leaf: leaf[index], state)  # noqa: B023
        for key, values in readings(jitted).items():
            for other in (readings(eager), readings(mine)):
                np.testing.assert_allclose(other[key], values, rtol=0, atol=1e-13, err_msg=key)


@pytest.mark.thorough
def test_multi_steps_keeps_its_extra_arguments_and_every_bit_and_each_call_counts():
    accumulating = optax.MultiSteps(sam(optax.sgd(0.05, 0.9), SAM(0.1)), 4)
    for optimizer in (accumulating, accumulating.gradient_transformation()):
        watched = monitor(optimizer, net, examples(), every=3, products=2)
        with jax.numpy_dtype_promotion("standard"):  # which MultiSteps needs
            alone, alone_state = train(quiet, accumulating, weights(), 10)
            path, state = train(quiet, watched, weights(), 10)
        for one, two in zip(alone, path, strict=True):
            assert_same_bits(one, two)
        assert_same_bits(alone_state, state.inner)
        assert int(state.inner.gradient_step) == 2
        np.testing.assert_array_equal(readings(state)["step"], [0, 3, 6, 9])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.thorough
def test_rounding_around_a_null_space_is_no_negative_curvature(seed):
    """Rank 3 in 20 dimensions: in float32 the computed lower end is as often below 0 as above."""
    rows = jax.random.normal(jax.random.key(0), (3, 20), jnp.float32)
    bowl = lambda w: jnp.sum((rows @ w) ** 2) / 2  # noqa: E731
    watched = monitor(PLAIN, bowl, every=1, seed=seed)
    _, state = train(bowl, watched, jax.random.normal(jax.random.key(1), (20,), jnp.float32), 3)
    found = readings(state)
    assert np.all(np.abs(found["lambda_min"]) <= found["lambda_min_residual"])
    np.testing.assert_array_equal(found["rho_now"], np.inf)


@pytest.mark.thorough
def test_a_record_is_what_the_thorough_tools_find():
    """With as many products as parameters both know the ends to rounding."""
    w, batch = weights(), examples()
    watched = monitor(PLAIN, net, batch, every=1, products=17)
    _, state = train(quiet, watched, w, 1)
    found = {key: values[0] for key, values in readings(state).items()}
    operator = samdyn.hessian(net, w, [batch])
    ends = samdyn.spectrum_ends(operator, krylov=17, rtol=1e-10)
    flat, _ = jax.flatten_util.ravel_pytree(jax.grad(net)(w, batch))
    assert flat.size == 17
    norm = np.linalg.norm(flat)
    by_hand = {
        "lambda_min": ends.low.value,
        "lambda_max": ends.high.value,
        "gradient_norm": norm,
        "rho_now": -norm / ends.low.value,
    }
    assert ends.low.value < -0.1
    for key, value in by_hand.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=0, err_msg=key)


def test_extra_arguments_pass_through():
    def update(updates, state, params=None, *, value):
        return jax.tree.map(lambda u: -value * u, updates), state

    base = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    watched, w = monitor(base, QUADRATIC), jnp.asarray(START)
    updates, _ = watched.update(w, watched.init(w), w, value=jnp.asarray(0.5))
    np.testing.assert_array_equal(updates, -0.5 * START)


def test_readings_find_the_monitor_inside_other_states():
    watched = optax.chain(optax.clip(1.0), monitor(optax.sgd(RATE), QUADRATIC, every=1))
    _, state = train(QUADRATIC, watched, jnp.asarray(START), 2)
    assert not isinstance(state, MonitorState)
    np.testing.assert_array_equal(readings(state)["step"], [0, 1])


def test_users_find_both_under_samdyn_optax():
    assert samdyn.optax.monitor is monitor
    assert samdyn.optax.readings is readings
    assert samdyn.optax.sam is sam


def test_wrong_input_is_told_in_one_sentence():
    w = jnp.asarray(START)
    for name in ("every", "products", "capacity"):
        with pytest.raises(InvalidInput, match=f"monitor's {name} must be 1 or more, not 0"):
            monitor(PLAIN, QUADRATIC, **{name: 0})
    with pytest.raises(InvalidInput, match="floating-point arrays, not int64"):
        monitor(PLAIN, QUADRATIC).init(jnp.arange(3))
    for few in (jnp.float16, jnp.bfloat16):
        with pytest.raises(InvalidInput, match=f"in float32 or float64, not {few.dtype.name}"):
            monitor(PLAIN, quiet).init(weights(few))
    with pytest.raises(InvalidInput, match="monitor wraps an optax optimizer, not function"):
        as_optimizer(optax.sgd, "the monitor")
    with pytest.raises(InvalidInput, match=r"but returns float64 of shape \(3,\)"):
        monitor(PLAIN, lambda w: w**2).init(w)
    with pytest.raises(InvalidInput, match="but returns tuple"):
        monitor(PLAIN, lambda w: (jnp.sum(w), w)).init(w)
    with pytest.raises(InvalidInput, match="monitor needs the parameters"):
        monitor(PLAIN, QUADRATIC).update(w, monitor(PLAIN, QUADRATIC).init(w))
    with pytest.raises(InvalidInput, match="holds one monitor, not 0"):
        readings(PLAIN.init(w))


@pytest.mark.thorough
def test_the_perturbation_is_that_of_the_sam_inside():
    """Also of a schedule and of a mask; deeper inside it is not known, and the cosine is nan."""
    told = monitor(optax.sgd(RATE), QUADRATIC, every=1, products=2, method=SAM(RHO))
    want = readings(train(QUADRATIC, told, jnp.asarray(START), 1)[1])["cosine"]
    assert abs(want[0]) < 0.999
    for rho in (None, RHO, lambda count: RHO):
        inner = sam(optax.sgd(RATE), SAM(RHO if rho is None else 0.9), rho)
        watched = monitor(inner, QUADRATIC, every=1, products=2)
        found = readings(train(QUADRATIC, watched, jnp.asarray(START), 1)[1])["cosine"]
        np.testing.assert_allclose(found, want, rtol=1e-14)
    for inner, told in ((optax.chain(sam(PLAIN, SAM(RHO))), np.nan), (PLAIN, 1.0)):
        watched = monitor(inner, QUADRATIC, every=1, products=2)
        found = readings(train(QUADRATIC, watched, jnp.asarray(START), 1)[1])["cosine"]
        np.testing.assert_allclose(found, [told], rtol=1e-14)


@pytest.mark.parametrize("jit", [False, True])
def test_the_state_of_a_model_reaches_the_loss_by_keyword(jit):
    """A loss ½ h w², whose h is the model's state: 43 at first, 14.4 later."""

    def loss(w, batch, *, statistics):
        return jnp.sum(batch) * statistics * jnp.sum(w**2) / 2

    watched = monitor(optax.sgd(0.0), loss, jnp.ones(1), every=1, products=2)
    w = jnp.asarray(START)
    state = watched.init(w)
    update = jax.jit(watched.update) if jit else watched.update
    for h in (43.0, 14.4):
        _, state = update(w, state, w, statistics=jnp.asarray(h))
    np.testing.assert_allclose(readings(state)["lambda_max"], [43.0, 14.4], rtol=1e-12)
    with pytest.raises(InvalidInput, match="needs statistics: give it to update"):
        watched.update(w, state, w)


def test_a_state_with_a_default_is_taken_from_update_too():
    def loss(w, batch, scale=1.0):
        return scale * jnp.sum(batch * w**2) / 2

    w, batch = jnp.array([1.0, 2.0]), jnp.array([1.0, 3.0])
    optimizer = samdyn.optax.monitor(optax.sgd(0.1), loss, batch, every=1)
    _, state = optimizer.update(w, optimizer.init(w), w, scale=jnp.asarray(5.0))
    np.testing.assert_allclose(samdyn.optax.readings(state)["lambda_max"], 15.0, rtol=1e-6)


@pytest.mark.parametrize("number", [1, 3])
def test_batch_sharpness_is_the_mean_curvature_along_each_batch_s_own_gradient(number):
    """½wᵀdiag(a)w has g = aw, and so gᵀHg/gᵀg = Σa³w²/Σa²w², at a = (step, 1, −2)."""
    scaled = lambda w, a: 0.5 * jnp.sum(a * w**2)  # noqa: E731
    batch = lambda step: jnp.stack([jnp.asarray(step, float) + 1.0, 1.0, -2.0])  # noqa: E731
    watched = monitor(optax.sgd(RATE), scaled, batch, every=1, sharpness_batches=number)
    w = jnp.asarray(START)
    _, state = watched.update(jnp.zeros(3), watched.init(w), w)
    found = []
    for step in range(number):
        a = np.array([step + 1.0, 1.0, -2.0])
        found.append(np.sum(a**3 * START**2) / np.sum(a**2 * START**2))
    assert readings(state)["batch_sharpness"][0] == pytest.approx(np.mean(found))
