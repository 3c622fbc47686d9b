"""Networks start at a sane scale, have the parameters they should, and convolve as XLA does."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.networks.training.models import Block, Conv, GroupNorm, model

KEY = jax.random.key(0)
DIGIT, IMAGE = (8, 8, 1), (32, 32, 3)


def parameters(network):
    return jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))


def count(network):
    return sum(math.prod(leaf.shape) for leaf in parameters(network))


@pytest.mark.parametrize(("norm", "expected"), [(None, 11_169_162), ("group", 11_173_962)])
def test_resnet18_has_the_published_number_of_parameters(norm, expected):
    made = eqx.filter_eval_shape(samdyn.ResNet18, IMAGE, 10, KEY, norm)
    leaves = jax.tree.leaves(eqx.filter(made, lambda x: isinstance(x, jax.ShapeDtypeStruct)))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == expected


def test_resnet18_maps_an_image_to_logits():
    """Shapes only: it takes a while to compile."""
    image = jax.ShapeDtypeStruct(IMAGE, jnp.float32)
    logits = jax.eval_shape(lambda x: samdyn.ResNet18(IMAGE, 10, KEY)(x), image)
    assert logits.shape == (10,)
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_as_a_product_is_the_convolution(size, stride):
    conv = Conv(size, 5, 7, KEY, stride=stride)
    x = jax.random.normal(jax.random.key(1), (8, 8, 5), jnp.float32)
    expected = jax.lax.conv_general_dilated(
        x[None],
        conv.weight,
        (stride, stride),
        [(size // 2, size // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )[0]
    np.testing.assert_allclose(eqx.filter_jit(conv)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(32,), (4, 4, 32)])
def test_group_norm_leaves_each_group_with_mean_0_and_variance_1(shape):
    y = GroupNorm(32)(3 + 2 * jax.random.normal(KEY, shape, jnp.float32))
    groups = np.asarray(y).reshape(-1, 8, 4)
    np.testing.assert_allclose(np.mean(groups, axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(groups, axis=(0, 2)), 1, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "norm"), [("mlp", None), ("mlp", "group"), ("small-resnet", None)]
)
@pytest.mark.thorough
def test_a_network_starts_near_the_loss_of_a_guess_with_gradients_everywhere(name, norm):
    network = eqx.filter_jit(model)(name, DIGIT, 10, KEY, norm)
    params, static = eqx.partition(network, eqx.is_inexact_array)
    x = jax.random.normal(jax.random.key(1), (64, *DIGIT), jnp.float32)

    def loss(params):
        logits = jax.vmap(eqx.combine(params, static))(x)
        return -jnp.mean(jax.nn.log_softmax(logits)[:, 0])

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    assert abs(value - math.log(10)) < 2
    assert all(leaf.dtype == jnp.float32 for leaf in parameters(network))
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradient))


def test_the_last_convolution_of_a_branch_starts_at_its_scale():
    block = eqx.filter_jit(Block)(16, 16, 1, 0.5, None, KEY)
    for conv, expected in ((block.first, 1.0), (block.second, 0.5)):
        unit = math.sqrt(2 / (9 * 16))
        assert float(jnp.std(conv.weight)) / unit == pytest.approx(expected, rel=0.1)
    scale = eqx.filter_eval_shape(Block, 16, 16, 1, 0.5, "group", KEY).norms[1].scale
    assert scale.shape == (16,)


@pytest.mark.parametrize(
    ("name", "shape", "norm", "expected"),
    [
        ("vit", DIGIT, None, "Accepted: mlp"),
        ("mlp", DIGIT, "batch", "'group'"),
        ("small-resnet", (20,), None, "height×width×channels"),
        ("resnet18", (20,), None, "height×width×channels"),
    ],
)
def test_a_network_that_cannot_be_is_told_in_one_line(name, shape, norm, expected):
    with pytest.raises(samdyn.InvalidInput, match=expected) as told:
        model(name, shape, 10, KEY, norm)
    assert "\n" not in str(told.value)
