"""Nullclines of rational fields whose every zero and pole is known: zeros are drawn, poles not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.plot.plane.fields import nullclines


class Rational(eqx.Module):
    """ẋ = scale·∏(s − zeroᵢ)^odd / ∏(s − poleᵢ)^order along a direction s, ẏ = y."""

    zeros: jax.Array
    odd: jax.Array
    poles: jax.Array
    order: jax.Array
    direction: jax.Array
    scale: jax.Array

    def along(self, w):
        return jnp.vdot(self.direction, w)

    def velocity(self, w):
        s = self.along(w)
        above = jnp.prod((s - self.zeros) ** self.odd)
        return jnp.stack([self.scale * above / jnp.prod((s - self.poles) ** self.order), w[1]])


def a_field(seed: int, size: float, middle: float):
    """Three zeros and two poles, at least a tenth of the box apart, in a box of this size."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.linspace(-0.4, 0.4, 5) + rng.uniform(-0.04, 0.04, 5))
    angle = rng.uniform(-0.5, 0.5)
    direction = np.array([np.cos(angle), np.sin(angle)])
    at = middle * np.sum(direction) + size * places
    field = Rational(
        jnp.asarray(at[:3]),
        jnp.asarray(rng.choice([1.0, 3.0], 3)),
        jnp.asarray(at[3:]),
        jnp.asarray(rng.choice([1.0, 2.0, 3.0], 2)),
        jnp.asarray(direction),
        jnp.asarray(10.0 ** rng.uniform(-6, 6)),
    )
    box = middle + size * np.array([[-0.5, 0.5], [-0.5, 0.5]])
    return field, box, at[:3]


@pytest.mark.parametrize(("size", "middle"), [(4, 0), (1e-5, 0), (3e6, 0), (1, 1e4)])
@pytest.mark.thorough
def test_a_hundred_fields_have_lines_at_their_zeros_and_at_no_pole(size, middle):
    for seed in range(25):
        field, box, zeros = a_field(seed, size, middle)
        drawn = np.concatenate(nullclines(field, box)[0])
        s = drawn @ np.asarray(field.direction)
        gaps = np.abs(s[:, None] - zeros)
        assert np.max(np.min(gaps, axis=1)) <= 1e-9 * size
        along = np.asarray(field.direction)
        y = np.linspace(*box[1], 1001)
        for k in range(3):  # each from one side of the box to the other
            x = (zeros[k] - along[1] * y) / along[0]
            length = np.sum((x > box[0, 0]) & (x < box[0, 1])) * 1e-3 * size
            line = drawn[np.argmin(gaps, axis=1) == k]
            assert np.ptp(line[:, 1]) > length - 0.02 * size


class Named(eqx.Module):
    function: int = eqx.field(static=True)

    def velocity(self, w):
        x, y = w
        return jnp.stack([FUNCTIONS[self.function](x - 0.7), y - x])


FUNCTIONS = [
    lambda x: jnp.tanh(1e9 * x),  # steep, and yet continuous
    jnp.cbrt,
    lambda x: jnp.where(x > 0, jnp.sqrt(jnp.abs(x)), 1e-9 * x),
    lambda x: jax.nn.relu(x),  # the border of a region of zeros
    lambda x: jnp.log(x + 1),  # undefined from x = −0.3 on
    lambda x: x * jnp.exp(-100 * x),
    jnp.sign,
    lambda x: jnp.where(x > 0, 1.0, -1e-3),
    lambda x: jnp.where(x > 0, 1.0, 0.0),
    lambda x: jnp.where(jnp.abs(x) < 0.1, jnp.nan, x),
    lambda x: jnp.tan(x + jnp.pi / 2),
    lambda x: 1 / x,
    lambda x: jnp.exp(-1 / x) - 2,
]


@pytest.mark.parametrize("function", range(len(FUNCTIONS)))
@pytest.mark.thorough
def test_lines_are_drawn_where_the_field_is_continuous(function):
    first, second = nullclines(Named(function), np.array([[-0.5, 1.5], [-1.0, 1.0]]))
    at = np.concatenate([*first, np.zeros((0, 2))])[:, 0]
    assert len(second) >= 1
    if function < 6:
        np.testing.assert_allclose(at, 0.7, atol=1e-6)
        assert len(at) > 300
    else:
        assert len(at) == 0
