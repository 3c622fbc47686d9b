"""A problem is what it computes: not its name, its file, its lines or the process that asks."""

import os
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.results.problem.identity import identity, joined, values

W = jnp.asarray([0.5, -1.0])


def gradient(loss):
    """The identity of a loss and its gradient."""
    return identity(jax.value_and_grad(loss), W, orders=0)


def quadratic(c):
    return lambda w: c * jnp.sum(w**2)


def test_a_constant_counts_and_the_name_of_a_function_does_not():
    def other(v):  # another name, other variables
        return 2.0 * jnp.sum(v**2)

    assert identity(quadratic(2.0), W) == identity(quadratic(2.0), W) == identity(other, W)
    assert identity(quadratic(2.0), W) != identity(quadratic(np.nextafter(2.0, 3.0)), W)
    assert identity(quadratic(2.0), W) != identity(quadratic(2), W.astype(jnp.float32))
    assert identity(quadratic(2.0), W) != identity(quadratic(2.0), jnp.ones(3))


def test_an_inner_function_is_known_by_what_it_does():
    def jitted(c):
        @jax.jit
        def loss(w):
            return c * jnp.sum(w**2)

        return loss

    def renamed(w):
        return 2.0 * jnp.sum(w**2)

    assert identity(jitted(2.0), W) == identity(jax.jit(renamed), W)
    assert identity(jitted(2.0), W) != identity(jitted(3.0), W)


@pytest.mark.parametrize("make", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("size", [2, 5000])  # numpy's text of the longer one is elided
def test_arrays_count_by_their_values(make, size):
    data = np.arange(2.0 * size).reshape(2, size)
    other = data.copy()
    other[1, size // 2] += 1e-9

    def loss(table):
        return lambda w: jnp.sum((jnp.asarray(table).T.astype(w.dtype) @ w) ** 2)

    assert identity(loss(make(data)), W) == identity(loss(make(data.copy())), W)
    assert identity(loss(make(data)), W) != identity(loss(make(other)), W)
    assert identity(loss(make(data)), W) != identity(loss(make(data.astype(np.float32))), W)


class Layers(eqx.Module):
    weights: list[jax.Array]
    power: int = eqx.field(static=True)

    def __call__(self, w):
        return sum(jnp.sum((w * each) ** self.power) for each in self.weights)


def test_lists_of_arrays_and_static_fields_of_a_module_count():
    one = Layers([jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 4.0])], 2)
    same = Layers([jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 4.0])], 2)
    swapped = Layers(one.weights[::-1], 2)
    assert identity(one, W) == identity(same, W)
    assert len({identity(loss, W) for loss in (one, swapped, Layers(one.weights, 4))}) == 3


def ruled(slope):
    @jax.custom_jvp
    def square(x):
        return x**2

    @square.defjvp
    def rule(at, change):
        return square(at[0]), slope * at[0] * change[0]

    return lambda w: jnp.sum(square(w))


def reversed_rule(slope):
    square = jax.custom_vjp(lambda x: x**2)
    square.defvjp(lambda x: (x**2, x), lambda x, change: (slope * x * change,))
    return lambda w: jnp.sum(square(w))


@pytest.mark.parametrize("make", [ruled, reversed_rule])
def test_rules_of_derivatives_count(make):
    for told in (gradient, lambda loss: identity(loss, W)):
        assert told(make(2.0)) == told(make(2.0))
        assert told(make(2.0)) != told(make(3.0))


def test_a_rule_that_only_the_second_derivative_meets_counts():
    def twice(slope):
        inner = ruled(slope)

        @jax.custom_jvp
        def cube(x):
            return jnp.sum(x**3)

        @cube.defjvp
        def rule(at, change):
            return cube(at[0]), inner(at[0]) * jnp.sum(change[0])

        return cube

    assert identity(twice(2.0), W, orders=1) == identity(twice(3.0), W, orders=1)
    assert identity(twice(2.0), W) != identity(twice(3.0), W)


