"""The noisy step: two steps by algebra, Euler on the diffusion, and exact stationary variances."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.dynamics.coupling import COUPLINGS, Independent, SameBatch
from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import EMA, HeavyBall, Nesterov, NoMomentum
from samdyn.dynamics.noise.noise import Additive, Fisher, Isotropic
from samdyn.dynamics.systems.diffusion import Diffusion
from samdyn.dynamics.systems.map import State
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.dynamics.systems.stochastic_map import StochasticStepMap
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss

BEALE = get_loss("beale")
W = jnp.array([0.7, 0.4])
Z = jnp.array([[0.3, -1.1], [0.8, 0.2]])
ETA, GAMMA = 0.01, 0.7
MOMENTA = [NoMomentum(), HeavyBall(GAMMA), EMA(GAMMA), Nesterov(GAMMA)]


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("name", COUPLINGS)
@pytest.mark.thorough
def test_first_two_steps_are_the_momentum_of_the_random_direction(momentum, name):
    coupling, method, noise = COUPLINGS[name], SAM(0.1), Fisher(4)
    step_map = StochasticStepMap(BEALE, method, ETA, noise, coupling, momentum)
    state, w, memory = step_map.init(W), W, momentum.init(W)
    for row in (jnp.concatenate([Z[0], Z[1]]), jnp.concatenate([Z[1], Z[0]])):
        z = row[: step_map.draws(W)]
        state = eqx.filter_jit(step_map.step)(state, z)
        d = coupling.modelled_step(BEALE, method, noise, None, w, z)[0]
        memory, move = momentum.update(memory, d)
        w = w - ETA * move
        np.testing.assert_allclose(state.w, w, rtol=1e-13)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("noise", [Isotropic(0.0), Additive(0.0)])
def test_without_noise_it_is_the_plain_step_map(momentum, noise):
    plain = StepMap(BEALE, ASAM(0.1), ETA, momentum)
    noisy = StochasticStepMap(BEALE, ASAM(0.1), ETA, noise, momentum=momentum)
    expected, state = plain.init(W), noisy.init(W)
    for z in Z:
        expected, state = plain(expected), noisy.step(state, z)
        np.testing.assert_allclose(state.w, expected.w, rtol=1e-15)


def test_additive_noise_moves_w_by_s_root_eta_whatever_the_coupling():
    for coupling in COUPLINGS.values():
        step_map = StochasticStepMap(BEALE, SAM(0.1), ETA, Additive(0.3), coupling)
        assert step_map.draws(W) == 2
        after = step_map.step(step_map.init(W), Z[0]).w
        expected = W - ETA * SAM(0.1).direction(jax.grad(BEALE), W) + 0.3 * np.sqrt(ETA) * Z[0]
        np.testing.assert_allclose(after, expected, rtol=1e-14)


def test_additive_noise_with_momentum_is_that_of_a_gradient():
    step_map = StochasticStepMap(BEALE, GD(), ETA, Additive(0.3), momentum=GAMMA)
    state = State(W, jnp.array([1.0, 2.0]))
    after = step_map.step(state, Z[0])
    noisy = jax.grad(BEALE)(W) - 0.3 / np.sqrt(ETA) * Z[0]
    np.testing.assert_allclose(after.memory, GAMMA * state.memory + noisy, rtol=1e-14)
    np.testing.assert_allclose(after.w, W - ETA * after.memory, rtol=1e-14)


@pytest.mark.parametrize("noise", [Additive(0.3), Isotropic(0.5), Fisher(4)])
def test_gradient_descent_is_eulers_method_on_its_diffusion(noise):
    sde = Diffusion(BEALE, GD(), ETA, noise)
    step_map = StochasticStepMap(BEALE, GD(), ETA, noise)
    sign = 1 if noise.additive else -1  # noise of a gradient is descended
    euler = W + ETA * sde.drift(W) + np.sqrt(ETA) * sde.disperse(W, sign * Z[0])
    np.testing.assert_allclose(step_map.step(step_map.init(W), Z[0]).w, euler, rtol=1e-14)


@pytest.mark.parametrize("coupling", [SameBatch(), Independent()])
@pytest.mark.thorough
def test_stationary_variance_with_momentum_is_exact(coupling):
    eta, rho, curvature, batch = 0.1, 0.2, 1.5, 4
    step_map = StochasticStepMap(
        quadratic((curvature,), None), USAM(rho), eta, Fisher(batch), coupling, GAMMA
    )
    factor = (1 + rho * curvature) ** 2 if coupling == SameBatch() else 1 + (rho * curvature) ** 2
    nu, a = curvature / batch * factor, curvature * (1 + rho * curvature)
    exact = eta * nu * (1 + GAMMA) / (a * (1 - GAMMA) * (2 * (1 + GAMMA) - eta * a))
    paths = 20_000

    def run(key):
        state, _ = jax.lax.scan(
            lambda state, key: (step_map(state, key), None),
            step_map.init(jnp.zeros(1)),
            jax.random.split(key, 150),  # |multiplier|²⁼¹⁵⁰ < 1e-20
        )
        return state.w[0]

    w = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), paths)))
    assert w.var() == pytest.approx(exact, rel=4 * np.sqrt(2 / paths))


@pytest.mark.thorough
def test_a_key_draws_standard_normals_in_the_precision_of_w():
    step_map = StochasticStepMap(BEALE, SAM(0.1), ETA, Fisher(4), Independent())
    key = jax.random.key(5)
    for dtype in (jnp.float32, jnp.float64):
        state = step_map.init(W.astype(dtype))
        after = step_map(state, key).w
        z = jax.random.normal(key, (4,), dtype)
        np.testing.assert_array_equal(after, step_map.step(state, z).w)
        assert after.dtype == dtype


def test_new_numbers_do_not_compile_again_and_radii_are_replaced():
    traces = []

    @eqx.filter_jit
    def step(step_map, state, z):
        traces.append(0)
        return step_map.step(state, z)

    for number in (0.1, 0.2, 0.3):
        step_map = StochasticStepMap(
            BEALE, SAM(number), number, Isotropic(number, int(10 * number)), momentum=number
        )
        step(step_map, step_map.init(W), Z[0])
        assert float(step_map.at_radius(0.5).method.radius) == 0.5
    assert len(traces) == 1


def test_parameters_may_be_a_pytree():
    join = lambda w: jnp.concatenate([w["x"][None], w["y"]])  # noqa: E731
    parts = SAM(0.1), ETA, Fisher(4), SameBatch(), GAMMA
    nested = StochasticStepMap(lambda w: BEALE(join(w)), *parts)
    flat = StochasticStepMap(BEALE, *parts)
    found = nested.step(nested.init({"x": W[0], "y": W[1:]}), Z[0]).w
    np.testing.assert_allclose(join(found), flat.step(flat.init(W), Z[0]).w, rtol=1e-14)
