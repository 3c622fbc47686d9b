"""A loop over a program takes points where its steps take them one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import SAM, USAM, StepMap, get_loss
from samdyn.dynamics.systems.map import StepOnState
from samdyn.programs.batch import OnPoints
from samdyn.programs.loops import Flat, iterated
from samdyn.programs.points import Runner
from samdyn.programs.primitives import FUNCTIONS
from samdyn.programs.program import Builder, Input

FAR = 1e9
OPTIONS = {"integer_pow": (("y", 3),), "round": (("rounding_method", 1),)}
TRUTHS = ("and", "or", "xor", "not", "select_n")
THREE = ("select_n", "clamp")
TWO = ("add", "sub", "mul", "div", "pow", "atan2", "max", "min", "rem", "and", "or", "xor")
TWO += ("eq", "ne", "lt", "le", "gt", "ge")
COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "is_finite")


BITS = ("shift_left", "shift_right_arithmetic", "shift_right_logical", "population_count")


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {*BITS, "bitcast_convert_type"}))
def test_every_operation_is_that_of_numpy(name):
    count = 3 if name in THREE else 2 if name in TWO else 1
    kinds = [bool if name in TRUTHS and (name != "select_n" or k == 0) else float for k in range(3)]
    builder = Builder([Input(str(k), np.dtype(kinds[k])) for k in range(count)], 9)
    truth = name in COMPARED or (name in TRUTHS and name != "select_n")
    result = builder.add(name, range(count), bool if truth else float, OPTIONS.get(name, ()))
    program = builder.program([result])
    rng = np.random.default_rng(0)
    columns = np.sort(rng.uniform(0.1, 0.9, (count, 40)), axis=0) + (name == "acosh")
    columns = [c > 0.4 if kinds[k] is bool else c for k, c in enumerate(columns)]
    (ours,) = Runner(program)._run(list(columns))
    (theirs,) = Flat(program)([jnp.asarray(c) for c in columns], [])
    np.testing.assert_allclose(np.asarray(theirs, float), np.asarray(ours, float), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32])
@pytest.mark.parametrize("name", BITS)
def test_bits_are_moved_and_counted_as_by_numpy(name, dtype):
    count = 1 if name == "population_count" else 2
    builder = Builder([Input(str(k), np.dtype(dtype)) for k in range(count)], 9)
    program = builder.program([builder.add(name, range(count), dtype)])
    numbers = np.array([0, 1, -1, 7, 2**31 - 1, -(2**31), 12345], np.int32).astype(dtype)
    columns = [numbers, np.arange(7).astype(dtype)][:count]
    (ours,) = Runner(program)._run(list(columns))
    (theirs,) = Flat(program)([jnp.asarray(c) for c in columns], [])
    np.testing.assert_array_equal(np.asarray(theirs), ours)
    assert ours.dtype == dtype


def test_bits_become_another_number_as_by_numpy():
    builder = Builder([Input("x", np.dtype(np.float32))], 9)
    options = (("new_dtype", "uint32"),)
    program = builder.program([builder.add("bitcast_convert_type", [0], np.uint32, options)])
    x = np.array([0.0, -1.5, np.inf], np.float32)
    (theirs,) = Flat(program)([jnp.asarray(x)], [])
    np.testing.assert_array_equal(np.asarray(theirs), Runner(program)._run([x])[0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("times", [0, 1, 63, 64, 65, 200])
def test_many_steps_are_the_steps_one_by_one(momentum, times):
    step = StepOnState(StepMap(get_loss("himmelblau"), USAM(0.01), 1e-3, momentum), 2)
    starts = step.rest(np.random.default_rng(0).uniform(-3, 3, (5, 2)))
    on_states, states = step.on_states(), starts
    # (USAM falls into the minima, where SAM would circle them without a limit, chaotically.)
    found = iterated(on_states, starts, times, np.zeros(2), FAR)
    for _ in range(times):
        states = on_states.values(states)
    np.testing.assert_allclose(found, states, rtol=1e-9, atol=1e-9)


def test_what_leaves_the_ball_is_no_number_and_the_others_go_on():
    doubling = OnPoints(lambda w: 2 * w, 1)
    found = iterated(doubling, np.array([[1.0], [1e-3]]), 5, np.zeros(1), 10.0)
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 0.032


def test_what_has_no_program_goes_the_same_way():
    matrix = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    by_solving = OnPoints(lambda w: jnp.linalg.solve(matrix, w), 2)
    assert by_solving.program is None
    starts = np.random.default_rng(1).normal(size=(3, 2))
    found = iterated(by_solving, starts, 4, np.zeros(2), FAR)
    inverse = np.linalg.inv(np.asarray(matrix))
    np.testing.assert_allclose(found, starts @ np.linalg.matrix_power(inverse, 4).T, rtol=1e-10)


def test_nothing_compiles_again_for_another_number():
    def ends(rho):
        step = StepOnState(StepMap(get_loss("himmelblau"), SAM(rho), 1e-3), 2)
        return iterated(step.on_states(), np.ones((4, 2)), 10, np.zeros(2), FAR)

    ends(0.1)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("samdyn.programs.loops._applied", lambda *_: pytest.fail("traced again"))
        ends(0.2)
