"""Machine code computes what NumPy computes, operation by operation, in every kind of number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from samdyn.programs.machine import columns as columns_module
from samdyn.programs.machine.columns import Columns
from samdyn.programs.machine.contraction import contracted
from samdyn.programs.machine.operations import OPERATIONS
from samdyn.programs.machine.printer import printable
from samdyn.programs.points import evaluate
from samdyn.programs.tracing.flatten import flatten

FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 2.0, 1e-30, -1e30, np.inf, -np.inf, np.nan]
WHOLES = [0, 1, -1, 2, 3, 31, 32, 33, -7, 2**31 - 1, -(2**31)]

ONE = {
    "abs": lax.abs,
    "ceil": lax.ceil,
    "floor": lax.floor,
    "neg": lax.neg,
    "round": lambda x: lax.round(x) + 100 * lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
    "rsqrt": lax.rsqrt,
    "sign": lax.sign,
    "sqrt": lax.sqrt,
    "square": lax.square,
    "integer_pow": lambda x: lax.integer_pow(x, 3) + lax.integer_pow(x, -2),
    "is_finite": lambda x: jnp.where(lax.is_finite(x), 1.0, 2.0).astype(x.dtype),
}
TWO = {
    "add": lax.add,
    "sub": lax.sub,
    "mul": lax.mul,
    "div": lax.div,
    "max": lax.max,
    "min": lax.min,
}
COMPARED = {"eq": lax.eq, "ne": lax.ne, "lt": lax.lt, "le": lax.le, "gt": lax.gt, "ge": lax.ge}
OF_WHOLES = {
    "and": lax.bitwise_and,
    "or": lax.bitwise_or,
    "xor": lax.bitwise_xor,
    "not": lambda x, y: lax.bitwise_not(x),
    "add": lax.add,
    "mul": lax.mul,
    "sub": lax.sub,
    "max": lax.max,
    "min": lax.min,
    "lt": lambda x, y: lax.lt(x, y).astype(x.dtype),
    "gt": lambda x, y: lax.gt(x, y).astype(x.dtype),
    "neg": lambda x, y: lax.neg(x),
    "population_count": lambda x, y: lax.population_count(x),
    "shift_left": lambda x, y: lax.shift_left(x, y & 31),
    "shift_right_logical": lambda x, y: lax.shift_right_logical(x, y & 31),
    "shift_right_arithmetic": lambda x, y: lax.shift_right_arithmetic(x, y & 31),
    "select_n": lambda x, y: lax.select_n(jnp.clip(x, 0, 2).astype(jnp.int32), x, y, x + y),
    "clamp": lambda x, y: lax.clamp(jnp.asarray(1, x.dtype), x, jnp.asarray(7, x.dtype)),
}


def by_machine(function, *arrays):
    """`function` of single numbers on arrays, by machine code."""
    shapes = [jax.ShapeDtypeStruct((), array.dtype) for array in arrays]
    return Columns(flatten(function, *shapes), len(arrays))(arrays)[0]


def by_jax(function, *arrays):
    return np.asarray(jax.jit(jax.vmap(function))(*map(jnp.asarray, arrays)))


def pairs(values, dtype):
    return (np.asarray(grid.ravel()).astype(dtype) for grid in np.meshgrid(values, values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(ONE))
def test_one_float(name, dtype):
    x = np.asarray(FLOATS, dtype)
    np.testing.assert_array_max_ulp(by_machine(ONE[name], x), by_jax(ONE[name], x), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(TWO))
def test_two_floats(name, dtype):
    x, y = pairs(FLOATS, dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(by_machine(TWO[name], x, y), by_jax(TWO[name], x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint32])
@pytest.mark.parametrize("name", sorted(COMPARED))
def test_comparisons(name, dtype):
    floats = np.dtype(dtype).kind == "f"
    x, y = pairs(FLOATS if floats else np.asarray(WHOLES).astype(dtype), dtype)
    np.testing.assert_array_equal(by_machine(COMPARED[name], x, y), by_jax(COMPARED[name], x, y))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
@pytest.mark.parametrize("name", sorted(OF_WHOLES))
def test_whole_numbers(name, dtype):
    x, y = pairs(np.asarray(WHOLES).astype(dtype), dtype)
    np.testing.assert_array_equal(by_machine(OF_WHOLES[name], x, y), by_jax(OF_WHOLES[name], x, y))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
@pytest.mark.parametrize("function", [lax.div, lax.rem], ids=["div", "rem"])
def test_whole_quotients_stop_no_program(function, dtype):
    x, y = pairs(np.asarray(WHOLES).astype(dtype), dtype)
    np.testing.assert_array_equal(by_machine(function, x, y), by_jax(function, x, y))


CONVERSIONS = [np.float32, np.float64, np.int32, np.uint32, np.int64, bool]


@pytest.mark.parametrize("to", CONVERSIONS)
@pytest.mark.parametrize("of", CONVERSIONS)
def test_conversions(of, to):
    values = [0.0, 1.0, 2.5, 1e9, *([] if np.dtype(of).kind in "ub" else [-1.0, -7.9])]
    if np.dtype(to).kind == "u":
        values = [value for value in values if value >= 0]
    x = np.asarray(values).astype(of)
    change = lambda x: lax.convert_element_type(x, to) == lax.convert_element_type(x, to)  # noqa: E731
    same = lambda x: lax.convert_element_type(x, to)  # noqa: E731
    np.testing.assert_array_equal(by_machine(same, x), by_jax(same, x))
    assert np.all(by_machine(change, x))


def test_bits_are_the_same_bits():
    x = np.asarray(FLOATS, np.float32)
    bits = lambda x: lax.bitcast_convert_type(x, jnp.uint32) ^ jnp.uint32(1 << 31)  # noqa: E731
    np.testing.assert_array_equal(by_machine(bits, x), x.view(np.uint32) ^ np.uint32(1 << 31))


def test_what_is_printed_has_a_name_that_tracing_knows():
    from samdyn.programs.primitives import FUNCTIONS

    assert set(OPERATIONS) <= set(FUNCTIONS)


def test_what_has_no_machine_code_says_so():
    program = flatten(lax.erf_inv, jax.ShapeDtypeStruct((), float))
    assert printable(program) == "erf_inv has no machine code here"
    assert "pow in float64" in printable(flatten(lax.pow, *[jax.ShapeDtypeStruct((), float)] * 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("count", [2, 4, 5, 40])
def test_a_table_of_numbers_is_read_from_memory(count, dtype):
    numbers = np.arange(1, count + 1, dtype=dtype) * 3
    number, x = jax.ShapeDtypeStruct((), dtype), np.linspace(-2.5, count + 1.5, 101)
    choose = lambda x, *n: jnp.stack(n).at[jnp.floor(x).astype(int)].get(mode="clip")  # noqa: E731
    program = flatten(choose, jax.ShapeDtypeStruct((), float), *[number] * count, tables=True)
    (found,) = Columns(program, 1)([x], numbers)
    places = np.floor(x).astype(int)  # below 0 from the end, as everywhere
    wanted = numbers[np.clip(np.where(places < 0, places + count, places), 0, count - 1)]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint32, np.int64])
@pytest.mark.parametrize("count", [100, 200, 300])
def test_every_kind_of_index_reads_within_the_table(count, dtype):
    table = np.arange(count) * 1.5
    look_up = lambda k: jnp.asarray(table)[k]  # noqa: E731
    program = flatten(look_up, jax.ShapeDtypeStruct((), dtype), tables=True)
    index = np.arange(min(count, np.iinfo(dtype).max + 1)).astype(dtype)
    (found,) = Columns(program, 1)([index])
    np.testing.assert_array_equal(found, table[index])


def test_few_cases_that_differ_by_lane_are_chosen_among_many_are_not():
    choose = lambda w: w[jnp.floor(w[0]).astype(int)]  # noqa: E731
    few = flatten(choose, jax.ShapeDtypeStruct((9,), float), tables=True)
    points = np.random.default_rng(0).uniform(0, 9, (50, 9))
    np.testing.assert_array_equal(Columns(few, 9)(list(points.T))[0], evaluate(few, points)[:, 0])
    many = flatten(choose, jax.ShapeDtypeStruct((99,), float), tables=True)
    assert "another for each lane" in printable(many)


def polynomial(x, y):
    return x * y + x * x - y * x * y + 3.0 * (x - y * y)


def test_products_join_the_sums_that_read_them_and_round_once():
    program = flatten(polynomial, *[jax.ShapeDtypeStruct((), float)] * 2)
    fused = contracted(program, set())
    assert len(fused.sums) >= 3
    # (1 + ε)² − 1 − 2ε is ε², of which a rounded product keeps nothing
    e = 2.0**-30
    found = by_machine(lambda x, y: x * x - y, np.array([1 + e]), np.array([1 + 2 * e]))
    assert found[0] == e * e


def test_the_width_and_the_place_of_a_row_change_no_bit(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 1001))
    program = flatten(
        lambda x, y: jnp.sin(polynomial(x, y)) + jnp.exp(y), *[jax.ShapeDtypeStruct((), float)] * 2
    )
    (reference,) = Columns(program, 2)([x, y])
    for width in (4, 8, 32):
        monkeypatch.setattr(columns_module, "width_of", lambda program, width=width: width)
        whole = Columns(program, 2)
        for rows in (slice(0, 1), slice(3, 1000), slice(0, 1001)):
            np.testing.assert_array_equal(whole([x[rows], y[rows]])[0], reference[rows])
    by_numpy = evaluate(program, np.stack([x, y], axis=1))[:, 0]
    np.testing.assert_allclose(reference, by_numpy, rtol=1e-13, atol=1e-14)
