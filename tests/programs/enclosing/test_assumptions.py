"""Where a loss is finite more is known of its gradient than everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.programs.derivative import with_jacobian
from samdyn.programs.enclosing.assumptions import where_finite
from samdyn.programs.enclosing.boxes import enclose
from samdyn.programs.points import evaluate
from samdyn.programs.tracing.flatten import flatten


def both(loss):
    """w ↦ (gradient, loss)."""
    return lambda w: jnp.concatenate([jax.grad(loss)(w), loss(w)[None]])


def bowl(w):
    return (w[0] - 1) ** 2 + w[1] ** 2 + w[0] * w[1]


LOSSES = {
    "where inf": lambda w: jnp.where(w[0] > 0, bowl(w), jnp.inf),
    "where nan": lambda w: jnp.where(w[0] <= 0, jnp.nan, bowl(w)),
    "either": lambda w: jnp.where((w[0] <= 0) | (w[1] < -1), jnp.inf, bowl(w)),
    "both": lambda w: jnp.where((w[0] > 0) & (w[1] >= -1), bowl(w), jnp.inf),
    "not": lambda w: jnp.where(~(w[0] > 0), jnp.inf, bowl(w)),
    "a wall added": lambda w: bowl(w) + jnp.where(w[0] > 0, 0.0, jnp.inf),
    "log": lambda w: bowl(w) - jnp.log(w[0]),
    "log of a sum": lambda w: bowl(w) - 0.1 * jnp.log(1 - w[0] - w[1]),
    "sqrt": lambda w: bowl(w) + jnp.sqrt(w[0] - 0.5),
    "power": lambda w: bowl(w) + jnp.log1p(w[0]) ** 2,
    "arctanh": lambda w: jnp.arctanh(w[0]) ** 2 + w[1] ** 2,
    "nothing to know": lambda w: jnp.where(w[0] > 0, bowl(w), 2 * bowl(w)),
    "a log that nobody needs": lambda w: bowl(w) + jnp.exp(-jnp.where(w[0] > 0, w[0], -w[0])),
    "an infinity that vanishes": lambda w: bowl(w) + 1 / (1 + jnp.where(w[0] > 0, 1.0, jnp.inf)),
    "the least of two": lambda w: jnp.minimum(bowl(w), jnp.where(w[0] > 0, 3.0, jnp.inf)),
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_bounds_hold_wherever_the_loss_is_finite(name):
    program = with_jacobian(flatten(both(LOSSES[name]), jnp.zeros(2)))
    assumed = where_finite(program, 2)
    rng = np.random.default_rng(0)
    middle = rng.uniform(-2, 2, (400, 2))
    half = 10.0 ** rng.uniform(-6, 0.3, (400, 1))
    found = enclose(assumed, middle - half, middle + half)
    for _ in range(60):
        points = middle + half * rng.uniform(-1, 1, middle.shape)
        values = evaluate(program, points)
        finite = np.isfinite(values[:, 2])
        assert not np.any(finite[:, None] & found.nowhere)
        known = finite[:, None] & np.isfinite(values)
        slack = 1e-12 * np.where(known, np.abs(values), 0)
        inside = (values >= found.low - slack) & (values <= found.high + slack)
        assert np.all(inside | ~known)


@pytest.mark.parametrize("name", list(LOSSES)[:5])
def test_beyond_a_wall_no_gradient_vanishes(name):
    program = flatten(both(LOSSES[name]), jnp.zeros(2))
    low, high = np.array([[-0.1, 0.5]]), np.array([[0.1, 0.6]])
    assert enclose(program, low, high).high[0, 0] >= 0
    assumed = enclose(where_finite(program, 2), low, high)
    assert assumed.high[0, 0] < 0
    assert assumed.undefined[0, 2]
    assert not assumed.nowhere[0, 2]


def test_beyond_the_domain_of_a_logarithm_its_derivative_does_not_count():
    program = flatten(both(lambda w: jnp.log(w[0]) + w[1] ** 2), jnp.zeros(2))
    low, high = np.array([[-0.1, 0.5]]), np.array([[0.1, 0.6]])
    assert enclose(program, low, high).low[0, 0] < 0
    assert enclose(where_finite(program, 2), low, high).low[0, 0] > 9


@pytest.mark.parametrize("name", list(LOSSES)[11:])
def test_what_is_not_known_is_left_alone(name):
    program = flatten(both(LOSSES[name]), jnp.zeros(2))
    assert where_finite(program, 2) is program
