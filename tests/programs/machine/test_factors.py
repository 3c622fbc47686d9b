"""Gathered products are the same numbers, in fewer operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import USAM, Flow, get_loss
from samdyn.programs.machine.factors import gathered
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


def test_constants_at_the_ends_of_the_range_are_left_where_they_are():
    tiny = jax.ShapeDtypeStruct((), jnp.float32)
    program = flatten(lambda x: x * np.float32(1e30) * np.float32(1e30), tiny)
    x = np.array([[1e-38], [1e-30]])
    np.testing.assert_array_equal(evaluate(gathered(program, ()), x), evaluate(program, x))
