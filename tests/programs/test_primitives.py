"""Every primitive of a program is XLA's, at random, special and huge numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax import lax

from samdyn.programs.points import evaluate
from samdyn.programs.primitives import FUNCTIONS
from samdyn.programs.tracing.flatten import flatten

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 2.0, 1e-300, -1e-300, 1e300, -1e300]
SPECIAL += [np.inf, -np.inf, np.nan, np.pi, -np.pi / 2, 20.0, -20.0, 700.0, -700.0]

ONE = {
    "abs": lax.abs,
    "acos": lax.acos,
    "acosh": lax.acosh,
    "asin": lax.asin,
    "asinh": lax.asinh,
    "atan": lax.atan,
    "atanh": lax.atanh,
    "bessel_i0e": lax.bessel_i0e,
    "bessel_i1e": lax.bessel_i1e,
    "cbrt": lax.cbrt,
    "ceil": lax.ceil,
    "convert_element_type": lambda x: lax.convert_element_type(x > 0, float),
    "cos": lax.cos,
    "cosh": lax.cosh,
    "digamma": lax.digamma,
    "erf": lax.erf,
    "erf_inv": lax.erf_inv,
    "erfc": lax.erfc,
    "exp": lax.exp,
    "exp2": lax.exp2,
    "expm1": lax.expm1,
    "floor": lax.floor,
    "integer_pow": lambda x: lax.integer_pow(x, 3) + lax.integer_pow(x, -2),
    "is_finite": lambda x: jnp.where(lax.is_finite(x), 1.0, 2.0),
    "lgamma": lax.lgamma,
    "log": lax.log,
    "log1p": lax.log1p,
    "logistic": lax.logistic,
    "neg": lax.neg,
    "round": lambda x: lax.round(x) + lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
    "rsqrt": lax.rsqrt,
    "sign": lax.sign,
    "sin": lax.sin,
    "sinh": lax.sinh,
    "sqrt": lax.sqrt,
    "square": lax.square,
    "tan": lax.tan,
    "tanh": lax.tanh,
    "not": lambda x: jnp.where(jnp.logical_not(x > 0), 1.0, 2.0),
}
TWO = {
    "add": lax.add,
    "atan2": lax.atan2,
    "div": lax.div,
    "max": lax.max,
    "min": lax.min,
    "mul": lax.mul,
    "pow": lax.pow,
    "rem": lax.rem,
    "sub": lax.sub,
    "and": lambda x, y: jnp.where((x > 0) & (y > 0), 1.0, 2.0),
    "or": lambda x, y: jnp.where((x > 0) | (y > 0), 1.0, 2.0),
    "xor": lambda x, y: jnp.where((x > 0) ^ (y > 0), 1.0, 2.0),
    "eq": lambda x, y: jnp.where(x == y, 1.0, 2.0),
    "ne": lambda x, y: jnp.where(x != y, 1.0, 2.0),
    "lt": lambda x, y: jnp.where(x < y, 1.0, 2.0),
    "le": lambda x, y: jnp.where(x <= y, 1.0, 2.0),
    "gt": lambda x, y: jnp.where(x > y, 1.0, 2.0),
    "ge": lambda x, y: jnp.where(x >= y, 1.0, 2.0),
    "select_n": lambda x, y: lax.select_n(
        (x > y).astype(jnp.int32) + (x > 1).astype(jnp.int32), x, y, x + y
    ),
    "clamp": lambda x, y: lax.clamp(x, y, x + 1.0),
}
# XLA's own errors: NumPy is right in more digits of these
LOOSE = {"digamma": 1e-12, "lgamma": 1e-12, "erf_inv": 1e-11, "bessel_i1e": 1e-12}
LOOSE |= {"cbrt": 2e-14, "cosh": 1e-13, "sinh": 1e-13, "exp2": 1e-13, "atanh": 1e-14}
ZEROS = {"lgamma": 1e-14}  # near where it vanishes


# of whole numbers: `test_loops.py`
BITS = {"shift_left", "shift_right_arithmetic", "shift_right_logical", "population_count"}
BITS |= {"bitcast_convert_type"}


def test_every_primitive_is_looked_at():
    assert set(ONE) | set(TWO) | BITS == set(FUNCTIONS)


def rows(count):
    rng = np.random.default_rng(0)
    random = rng.normal(size=(400, count)) * 10.0 ** rng.integers(-3, 3, (400, count))
    grid = np.stack(np.meshgrid(*[SPECIAL] * count), axis=-1).reshape(-1, count)
    return np.concatenate([random, grid])


@pytest.mark.parametrize("name", sorted(ONE | TWO))
def test_a_primitive_is_that_of_xla(name):
    function = (ONE | TWO)[name]
    points = rows(1 if name in ONE else 2)
    expected = np.asarray(jax.jit(jax.vmap(lambda w: function(*w)))(jnp.asarray(points)), float)
    program = flatten(lambda w: function(*w), jnp.zeros(points.shape[1]))
    assert name in {operation.name for operation in program.operations}
    found = evaluate(program, points)[:, 0]
    if name in ("asinh", "acosh", "lgamma", "digamma", "tan", "bessel_i1e", "erf_inv"):
        usual = np.all(np.abs(points) < 1e200, axis=1)  # XLA gives up on the huge ones
        usual &= ~((points[:, 0] <= 0) & (name in ("lgamma", "digamma")))  # poles
        expected, found = expected[usual], found[usual]
    tolerance = LOOSE.get(name, 4e-15)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=ZEROS.get(name, 3e-308))


def test_whole_numbers_are_divided_as_xla_does():
    program = flatten(
        lambda w: (lax.div(w.astype(jnp.int32), jnp.int32(3))).astype(float), jnp.zeros(())
    )
    points = np.arange(-7.0, 8.0)[:, None]
    expected = [lax.div(jnp.int32(x), jnp.int32(3)) for x in points[:, 0]]
    assert np.array_equal(evaluate(program, points)[:, 0], np.asarray(expected))


def test_what_is_known_is_computed_and_what_is_equal_once():
    program = flatten(
        lambda w: jnp.sin(w[0]) * jnp.sin(w[0]) + jnp.exp(jnp.zeros(())), jnp.zeros(2)
    )
    assert [operation.name for operation in program.operations] == ["sin", "mul", "add"]


def test_nothing_is_folded_that_could_be_infinite():
    program = flatten(lambda w: 0.0 * w[0], jnp.zeros(1))
    found = evaluate(program, np.array([[np.inf], [1.0]]))[:, 0]
    assert np.isnan(found[0])
    assert found[1] == 0


def test_scipy_is_where_the_special_functions_come_from():
    assert FUNCTIONS["erf"](0.3) == scipy.special.erf(0.3)
