"""A flattened function is the function, and its Jacobian the one that JAX finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from samdyn import SAM, USAM, Flow, StepMap, get_loss, loss_names
from samdyn.programs.derivative import with_jacobian
from samdyn.programs.points import evaluate
from samdyn.programs.tracing.flatten import NotFlat, flatten

SMALL = [name for name in loss_names() if get_loss(name).dim <= 6]


def points_in(box, count=257):
    box = np.asarray(box, float)
    return np.random.default_rng(0).uniform(box[:, 0], box[:, 1], (count, len(box)))


def assert_same(function, points, rtol=1e-12):
    """Values and Jacobians, against vmapped JAX."""
    points = np.asarray(points, float)
    program = with_jacobian(flatten(function, jnp.zeros(points.shape[1])))
    found = evaluate(program, points)
    value = np.asarray(jax.vmap(function)(jnp.asarray(points))).reshape(len(points), -1)
    slope = np.asarray(jax.vmap(jax.jacfwd(function))(jnp.asarray(points)))
    expected = np.concatenate([value, slope.reshape(len(points), -1)], axis=1)
    scale = np.max(np.abs(np.where(np.isfinite(expected), expected, 0)), axis=0, initial=1.0)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_of_every_loss_and_its_hessian(name):
    loss = get_loss(name)
    assert_same(jax.grad(loss), points_in(loss.box))


@pytest.mark.parametrize("method", [SAM(0.3), USAM(0.1)], ids=["SAM", "USAM"])
@pytest.mark.parametrize("name", ["beale", "toy-net", "muller-brown"])
def test_fields_and_steps_of_methods(name, method):
    loss = get_loss(name)
    points = points_in(loss.box) * 0.5  # larger ones make numbers that differ in many digits
    assert_same(Flow(loss, method).velocity, points, rtol=1e-9)
    step = StepMap(loss, method, 1e-3)
    assert_same(lambda w: step(step.init(w)).w, points, rtol=1e-9)


CASES = {
    "moves": lambda w: jnp.pad(w[::-1], (1, 2))[jnp.array([3, 0, 1])] * jnp.roll(w, 1)[0],
    "sums and products": lambda w: jnp.outer(w, w) @ w + jnp.prod(w) * jnp.sum(w) + jnp.max(w),
    "a counted loop": lambda w: lax.fori_loop(0, 4, lambda k, x: jnp.sin(x) + k * w, w),
    "a scan": lambda w: lax.scan(lambda c, x: (c * x + x, c + x), w[0], w)[1],
    "a condition": lambda w: lax.cond(w[0] > 0, lambda x: x * x, lambda x: jnp.exp(x), w),
    "a while of known turns": lambda w: lax.while_loop(
        lambda s: s[1] < 3, lambda s: (s[0] * w, s[1] + 1), (w, 0)
    )[0],
    "places": lambda w: jnp.zeros(4).at[jnp.array([1, 1, 3])].add(w).at[0].set(w[2]),
    "an index in a loop": lambda w: lax.fori_loop(
        0, 3, lambda k, x: x + w[k] * jnp.arange(3.0) ** k, jnp.zeros(3)
    ),
    "many dimensions": lambda w: jnp.einsum("i,j,k->kj", w, w, w).T.reshape(-1)[:5],
    "a split": lambda w: jnp.concatenate(jnp.split(w, 3)[::-1]) * jnp.linalg.norm(w),
    "kinks": lambda w: jnp.abs(w) + jnp.maximum(w, 0.1) + jax.nn.relu(w) + jnp.clip(w, -0.5, 0.5),
    "a matrix of data": lambda w: jnp.arange(12.0).reshape(4, 3) @ w - 1.0,
    "logarithm of a sum": lambda w: jax.nn.logsumexp(jnp.stack([w, 2 * w]), axis=0),
    "a derivative of its own": lambda w: jax.nn.softplus(w) + jax.nn.gelu(w),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_it_is_made_of(case):
    points = np.random.default_rng(1).uniform(-1.2, 1.2, (33, 3))
    assert_same(CASES[case], points)


def test_parameters_are_inputs():
    program = flatten(lambda w, rho: w * rho["a"] + rho["b"], jnp.zeros(2), {"a": 1.0, "b": 2.0})
    assert [known.name for known in program.inputs] == ["[0][0]", "[0][1]", "[1]['a']", "[1]['b']"]
    found = evaluate(program, np.array([[1.0, 2.0]]), [10.0, 0.5])
    assert np.array_equal(found, [[10.5, 20.5]])


REFUSED = {
    "depends on the data": lambda w: lax.while_loop(lambda x: x[0] < 5, lambda x: x * 2, w),
    "argmax": lambda w: w[jnp.argmax(w)],
    "index depends": lambda w: w[jnp.floor(w[0]).astype(int)],
    "no scalar form": lambda w: jnp.linalg.inv(jnp.outer(w, w) + jnp.eye(3))[0],
    "more than": lambda w: lax.fori_loop(0, 100_000, lambda k, x: jnp.sin(x), w),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_has_no_program_says_why(why):
    with pytest.raises(NotFlat, match=why):
        flatten(REFUSED[why], jnp.ones(3))


def test_a_stopped_gradient_is_a_field_whose_slope_is_its_own():
    """g = 2·stop(w)·w is the field 2w²: it changes by 4w, where JAX's derivative of it says 2w."""
    field = jax.grad(lambda w: jnp.sum(lax.stop_gradient(w) * w**2))
    found = evaluate(with_jacobian(flatten(field, jnp.zeros(1))), np.array([[3.0]]))[0]
    np.testing.assert_allclose(found, [18.0, 12.0])


TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3)))
ROW = lambda w: jnp.floor(4 * w[0]).astype(int)  # noqa: E731  (−5 … 4)
LOOKED_UP = {
    "a row": lambda w: TABLE[ROW(w)] * w,
    "rows": lambda w: TABLE[jnp.stack([ROW(w), 2 * ROW(w), ROW(w) - 3])].sum(0) * w[1],
    "an entry": lambda w: TABLE[ROW(w), 1] * w,
    "a column": lambda w: TABLE[:, ROW(w)],
    "columns": lambda w: jnp.take(TABLE, jnp.stack([ROW(w), 1 - ROW(w)]), axis=1),
    "or else nan": lambda w: TABLE.at[ROW(w)].get(mode="fill"),
    "or else a number": lambda w: TABLE.at[ROW(w) + 9].get(mode="fill", fill_value=3.0),
    "or the nearest": lambda w: TABLE.at[ROW(w)].get(mode="clip"),
    "a whole number, or the least": lambda w: jnp.arange(3).at[ROW(w)].get(mode="fill") % 7,
    "in a batch": lambda w: jax.vmap(lambda k: TABLE[k] * w[2])(jnp.stack([ROW(w), ROW(w) + 1])),
    "a long list": lambda w: jnp.arange(50.0)[jnp.floor(40 * w).astype(int)],
    "a slice": lambda w: lax.dynamic_slice(TABLE, (ROW(w), 1), (2, 2)).ravel(),
    "what is traced": lambda w: w[ROW(w)] + jnp.outer(w, w)[1, ROW(w)],
}


@pytest.mark.parametrize("case", LOOKED_UP)
def test_a_table_is_a_choice_among_its_entries(case):
    function, points = LOOKED_UP[case], np.random.default_rng(1).uniform(-1.2, 1.2, (33, 3))
    with pytest.raises(NotFlat, match="index depends"):
        flatten(function, jnp.ones(3))
    found = evaluate(flatten(function, jnp.ones(3), tables=True), points)
    wanted = np.stack([np.asarray(function(jnp.asarray(row)), float).ravel() for row in points])
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int64])
@pytest.mark.parametrize("count", [100, 200, 300])
def test_an_index_of_any_kind_reaches_all_of_a_table(count, dtype):
    table = jnp.asarray(np.arange(count) * 1.5)
    program = flatten(lambda k: table[k], jax.ShapeDtypeStruct((), dtype), tables=True)
    index = np.arange(min(count, np.iinfo(dtype).max + 1)).astype(dtype)
    found = evaluate(program, index[:, None].astype(float))[:, 0]
    np.testing.assert_array_equal(found, np.asarray(table)[index])


def test_what_is_out_of_range_besides_is_refused():
    beyond = lambda w: TABLE.at[ROW(w), 7].get(mode="fill")  # noqa: E731
    with pytest.raises(NotFlat, match="out of range"):
        flatten(beyond, jnp.ones(3), tables=True)


def test_a_place_is_not_a_constant_of_the_same_number():
    number = jax.ShapeDtypeStruct((), float)
    by_place, by_two, by_zero, by_minus_zero = (
        flatten(f, *[number] * 3)
        for f in (
            lambda a, b, c: a * c,
            lambda a, b, c: a * 2.0,
            lambda a, b, c: a * 0.0,
            lambda a, b, c: a * -0.0,
        )
    )
    assert by_place != by_two
    assert by_zero != by_minus_zero
    assert by_place == flatten(lambda x, y, z: x * z, *[number] * 3)
    assert len({by_place, by_two, by_zero, by_minus_zero}) == 4


def test_tables_are_not_written_out_without_end():
    long = jnp.arange(60_000.0)
    with pytest.raises(NotFlat, match="100,000 places"):
        flatten(
            lambda w: long[jnp.stack([ROW(w), ROW(w)])], jnp.ones(3), longest=10**6, tables=True
        )
    two = lambda w: TABLE[ROW(w), ROW(w)]  # noqa: E731
    with pytest.raises(NotFlat, match="on the data"):
        flatten(two, jnp.ones(3), tables=True)
