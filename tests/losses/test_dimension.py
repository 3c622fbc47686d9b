"""A loss that reads coordinates which it is not given is refused, by every verb."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn
from samdyn.errors import InvalidInput
from samdyn.losses.dimension import check_indices, unread


def two(w):
    return w[0] ** 2 + w[1] ** 2


READS = {
    "by number": (two, 2),
    "by take": (lambda w: jnp.take(w, 2) ** 2, 3),
    "by an array": (lambda w: jnp.sum(w[jnp.array([0, 1])] ** 2), 2),
    "by get": (lambda w: w.at[1].get() ** 2, 2),
    "from the end": (lambda w: w[-3] ** 2, 3),
    "compiled": (jax.jit(lambda w: w[3] ** 2), 4),
    "inside a function": (lambda w: (lambda v: v[1] * v[0])(w), 2),
    "mapped": (lambda w: jnp.sum(jax.vmap(lambda i: w[i])(jnp.arange(2))), 2),
}


@pytest.mark.parametrize("name", READS)
def test_indices_out_of_range_are_found_however_they_are_written(name):
    loss, least = READS[name]
    for d in range(1, least):
        with pytest.raises(InvalidInput, match=f"of a point of dimension {d}"):
            check_indices(loss, jnp.full(d, 0.3))
    for d in range(least, 5):
        check_indices(loss, jnp.full(d, 0.3))


@pytest.mark.parametrize(
    "loss",
    [
        lambda w: jnp.sum(w**2),
        lambda w: jnp.mean(w),
        lambda w: jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2),
        lambda w: w[-1] ** 2,
        lambda w: w @ jnp.outer(w, w) @ w,
        lambda w: jnp.sum(jnp.roll(w, 1) * w),
    ],
)
def test_losses_of_any_dimension_pass(loss):
    for d in (1, 2, 5):
        check_indices(loss, jnp.full(d, 0.3))


def test_every_verb_refuses():
    gd, one = samdyn.GD(), [0.5]
    noise = samdyn.Additive(1.0)
    asked = [
        lambda: verbs.stability(two, gd, box=[(-1, 1)]),
        lambda: verbs.stability(two, gd, at=one),
        lambda: verbs.sweep(two, gd, [0.0, 1.0], at=one),
        lambda: verbs.basins(two, gd, box=[(-1, 1)], grid=4, learning_rate=0.1),
        lambda: verbs.capture_threshold(
            two, gd, start=one, target=[0.0], rho=(0.0, 1.0), learning_rate=0.1, steps=10
        ),
        lambda: verbs.escape_times(
            samdyn.Diffusion(two, gd, 0.1, noise), one, samdyn.Ball(one, 1.0), paths=10
        ),
        lambda: verbs.spread(two, [0.0], gd, 0.1, noise, time=1.0, paths=10),
    ]
    for ask in asked:
        with pytest.raises(InvalidInput, match="coordinate 1"):
            ask()


def test_coordinates_that_are_not_read_are_said():
    assert unread(two, jnp.ones(4)) == (2, 3)
    result = verbs.stability(two, samdyn.GD(), at=np.zeros(3))
    assert "does not depend on w[2]" in result.warnings[0]
    assert verbs.stability(two, samdyn.GD(), at=np.zeros(2)).warnings == ()
