"""Gathered products are the same numbers, in fewer operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import USAM, Flow, get_loss
from samdyn.programs.machine.factors import gathered, within_range
from samdyn.programs.points import evaluate
from samdyn.programs.tracing.flatten import flatten

PLANE = jax.ShapeDtypeStruct((2,), float)
NUMBER = jax.ShapeDtypeStruct((), float)


def names(program):
    return [operation.name for operation in program.operations]


def test_factors_that_cancel_are_gone():
    program = flatten(jax.grad(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2), PLANE)
    short = gathered(program, ())
    assert sorted(names(short)) == ["mul", "mul", "sub"]  # x·x, −1, ·x; of y nothing is left


def test_numbers_of_all_lanes_are_multiplied_once():
    program = flatten(lambda x, a, b, c: a * (b * (x * c)) * 2.0, *[NUMBER] * 4)
    short = gathered(program, (1, 2, 3))
    of_lanes = [o for o in short.operations if 0 in o.arguments or o.arguments[0] not in (1, 2, 3)]
    assert sum(o.arguments[0] == 0 for o in short.operations) == 1
    assert len(of_lanes) <= 3
    points = np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(evaluate(short, points), evaluate(program, points), rtol=1e-14)


@pytest.mark.parametrize("name", ["beale", "muller-brown", "himmelblau", "rosenbrock", "toy-net"])
def test_a_field_is_the_same_and_no_longer(name):
    loss = get_loss(name)
    program = flatten(Flow(loss, USAM(1e-5)).velocity, jax.ShapeDtypeStruct((loss.dim,), float))
    short = gathered(program, ())
    assert len(short.operations) <= len(program.operations)
    points = np.random.default_rng(0).uniform(*np.asarray(loss.box).T / 2, (200, loss.dim))
    one, other = evaluate(program, points), evaluate(short, points)
    np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-11 * np.max(np.abs(one)))


def test_what_is_not_a_number_stays_so():
    program = flatten(lambda x: (0.0 * x) * 3.0 + x / 1e300 * 1e300, NUMBER)
    x = np.array([[np.inf], [-np.inf], [np.nan], [1.0], [1e-30]])
    np.testing.assert_array_equal(evaluate(gathered(program, ()), x), evaluate(program, x))


UNSCALED = {
    "in pairs": lambda a, b, c, n: (a * b) * ((n * c) * n),
    "a number in front": lambda a, b, c, n: ((n * a) * b) * (n * c),
    "constants": lambda a, b, c, n: ((np.float32(1e-12) * a) * b) * (np.float32(1e-12) * c),
    "a number inside": lambda a, b, c, n: (a * (n * b)) * (c * n),
}


@pytest.mark.parametrize("size", [1e18, 1e-18])
@pytest.mark.parametrize("case", UNSCALED)
def test_no_order_of_factors_leaves_the_range_that_they_had_not_left(case, size):
    """Of single precision: products of three such numbers are infinite, or 0."""
    if case == "constants" and size < 1:
        size = 1e-6  # which 1e-12 does not undo
    scale = np.float32(1 / size)
    x = np.array([[size, 0.7 * size, 1.3 * size, scale]], np.float32).astype(float)
    program = flatten(UNSCALED[case], *[jax.ShapeDtypeStruct((), jnp.float32)] * 4)
    wanted = evaluate(program, x)
    assert np.all(np.isfinite(wanted) & (wanted != 0))
    np.testing.assert_allclose(evaluate(gathered(program, (3,)), x), wanted, rtol=1e-6)


def test_products_of_numbers_that_no_number_holds_are_noticed():
    program = flatten(
        lambda x, a, b: (x * a) * jnp.sqrt(b * b) + 1.0,
        *[jax.ShapeDtypeStruct((), jnp.float32)] * 3,
    )
    for numbers, held in (((2.0, 3.0), True), ((0.0, 1e10), True), ((1e-10, 1e10), True)):
        assert within_range(program, 1, numbers) == held
    for numbers in ((1e-30, 1e-12), (1e30, 1e12), (1.0, 1e-25)):
        assert not within_range(program, 1, numbers)


def test_constants_at_the_ends_of_the_range_are_left_where_they_are():
    tiny = jax.ShapeDtypeStruct((), jnp.float32)
    program = flatten(lambda x: x * np.float32(1e30) * np.float32(1e30), tiny)
    x = np.array([[1e-38], [1e-30]])
    np.testing.assert_array_equal(evaluate(gathered(program, ()), x), evaluate(program, x))
