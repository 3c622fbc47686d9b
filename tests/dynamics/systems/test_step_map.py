"""The optimizer as a map on its own state, and the Jacobian of that map."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import EMA, HeavyBall, Nesterov
from samdyn.dynamics.systems.map import flat_step, state_jacobian
from samdyn.dynamics.systems.optax_map import OptaxStepMap
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss

ETA, A, GAMMA = 0.05, 3.0, 0.7
ONE = quadratic((A,), None)
AT = jnp.array([0.4])


@pytest.mark.parametrize(
    ("momentum", "matrix"),
    [
        (0, [[1 - ETA * A]]),
        (HeavyBall(GAMMA), [[1 - ETA * A, -ETA * GAMMA], [A, GAMMA]]),
        (
            EMA(GAMMA),
            [[1 - ETA * (1 - GAMMA) * A, -ETA * GAMMA], [(1 - GAMMA) * A, GAMMA]],
        ),
        (
            Nesterov(GAMMA),
            [[1 - ETA * (1 + GAMMA) * A, -ETA * GAMMA**2], [A, GAMMA]],
        ),
    ],
)
def test_state_jacobian_on_a_quadratic_is_the_matrix_of_theory(momentum, matrix):
    found = state_jacobian(StepMap(ONE, GD(), ETA, momentum), AT)
    np.testing.assert_allclose(found, matrix, rtol=0, atol=2e-15)


def test_usam_enters_the_jacobian_through_the_effective_curvature():
    a = A * (1 + 0.2 * A)
    found = state_jacobian(StepMap(ONE, USAM(0.2), ETA, GAMMA), AT)
    matrix = [[1 - ETA * a, -ETA * GAMMA], [a, GAMMA]]
    np.testing.assert_allclose(found, matrix, rtol=0, atol=4e-15)


def test_state_jacobian_in_two_dimensions_has_blocks_w_then_buffer():
    loss = quadratic((A, -1.0), 3)
    h = np.asarray(loss.function.matrix)
    found = state_jacobian(StepMap(loss, GD(), ETA, GAMMA), jnp.array([0.1, 0.2]))
    eye = np.eye(2)
    blocks = np.block([[eye - ETA * h, -ETA * GAMMA * eye], [h, GAMMA * eye]])
    np.testing.assert_allclose(found, blocks, rtol=0, atol=2e-15)


def test_optax_state_jacobian_leaves_counters_out():
    chain = optax.chain(optax.trace(GAMMA), optax.scale_by_schedule(lambda count: -ETA))
    found = state_jacobian(OptaxStepMap(ONE, chain), AT)
    matrix = [[1 - ETA * A, -ETA * GAMMA], [A, GAMMA]]
    np.testing.assert_allclose(found, matrix, rtol=0, atol=2e-15)


def test_flat_step_is_the_step():
    tree = {"a": jnp.array([0.3, -0.2]), "b": jnp.array(0.5)}
    loss = lambda w: jnp.sum(w["a"] ** 4) * w["b"] + w["b"] ** 2  # noqa: E731
    step_map = StepMap(loss, SAM(0.1), ETA, GAMMA)
    state = step_map.init(tree)
    step, flat = flat_step(step_map, state)
    step = jax.jit(step)
    assert flat.shape == (6,)
    after = jax.flatten_util.ravel_pytree(step_map(state))[0]
    np.testing.assert_allclose(step(flat), after, rtol=0, atol=1e-16)
    jacobian = jax.jit(lambda w: state_jacobian(step_map, w))(tree)
    assert jacobian.shape == (6, 6)
    h = 1e-6
    columns = [(step(flat + h * e) - step(flat - h * e)) / (2 * h) for e in jnp.eye(6)]
    np.testing.assert_allclose(jacobian, jnp.stack(columns, 1), atol=1e-8)


@pytest.mark.parametrize("bad", [0.0, -1e-3, np.nan, np.inf])
def test_a_learning_rate_that_is_not_positive_is_refused(bad):
    with pytest.raises(InvalidInput, match="learning rate must be a finite number > 0, not"):
        StepMap(ONE, GD(), bad)


def test_at_radius_replaces_the_radius_only():
    step_map = StepMap(get_loss("beale"), SAM(0.1, 0.01), ETA, Nesterov(GAMMA))
    other = step_map.at_radius(0.5)
    assert float(other.method.radius) == 0.5
    assert eqx.tree_equal(other.at_radius(0.1), step_map)
    assert eqx.tree_equal(StepMap(ONE, GD(), ETA).at_radius(0.5).method, GD())
    optimizer = OptaxStepMap(ONE, optax.sgd(ETA), USAM(0.1)).at_radius(0.5)
    assert float(optimizer.method.radius) == 0.5
    with pytest.raises(InvalidInput, match="rho must be"):
        step_map.at_radius(-1.0)


def test_optax_is_given_the_parameters_for_weight_decay():
    decay = optax.chain(optax.add_decayed_weights(0.5), optax.scale(-ETA))
    step_map = OptaxStepMap(ONE, decay)
    after = step_map(step_map.init(AT))
    np.testing.assert_allclose(after.w, AT - ETA * (A + 0.5) * AT, rtol=0, atol=1e-16)


def test_float32_stays_float32_in_parameters_and_buffer():
    w = jnp.array([1.0, 2.0], jnp.float32)
    for momentum in (0, HeavyBall(0.9), EMA(0.9), Nesterov(0.9)):
        step_map = StepMap(get_loss("beale"), SAM(0.1), 1e-3, momentum)
        state = step_map(step_map.init(w))
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}
