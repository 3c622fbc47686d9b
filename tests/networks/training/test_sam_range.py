"""`sam` where numbers have few bits, or leave the range in which they can be squared."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.errors import InvalidInput
from samdyn.networks.training.sam_transform import sam

RHO = 0.05
SHARE = 0.03 / RHO, 0.04 / RHO  # of a gradient (3, 4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("method", [SAM(RHO), ASAM(RHO, 0.0)])
def test_the_ascent_has_its_length_at_every_size_of_the_gradient(method, dtype):
    """Of a normal number in float32; in float64 of one that can be squared."""
    share = 1.0 if dtype == jnp.float32 else 0.5
    top = share * float(np.log10(jnp.finfo(dtype).max)) - 1
    low = share * float(np.log10(jnp.finfo(dtype).tiny)) + 1
    for size in 10.0 ** np.linspace(low, top, 40):
        g = jnp.asarray(np.array([3.0, 4.0]) * size, dtype)
        moved = method.perturb(lambda w, g=g: g, jnp.ones(2, dtype)) - jnp.ones(2, dtype)
        np.testing.assert_allclose(moved, [0.03, 0.04], atol=4 * float(jnp.finfo(dtype).eps))


def test_a_largest_component_in_one_leaf_sets_the_scale_of_all():
    g = {"a": jnp.asarray([3e30], jnp.float32), "b": jnp.asarray([[4e30, 1.0]], jnp.float32)}
    zero = jax.tree.map(jnp.zeros_like, g)
    moved = SAM(RHO).perturb(lambda w: g, zero)
    np.testing.assert_allclose(moved["a"], [0.03], rtol=1e-6)
    np.testing.assert_allclose(moved["b"], [[0.04, 1e-32]], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_a_gradient_that_is_not_finite_or_out_of_range_leaves_a_trace(bad):
    """It must not look like a step of the optimizer alone."""
    w = jnp.ones(2)
    moved = SAM(RHO).perturb(lambda w: jnp.asarray([bad, 1.0]), w)
    assert not np.all(np.isfinite(moved))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("method", [SAM(RHO), USAM(RHO), ASAM(RHO, 0.0)])
def test_weights_in_16_bits_are_perturbed_in_float32(method, dtype):
    """Near 1 the spacing of bfloat16 is 0.8 %: of 4,096 coordinates hardly one would move."""
    a = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    w = {"scale": jnp.ones(4096, dtype), "bias": jnp.zeros((), jnp.float32)}
    asked = []

    def gradient(v):
        asked.append(v)
        return {"scale": jnp.asarray(a, dtype), "bias": jnp.zeros((), jnp.float32)}

    optimizer = sam(optax.sgd(1.0), method)
    updates, _ = optimizer.update(gradient(w), optimizer.init(w), w, grad_fn=gradient)
    moved = np.asarray(asked[-1]["scale"], float) - 1
    length = 1.0 if isinstance(method, USAM) else np.linalg.norm(a)
    assert asked[-1]["scale"].dtype == jnp.float32
    np.testing.assert_allclose(moved, RHO * a / length, rtol=0.01, atol=3e-6)
    assert updates["scale"].dtype == dtype


@pytest.mark.parametrize("size", [1e-4, 300.0])  # whose squares leave float16
def test_gradients_in_float16_may_have_any_size(size):
    g = jnp.asarray([3 * size, 4 * size], jnp.float16)
    moved = SAM(RHO).perturb(lambda w: g, jnp.zeros(2, jnp.float16))
    np.testing.assert_allclose(moved, [0.03, 0.04], rtol=2e-3)


def test_the_transparent_mode_refuses_16_bits():
    with pytest.raises(InvalidInput, match="16 bits would round the ascent away"):
        sam(optax.sgd(0.1), SAM(0.1), transparent=True).init({"w": jnp.ones(2, jnp.bfloat16)})


def norm(leaves):
    return np.sqrt(sum(float(np.sum(leaf**2)) for leaf in leaves))


@pytest.mark.thorough
def test_a_hundred_random_trees_descend_where_numpy_does():
    """Random sizes of leaves, scales, radii, masks and momenta; a quadratic in float64."""
    rng = np.random.default_rng(5)
    for number in range(100):
        sizes = [(3,), (2, 2), ()][: 1 + number % 3]
        scale = 10.0 ** rng.uniform(-20, 25)
        w = [rng.standard_normal(size) for size in sizes]
        h = [scale * rng.uniform(0.5, 2, size) for size in sizes]
        mask = [bool(m) for m in rng.integers(0, 2, len(sizes))]
        rho, gamma = rng.uniform(0.01, 1), rng.choice([0.0, 0.9])
        optimizer = sam(optax.sgd(0.1 / scale, gamma), SAM(rho), mask=mask)
        gradient = lambda v, h=h: [jnp.asarray(x) * y for x, y in zip(h, v, strict=True)]  # noqa: E731
        now, buffer = [jnp.asarray(x) for x in w], [np.zeros(size) for size in sizes]
        state = optimizer.init(now)
        for _ in range(2):
            updates, state = optimizer.update(gradient(now), state, now, grad_fn=gradient)
            now = [jnp.asarray(x) for x in optax.apply_updates(now, updates)]
            g = [x * y for x, y in zip(h, w, strict=True)]
            length = norm([x / scale for x, m in zip(g, mask, strict=True) if m]) * scale
            up = [x + rho * y / length if m else x for x, y, m in zip(w, g, mask, strict=True)]
            buffer = [gamma * b + x * y for b, x, y in zip(buffer, h, up, strict=True)]
            w = [x - 0.1 / scale * b for x, b in zip(w, buffer, strict=True)]
        for one, other in zip(now, w, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
