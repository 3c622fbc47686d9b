"""What `sam` asks of a gradient function, which part it perturbs, and micro-batches around it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.networks.training.sam_transform import sam

RATE, RHO = 0.05, 0.3
CURVATURES = np.array([3.0, -1.0])
QUADRATIC = quadratic(tuple(CURVATURES), None)
START = np.array([0.6, -0.8])


def two(w):
    return jnp.sum(w["a"] ** 2) + 3 * jnp.sum(w["b"] ** 2)


W = {"a": jnp.array([1.0, -1.0]), "b": jnp.array([2.0])}


def first_update(optimizer, grad_fn=None, w=W, loss=two):
    grad_fn = grad_fn or jax.grad(loss)
    return optimizer.update(jax.grad(loss)(w), optimizer.init(w), w, grad_fn=grad_fn)[0]


def test_a_gradient_function_may_take_a_number_and_keeps_its_own_defaults():
    w = jnp.asarray(START)
    optimizer = sam(optax.sgd(RATE), USAM(RHO))
    gradient = jax.grad(QUADRATIC)
    batch = jnp.asarray(2.0)
    forms = [gradient, jax.jit(gradient), jax.grad(lambda w, i: QUADRATIC(w) + i * jnp.sum(w))]
    forms += [lambda w, batch=batch: batch * gradient(w) / 2, lambda *args: gradient(*args)]
    for grad_fn in forms:
        updates, _ = optimizer.update(gradient(w), optimizer.init(w), w, grad_fn=grad_fn)
        by_hand = -RATE * CURVATURES * (1 + RHO * CURVATURES) * START
        np.testing.assert_allclose(updates, by_hand, rtol=0, atol=2e-16)


def test_around_and_inside_multi_steps_a_step_is_the_mean_of_gradients_at_each_perturbed_point():
    """Opposite to one another: around, each call perturbs; inside, only the accumulated mean."""
    w = jnp.asarray(START)
    losses = [quadratic(curvatures, None) for curvatures in ((3.0, -1.0), (1.0, 2.0))]
    curvatures = np.array([[3.0, -1.0], [1.0, 2.0]])
    mean = quadratic(tuple(np.mean(curvatures, 0)), None)

    def end(optimizer, functions):
        state, now = optimizer.init(w), w
        for loss, ask in zip(losses, functions, strict=True):
            with jax.numpy_dtype_promotion("standard"):  # which MultiSteps needs
                updates, state = optimizer.update(jax.grad(loss)(now), state, now, grad_fn=ask)
            now = optax.apply_updates(now, updates)
        return now

    sgd = optax.sgd(RATE)
    around = end(
        sam(optax.MultiSteps(sgd, 2, accumulator_dtype=float), USAM(RHO)),
        [jax.grad(loss) for loss in losses],
    )
    inside = end(
        optax.MultiSteps(sam(sgd, USAM(RHO)), 2, accumulator_dtype=float), [jax.grad(mean)] * 2
    )
    rule = lambda h: h * (1 + RHO * h) * START  # noqa: E731
    by_hand = START - RATE * np.mean([rule(h) for h in curvatures], 0)
    np.testing.assert_allclose(around, by_hand, rtol=0, atol=4e-16)
    by_hand = START - RATE * rule(np.mean(curvatures, 0))
    np.testing.assert_allclose(inside, by_hand, rtol=0, atol=4e-16)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        jax.value_and_grad(two),
        jax.grad(lambda w: (two(w), {"accuracy": 1.0}), has_aux=True),
        lambda w: {"a": w["a"]},
        lambda w: {"a": w["a"], "b": jnp.zeros(2)},
        lambda w: {"a": w["a"][:, None], "b": w["b"]},
        lambda w: two(w),
        lambda w: None,
    ],
)
def test_what_is_no_gradient_like_the_parameters_is_told(wrong, jit):
    optimizer = sam(optax.sgd(0.1, momentum=0.9), SAM(0.05))
    ask = lambda: first_update(optimizer, wrong)  # noqa: E731
    with pytest.raises(InvalidInput, match=r"grad_fn returns .* a gradient like the parameters is"):
        (jax.jit(ask) if jit else ask)()


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: optax.masked(inner, {"a": True, "b": False}),
        lambda inner: optax.chain(optax.masked(inner, {"a": False, "b": True})),
        lambda inner: optax.multi_transform({0: inner, 1: optax.sgd(0.1)}, {"a": 0, "b": 1}),
    ],
)
@pytest.mark.parametrize("transparent", [False, True])
def test_a_sam_that_is_shown_a_part_of_the_parameters_says_where_it_belongs(around, transparent):
    optimizer = around(sam(optax.sgd(0.1), SAM(0.05), transparent=transparent))
    with pytest.raises(InvalidInput, match="into the optimizer that sam wraps"):
        first_update(optimizer)


@pytest.mark.parametrize("method", [SAM(RHO), USAM(RHO), ASAM(RHO)])
def test_a_mask_perturbs_one_part_and_everything_descends(method):
    alone = {"a": W["a"]}
    part = lambda w: jnp.sum(w["a"] ** 2)  # noqa: E731
    wp = method.perturb(jax.grad(part), alone)["a"]
    for mask in ({"a": True, "b": False}, {"a": np.True_, "b": False}):
        updates = first_update(sam(optax.sgd(RATE), method, mask=mask))
        np.testing.assert_allclose(updates["a"], -2 * RATE * wp, rtol=1e-14)
        np.testing.assert_allclose(updates["b"], -6 * RATE * W["b"], rtol=1e-14)
    everything = first_update(sam(optax.sgd(RATE), method, mask=True))
    plain = first_update(sam(optax.sgd(RATE), method))
    nothing = first_update(sam(optax.sgd(RATE), method, mask=False))
    np.testing.assert_array_equal(everything["b"], plain["b"])
    np.testing.assert_allclose(nothing["b"], -6 * RATE * W["b"], rtol=1e-14)


def test_a_mask_of_another_structure_is_told():
    for mask in ({"a": True}, {"a": True, "c": False}, {"a": 1.0, "b": 0.0}):
        with pytest.raises(InvalidInput, match="sam's mask must"):
            first_update(sam(optax.sgd(0.1), SAM(0.1), mask=mask))


def test_several_groups_of_parameters_belong_into_the_optimizer_inside():
    inside = optax.multi_transform({0: optax.sgd(0.1), 1: optax.set_to_zero()}, {"a": 0, "b": 1})
    updates = first_update(sam(inside, USAM(RHO)))
    np.testing.assert_allclose(updates["a"], -0.2 * (1 + 2 * RHO) * W["a"], rtol=1e-14)
    np.testing.assert_array_equal(updates["b"], 0)


def test_the_transparent_mode_accumulates_around_it_at_w_and_then_at_the_perturbed_point():
    """Two micro-batches of opposite curvature: the step of their mean, by hand."""
    losses = [quadratic(h, None) for h in ((3.0, -1.0), (1.0, 2.0))]
    mean = np.array([2.0, 0.5])
    optimizer = optax.MultiSteps(
        sam(optax.sgd(RATE), USAM(RHO), transparent=True), 2, accumulator_dtype=float
    )
    w = jnp.asarray(START)
    state = optimizer.init(w)
    for loss in losses * 2:
        with jax.numpy_dtype_promotion("standard"):  # which MultiSteps needs
            updates, state = optimizer.update(jax.grad(loss)(w), state, w)
        w = optax.apply_updates(w, updates)
    by_hand = START - RATE * mean * (1 + RHO * mean) * START
    np.testing.assert_allclose(w, by_hand, rtol=0, atol=4e-16)
