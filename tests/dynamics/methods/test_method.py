"""Where the gradient is taken, by hand on quadratics, in any pytree, at any radius."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import iterate

from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.multi_step import MultiStep
from samdyn.dynamics.methods.perturbed_loss import PerturbedLossGradient
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.systems.flow import Flow
from samdyn.dynamics.systems.map import State
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss

SPECTRUM = np.array([3.0, -1.0, 0.5])
H = np.diag(SPECTRUM)
LOSS = quadratic(tuple(SPECTRUM), None)
START = np.array([0.6, -0.8, 1.1])
RHO, RATE = 0.3, 0.05
# A handful of operations on numbers near 1.
ROUNDING = {"rtol": 0, "atol": 8e-16}

EVERY = [
    GD(),
    SAM(RHO),
    SAM(RHO, 0.1),
    USAM(RHO),
    ASAM(RHO),
    MultiStep(SAM(RHO), 3),
    MultiStep(USAM(RHO), 2),
    PerturbedLossGradient(USAM(RHO)),
    PerturbedLossGradient(SAM(RHO)),
]
WITH_RADIUS = EVERY[1:]


def unit(v):
    return v / np.sqrt(np.sum(v**2))


def usam_steps(w, k):
    for _ in range(k):
        w = w + RHO / k * SPECTRUM * w
    return w


def sam_steps(w, k):
    for _ in range(k):
        w = w + RHO / k * unit(SPECTRUM * w)
    return w


def asam(w):
    widths = np.abs(w) + 0.01
    return w + RHO * widths**2 * SPECTRUM * w / np.linalg.norm(widths * SPECTRUM * w)


def perturbed_loss_sam(w):
    """(Dw^p)ᵀ H w^p for w^p = w + ρĝ, where Dĝ = (I − ĝĝᵀ)H/‖g‖."""
    g = SPECTRUM * w
    projector = np.eye(3) - np.outer(unit(g), unit(g))
    jacobian = np.eye(3) + RHO / np.linalg.norm(g) * projector @ H
    return jacobian.T @ H @ (w + RHO * unit(g))


BY_HAND = [
    (GD(), lambda w: SPECTRUM * w),
    (SAM(RHO), lambda w: SPECTRUM * (w + RHO * unit(SPECTRUM * w))),
    (
        SAM(RHO, 0.1),
        lambda w: SPECTRUM * (w + RHO * SPECTRUM * w / (np.linalg.norm(SPECTRUM * w) + 0.1)),
    ),
    (USAM(RHO), lambda w: SPECTRUM * (1 + RHO * SPECTRUM) * w),
    (ASAM(RHO), lambda w: SPECTRUM * asam(w)),
    (MultiStep(USAM(RHO), 3), lambda w: SPECTRUM * (1 + RHO / 3 * SPECTRUM) ** 3 * w),
    (MultiStep(SAM(RHO), 3), lambda w: SPECTRUM * sam_steps(w, 3)),
    (
        PerturbedLossGradient(USAM(RHO)),
        lambda w: SPECTRUM * (1 + RHO * SPECTRUM) ** 2 * w,
    ),
    (PerturbedLossGradient(SAM(RHO)), perturbed_loss_sam),
]


@pytest.mark.parametrize(("method", "direction"), BY_HAND)
def test_first_two_steps_on_a_quadratic_are_those_of_hand_algebra(method, direction):
    step = eqx.filter_jit(StepMap(LOSS, method, RATE))
    once = step(State(jnp.asarray(START), None))
    twice = step(once)
    first = START - RATE * direction(START)
    np.testing.assert_allclose(once.w, first, **ROUNDING)
    np.testing.assert_allclose(twice.w, first - RATE * direction(first), **ROUNDING)


def test_usam_multi_step_with_one_step_is_usam_and_two_are_two():
    gradient = jax.grad(LOSS)
    w = jnp.asarray(START)
    one, two = (MultiStep(USAM(RHO), k).perturb(gradient, w) for k in (1, 2))
    np.testing.assert_array_equal(one, USAM(RHO).perturb(gradient, w))
    np.testing.assert_allclose(two, usam_steps(START, 2), **ROUNDING)


@pytest.mark.parametrize("method", [SAM(RHO), MultiStep(SAM(RHO), 1)])
def test_sam_moves_by_exactly_rho(method):
    moved = method.perturb(jax.grad(LOSS), jnp.asarray(START)) - START
    assert float(jnp.linalg.norm(moved)) == pytest.approx(RHO, rel=1e-15)


def test_asam_moves_by_exactly_rho_in_units_of_its_widths():
    moved = ASAM(RHO, 0.2).perturb(jax.grad(LOSS), jnp.asarray(START)) - START
    widths = np.abs(START) + 0.2
    assert float(np.linalg.norm(moved / widths)) == pytest.approx(RHO, rel=1e-14)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.thorough
def test_a_critical_point_is_left_in_place_with_finite_derivatives(method):
    origin = jnp.zeros(3)
    np.testing.assert_array_equal(method.perturb(jax.grad(LOSS), origin), origin)

    @jax.jit
    def both(w):
        field = Flow(LOSS, method).velocity
        return field(w), jax.jacfwd(field)(w), jax.jacrev(field)(w)

    velocity, forward, reverse = both(origin)
    np.testing.assert_array_equal(velocity, origin)
    assert np.all(np.isfinite(forward))
    np.testing.assert_allclose(forward, reverse, atol=1e-14)


def test_sam_at_a_critical_point_other_than_zero_of_a_curved_loss():
    saddle = jnp.array([0.0, 1.0])
    np.testing.assert_array_equal(SAM(0.5).perturb(jax.grad(get_loss("beale")), saddle), saddle)


def test_only_normalised_perturbations_are_discontinuous():
    assert [method.discontinuous for method in EVERY] == [
        False, True, True, False, True, True, False, False, True,
    ]  # fmt: skip


def test_radius_is_what_was_given_and_at_radius_changes_nothing_else():
    for method in WITH_RADIUS:
        assert float(method.radius) == RHO
        other = method.at_radius(0.7)
        assert float(other.radius) == 0.7
        assert jax.tree.structure(other) == jax.tree.structure(method)
        assert float(method.radius) == RHO
    assert float(SAM(RHO, 0.1).at_radius(0.7).eps) == 0.1
    assert float(ASAM(RHO, 0.2).at_radius(0.7).offset) == 0.2
    assert float(GD().radius) == float(GD().at_radius(0.7).radius) == 0


@pytest.mark.parametrize("method", WITH_RADIUS)
def test_radius_zero_is_gradient_descent_exactly(method):
    w = jnp.asarray(START)
    none = method.at_radius(0.0)
    np.testing.assert_array_equal(none.perturb(jax.grad(LOSS), w), w)
    np.testing.assert_allclose(none.direction(jax.grad(LOSS), w), SPECTRUM * START, **ROUNDING)


@pytest.mark.parametrize("bad", [-1e-3, np.nan, np.inf, np.array([0.1, -0.1])])
@pytest.mark.parametrize("method", [SAM, USAM, ASAM])
def test_a_negative_or_undefined_radius_is_refused(method, bad):
    said = "rho must be a finite number ≥ 0, not (-0.001|nan|inf|-0.1)"
    with pytest.raises(InvalidInput, match=said):
        method(bad)
    for made in (method(0.1), MultiStep(method(0.1), 2), PerturbedLossGradient(method(0.1))):
        with pytest.raises(InvalidInput, match=said):
            made.at_radius(bad)


@pytest.mark.parametrize("steps", [0, -2])
def test_multi_step_needs_a_step(steps):
    with pytest.raises(InvalidInput, match=f"1 step or more, not {steps}"):
        MultiStep(SAM(0.1), steps)


TREE = {
    "matrix": jnp.array([[0.6, -0.8], [1.1, 0.2]]),
    "row": jnp.array([0.3, -0.4, 0.9]),
    "number": jnp.array(0.7),
}


def tree_loss(w):
    bent = jnp.tanh(w["matrix"] @ w["row"][:2]) + w["number"]
    return jnp.sum(bent**2) + jnp.sum(w["row"] ** 4) * w["number"]


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.thorough
def test_a_pytree_gives_what_the_flat_vector_gives(method):
    flat, unravel = jax.flatten_util.ravel_pytree(TREE)

    @jax.jit
    def both(tree, flat):
        by_tree = (
            method.perturb(jax.grad(tree_loss), tree),
            method.direction(jax.grad(tree_loss), tree),
        )
        loss = lambda v: tree_loss(unravel(v))  # noqa: E731
        return by_tree, (
            method.perturb(jax.grad(loss), flat),
            method.direction(jax.grad(loss), flat),
        )

    by_tree, by_vector = both(TREE, flat)
    for tree, vector in zip(by_tree, by_vector, strict=True):
        assert jax.tree.structure(tree) == jax.tree.structure(TREE)
        np.testing.assert_allclose(
            jax.flatten_util.ravel_pytree(tree)[0], vector, rtol=1e-13, atol=1e-15
        )


@pytest.mark.parametrize("method", WITH_RADIUS)
def test_vmap_over_radius_and_over_start_is_a_loop(method):
    beale = get_loss("beale")
    radii = jnp.array([0.0, 0.1, 0.5])
    starts = jnp.array([[1.0, 2.0], [0.0, 1.0], [-1.0, 0.3]])
    one = jax.jit(lambda rho, w: method.at_radius(rho).direction(jax.grad(beale), w))
    batch = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(radii, starts)
    loop = np.array([[one(rho, w) for w in starts] for rho in radii])
    # Batched and single code round their sums in another order.
    np.testing.assert_allclose(batch, loop, rtol=1e-12, atol=1e-12)


def counted(loss):
    """The loss, and a list that grows by one at every trace or eager call of it."""
    traces = []

    def loss_that_counts(w):
        traces.append(None)
        return loss(w)

    return loss_that_counts, traces


@pytest.mark.parametrize("method", [SAM, USAM, ASAM, lambda rho: MultiStep(SAM(rho), 2)])
def test_no_new_radius_rate_start_or_number_of_steps_recompiles(method):
    loss, traces = counted(get_loss("beale"))
    iterate(StepMap(loss, method(0.1), 1e-3, 0.5), jnp.array([1.0, 2.0]), 7)
    traced = len(traces)
    assert traced > 0
    for rho, rate, gamma, x, steps in [(0.2, 1e-3, 0.9, 1.0, 7), (0.0, 2e-3, 0.1, 1.5, 300)]:
        iterate(StepMap(loss, method(rho), rate, gamma), jnp.array([x, 2.0]), steps)
        iterate(StepMap(loss, method(0.5).at_radius(rho), rate, gamma), jnp.array([x, 2.0]), steps)
    assert len(traces) == traced


def test_the_step_starts_from_the_very_w_and_not_from_a_restored_one():
    beale = get_loss("beale")
    perturbed_and_restored = 0
    for method in (SAM(RHO), USAM(0.01), MultiStep(SAM(RHO), 2)):
        step = StepMap(beale, method, 1e-3)
        for x in np.linspace(-0.9, 1.1, 5):
            w = jnp.array([x, 0.37])
            w_perturbed = method.perturb(jax.grad(beale), w)
            by_hand = w - jnp.asarray(1e-3) * jax.grad(beale)(w_perturbed)
            np.testing.assert_array_equal(step(State(w, None)).w, by_hand)
            restored = w_perturbed - (w_perturbed - w)
            perturbed_and_restored += bool(jnp.any(restored != w))
    # Adding and taking away the perturbation would have lost bits here.
    assert perturbed_and_restored > 0


def test_float32_stays_float32():
    w = jnp.asarray(START, jnp.float32)
    for method in EVERY:
        assert method.perturb(jax.grad(LOSS), w).dtype == jnp.float32
        assert method.direction(jax.grad(LOSS), w).dtype == jnp.float32


def test_sam_is_scale_free_in_the_loss_and_usam_is_not():
    w = jnp.asarray(START)
    scaled = lambda v: 1e-3 * LOSS(v)  # noqa: E731
    for method, same in [(SAM(RHO), True), (USAM(RHO), False)]:
        here, there = (method.perturb(jax.grad(loss), w) for loss in (LOSS, scaled))
        assert bool(jnp.allclose(here, there, rtol=1e-14, atol=0)) is same
