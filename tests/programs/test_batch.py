"""A function on many points: traced once, by its program or by JAX, and the same either way."""

import functools
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import SAM, Flow, get_loss
from samdyn.losses.gradient import Gradient
from samdyn.programs.batch import OnPoints

POINTS = np.random.default_rng(0).normal(size=(37, 2))


def against_jax(function, points=POINTS):
    value, slope = OnPoints(function, points.shape[1]).with_jacobians(points)
    rows = jnp.asarray(points)
    np.testing.assert_allclose(value, jax.vmap(function)(rows), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, jax.vmap(jax.jacfwd(function))(rows), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(OnPoints(function, points.shape[1]).values(points), value)


@pytest.mark.parametrize(
    "function",
    [
        Gradient(get_loss("beale")),
        Flow(get_loss("double-well-2d"), SAM(0.3)).velocity,
        lambda w: jnp.outer(w, w),
        get_loss("himmelblau"),
        lambda w: jax.lax.while_loop(lambda x: x[0] < 5, lambda x: 2 * jnp.abs(x) + 1, w),
        lambda w: jnp.linalg.solve(jnp.eye(2) + jnp.outer(w, w), w),
    ],
)
def test_values_and_jacobians_are_those_of_jax(function):
    against_jax(function)


def test_what_has_no_program_says_so_and_is_compiled():
    on_points = OnPoints(lambda w: jnp.linalg.inv(jnp.eye(2) + jnp.outer(w, w)), 2)
    assert on_points.program is None
    assert "scalar form" in on_points.why
    assert on_points.values(POINTS[:0]).shape == (0, 2, 2)


@pytest.mark.parametrize("rows", [0, 1, 4095, 4096, 4097])
def test_any_number_of_rows(rows):
    points = np.random.default_rng(1).normal(size=(rows, 2))
    value = OnPoints(Gradient(get_loss("himmelblau")), 2).values(points)
    assert value.shape == (rows, 2)
    np.testing.assert_allclose(value, jax.vmap(jax.grad(get_loss("himmelblau")))(points))


class Counted(eqx.Module):
    """a·w² + b, which counts how often it is traced."""

    numbers: jax.Array
    seen: list = eqx.field(static=True)

    def __call__(self, w):
        self.seen.append(1)
        return self.numbers[0] * w**2 + self.numbers[1]


def test_another_number_is_not_traced_again():
    seen = Seen()
    for a in np.linspace(0, 3, 7):
        on_points = OnPoints(Counted(jnp.array([a, 1.0]), seen), 2)
        np.testing.assert_allclose(on_points.values(POINTS), a * POINTS**2 + 1)
        np.testing.assert_allclose(
            np.einsum("nii->ni", on_points.with_jacobians(POINTS)[1]), 2 * a * POINTS
        )
    assert len(seen) == 1


class Seen(list):
    """A list that is equal to itself alone, and so can be part of a key."""

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other


def test_one_and_true_are_not_one_function():
    """1 and True and 1.0 are equal, and do other things to a number."""

    class Chosen(eqx.Module):
        which: object

        def __call__(self, w):
            return w + (10.0 if self.which is True else 20.0)

    for which, shift in ((1, 20), (True, 10), (1.0, 20)):
        found = OnPoints(Chosen(which), 2).values(POINTS)
        np.testing.assert_allclose(found, POINTS + shift)


def test_only_some_columns_of_the_jacobian():
    function = lambda w: jnp.stack([w[0] * w[1], jnp.sin(w[0])])  # noqa: E731
    value, slope = OnPoints(function, 2, along=1).with_jacobians(POINTS)
    assert slope.shape == (37, 2, 1)
    np.testing.assert_allclose(slope[:, :, 0], np.stack([POINTS[:, 1], np.cos(POINTS[:, 0])], 1))
    np.testing.assert_allclose(value[:, 1], np.sin(POINTS[:, 0]))


def test_a_function_of_many_numbers_is_not_written_out():
    """Nor evaluated on more rows than are asked for, if that is one."""
    data = jnp.ones((300, 300))
    on_points = OnPoints(lambda w: jnp.sum((data @ w) ** 2), 300)
    assert on_points.program is None
    assert "numbers" in on_points.why
    np.testing.assert_allclose(on_points.values(np.ones((1, 300))), [300 * 300**2])


SLOPE = 1.0


def _helped(w):
    return SLOPE * w[0] ** 2


def test_what_a_function_reads_may_change(monkeypatch):
    """A number of its module, of its closure, of a helper's; an array in place."""
    inside, table = [3.0], np.array([1.0, 2.0])
    closed = lambda w: inside[0] * w[0] ** 2  # noqa: E731
    reads = lambda w: table[0] * w[0] ** 2  # noqa: E731
    calls = lambda w: _helped(w) + w[0]  # noqa: E731
    points = np.array([[2.0]])
    for function, before in ((closed, 12), (reads, 4), (calls, 6), (_helped, 4)):
        assert OnPoints(function, 1).values(points)[0] == before
    inside[0], table[0] = 5.0, 7.0
    monkeypatch.setitem(globals(), "SLOPE", -1.0)
    for function, after in ((closed, 20), (reads, 28), (calls, -2), (_helped, -4)):
        assert OnPoints(function, 1).values(points)[0] == after


class _Held:
    a = 1.0

    def __call__(self, w):
        return self.a * w[0]

    def named(self, w):
        return self.a * w[0]


def _readers(table, space, held, array, many):
    return {
        "a nested function": lambda w: sum(SLOPE * x for x in w),
        "a table": lambda w: table["a"] * w[0],
        "a namespace": lambda w: space.a * w[0],
        "an object": held,
        "a method": held.named,
        "an object that is called": lambda w: held(w),
        "a partial application": functools.partial(lambda w, b: b[0] * w[0], b=array),
        "a default": lambda w, b=array: b[0] * w[0],
        "a long list": lambda w: many[0] * w[0],
    }


@pytest.mark.parametrize("name", range(9))
def test_wherever_a_number_is_read_from(name, monkeypatch):
    held, array, many = _Held(), np.ones(1), [1.0] * 100
    held.a = 1.0
    table, space = {"a": 1.0}, types.SimpleNamespace(a=1.0)
    function = list(_readers(table, space, held, array, many).values())[name]
    points = np.array([[3.0]])
    assert OnPoints(function, 1).values(points)[0] == 3
    monkeypatch.setitem(globals(), "SLOPE", 2.0)
    table["a"] = space.a = held.a = array[0] = many[0] = 2.0
    assert OnPoints(function, 1).values(points)[0] == 6


def test_an_array_that_takes_the_place_of_another_is_another():
    inside = [None]
    function = lambda w: inside[0][0] * w[0]  # noqa: E731
    for k in range(20):
        inside[0] = None
        inside[0] = jnp.array([float(k)])
        assert OnPoints(function, 1).values(np.ones((1, 1)))[0] == k


def test_what_holds_itself_and_functions_that_call_each_other_end():
    around: list = [1.0]
    around.append(around)

    def even(w):
        return around[0] * w[0] if len(around) else odd(w)

    def odd(w):
        return even(w)

    assert OnPoints(odd, 1).values(np.ones((1, 1)))[0] == 1


def test_what_has_not_changed_is_traced_once():
    count = 0

    def counted(w):
        nonlocal count
        count += 1
        return SLOPE * w[0]

    for function in (counted, lambda w: counted(w)):
        count = 0
        for _ in range(3):
            OnPoints(function, 1).values(np.ones((2, 1)))
        assert count == 1
