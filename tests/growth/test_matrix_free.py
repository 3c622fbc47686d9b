"""Rates of a network without its Jacobians, against Jacobians written down, and against runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, USAM, StepMap
from samdyn.growth.matrix_free import Products, almost_sure, mean_square
from samdyn.growth.products import growth_of, moment

EVEN = np.full(8, 1 / 8)


def network(hidden, seed=0):
    """(loss, parameters, 8 batches) of a net of 16·hidden + 10 parameters on noise."""
    rng = np.random.default_rng(seed)
    batches = [(rng.normal(size=(20, 5)), rng.integers(10, size=20)) for _ in range(8)]

    def loss(w, batch):
        x, y = batch
        first, bias, last = jnp.split(w[:-10], [5 * hidden, 6 * hidden])
        inner = jnp.tanh(jnp.asarray(x) @ first.reshape(5, hidden) + bias[None])
        scores = inner @ last.reshape(hidden, 10) + w[None, -10:]
        return -jnp.mean(jax.nn.log_softmax(scores)[jnp.arange(len(y)), jnp.asarray(y)])

    return loss, rng.normal(size=16 * hidden + 10) / 2, batches


def stepper(loss, method, eta, gamma, d):
    def step(v, batch):
        w, m = v[:d], v[d:]
        g = method.direction(jax.grad(lambda u: loss(u, batch)), w)
        m = gamma * m + g if gamma else m
        w = w - eta * (m if gamma else g)
        return jnp.concatenate([w, m])

    return step


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("method", "eta", "gamma", "hidden"),
    [(GD(), 3.0, 0.0, 12), (USAM(0.05), 1.0, 0.0, 12), (USAM(0.05), 1.0, 0.9, 6)],
)
def test_a_network_of_200_numbers_is_as_dense(method, eta, gamma, hidden):
    loss, w, batches = network(hidden)
    state = jnp.asarray(np.concatenate([w, np.zeros(len(w) * (gamma > 0))]))
    step = stepper(loss, method, eta, gamma, len(w))
    dense = np.stack([np.asarray(jax.jacfwd(step)(state, batch)) for batch in batches])[None]
    exact = moment(dense, EVEN, 2)
    products = Products(step, state, batches)
    found = mean_square(products, EVEN, 1e-6, 2500)
    assert found.rate.value == pytest.approx(exact, abs=1e-6)
    assert abs(found.rate.value - exact) <= found.rate.error
    rough = mean_square(Products(step, state, batches), EVEN, 1e-2, 1200)
    assert abs(rough.rate.value - exact) <= rough.rate.error
    runs = almost_sure(products, EVEN, 400)
    true = growth_of(dense, EVEN).almost_sure
    assert abs(runs.value - true.value) <= 1.5 * (runs.error + true.error)


@pytest.mark.thorough
def test_a_larger_network_is_asked_without_jacobians_and_agrees_with_runs():
    loss, w, batches = network(30)
    assert len(w) > 300
    eta = 8.0
    found = samdyn.exponents(StepMap(loss, GD(), eta), at=w, batches=batches, rtol=1e-2)
    assert found.multipliers is None
    assert "moves this point" in str(found)
    # 64 displacements, 40 steps, each step on one batch: what they have grown by
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        hessians = [np.asarray(jax.hessian(loss)(jnp.asarray(w), batch)) for batch in batches]
    v = rng.normal(size=(64, len(w)))
    logs = []
    for _ in range(60):
        v = np.stack(
            [u - eta * hessians[i] @ u for u, i in zip(v, rng.integers(8, size=64), strict=True)]
        )
        size = np.linalg.norm(v, axis=1, keepdims=True)
        logs.append(np.log(size[:, 0]))
        v = v / size
    rates = np.mean(logs[20:], axis=0)
    error = 2 * np.std(rates) / 8
    assert abs(found.almost_sure.value - np.mean(rates)) <= error + found.almost_sure.error
    assert found.mean.value <= found.mean_square.value + found.mean_square.error
    assert found.almost_sure.value <= found.mean_square.value


def test_small_maps_close_their_space():
    """In 3 dimensions the space is all there is, and the rate is exact."""
    rows = np.random.default_rng(0).normal(size=(8, 3))
    step = lambda v, x: v - 0.2 * x * jnp.vdot(x, v)  # noqa: E731
    products = Products(step, jnp.zeros(3), [jnp.asarray(x) for x in rows])
    found = mean_square(products, EVEN, 1e-3, 1000)
    dense = np.array([np.eye(3) - 0.2 * np.outer(x, x) for x in rows])[None]
    assert found.rate.value == pytest.approx(moment(dense, EVEN, 2), abs=1e-9)
    assert found.converged
