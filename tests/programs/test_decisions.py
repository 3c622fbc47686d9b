"""With its decisions made a program is that of one side, and goes on beyond the kink."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.programs.decisions import decided, decisions, differences, on_edge
from samdyn.programs.points import evaluate
from samdyn.programs.tracing.flatten import flatten

AT = jax.ShapeDtypeStruct((2,), float)
POINTS = np.random.default_rng(0).normal(size=(200, 2))
# A function with one decision, which number is asked about, and the function on either side.
CASES = {
    "abs": (lambda w: jnp.abs(w[0] - w[1]), "-", lambda w: w[0] - w[1], lambda w: w[1] - w[0]),
    "max": (lambda w: jnp.maximum(w[0] ** 2, w[1]), "-", lambda w: w[0] ** 2, lambda w: w[1]),
    "min": (lambda w: jnp.minimum(w[0] ** 2, w[1]), "-", lambda w: w[1], lambda w: w[0] ** 2),
    "where": (
        lambda w: jnp.where(w[0] > w[1] ** 2, w[0], 3 * w[1]),
        "-",
        lambda w: w[0],
        lambda w: 3 * w[1],
    ),
    "where not": (
        lambda w: jnp.where(~(w[0] <= w[1]), w[0], 3 * w[1]),
        "-",
        lambda w: w[0],
        lambda w: 3 * w[1],
    ),
    "relu": (lambda w: jax.nn.relu(w[0] * w[1]), "-", lambda w: w[0] * w[1], lambda w: 0 * w[0]),
}


def sides(name):
    function, _, above, below = CASES[name]
    return function, {True: above, False: below}


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_each_side_is_that_of_a_smooth_function_everywhere(name, order):
    function, known = sides(name)
    of = (lambda f: f) if order == 0 else jax.grad
    program = flatten(of(function), AT)
    pairs = decisions(program)
    assert len(pairs) == 1
    gaps = evaluate(differences(program, pairs), POINTS)[:, 0]
    whole = evaluate(program, POINTS)
    for above in (True, False):
        side = evaluate(decided(program, [(pairs[0], above)]), POINTS)
        here = gaps > 0 if above else gaps < 0
        assert 0 < np.sum(here) < len(POINTS)
        np.testing.assert_array_equal(side[here], whole[here])
        found = {s: np.asarray(jax.vmap(of(f))(POINTS)) for s, f in known.items()}
        matches = [np.allclose(side, found[s].reshape(len(POINTS), -1)) for s in (True, False)]
        assert any(matches)  # which of the two numbers comes first is the compiler's choice


def test_a_decision_the_other_way_round_is_the_same():
    program = flatten(lambda w: jnp.where(w[0] > w[1], w[0], 0) + jnp.where(w[1] < w[0], 1, 2), AT)
    assert len(decisions(program)) == 1
    (pair,) = decisions(program)
    for one, other in ((True, False), (False, True)):
        ours = evaluate(decided(program, [(pair, one)]), POINTS)
        theirs = evaluate(decided(program, [(pair[::-1], other)]), POINTS)
        np.testing.assert_array_equal(ours, theirs)


def test_the_first_coordinate_is_not_taken_for_the_constant_nought():
    program = flatten(lambda w: jnp.abs(w[1]) + jnp.maximum(w[1], w[0]), AT)
    pairs = decisions(program)
    assert len(pairs) == 2
    for choice in itertools.product((True, False), repeat=2):
        found = evaluate(decided(program, list(zip(pairs, choice, strict=True))), POINTS)[:, 0]
        absolute = POINTS[:, 1] * (1 if choice[0] else -1)
        larger = POINTS[:, 1] if choice[1] else POINTS[:, 0]
        np.testing.assert_allclose(found, absolute + larger)


def test_on_an_edge_the_sides_are_mixed():
    program = flatten(jax.grad(lambda w: jnp.maximum(w[0] ** 2 + w[1], 2 * w[1])), AT)
    (pair,) = decisions(program)
    shares = np.random.default_rng(1).uniform(size=(len(POINTS), 1))
    found = evaluate(on_edge(program, pair, 2), np.concatenate([POINTS, shares], axis=1))
    first = np.stack([2 * POINTS[:, 0], np.ones(len(POINTS))], axis=1)
    second = np.broadcast_to([0.0, 2.0], first.shape)
    gap = POINTS[:, 0] ** 2 + POINTS[:, 1] - 2 * POINTS[:, 1]
    turned = np.allclose(found[:, 2], -gap)
    share = 1 - shares if turned else shares
    np.testing.assert_allclose(found[:, 2], -gap if turned else gap)
    np.testing.assert_allclose(found[:, :2], share * first + (1 - share) * second)
