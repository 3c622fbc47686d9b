"""Identities that hold whatever the loss: between methods, between flow and step, between ways
of computing the same rows, and between dimensions and frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import basins, integrate, iterate, stability, sweep

from samdyn import (
    ASAM,
    EMA,
    GD,
    SAM,
    USAM,
    Flow,
    HeavyBall,
    MultiStep,
    Nesterov,
    PerturbedLossGradient,
    StepMap,
    eigenvalues,
    get_loss,
    quadratic,
    state_jacobian,
)

# one, some, and more than 2 × 16,384, above which one version of jaxlib gives wrong numbers
ROWS = [1, 999, 32769]
METHODS = [GD(), SAM(0.2), USAM(0.02), ASAM(0.2), PerturbedLossGradient(USAM(0.02))]
BEALE = get_loss("beale")


def starts(rows, dim=2):
    return np.random.default_rng(rows).uniform(-1.5, 1.5, (rows, dim))


def sample(rows):
    """Rows that a plain loop repeats: the ends and some between."""
    return sorted({0, rows // 3, rows // 2, rows - 1})


def agree(function, points, close, eager=True):
    """jit = eager = vmap = loop = two devices, for a function of one row."""
    batched = jax.jit(jax.vmap(function))
    whole = jax.tree.map(np.asarray, batched(jnp.asarray(points)))
    rows = sample(len(points))
    single = jax.jit(function)
    for i in rows:
        close(jax.tree.map(lambda leaf, i=i: leaf[i], whole), single(jnp.asarray(points[i])))
    if eager and len(points) == 1:  # without compilation a row costs seconds, whatever its company
        with jax.disable_jit():
            close(jax.tree.map(lambda leaf: leaf[0], whole), function(jnp.asarray(points[0])))
    half = -(-len(points) // 2)
    parts = [
        jax.tree.map(np.asarray, batched(jax.device_put(jnp.asarray(part), device)))
        for part, device in zip((points[:half], points[half:]), jax.devices()[:2], strict=True)
        if len(part)
    ]
    close(whole, jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts))


def within(rtol, atol=0.0):
    def close(one, other):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)

    return close


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.thorough
def test_the_field_is_the_same_however_it_is_called(method, rows):
    flow = Flow(BEALE, method)
    agree(lambda w: flow.velocity(w), starts(rows), within(1e-9, 1e-9))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("momentum", [0.0, EMA(0.9), Nesterov(0.5)], ids=str)
@pytest.mark.thorough
def test_iteration_is_the_same_however_it_is_called(momentum, rows):
    step_map = StepMap(BEALE, SAM(0.2), 1e-4, momentum)
    run = lambda w: iterate(step_map, w, 5, at_steps=(0, 2, 5)).checkpoints  # noqa: E731
    agree(run, starts(rows), within(1e-11, 1e-12), eager=isinstance(momentum, Nesterov))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.thorough
def test_multipliers_are_the_same_however_they_are_called(rows):
    step_map = StepMap(BEALE, USAM(0.02), 1e-3)
    multipliers = lambda w: eigenvalues(state_jacobian(step_map, w))  # noqa: E731
    agree(multipliers, starts(rows), within(1e-6, 1e-6))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.thorough
def test_integration_is_the_same_however_it_is_called(rows):
    flow = Flow(get_loss("double-well-2d"), USAM(0.1))
    end = lambda w: integrate(flow, w, 0.5, points=2, max_steps=64).w  # noqa: E731
    points = starts(rows)
    whole = np.asarray(jax.jit(jax.vmap(end))(jnp.asarray(points)))
    for i in sample(rows):
        np.testing.assert_allclose(whole[i], end(jnp.asarray(points[i])), rtol=1e-9)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.thorough
def test_a_sweep_is_the_same_row_by_row(rows):
    """Each radius of the sweep against one judged alone."""
    radii = np.linspace(0.0, 0.2, rows + 1)
    result = sweep(BEALE, USAM(0.1), radii, at=[0.0, 1.0], learning_rate=1e-3)
    (branch,) = result.branches
    for i in sample(rows):
        alone = stability(BEALE, USAM(radii[i]), at=[0.0, 1.0], learning_rate=1e-3).points[0]
        assert branch.verdict[i] == alone.flow.verdict
        lead = np.max(np.real(alone.flow.eigenvalues))
        assert branch.leading_real_part[i] == pytest.approx(lead, rel=1e-11)
        largest = np.max(np.abs(alone.step.eigenvalues))
        assert branch.spectral_radius[i] == pytest.approx(largest, rel=1e-11)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.thorough
def test_basins_are_the_same_row_by_row_and_on_one_device(rows, monkeypatch):
    loss, method, eta = get_loss("double-well"), SAM(0.3), 0.02
    settings = {"box": loss.box, "grid": rows, "learning_rate": eta, "steps": 4000}
    result = basins(loss, method, **settings)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    np.testing.assert_array_equal(result.labels, basins(loss, method, **settings).labels)
    step_map = StepMap(loss, method, eta)
    for i in sample(rows):
        start = -2 + 4 * (i + 0.5) / rows
        end = float(iterate(step_map, jnp.array([start]), 4000).w[0])
        label = int(result.labels[i])
        assert abs(end - result.attractors[label].w[0]) < 0.05


@pytest.mark.parametrize("method", [SAM, USAM, ASAM, lambda r: PerturbedLossGradient(USAM(r))])
@pytest.mark.thorough
def test_at_radius_zero_every_method_is_gradient_descent(method):
    points = jnp.asarray(starts(50))
    plain = jax.vmap(Flow(BEALE, GD()).velocity)(points)
    np.testing.assert_allclose(
        jax.vmap(Flow(BEALE, method(0.0)).velocity)(points), plain, rtol=1e-12
    )


def test_one_ascent_is_the_base_method():
    points = jnp.asarray(starts(50))
    for base in (SAM(0.3), USAM(0.03)):
        one = jax.vmap(Flow(BEALE, MultiStep(base, 1)).velocity)(points)
        np.testing.assert_allclose(one, jax.vmap(Flow(BEALE, base).velocity)(points), rtol=1e-13)


@pytest.mark.thorough
def test_sam_is_usam_with_rho_over_the_gradient_norm():
    for w in starts(20):
        w = jnp.asarray(w)
        norm = float(jnp.linalg.norm(jax.grad(BEALE)(w)))
        sam, usam = Flow(BEALE, SAM(0.2)), Flow(BEALE, USAM(0.2 / norm))
        np.testing.assert_allclose(sam.velocity(w), usam.velocity(w), rtol=1e-9)


@pytest.mark.parametrize("method", [GD(), SAM(0.2), USAM(0.02)], ids=lambda m: type(m).__name__)
@pytest.mark.thorough
def test_a_rotation_of_the_loss_rotates_the_field(method):
    c, s = np.cos(0.7), np.sin(0.7)
    rotation = jnp.array([[c, -s], [s, c]])
    turned = lambda w: BEALE(rotation.T @ w)  # noqa: E731
    for w in starts(20):
        there = Flow(turned, method).velocity(rotation @ jnp.asarray(w))
        here = rotation @ Flow(BEALE, method).velocity(jnp.asarray(w))
        np.testing.assert_allclose(there, here, rtol=1e-8, atol=1e-8)


def test_the_step_is_the_flow_to_first_order():
    """(w⁺ − w)/η is the velocity exactly, for the plain step."""
    for method in METHODS:
        w = jnp.array([0.4, -0.3])
        step_map = StepMap(BEALE, method, 2.0**-20)
        moved = (step_map(step_map.init(w)).w - w) * 2.0**20
        np.testing.assert_allclose(moved, Flow(BEALE, method).velocity(w), rtol=1e-8)


@pytest.mark.thorough
def test_multipliers_are_one_plus_eta_times_the_flow_s_eigenvalues():
    loss, eta = quadratic((-2.0, 0.5, 4.0)), 0.03
    point = stability(loss, USAM(0.1), at=[0.0] * 3, learning_rate=eta).points[0]
    np.testing.assert_allclose(
        np.sort(np.real(point.step.eigenvalues)),
        np.sort(1 + eta * np.real(point.flow.eigenvalues)),
        rtol=1e-12,
    )


@pytest.mark.thorough
def test_momentum_does_not_move_the_lower_threshold_of_rho():
    loss, low = quadratic((-2.0, 1.0)), 0.5
    for momentum in (0.0, HeavyBall(0.9), EMA(0.9), Nesterov(0.9)):
        verdicts = [
            stability(
                loss, USAM(rho), at=[0.0, 0.0], learning_rate=0.05, momentum=momentum
            ).points[0].step.verdict
            for rho in (low * 0.999, low * 1.001)
        ]  # fmt: skip
        assert verdicts == ["saddle", "attractor"]


@pytest.mark.thorough
def test_the_perturbed_loss_gradient_is_the_gradient_of_the_perturbed_loss():
    for w in starts(10):
        w = jnp.asarray(w)
        usam = USAM(0.02)
        perturbed = lambda v, usam=usam: BEALE(usam.perturb(jax.grad(BEALE), v))  # noqa: E731
        field = Flow(BEALE, PerturbedLossGradient(usam)).velocity(w)
        np.testing.assert_allclose(field, -jax.grad(perturbed)(w), rtol=1e-11)


@pytest.mark.thorough
def test_a_singular_quadratic_is_degenerate_under_every_method():
    loss = quadratic((0.0, 1.0), seed=None)
    for method in (GD(), USAM(0.3), SAM(0.3)):
        point = stability(loss, method, at=[0.0, 0.0], learning_rate=0.1).points[0]
        assert point.flow.verdict == "degenerate"
        assert point.step.verdict == "degenerate"
