"""A diagnosis under an optax optimizer: growth as runs have it, not as plain steps would."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import samdyn
from samdyn import InvalidInput, OptaxStepMap

HESSIAN = jnp.diag(jnp.array([4.0, 1.0, -0.5, 0.3]))


def noise():
    drawn = np.random.default_rng(0).normal(size=(8, 4)) * np.array([1.0, 0.3, 0.02, 0.1])
    return jnp.asarray(drawn - drawn.mean(axis=0))


def loss(w, batch):
    return 0.5 * w["w"] @ HESSIAN @ w["w"] + jnp.mean(batch @ w["w"])


BATCHES = [jnp.stack([row, row]) for row in noise()]
AT = {"w": jnp.zeros(4)}


def growth(optimizer, runs=300, steps=600, from_step=200):
    """Mean growth per step of a small displacement along −½, of pairs of runs with equal noise."""
    rows, key = noise(), jax.random.key(1)

    def keep(i, state):
        row = rows[jax.random.randint(jax.random.fold_in(key, i), (), 0, 8)]
        return optimizer.update({"w": row}, state, AT)[1]

    settled = jax.lax.fori_loop(0, 5000, keep, optimizer.init(AT))

    def run(key, y):
        def step(carry, i):
            w, state = carry
            row = rows[jax.random.randint(jax.random.fold_in(key, i), (), 0, 8)]
            update, state = optimizer.update({"w": HESSIAN @ w["w"] + row}, state, w)
            w = optax.apply_updates(w, update)
            return (w, state), w["w"][2]

        start = {"w": jnp.zeros(4).at[2].set(y)}
        return jax.lax.scan(step, (start, settled), jnp.arange(steps + 1))[1]

    many = jax.jit(jax.vmap(run, (0, None)))
    keys = jax.random.split(key, runs)
    apart = np.mean(np.asarray(many(keys, 1e-7) - many(keys, -1e-7)), axis=0)
    return np.log(apart[steps] / apart[from_step]) / (steps - from_step)


@pytest.fixture(autouse=True)
def _as_optax_counts():
    """Optax itself divides floats by integers."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.thorough
def test_adamw_grows_along_negative_curvature_as_its_runs_do():
    optimizer = optax.adamw(2e-5, weight_decay=1e-2)
    found = samdyn.diagnose(OptaxStepMap(loss, optimizer), AT, BATCHES)
    assert found.verdict == "saddle"
    predicted = np.log(found.spectral_radius.value)
    assert predicted == pytest.approx(growth(optimizer), rel=0.04)
    assert (
        predicted > 50 * 2e-5 * 0.5
    )  # as plain steps of this learning rate would: 59 times slower
    assert "coordinates that the optimizer divides by" in found.checked


def test_sgd_of_optax_is_the_step_map():
    one = samdyn.diagnose(OptaxStepMap(loss, optax.sgd(1e-2, momentum=0.9)), AT, BATCHES)
    other = samdyn.diagnose(samdyn.StepMap(loss, samdyn.GD(), 1e-2, 0.9), AT, BATCHES)
    assert one.spectral_radius.value == pytest.approx(other.spectral_radius.value, rel=1e-9)
    assert one.ends.low.value == pytest.approx(1e-2 * other.ends.low.value, rel=1e-9)


def test_what_is_no_heavy_ball_is_told():
    with pytest.raises(InvalidInput, match="as heavy ball does"):
        samdyn.diagnose(OptaxStepMap(loss, optax.lion(1e-4)), AT, BATCHES)
