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
            two,
            samdyn.USAM(0.1),
            start=one,
            target=[0.0],
            rho=(0.0, 1.0),
            learning_rate=0.1,
            steps=10,
        ),
        lambda: verbs.escape_times(
            samdyn.Diffusion(two, gd, 0.1, noise), one, samdyn.Ball(one, 1.0), paths=10
        ),
        lambda: verbs.spread(two, [0.0], gd, 0.1, noise, time=1.0, paths=10),
    ]
    for ask in asked:
        with pytest.raises(InvalidInput, match="coordinate 1"):
            ask()


@pytest.mark.thorough
def test_coordinates_that_are_not_read_are_said():
    assert unread(two, jnp.ones(4)) == (2, 3)
    result = verbs.stability(two, samdyn.GD(), at=np.zeros(3))
    assert "does not depend on w[2]" in result.warnings[0]
    assert verbs.stability(two, samdyn.GD(), at=np.zeros(2)).warnings == ()


def in_a_loop(w):
    return jax.lax.fori_loop(0, 2, lambda i, total: total + w[i] ** 2, 0.0)


def in_a_scan(w):
    return jax.lax.scan(lambda total, i: (total + w[i] ** 2, None), 0.0, jnp.arange(3))[0]


def until(w):
    more = lambda carry: (carry[0] + 1, carry[1] + w[carry[0]] ** 2)  # noqa: E731
    return jax.lax.while_loop(lambda carry: carry[0] < 2, more, (0, 0.0))[1]


@pytest.mark.parametrize(
    ("loss", "least"),
    [
        (in_a_loop, 2),
        (in_a_scan, 3),
        (until, 2),
        (lambda w: two(jnp.tanh(w) - 1), 2),
        (lambda w: jax.lax.cond(w[0] > 5, lambda v: v[0], lambda v: v[2], w) ** 2, 3),
        (lambda w: jnp.sum(jax.grad(lambda v: v[0] ** 3 + v[1] ** 3)(w) ** 2), 2),
    ],
)
def test_indices_that_are_known_only_when_the_loss_runs_are_found(loss, least):
    with pytest.raises(InvalidInput, match=f"of a point of dimension {least - 1}"):
        check_indices(loss, jnp.full(least - 1, 0.3))
    check_indices(loss, jnp.full(least, 0.3))


def chain(w):
    """Links between neighbours; the last point has none, and what is read beyond it is masked."""

    def link(i, total):
        return total + jnp.where(i + 1 < w.size, (w[i + 1] - w[i]) ** 2, 0.0)

    return jax.lax.fori_loop(0, w.size, link, 0.0)


@pytest.mark.parametrize(
    "loss",
    [
        chain,
        lambda w: jnp.sum(jax.vmap(lambda i: w[i] * (i < w.size))(jnp.arange(4))),
        lambda w: jnp.sum(jnp.take(w, jnp.arange(w.size) + 1, mode="clip") * w),
        lambda w: w.at[5].get(mode="fill", fill_value=0.0) ** 2,
    ],
)
def test_what_is_read_beyond_the_point_and_not_used_is_no_mistake(loss):
    for d in (1, 2, 3):
        check_indices(loss, jnp.full(d, 0.3))


def test_runs_refuse_a_start_or_a_target_of_another_dimension():
    step, start = samdyn.StepMap(two, samdyn.GD(), 0.1), jnp.ones(2)
    flow = samdyn.Flow(two, samdyn.GD())
    with pytest.raises(InvalidInput, match="coordinate 1"):
        verbs.iterate(step, jnp.ones(1), 3)
    with pytest.raises(InvalidInput, match="coordinate 1"):
        verbs.integrate(flow, jnp.ones(1), 1.0)
    with pytest.raises(InvalidInput, match="target has shape"):
        verbs.iterate(step, start, 3, target=jnp.ones(1), within=0.1)
    with pytest.raises(InvalidInput, match="arrive has shape"):
        verbs.integrate(flow, start, 1.0, arrive=(jnp.ones(3), 0.1))
    run = {"rho": (0.0, 1.0), "learning_rate": 0.1, "steps": 5}
    with pytest.raises(InvalidInput, match="target has shape"):
        verbs.capture_threshold(two, samdyn.SAM(0.1), start=start, target=[0.0], **run)


@pytest.mark.thorough
def test_a_flat_stretch_is_no_missing_coordinate():
    """The hinge moves nothing about the middle of the box, and it does elsewhere in it."""

    def hinge(w):
        return jnp.maximum(w[0] - 8, 0.0) ** 2 + w[1] ** 2

    box = np.array([[0.0, 10.0], [-1.0, 1.0]])
    assert unread(hinge, jnp.asarray([5.0, 0.0]), box) == ()
    assert unread(hinge, jnp.asarray([5.0, 0.0])) == ()
    assert unread(lambda w: w[0] ** 2, jnp.asarray([0.0, 0.0]), box) == (1,)
    image = verbs.basins(two, samdyn.GD(), box=[(-1, 1)] * 3, grid=2, learning_rate=0.1)
    assert "does not depend on w[2]" in str(image).splitlines()[0]
    assert image.to_dict()["warnings"] == list(image.warnings)
