"""Hessians of small networks against dense ones; what is no loss of its parameters is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import samdyn
from samdyn.errors import ComputationFailed, InvalidInput
from samdyn.spectra.products import hessian as hessian_module


def data(dtype=np.float64, batches=3, size=20):
    random = np.random.default_rng(0)
    x = random.standard_normal((batches, size, 4)).astype(dtype)
    y = np.sin(x @ random.standard_normal((4, 2))).astype(dtype)
    return [(jnp.asarray(a), jnp.asarray(b)) for a, b in zip(x, y, strict=True)]


def mlp(dtype=jnp.float64):
    return eqx.nn.MLP(4, 2, 6, 2, activation=jnp.tanh, key=jax.random.key(0), dtype=dtype)


def loss(net, batch):
    x, y = batch
    return jnp.mean((jax.vmap(net)(x) - y) ** 2)


def dense(net, batches):
    floats, rest = eqx.partition(net, eqx.is_inexact_array)
    w, unravel = ravel_pytree(floats)
    total = lambda w: sum(loss(eqx.combine(unravel(w), rest), b) for b in batches) / len(batches)  # noqa: E731
    return w, jax.jit(jax.hessian(total))(w), jax.jit(jax.value_and_grad(total))(w)


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("batches", [1, 3])
def test_products_are_those_of_the_dense_hessian(reuse, batches, monkeypatch):
    monkeypatch.setattr(hessian_module, "REUSE_BYTES", 2**40 if reuse else 0)
    some = data(batches=batches)
    operator = samdyn.hessian(loss, mlp(), some)
    w, matrix, (value, gradient) = dense(mlp(), some)
    v = jnp.linspace(-1.0, 1.0, w.size)
    np.testing.assert_allclose(operator(v), matrix @ v, atol=1e-12)
    np.testing.assert_allclose(operator.gradient, gradient, atol=1e-14)
    assert operator.loss == pytest.approx(float(value), abs=1e-14)
    assert operator.memory_bytes > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.thorough
def test_the_ends_of_an_mlp_are_within_their_residuals(dtype):
    some, net = data(dtype), mlp(dtype)
    ends = samdyn.spectrum_ends(samdyn.hessian(loss, net, some), rtol=1e-3)
    exact = np.linalg.eigvalsh(dense(mlp(), data())[1])
    net64 = jax.tree.map(lambda x: x.astype(np.float64) if eqx.is_inexact_array(x) else x, net)
    exact = np.linalg.eigvalsh(
        dense(net64, [jax.tree.map(lambda a: a.astype(np.float64), b) for b in some])[1]
    )
    assert abs(ends.low.value - exact[0]) <= ends.low.residual + ends.low.error
    assert abs(ends.high.value - exact[-1]) <= ends.high.residual + ends.high.error


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("method", [samdyn.GD(), samdyn.SAM(0.3), samdyn.USAM(0.3)])
@pytest.mark.thorough
def test_the_radius_of_a_training_step_is_that_of_its_dense_jacobian(method, momentum):
    operator = samdyn.hessian(loss, mlp(), data())
    step_map = samdyn.StepMap(operator.mean, method, 0.5, momentum or None)
    state = step_map.init(operator.w)
    found = samdyn.spectral_radius(samdyn.step_operator(step_map, state), rtol=1e-3)
    exact = np.abs(np.linalg.eigvals(samdyn.state_jacobian(step_map, operator.w))).max()
    assert found.converged
    assert found.value == pytest.approx(exact, abs=3 * found.residual + 1e-9)


def test_the_density_has_the_moments_of_the_spectrum():
    """With as many products as dimensions each probe's quadrature is exact for its own measure."""
    operator = samdyn.hessian(loss, mlp(), data())
    exact = np.linalg.eigvalsh(dense(mlp(), data())[1])
    found = samdyn.spectral_density(operator, probes=40, krylov=40)
    for power in (1, 2):
        mean, error = found.mean(lambda x, power=power: x**power)
        assert abs(mean - np.mean(exact**power)) < 4 * error
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-10)
    grid = np.linspace(exact[0] - 1, exact[-1] + 1, 2001)
    assert np.trapezoid(found.on(grid, 0.05), grid) == pytest.approx(1, abs=1e-6)


@pytest.mark.thorough
def test_the_ladder_ends_with_all_batches():
    found = samdyn.ladder(loss, mlp(), data(batches=5), rtol=1e-4)
    assert [rung.batches for rung in found.rungs] == [1, 2, 4, 5]
    exact = np.linalg.eigvalsh(dense(mlp(), data(batches=5))[1])
    assert found.rungs[-1].ends.high.value == pytest.approx(exact[-1], rel=1e-3)
    assert "batches" in str(found)


class Normed(eqx.Module):
    """Batch norm by hand: no layer to recognise."""

    weight: jax.Array

    def __call__(self, x):
        z = x @ self.weight
        return (z - jnp.mean(z)) / jnp.std(z)


def refused(words, loss, params, batches, error=InvalidInput):
    with pytest.raises(error, match=words) as caught:
        samdyn.hessian(loss, params, batches)
    assert "\n" not in str(caught.value)


def test_batch_norm_and_dropout_are_refused():
    x, y = data()[0]
    refused(
        "see each other",
        lambda p, b: jnp.mean((p(b[0]) - b[1][:, 0]) ** 2),
        Normed(jnp.ones(4)),
        [(x, y)],
    )
    dropout = [mlp(), eqx.nn.Dropout(0.5)]
    refused("Dropout in training mode", lambda p, b: loss(p[0], b), dropout, data())
    key = jax.random.key(3)

    def dropped(net, batch):
        keep = jax.random.bernoulli(key, 0.5, batch[0].shape).astype(float)
        return loss(net, (batch[0] * keep, batch[1]))

    refused("noise differs", dropped, mlp(), data())


def test_dropout_in_inference_mode_is_welcome():
    params = eqx.nn.inference_mode([mlp(), eqx.nn.Dropout(0.5)])
    samdyn.hessian(lambda p, b: loss(p[0], b), params, data())


def test_hidden_randomness_is_refused():
    random = np.random.default_rng(0)
    noisy = lambda net, batch: loss(net, batch) + random.standard_normal()  # noqa: E731
    refused("hidden state", noisy, mlp(), data())


def test_what_is_no_loss_is_one_sentence():
    x, y = data()[0]
    refused("no floating-point", loss, {"n": jnp.arange(3)}, data())
    refused("must be a scalar", lambda p, b: jax.vmap(p)(b[0])[:, 0], mlp(), data())
    refused("another structure", loss, mlp(), [(x, y), [x, y]])
    refused("batches is empty", loss, mlp(), [])
    refused("the loss is nan", lambda p, b: loss(p, b) * jnp.nan, mlp(), data(), ComputationFailed)
    refused("failed", lambda p, b: loss(p, (b[0][:, :2], b[1])), mlp(), data())
    mixed = {"a": jnp.ones(2, jnp.float32), "b": jnp.ones(2)}
    refused("mixes float32, float64", lambda p, b: jnp.sum(p["b"]), mixed, data())
