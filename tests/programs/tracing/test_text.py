"""A program as text comes back as it was, every bit of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import SAM, StepMap, get_loss
from samdyn.dynamics.systems.map import StepOnState
from samdyn.programs.points import evaluate
from samdyn.programs.tracing.flatten import flatten
from samdyn.programs.tracing.text import read, written

AT = jax.ShapeDtypeStruct((2,), float)
FUNCTIONS = {
    "steps": lambda w: StepOnState(StepMap(get_loss("beale"), SAM(0.1), 0.01), 2)(w),
    "choices": lambda w: jnp.where(w[0] > 0.1, jnp.floor(w), jnp.round(w) % 3),
    "constants": lambda w: (w * jnp.array([0.1, -0.0]) + jnp.inf, w[0] ** 3 + 1 / 3),
    "truths": lambda w: (w[0] > 0) & ~(w[1] > 0),
    "nothing read": lambda w: jnp.array([1e-300, jnp.nan]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_program_is_what_its_text_says(name):
    program = flatten(FUNCTIONS[name], AT)
    again = read(written(program))
    assert written(again) == written(program)
    assert (again.inputs, again.shapes) == (program.inputs, program.shapes)
    for one, other in zip(again.operations, program.operations, strict=True):
        assert one[0] == other[0]
        assert one[2:] == other[2:]
    points = np.random.default_rng(0).normal(size=(9, 2))
    np.testing.assert_array_equal(evaluate(again, points), evaluate(program, points))


def test_one_bit_of_a_constant_makes_another_text():
    texts = {written(flatten(lambda w, c=c: w * c, AT)) for c in (0.1, np.nextafter(0.1, 1))}
    assert len(texts) == 2
