"""`diagnose` on a hundred generated sets of minibatches against numpy: nothing wrong in silence.

Weighted least squares with weights of either sign: coordinates in units over six decades, batches
of unequal weight. Curvature, rates of runs and the spectral radius of the mean step are known.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from verbs import diagnose

from samdyn import GD, SAM, USAM
from samdyn.spectra.ends import NEGATIVE, NONE_FOUND

pytestmark = pytest.mark.thorough

DIM, EXAMPLES, BATCHES = 4, 12, 3


def loss(w, batch):
    """Mean of s (x·w)²/2 − y x·w."""
    out = batch["x"] @ w
    return jnp.mean(batch["s"] * out**2 / 2 - batch["y"] * out)


def problem(seed):
    """(batches, weights, their Hessians (b, d, d), their linear terms (b, d)) of one problem."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** (rng.uniform(-3, 3) + rng.uniform(0, 3) * rng.uniform(-1, 1, DIM))
    x = rng.normal(size=(BATCHES, EXAMPLES, DIM)) * units
    s = rng.normal(size=(BATCHES, EXAMPLES)) + rng.choice([0.0, 1.0, 3.0])
    y = rng.normal(size=(BATCHES, EXAMPLES)) * rng.choice([0.0, 1.0])
    batches = [{"x": a, "s": b, "y": c} for a, b, c in zip(x, s, y, strict=True)]
    hessians = np.einsum("bn,bni,bnj->bij", s, x, x) / EXAMPLES
    return batches, rng.uniform(0.1, 3, BATCHES), hessians, np.einsum("bn,bni->bi", y, x) / EXAMPLES


def tangent(method, hessian, gradient):
    """The derivative of one minibatch's descent."""
    one = np.eye(DIM)
    if isinstance(method, GD):
        return hessian
    if isinstance(method, USAM):
        return hessian @ (one + float(method.rho) * hessian)
    norm = np.linalg.norm(gradient)
    unit = gradient / norm
    return hessian @ (one + float(method.rho) / norm * (one - np.outer(unit, unit)) @ hessian)


def matrix(descent, rate, momentum):
    """The step on (w, m)."""
    one = np.eye(DIM)
    if momentum == 0:
        return one - rate * descent
    return np.block([[one - rate * descent, -rate * momentum * one], [descent, momentum * one]])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_hundred_sets_of_batches(momentum):
    told = 0
    for seed in range(100 if momentum == 0 else 30):
        rng = np.random.default_rng(1000 + seed)
        batches, weights, hessians, linear = problem(seed)
        p = weights / np.sum(weights)
        mean = np.einsum("b,bij->ij", p, hessians)
        values, vectors = np.linalg.eigh(mean)
        size = np.max(np.abs(values))
        rate = rng.uniform(0.1, 3) / size
        w = rng.normal(size=DIM) * np.linalg.norm(linear) / size
        gradients = np.einsum("bij,j->bi", hessians, w) - linear
        normal = np.max(np.linalg.norm(gradients, axis=1))
        choices = [GD(), USAM(rng.uniform(0.1, 2) / size)]
        if normal > 0:
            choices.append(SAM(rng.uniform(0.1, 2) * normal / size))
        method = choices[seed % len(choices)]
        found = diagnose(
            loss, jnp.asarray(w), batches, method, rate, momentum, weights=weights, check=False
        )
        np.testing.assert_allclose(
            found.gradient_norm, np.linalg.norm(p @ gradients), rtol=1e-9, atol=1e-12 * normal
        )
        for end, value in ((found.ends.low, values[0]), (found.ends.high, values[-1])):
            assert abs(end.value - value) <= end.residual + end.error + 1e-14 * size, seed
        if found.ends.curvature == NEGATIVE:
            assert values[0] < 0, seed
        elif found.ends.curvature == NONE_FOUND:
            assert values[0] > -1e-12 * size, seed
        told += found.ends.curvature in (NEGATIVE, NONE_FOUND)
        descents = np.array(
            [tangent(method, h, g) for h, g in zip(hessians, gradients, strict=True)]
        )
        if not found.spectral_radius.converged:
            continue
        step = matrix(np.einsum("b,bij->ij", p, descents), rate, momentum)
        radius = np.max(np.abs(np.linalg.eigvals(step)))
        assert abs(found.spectral_radius.value - radius) <= found.spectral_radius.error + 1e-9, seed
        for growth, v in ((found.bottom, vectors[:, 0]), (found.top, vectors[:, -1])):
            if growth is None or momentum:
                continue
            factors = 1 - rate * np.einsum("i,bij,j->b", v, descents, v)
            np.testing.assert_allclose(growth.mean.value, np.log(abs(p @ factors)), atol=1e-4)
            runs = p @ np.log(np.abs(factors))
            np.testing.assert_allclose(growth.almost_sure.value, runs, atol=1e-4)
            square = np.log(p @ factors**2) / 2
            np.testing.assert_allclose(growth.mean_square.value, square, atol=1e-4)
    assert told >= 0.9 * (100 if momentum == 0 else 30)
