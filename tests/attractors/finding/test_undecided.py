"""What a proof leaves undecided: zeros of higher order, kinks, and where there is no loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import GD, SAM, USAM, Flow, Map, StepMap, get_loss, stability

SQUARE = ((-2, 2), (-2, 2))
PULL = jnp.array([2.0, 0.2])


def lasso(w):
    return 0.5 * jnp.sum((w - PULL) ** 2) + 0.5 * jnp.sum(jnp.abs(w))


def hinges(w):
    """Three hinges whose sum is least at a corner."""
    return jnp.sum(jax.nn.relu(jnp.array([1.0, -1.0]) * w[0] + 0.3)) + jnp.abs(w[1] - w[0])


def ackley(w):
    far, waves = jnp.sqrt(jnp.mean(w**2)), jnp.mean(jnp.cos(2 * jnp.pi * w))
    return -20 * jnp.exp(-0.2 * far) - jnp.exp(waves) + jnp.e + 20


KINKS = {
    "an ℓ1 penalty": (lasso, ((-2, 4), (-2, 2.2)), (1.5, 0.0), "minimum", "attractor"),
    "two bowls": (
        lambda w: jnp.maximum(w[0] ** 2, (w[0] - 2) ** 2) + w[1] ** 2,
        ((-2, 4), (-2, 2.2)),
        (1.0, 0.0),
        "minimum",
        "attractor",
    ),
    "a cusp": (ackley, ((-0.4, 0.4),) * 2, (0.0, 0.0), "minimum", "attractor"),
    "a roof": (
        lambda w: -jnp.abs(w[0]) - jnp.abs(w[1] - 0.3),
        ((-1, 1),) * 2,
        (0.0, 0.3),
        "maximum",
        "repeller",
    ),
    "in one dimension": (
        lambda w: jnp.abs(w[0] - 0.7) + 0.1 * w[0] ** 2,
        ((-2, 2),),
        (0.7,),
        "minimum",
        "attractor",
    ),
    "in three": (
        lambda w: jnp.sum(jnp.abs(w - 0.25)) + jnp.sum(w**2),
        ((-1, 1),) * 3,
        (0.25, 0.25, 0.25),
        "minimum",
        "attractor",
    ),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_found_and_judged_by_the_field_about_them(name):
    loss, box, where, kind, verdict = KINKS[name]
    result = stability(StepMap(loss, GD(), 1e-3), box=box)
    (item,) = [item for item in result.points if item.point.kind == "kink"]
    np.testing.assert_allclose(item.point.w, where, atol=1e-9)
    assert item.point.critical_type == kind
    assert (item.flow.verdict, item.step.verdict) == (verdict, verdict)
    assert result.complete.consistent
    on_one_edge = name in ("an ℓ1 penalty", "two bowls", "in one dimension")
    assert result.complete.proven == on_one_edge


def test_descent_ends_at_the_kink_that_attracts():
    (item,) = stability(Flow(lasso, GD()), box=((-2, 4), (-2, 2.2))).points
    step = jax.jit(lambda w: w - 1e-3 * jax.grad(lasso)(w))
    w = jnp.array([-1.0, 2.0])
    for _ in range(20_000):
        w = step(w)
    np.testing.assert_allclose(item.point.w, w, atol=2e-3)


def test_a_point_asked_for_in_a_valley_is_that_of_the_box():
    loss = UNITS[0]
    (asked,) = stability(Flow(loss, GD()), at=[1.2, 1.0]).points
    np.testing.assert_allclose(asked.point.w, [2, 1], atol=1e-9)
    assert (asked.point.critical_type, asked.flow.verdict) == ("minimum", "attractor")


@pytest.mark.parametrize("box", [(0.999, 1.001), (1 - 1e-9, 1 + 2e-9)])
def test_boxes_that_are_hardly_wider_than_numbers_end(box):
    (item,) = stability(Flow(lambda w: jnp.abs(w[0] - 1), GD()), box=(box,)).points
    assert (item.point.kind, item.point.w[0]) == ("kink", 1)


def test_a_map_that_makes_a_number_of_none_is_not_proven_empty():
    step = lambda w, args: jnp.stack([0.5 * w[0] + jax.lax.pow(jnp.log(w[0]), args["p"]) - 1.5])  # noqa: E731
    assert not stability(Map(step, {"p": 0.0}), box=((-3, 3.1),)).complete.proven


def test_single_precision_inside_a_loss_is_not_proven():
    a = jnp.float32(1.1)
    loss = lambda w: (w[0] - (a * a).astype(float)) ** 2  # noqa: E731
    (item,) = stability(Flow(loss, GD()), box=((-3, 3.1),)).points
    assert abs(item.point.w[0] - float(a * a)) < 1e-9


def test_a_whole_number_may_choose():
    def loss(w):
        which = (w[0] > 0).astype(jnp.int32)
        value = (w[0] - 1) ** 2 * (2.0 + (-which).astype(float))
        return jax.lax.select_n(which, jnp.asarray(jnp.inf), value)

    (item,) = stability(Flow(loss, GD()), box=((-3, 3.1),)).points
    assert item.point.w[0] == pytest.approx(1)


HIDDEN = {
    "a comparison with no number": lambda w: jnp.where(
        jnp.sqrt(w[0]) > 3, (w[0] - 2) ** 2, (w[0] + 1) ** 2
    ),
    "one that counts": lambda w: (w[0] + 1) ** 2 + (jnp.log(w[0]) > 0).astype(float),
    "a pole that vanishes": lambda w: (
        (w[0] + 1) ** 2 + jax.lax.stop_gradient(jnp.exp(-1 / jnp.maximum(w[0], 0)))
    ),
    "an infinity that is asked for": lambda w: (
        (w[0] + 1) ** 2 + jnp.isinf(jnp.log(jnp.maximum(w[0], 0))).astype(float)
    ),
    "one that is compared": lambda w: (
        (w[0] + 1) ** 2 + (jnp.log(jnp.maximum(w[0], 0)) < -5).astype(float)
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_minimum_beside_what_is_no_number_is_not_lost(name):
    result = stability(Flow(HIDDEN[name], GD()), box=((-3, 3.1),))
    assert any(np.allclose(item.point.w, -1, atol=1e-9) for item in result.points)


def test_whole_numbers_are_divided_as_whole_numbers():
    half = lambda w: jax.lax.div(1 + 2 * (w[0] > 0).astype(int), 2).astype(float)  # noqa: E731
    loss = lambda w: (w[0] - half(w)) ** 2  # noqa: E731
    result = stability(Flow(loss, GD()), box=((-3, 3.1),))
    assert not result.complete.proven
    np.testing.assert_allclose([item.point.w[0] for item in result.points], [0, 1], atol=1e-9)


BENT = {
    "one side leads away": (
        lambda w: (jnp.maximum(1.5 * w[0] + w[1], 0) - 1) ** 2 + 0.1 * jnp.sum(w**2),
        (0, 0),
        "saddle",
        "saddle",
    ),
    "each side has its own curvature, the point none": (
        lambda w: jax.nn.relu(w[0]) ** 2 + 3 * jax.nn.relu(-w[0]) ** 2 + w[1] ** 2,
        (0, 0),
        "minimum",
        "attractor",
    ),
    "up on one side, down on the other": (
        lambda w: jnp.where(w[0] > 0, w[0] ** 2, -(w[0] ** 2)) + w[1] ** 2,
        (0, 0),
        "saddle",
        "saddle",
    ),
    "a power below two": (
        lambda w: jnp.abs(w[0] - 0.5) ** 1.5 + w[1] ** 2,
        (0.5, 0),
        "minimum",
        "attractor",
    ),
    "a ridge across a valley": (
        lambda w: jnp.abs(w[0]) - jnp.abs(w[1]) + 0.1 * w[1] ** 2,
        (0, 0),
        "saddle",
        "saddle",
    ),
}


@pytest.mark.parametrize("name", BENT)
def test_where_sides_disagree_the_loss_about_the_point_decides(name):
    loss, where, kind, verdict = BENT[name]
    result = stability(Flow(loss, GD()), box=((-2, 2), (-2, 2)))
    (item,) = [item for item in result.points if item.point.kind == "kink"]
    np.testing.assert_allclose(item.point.w, where, atol=1e-9)
    assert (item.point.critical_type, item.flow.verdict) == (kind, verdict)
    assert not any(np.allclose(p.point.w, where, atol=1e-6) for p in result.points if p is not item)


def test_sides_that_agree_make_a_critical_point():
    loss = lambda w: jnp.where(w[0] > 0, w[0] ** 2, 2 * w[0] ** 2) + w[1] ** 2  # noqa: E731
    (item,) = stability(Flow(loss, GD()), box=((-2, 2), (-2, 2))).points
    assert (item.point.kind, item.point.critical_type) == ("critical", "minimum")


@pytest.mark.parametrize("method", [SAM(0.05), USAM(0.05)], ids=["SAM", "USAM"])
def test_a_kink_is_one_for_every_method(method):
    (item,) = stability(Flow(lasso, method), box=((-2, 4), (-2, 2.2))).points
    assert (item.point.kind, item.flow.verdict) == ("kink", "attractor")


UNITS = [
    lambda w: 1e6 * (w[1] - 1) ** 2 + 1e-6 * (w[0] - 2) ** 2,
    lambda w: 1e8 * (w[1] - 1) ** 2 + 1e-4 * (w[0] - 2) ** 2 + 1e-4 * (w[0] - 2) ** 4,
    lambda w: 0.5e-9 * (w[0] - 2) ** 2 + 3e5 * (w[1] - 1 + 1e-6 * (w[0] - 2)) ** 2,
]


@pytest.mark.parametrize("loss", UNITS)
def test_curvatures_of_different_orders_are_no_continuum(loss):
    result = stability(Flow(loss, GD()), box=((-5, 5), (-5, 5)))
    (item,) = result.points
    np.testing.assert_allclose(item.point.w, [2, 1], atol=1e-6)
    assert item.point.critical_type == "minimum"
    assert item.flow.verdict == "attractor"
    assert result.complete.proven
    assert item.flow.proven


def test_a_line_fitted_to_data_by_year_has_its_minimum():
    years = jnp.arange(1990.0, 2020.0)
    data = 0.3 * (years - 2000) + jnp.sin(years)
    loss = lambda w: jnp.mean((w[0] + w[1] * years - data) ** 2)  # noqa: E731
    result = stability(Flow(loss, GD()), box=((-1000, 1000), (-1, 1)))
    (item,) = result.points
    slope, offset = np.polyfit(np.asarray(years), np.asarray(data), 1)
    np.testing.assert_allclose(item.point.w, [offset, slope], rtol=1e-6)
    assert (item.point.critical_type, item.flow.verdict) == ("minimum", "attractor")
    assert result.complete.proven


def test_a_thin_valley_has_a_minimum_though_it_cannot_be_proven():
    """Rosenbrock with 10⁷ for 100: rounding moves the minimum more than Newton may be off."""
    loss = lambda w: (1 - w[0]) ** 2 + 1e7 * (w[1] - w[0] ** 2) ** 2  # noqa: E731
    result = stability(Flow(loss, GD()), box=((-2, 2), (-1, 3)))
    (item,) = result.points
    np.testing.assert_allclose(item.point.w, [1, 1], atol=1e-6)
    assert (item.point.critical_type, item.flow.verdict) == ("minimum", "attractor")
    assert not result.complete.proven


def test_degenerate_points_stand_where_they_are_on_every_machine():
    """(x² − 1)² + xy² + y⁴/4 is degenerate at 0, and so are the points of SAM about it."""
    loss = lambda w: (w[0] ** 2 - 1) ** 2 + w[0] * w[1] ** 2 + w[1] ** 4 / 4  # noqa: E731
    result = stability(Flow(loss, SAM(0.3)), box=SQUARE)
    found = {
        tuple(np.round(item.point.w, 9) + 0.0): item.flow.verdict
        for item in result.points
        if item.flow.verdict == "degenerate"
    }
    assert set(found) == {(0.0, 0.0), (0.3, 0.0), (-0.3, 0.0)}
    assert all(item.flow.verdict != "unknown" for item in result.points)


def test_usam_at_its_own_fold_is_degenerate():
    """Double well, ρ = 4: w + ρg folds at ±½ onto 1 and −1."""
    result = stability(Flow(get_loss("double-well"), USAM(4.0)), box=((-2, 2),))
    folds = [item for item in result.points if abs(abs(item.point.w[0]) - 0.5) < 1e-6]
    assert len(folds) == 2
    assert {item.flow.verdict for item in folds} == {"degenerate"}


def test_the_why_of_a_degenerate_verdict_names_the_number():
    """At ρ = 1 USAM's rate λ(1 + ρλ) at the double well's maximum is 0."""
    (item,) = stability(Flow(get_loss("double-well"), USAM(1.0)), at=[0.0]).points
    assert item.flow.verdict == "degenerate"
    result = stability(Flow(get_loss("double-well"), USAM(1.0)), box=((-0.5, 0.5),))
    (item,) = result.points
    assert item.flow.verdict == "degenerate"
    assert "can't be told from zero" in item.flow.why