def test_what_loops_and_branches_do_counts():
    def loss(step, low):
        def body(total, x):
            return total + step * x**2, None

        def branches(w):
            total, _ = jax.lax.scan(body, jnp.zeros(()), w)
            return jax.lax.cond(w[0] > 0, lambda v: v, lambda v: low * v, total)

        return branches

    assert gradient(loss(1.0, 2.0)) == gradient(loss(1.0, 2.0))
    found = {gradient(loss(*numbers)) for numbers in ((1.0, 2.0), (1.5, 2.0), (1.0, 2.5))}
    assert len(found) == 3


def test_what_is_inside_a_checkpoint_counts():
    loss = lambda c: jax.checkpoint(lambda w: c * jnp.sum(jnp.sin(w)))  # noqa: E731
    assert gradient(loss(1.0)) == gradient(loss(1.0)) != gradient(loss(2.0))


FACTOR = 1.0


def called_back(scale, table):
    def host(v):
        return np.asarray(scale * FACTOR * np.sum(table * v), v.dtype)

    def loss(w):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((), w.dtype), w)

    return loss


def test_a_function_called_back_is_known_by_its_code_and_what_it_holds(monkeypatch):
    table = np.arange(2.0)
    first = identity(called_back(1.0, table), W, orders=0)
    assert first == identity(called_back(1.0, table.copy()), W, orders=0)
    assert first != identity(called_back(2.0, table), W, orders=0)
    assert first != identity(called_back(1.0, table + 1), W, orders=0)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert first != identity(called_back(1.0, table), W, orders=0)


def test_random_keys_count():
    noisy = lambda key: lambda w: jnp.sum(w * jax.random.normal(key, (2,)))  # noqa: E731
    keys = [jax.random.key(0), jax.random.key(1)]
    assert len({identity(noisy(key), W) for key in [*keys, jax.random.key(0)]}) == 2


class Tilted(samdyn.USAM):
    """USAM whose ascent is multiplied."""

    times: int = eqx.field(static=True, default=1)

    def perturb(self, gradient, w):
        return w + self.times * self.rho * gradient(w)


@pytest.mark.parametrize("kind", [samdyn.SAM, samdyn.USAM, Tilted])
def test_a_step_knows_its_method_radius_and_rate(kind):
    def of(rho, rate, loss=None):
        step_map = samdyn.StepMap(loss or quadratic(2.0), kind(rho), rate)
        return identity(step_map, step_map.init(W), orders=0)

    assert of(0.1, 0.01) == of(0.1, 0.01)
    others = {of(0.2, 0.01), of(0.1, 0.02), of(0.1, 0.01, quadratic(3.0)), of(0.1, 0.01)}
    assert len(others) == 4


def test_values_are_those_of_arrays_and_numbers_alone():
    assert values({"a": W, "b": (1.0, "word")}) == values([W, 1.0])
    assert values(W) != values(W.astype(jnp.float32)) != values(W[::-1])
    assert values(np.zeros((2, 3))) != values(np.zeros((3, 2)))
    assert values(0.1) != values(np.nextafter(0.1, 1))
    assert joined("a", "b") != joined("b", "a")


SAME = """
import jax, jax.numpy as jnp, numpy as np
{comment}
jax.config.update("jax_enable_x64", True)
from samdyn.results.problem.identity import identity
TABLE = np.arange(600.0).reshape(2, 300)
@jax.custom_jvp
def {name}({v}):
    return {v} ** 2
@{name}.defjvp
def rule(at, change):
    return {name}(at[0]), 3 * at[0] * change[0]
def host(v):
    return np.sin(v)
def {name}_loss({v}):
    back = jax.pure_callback(host, jax.ShapeDtypeStruct((), {v}.dtype), {v}[0])
    return jnp.sum({name}({v} @ TABLE)) + jax.lax.stop_gradient(back) + jax.nn.relu({v})[0]
print(identity({name}_loss, jnp.ones(2)))
"""


@pytest.mark.thorough
def test_another_process_another_file_and_other_names_are_the_same_problem(tmp_path):
    told = set()
    for seed, name, v, comment in (("0", "f", "w", ""), ("7", "square", "point", "# words\n\n")):
        file = tmp_path / f"file{seed}.py"
        file.write_text(textwrap.dedent(SAME).format(name=name, v=v, comment=comment))
        run = subprocess.run(
            [sys.executable, str(file)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(run.stdout)
    assert len(told) == 1
    assert len(told.pop().strip()) == 64
